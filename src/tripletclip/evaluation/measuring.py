"""What each kind of benchmark set gives once everything is encoded: scores, decisions, histograms.

A new kind is a set in sets.py, a file with its rule, and one ``_measure_…`` here.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

import numpy as np

from tripletclip.evaluation import choices, groups, pairs, paraphrases, retrieval, similarity, zeroshot
from tripletclip.evaluation.encoding import Features
from tripletclip.evaluation.outcome import Outcome
from tripletclip.evaluation.pictures import Picture, picture_digest
from tripletclip.evaluation.scores import (
    PairScores,
    choice_scores,
    class_prototypes,
    group_scores,
    pair_scores,
    paraphrase_scores,
)
from tripletclip.evaluation.scores import similarity as all_scores
from tripletclip.evaluation.sets import (
    BenchmarkSet,
    ChoiceSet,
    ClassSet,
    GroupSet,
    PairSet,
    ParaphraseSet,
    RetrievalSet,
)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A true caption of each item and the wrong one that came nearest to it or passed it, with their scores [N]."""

    captions: Sequence[str]
    others: Sequence[str]
    scores: PairScores


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A benchmark's outcome, what chance would give, and what stands beside it.

    ``seen`` is what examples are made from, item by item.
    """

    benchmark: str
    outcome: Outcome
    chance: Mapping[str, float]
    headline: str
    histograms: Mapping[str, similarity.Histogram] = field(default_factory=dict)
    seen: Seen | None = None


def benchmark_names(item_set: BenchmarkSet) -> list[str]:
    """The benchmarks that a set gives, in the order of :func:`measure`."""
    match item_set:
        case PairSet():
            names = [item_set.family] if item_set.neg_images is None else [item_set.family, "winoground"]
            return [_named(name, item_set.name) for name in names]
        case RetrievalSet():
            return [_named("retrieval", item_set.name)]
        case ClassSet():
            return [_named("zeroshot", item_set.name)]
        case ChoiceSet() | GroupSet() | ParaphraseSet():
            return [item_set.name]
        case _:
            assert_never(item_set)


def measure(item_set: BenchmarkSet, features: Features) -> Iterator[Measured]:
    """Score and decide every benchmark of ``item_set``."""
    names = benchmark_names(item_set)
    match item_set:
        case PairSet():
            yield _measure_pairs(names[0], item_set, features)
            if item_set.neg_images is not None:
                yield _measure_groups(names[1], item_set, item_set.neg_images, "group", features)
        case ChoiceSet():
            yield _measure_choices(item_set, features)
        case GroupSet():
            yield _measure_groups(names[0], item_set, item_set.neg_images, item_set.headline, features)
        case ParaphraseSet():
            yield _measure_paraphrases(item_set, features)
        case RetrievalSet():
            yield _measure_retrieval(names[0], item_set, features)
        case ClassSet():
            yield _measure_classes(names[0], item_set, features)
        case _:
            assert_never(item_set)


def _measure_pairs(benchmark: str, item_set: PairSet, features: Features) -> Measured:
    image_ND = features.images.rows(item_set.images)
    caption_ND, neg_caption_ND = (features.texts.rows(texts) for texts in (item_set.captions, item_set.neg_captions))
    scores = pair_scores(image_ND, caption_ND, neg_caption_ND)
    order_only_N = pairs.order_only(item_set.captions, item_set.neg_captions)
    outcome = pairs.decide(scores, item_set.splits, order_only_N)
    histograms = {
        "cross": similarity.cross_modal(scores),
        "text": similarity.one_tower(_text_digests(item_set.captions), caption_ND, neg_caption_ND),
    }
    if item_set.neg_images is not None:
        neg_image_ND = features.images.rows(item_set.neg_images)
        histograms["image"] = similarity.one_tower(_picture_digests(item_set.images), image_ND, neg_image_ND)
    return Measured(
        benchmark=benchmark,
        outcome=outcome,
        chance=pairs.chance(outcome),
        headline="macro",
        histograms=histograms,
        seen=Seen(captions=item_set.captions, others=item_set.neg_captions, scores=scores),
    )


def _measure_choices(item_set: ChoiceSet, features: Features) -> Measured:
    counts, texts = [len(options) for options in item_set.options], item_set.texts()
    scores, hardest = choice_scores(features.images.rows(item_set.images), features.texts.rows(texts), counts)
    layout = choices.layout(item_set.splits, item_set.means, item_set.teams)
    return Measured(
        benchmark=item_set.name,
        outcome=choices.decide(scores, item_set.splits, item_set.means, item_set.teams),
        chance=layout.expected(choices.chances(item_set.options)),
        headline=choices.headline(item_set.splits, item_set.means, item_set.headline),
        histograms={"cross": similarity.cross_modal(scores)},
        seen=Seen(
            captions=[options[0] for options in item_set.options],
            others=[texts[place] for place in hardest],
            scores=scores,
        ),
    )


def _measure_groups(
    benchmark: str, item_set: PairSet | GroupSet, neg_images: list[Picture], headline: str, features: Features
) -> Measured:
    scores = group_scores(
        features.images.rows(item_set.images),
        features.images.rows(neg_images),
        features.texts.rows(item_set.captions),
        features.texts.rows(item_set.neg_captions),
    )
    outcome = groups.decide(scores, item_set.splits)
    return Measured(
        benchmark=benchmark,
        outcome=outcome,
        chance=groups.chance(outcome),
        headline=headline,
        seen=Seen(
            captions=item_set.captions,
            others=item_set.neg_captions,
            scores=PairScores(positive=scores.image_caption, negative=scores.image_neg_caption),
        ),
    )


def _measure_paraphrases(item_set: ParaphraseSet, features: Features) -> Measured:
    columns = (item_set.captions, item_set.paraphrases, item_set.neg_captions)
    scores = paraphrase_scores(
        features.images.rows(item_set.images), *(features.texts.rows(texts) for texts in columns)
    )
    outcome = paraphrases.decide(scores, item_set.splits)
    first_is_lower_N = scores.image_first < scores.image_second
    lower = zip(first_is_lower_N.tolist(), item_set.captions, item_set.paraphrases, strict=True)
    return Measured(
        benchmark=item_set.name,
        outcome=outcome,
        chance=paraphrases.chance(outcome),
        headline="itt_macro",
        seen=Seen(
            captions=[first if first_is_lower else second for first_is_lower, first, second in lower],
            others=item_set.neg_captions,
            scores=PairScores(
                positive=np.minimum(scores.image_first, scores.image_second), negative=scores.image_negative
            ),
        ),
    )


def _measure_retrieval(benchmark: str, item_set: RetrievalSet, features: Features) -> Measured:
    scores_NM = all_scores(features.images.rows(item_set.images), features.texts.rows(item_set.captions))
    match_NM = retrieval.matches(item_set.images, item_set.captions, item_set.image_of_caption)
    outcome = retrieval.decide(scores_NM, match_NM)
    return Measured(benchmark=benchmark, outcome=outcome, chance=retrieval.chance(outcome, match_NM), headline="i2t_r1")


def _measure_classes(benchmark: str, item_set: ClassSet, features: Features) -> Measured:
    classes, templates = len(item_set.class_names), len(item_set.templates)
    prompt_KTD = features.texts.rows(item_set.prompts()).view(classes, templates, -1)
    scores_NK = all_scores(features.images.rows(item_set.images), class_prototypes(prompt_KTD))
    outcome = zeroshot.decide(scores_NK, item_set.labels, item_set.class_names)
    return Measured(benchmark=benchmark, outcome=outcome, chance=zeroshot.chance(outcome, classes), headline="top1")


def _named(family: str, name: str) -> str:
    return f"{family}-{name}" if name else family


def _text_digests(texts: Sequence[str]) -> list[str]:
    return [hashlib.sha256(text.encode("utf8")).hexdigest() for text in texts]


def _picture_digests(pictures: Sequence[Picture]) -> list[str]:
    return [picture_digest(picture) for picture in pictures]
