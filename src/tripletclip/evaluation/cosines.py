"""How far an item lies from its hard negative in each tower: the numbers and histograms of Figures 4 and 5.

Three comparisons, each of the cosine with the hard negative against a yardstick:

=========  ==================  ============================================
``text``   caption, negative   caption, another caption
``image``  image, negative     image, another image
``cross``  image, negative     image, its own caption (CLIPs only)
           caption
=========  ==================  ============================================

Shapes: N items, D features.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from torch import Tensor

from tripletclip.errors import UserError
from tripletclip.evaluation.encoding import Features
from tripletclip.evaluation.measurable import first_of
from tripletclip.evaluation.pictures import Picture, picture_digest
from tripletclip.evaluation.scores import Scores, cosines, pair_scores
from tripletclip.evaluation.sets import (
    UNREADABLE,
    BenchmarkSet,
    ChoiceSet,
    ClassSet,
    GroupSet,
    PairSet,
    ParaphraseSet,
    RetrievalSet,
)
from tripletclip.evaluation.similarity import Histogram, cross_modal, one_tower, other_items
from tripletclip.intervals import Estimate, wilson

Comparison: TypeAlias = Literal["text", "image", "cross"]

BEYOND_LIMIT = "beyond --limit"
"""Reason in ``left_out`` for items that nobody asked for."""
_ALL = "all"


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Mean and quartiles of cosines; a quartile between two of them is interpolated linearly."""

    mean: float
    q25: float
    median: float
    q75: float


@dataclass(frozen=True, kw_only=True)
class Cosines:
    """One comparison on ``n`` items.

    ``others``    cosines of the yardstick: ``n`` for ``cross``; within a tower one for each distinct item.
    ``nearer``    percent of the items whose negative is at least as near as the yardstick, with Wilson's interval.
                  Within a tower the yardstick of an item is the one item after it in the order of the SHA-256; for
                  ``cross`` its own caption. A tie counts: such an item is not told from its negative.
    ``left_out``  reason to number of the set's items that are not in ``n``.
    """

    comparison: Comparison
    n: int
    others: int
    negative: Spread
    other: Spread
    nearer: Estimate
    histogram: Histogram
    left_out: Mapping[str, int]


def hard_pairs(item_set: BenchmarkSet) -> PairSet | None:
    """Items and hard negatives of any set, ``None`` if it has no negatives.

    Of several wrong captions the first is taken, of two true ones the first.
    """
    match item_set:
        case PairSet():
            captions, neg_captions, neg_images = item_set.captions, item_set.neg_captions, item_set.neg_images
        case GroupSet():
            captions, neg_captions, neg_images = item_set.captions, item_set.neg_captions, item_set.neg_images
        case ParaphraseSet():
            captions, neg_captions, neg_images = item_set.captions, item_set.neg_captions, None
        case ChoiceSet():
            captions = [options[0] for options in item_set.options]
            neg_captions, neg_images = [options[1] for options in item_set.options], None
        case RetrievalSet() | ClassSet():
            return None
    return PairSet(
        name=item_set.name,
        left_out=item_set.left_out,
        keys=item_set.keys,
        splits=[_ALL] * len(item_set),
        images=item_set.images,
        captions=captions,
        neg_captions=neg_captions,
        neg_images=neg_images,
    )


def sample(pairs: PairSet, limit: int | None) -> PairSet:
    """At most ``limit`` items: those whose keys' SHA-256 come first, whatever the order of the file."""
    if limit is None or limit >= len(pairs):
        return pairs
    by_hash = sorted(range(len(pairs)), key=lambda row: sha256(pairs.keys[row]))
    rows = sorted(by_hash[:limit])
    left_out = {**pairs.left_out, BEYOND_LIMIT: len(pairs) - limit}
    return _only(replace(pairs, left_out=left_out), rows)


def comparisons(pairs: PairSet, *, images: bool, texts: bool) -> list[Comparison]:
    """What can be measured by an encoder of ``images``, ``texts`` or both."""
    wanted: list[tuple[Comparison, bool]] = [
        ("text", texts),
        ("image", images and pairs.neg_images is not None),
        ("cross", images and texts),
    ]
    return [name for name, there in wanted if there]


def needed(pairs: PairSet, wanted: Sequence[Comparison]) -> tuple[list[Picture], list[str]]:
    """The pictures and the texts to encode for the comparisons, with repetitions."""
    pictures: list[Picture] = [*pairs.images] if {"image", "cross"} & set(wanted) else []
    pictures += pairs.neg_images or [] if "image" in wanted else []
    texts = [*pairs.captions, *pairs.neg_captions] if {"text", "cross"} & set(wanted) else []
    return pictures, texts


