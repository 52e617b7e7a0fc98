"""One call that measures an encoder on many benchmarks: encode everything once, score, decide, fill result files.

A new benchmark family is a file with ``decide`` and ``chance``, a set in sets.py and one ``_measure_…`` here.

Shapes: N items, M captions, K classes, T templates, D features.
"""

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, assert_never

import torch

from tripletclip.errors import UserError
from tripletclip.evaluation import groups, pairs, retrieval, similarity, zeroshot
from tripletclip.evaluation.encoder import ConstantEncoder, Encoder, FeatureTable
from tripletclip.evaluation.from_shards import class_set, pair_set, retrieval_set
from tripletclip.evaluation.outcome import Outcome, decision_strings, metrics
from tripletclip.evaluation.scores import (
    GroupScores,
    PairScores,
    class_prototypes,
    fewer_words_scores,
    group_scores,
    pair_scores,
)
from tripletclip.evaluation.scores import similarity as all_scores
from tripletclip.evaluation.sets import BenchmarkSet, ClassSet, PairSet, RetrievalSet
from tripletclip.reporting.results import Result

__all__ = ["BenchmarkSet", "ClassSet", "PairSet", "RetrievalSet", "class_set", "evaluate", "pair_set", "retrieval_set"]


@dataclass(frozen=True, kw_only=True)
class Features:
    """Every distinct image and text of all benchmarks, encoded once."""

    images: FeatureTable[bytes]
    texts: FeatureTable[str]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A benchmark's outcome, the outcomes that need no model, and the histograms beside them."""

    benchmark: str
    outcome: Outcome
    chance: Mapping[str, float]
    fewer_words: Outcome | None = None
    histograms: Mapping[str, similarity.Histogram] = field(default_factory=dict)


def evaluate(
    encoder: Encoder,
    sets: Sequence[BenchmarkSet],
    *,
    method: str,
    seed: int,
    step: int,
    checkpoint: str,
    budget: Mapping[str, float],
    config: Mapping[str, Any],
) -> list[Result]:
    """Measure ``encoder`` on ``sets``; each distinct image and text is encoded once, whatever the number of sets.

    A :class:`PairSet` gives ``sugarcrepe`` and, where it has negative images, ``winoground``; a :class:`RetrievalSet`
    ``retrieval``; a :class:`ClassSet` ``zeroshot``; each followed by ``-NAME`` for a set that has a name. The other
    arguments go into the results as they are. Raises :class:`UserError` for two sets that would give the same
    benchmark, and for features that are not finite unit vectors of one width.
    """
    features, constant = _encode(encoder, sets), _encode(ConstantEncoder(), sets)
    results: dict[str, Result] = {}
    for item_set in sets:
        items: dict[str, str | int] = {"n": _size(item_set), "sha256": item_set.digest()}
        for measured, blind in zip(_measure(item_set, features), _measure(item_set, constant), strict=True):
            if measured.benchmark in results:
                raise UserError(f"two sets give the benchmark '{measured.benchmark}'; give each a name of its own")
            results[measured.benchmark] = Result(
                method=method,
                seed=seed,
                step=step,
                benchmark=measured.benchmark,
                checkpoint=checkpoint,
                metrics=metrics(measured.outcome),
                decisions=decision_strings(measured.outcome),
                groups=measured.outcome.groups,
                blind=_blind_lines(measured, blind.outcome),
                histograms=measured.histograms,
                items=items,
                budget=budget,
                config=config,
                versions=_versions(),
            )
    return list(results.values())


def _encode(encoder: Encoder, sets: Sequence[BenchmarkSet]) -> Features:
    images: list[bytes] = []
    texts: list[str] = []
    for item_set in sets:
        images += item_set.images
        match item_set:
            case PairSet():
                images += item_set.neg_images or []
                texts += item_set.captions + item_set.neg_captions
            case RetrievalSet():
                texts += item_set.captions
            case ClassSet():
                texts += item_set.prompts()
            case _:
                assert_never(item_set)
    features = Features(
        images=FeatureTable(encoder.encode_images, images), texts=FeatureTable(encoder.encode_texts, texts)
    )
    _check(features)
    return features


def _check(features: Features) -> None:
    image_ND, text_MD = features.images.features, features.texts.features
    if image_ND.shape[1] != text_MD.shape[1]:
        raise UserError(
            f"images have {image_ND.shape[1]} features and texts {text_MD.shape[1]}; the towers must agree in width"
        )
    for tower, features_ND in (("image", image_ND), ("text", text_MD)):
        norm_N = torch.linalg.vector_norm(features_ND.double(), dim=1)
        if not torch.allclose(norm_N, torch.ones_like(norm_N), atol=1e-3):  # false for NaN, too
            raise UserError(f"the encoder's {tower} features are not finite vectors of length 1; normalise them")


