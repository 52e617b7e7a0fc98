"""Find the caption of an image among all captions, and the image of a caption among all images: recall at 1, 5, 10.

The rank of a query is the number of candidates that do not match it and score at least as high as its best match:
a tie loses. The query is right at k if its rank is below k. An image may have several captions. Captions with the
same text are one caption and files with the same bytes one image, so each matches whatever the other matches.

Shapes: N images, M captions, Q queries, C candidates.
"""

import math
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from tripletclip.evaluation.outcome import Decisions, Outcome
from tripletclip.evaluation.scores import Scores

RECALL_AT = (1, 5, 10)

CHUNK = 1024
"""Queries that are compared at a time; bounds the memory of the comparisons."""


def matches(images: Sequence[Hashable], captions: Sequence[str], image_of_caption: Sequence[int]) -> Decisions:
    """Which image and caption belong together [N, M]: some caption of this text is listed for an image of these bytes.

    ``image_of_caption`` holds the index of each caption's image, [M].
    """
    image_id = {image: number for number, image in enumerate(dict.fromkeys(images))}
    caption_id = {caption: number for number, caption in enumerate(dict.fromkeys(captions))}
    image_ids_N = np.array([image_id[image] for image in images])
    caption_ids_M = np.array([caption_id[caption] for caption in captions])
    together = np.zeros((len(image_id), len(caption_id)), dtype=np.bool_)
    together[image_ids_N[np.array(image_of_caption)], caption_ids_M] = True
    matching: Decisions = together[image_ids_N][:, caption_ids_M]
    return matching


def ranks(scores_QC: Scores, match_QC: Decisions) -> NDArray[np.int64]:
    """Rank of each query's best match [Q], 0 the best; every query needs a match."""
    rank_Q = np.empty(len(scores_QC), dtype=np.int64)
    for start in range(0, len(scores_QC), CHUNK):
        scores, match = scores_QC[start : start + CHUNK], match_QC[start : start + CHUNK]
        assert match.any(axis=1).all(), "a query without a match"
        best = np.where(match, scores, -np.inf).max(axis=1, keepdims=True)
        rank_Q[start : start + CHUNK] = (~match & (scores >= best)).sum(axis=1)
    return rank_Q


def decide(scores_NM: Scores, match_NM: Decisions) -> Outcome:
    """Decisions of ``i2t_r1`` … (an image each) and ``t2i_r1`` … (a caption each).

    A recall at k that every order would reach, because k candidates are all there are, is left out.
    """
    directions = {"i2t": ranks(scores_NM, match_NM), "t2i": ranks(scores_NM.T, match_NM.T)}
    candidates = {"i2t": scores_NM.shape[1], "t2i": scores_NM.shape[0]}
    decisions = {
        f"{direction}_r{k}": rank < k
        for direction, rank in directions.items()
        for k in RECALL_AT
        if k < candidates[direction]
    }
    return Outcome(decisions=decisions)


def chance(outcome: Outcome, match_NM: Decisions) -> dict[str, float]:
    """Expectation of a random order in percent: k / C where a query has one match, 1 - C(C-m, k) / C(C, k) for m."""
    expected = {}
    for name in outcome.decisions:
        direction, k = name.split("_r")
        match_QC = match_NM if direction == "i2t" else match_NM.T
        counts, queries = np.unique(match_QC.sum(axis=1), return_counts=True)
        hits = sum(
            int(number) * _chance_of_a_hit(match_QC.shape[1], int(m), int(k))
            for m, number in zip(counts, queries, strict=True)
        )
        expected[name] = 100 * hits / len(match_QC)
    return expected


def _chance_of_a_hit(candidates: int, matching: int, k: int) -> float:
    """Probability that one of ``matching`` candidates is among the first ``k`` of a random order."""
    return 1 - math.comb(candidates - matching, k) / math.comb(candidates, k)