def compare(label: str, pairs: PairSet, comparison: Comparison, features: Features) -> Cosines:
    """Measure one comparison on the items whose pictures were readable; ``text`` needs no picture.

    Raises :class:`UserError` that names the set ``label`` if no item is left, or no two different ones.
    """
    kept = _readable(label, pairs, comparison, features.unreadable)
    if comparison == "cross":
        return _compare_across(kept, features)
    if comparison == "text":
        digests = [sha256(caption) for caption in kept.captions]
        item_ND, neg_ND = features.texts.rows(kept.captions), features.texts.rows(kept.neg_captions)
    else:
        assert kept.neg_images is not None
        digests = [picture_digest(picture) for picture in kept.images]
        item_ND, neg_ND = features.images.rows(kept.images), features.images.rows(kept.neg_images)
    if len(set(digests)) < 2:
        word = "caption" if comparison == "text" else "image"
        raise UserError(f"{label} has only one distinct {word} to measure; give a set with at least two")
    return _compare_within(comparison, kept, digests, item_ND, neg_ND)


def sha256(text: str) -> str:
    """SHA-256 (hex) of a text."""
    return hashlib.sha256(text.encode("utf8")).hexdigest()


def _readable(label: str, pairs: PairSet, comparison: Comparison, unreadable: Mapping[Picture, str]) -> PairSet:
    columns = {"text": [], "image": [pairs.images, pairs.neg_images or []], "cross": [pairs.images]}[comparison]
    lost = {row for column in columns for row, picture in enumerate(column) if picture in unreadable}
    if not lost:
        return pairs
    if len(lost) == len(pairs):
        picture, reason = next((one, unreadable[one]) for column in columns for one in column if one in unreadable)
        raise UserError(f"{label}: no item can be measured; {first_of(picture)} is unreadable ({reason}), others too")
    left_out = {**pairs.left_out, UNREADABLE: pairs.left_out.get(UNREADABLE, 0) + len(lost)}
    return _only(replace(pairs, left_out=left_out), [row for row in range(len(pairs)) if row not in lost])


def _only(pairs: PairSet, rows: Sequence[int]) -> PairSet:
    return replace(
        pairs,
        keys=[pairs.keys[row] for row in rows],
        splits=[pairs.splits[row] for row in rows],
        images=[pairs.images[row] for row in rows],
        captions=[pairs.captions[row] for row in rows],
        neg_captions=[pairs.neg_captions[row] for row in rows],
        neg_images=None if pairs.neg_images is None else [pairs.neg_images[row] for row in rows],
    )


def _compare_across(pairs: PairSet, features: Features) -> Cosines:
    image_ND = features.images.rows(pairs.images)
    scores = pair_scores(image_ND, features.texts.rows(pairs.captions), features.texts.rows(pairs.neg_captions))
    return Cosines(
        comparison="cross",
        n=len(pairs),
        others=len(pairs),
        negative=spread(scores.negative),
        other=spread(scores.positive),
        nearer=wilson(int((scores.negative >= scores.positive).sum()), len(pairs)),
        histogram=cross_modal(scores),
        left_out=pairs.left_out,
    )


def _compare_within(
    comparison: Comparison, pairs: PairSet, digests: Sequence[str], item_ND: Tensor, neg_ND: Tensor
) -> Cosines:
    first, second = other_items(digests)
    after = {digests[row]: other for row, other in zip(first, second, strict=True)}
    negative_N = cosines(item_ND, neg_ND)
    other_N = cosines(item_ND, item_ND[[after[digest] for digest in digests]])
    return Cosines(
        comparison=comparison,
        n=len(pairs),
        others=len(first),
        negative=spread(negative_N),
        other=spread(cosines(item_ND[first], item_ND[second])),
        nearer=wilson(int((negative_N >= other_N).sum()), len(pairs)),
        histogram=one_tower(digests, item_ND, neg_ND),
        left_out=pairs.left_out,
    )


def spread(values: Scores) -> Spread:
    """Mean and quartiles of at least one cosine."""
    q25, median, q75 = np.quantile(values.astype(np.float64), [0.25, 0.5, 0.75]).tolist()
    return Spread(mean=float(values.mean(dtype=np.float64)), q25=q25, median=median, q75=q75)