def _measure(item_set: BenchmarkSet, features: Features) -> Iterator[Measured]:
    match item_set:
        case PairSet():
            yield _measure_pairs(item_set, features)
            if item_set.neg_images is not None:
                yield _measure_groups(item_set, item_set.neg_images, features)
        case RetrievalSet():
            yield _measure_retrieval(item_set, features)
        case ClassSet():
            yield _measure_classes(item_set, features)
        case _:
            assert_never(item_set)


def _measure_pairs(item_set: PairSet, features: Features) -> Measured:
    image_ND = features.images.rows(item_set.images)
    caption_ND, neg_caption_ND = (features.texts.rows(texts) for texts in (item_set.captions, item_set.neg_captions))
    scores = pair_scores(image_ND, caption_ND, neg_caption_ND)
    outcome = pairs.decide(scores, item_set.splits)
    caption_bytes = [caption.encode("utf8") for caption in item_set.captions]
    histograms = {
        "cross": similarity.cross_modal(scores),
        "text": similarity.one_tower(caption_bytes, caption_ND, neg_caption_ND),
    }
    if item_set.neg_images is not None:
        neg_image_ND = features.images.rows(item_set.neg_images)
        histograms["image"] = similarity.one_tower(item_set.images, image_ND, neg_image_ND)
    words, neg_words = fewer_words_scores(item_set.captions), fewer_words_scores(item_set.neg_captions)
    return Measured(
        benchmark=_benchmark("sugarcrepe", item_set),
        outcome=outcome,
        chance=pairs.chance(outcome),
        fewer_words=pairs.decide(PairScores(positive=words, negative=neg_words), item_set.splits),
        histograms=histograms,
    )


def _measure_groups(item_set: PairSet, neg_images: list[bytes], features: Features) -> Measured:
    scores = group_scores(
        features.images.rows(item_set.images),
        features.images.rows(neg_images),
        features.texts.rows(item_set.captions),
        features.texts.rows(item_set.neg_captions),
    )
    outcome = groups.decide(scores, item_set.splits)
    words, neg_words = fewer_words_scores(item_set.captions), fewer_words_scores(item_set.neg_captions)
    blind_scores = GroupScores(
        image_caption=words, image_neg_caption=neg_words, neg_image_caption=words, neg_image_neg_caption=neg_words
    )
    return Measured(
        benchmark=_benchmark("winoground", item_set),
        outcome=outcome,
        chance=groups.chance(outcome),
        fewer_words=groups.decide(blind_scores, item_set.splits),
    )


def _measure_retrieval(item_set: RetrievalSet, features: Features) -> Measured:
    scores_NM = all_scores(features.images.rows(item_set.images), features.texts.rows(item_set.captions))
    match_NM = retrieval.matches(item_set.images, item_set.captions, item_set.image_of_caption)
    outcome = retrieval.decide(scores_NM, match_NM)
    return Measured(
        benchmark=_benchmark("retrieval", item_set), outcome=outcome, chance=retrieval.chance(outcome, match_NM)
    )


def _measure_classes(item_set: ClassSet, features: Features) -> Measured:
    classes, templates = len(item_set.class_names), len(item_set.templates)
    prompt_KTD = features.texts.rows(item_set.prompts()).view(classes, templates, -1)
    scores_NK = all_scores(features.images.rows(item_set.images), class_prototypes(prompt_KTD))
    outcome = zeroshot.decide(scores_NK, item_set.labels)
    return Measured(
        benchmark=_benchmark("zeroshot", item_set), outcome=outcome, chance=zeroshot.chance(outcome, classes)
    )


def _blind_lines(measured: Measured, constant: Outcome) -> dict[str, dict[str, float]]:
    lines = {"random": dict(measured.chance), "constant encoder": _values(constant)}
    if measured.fewer_words is not None:
        lines["fewer words"] = _values(measured.fewer_words)
    return lines


def _values(outcome: Outcome) -> dict[str, float]:
    return {name: metric.value for name, metric in metrics(outcome).items()}


def _benchmark(family: str, item_set: BenchmarkSet) -> str:
    return f"{family}-{item_set.name}" if item_set.name else family


def _size(item_set: BenchmarkSet) -> int:
    return len(item_set.captions if isinstance(item_set, RetrievalSet) else item_set.images)


def _versions() -> dict[str, str]:
    packages = {"torch": "torch", "open_clip": "open_clip_torch", "tripletclip": "tripletclip"}
    return {name: version(package) for name, package in packages.items()} | {"python": platform.python_version()}
