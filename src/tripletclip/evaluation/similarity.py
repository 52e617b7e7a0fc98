"""How far apart a tower puts an item and its hard negative: histograms of cosines (Figures 4 and 5 of the paper).

Shapes: N items, D features, U distinct items, H bins.
"""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from tripletclip.evaluation.scores import PairScores, Scores, cosines

EDGES = [round(-1 + step / 40, 3) for step in range(81)]
"""Bounds of the 80 bins from -1 to 1."""

Histogram = dict[str, list[float]]


def histogram(positive: Scores, negative: Scores) -> Histogram:
    """Counts of two sets of cosines over the same bins; cosines past ±1 by rounding fall into the outer bins."""
    return {"edges": list(EDGES), "positive": _counts(positive), "negative": _counts(negative)}


def cross_modal(scores: PairScores) -> Histogram:
    """``positive``: cos(image, its caption). ``negative``: cos(image, its negative caption)."""
    return histogram(scores.positive, scores.negative)


def one_tower(digests: Sequence[str], features_ND: Tensor, neg_features_ND: Tensor) -> Histogram:
    """``negative``: cos(item, its hard negative). ``positive``: cos(item, another item), the shuffled baseline.

    ``digests`` are the SHA-256 of the images or captions behind ``features_ND``. A tower that ignores what the
    negative changed puts ``negative`` near 1, far right of the baseline.
    """
    first, second = other_items(digests)
    return histogram(cosines(features_ND[first], features_ND[second]), cosines(features_ND, neg_features_ND))


def other_items(digests: Sequence[str]) -> tuple[list[int], list[int]]:
    """Indices of pairs of different items: a ring over the distinct ones [U], in the order of their SHA-256.

    The order is fixed, and says nothing about the data. Equal items are taken once, so none is paired with itself; a
    single distinct item has no pair.
    """
    index_of = {digest: index for index, digest in reversed(list(enumerate(digests)))}
    ring = [index_of[digest] for digest in sorted(index_of)]
    return ([], []) if len(ring) < 2 else (ring, ring[1:] + ring[:1])


def _counts(values: Scores) -> list[float]:
    counts_H, _ = np.histogram(np.clip(values, -1, 1), bins=np.array(EDGES))
    return [float(count) for count in counts_H]
