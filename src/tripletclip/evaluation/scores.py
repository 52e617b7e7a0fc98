"""From features to scores. Benchmarks get these numbers and nothing else.

A score is a cosine: features are unit vectors. Products are summed in float64 and rounded to float32, so that equal
features give equal scores in whatever order a matrix product adds them up. A tie stays a tie.

Shapes: N images (or items), M texts, C captions of all items together, K classes, T templates, D features.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Scores = NDArray[np.float32]

CHUNK = 4096
"""Rows of a similarity matrix that are held in float64 at a time."""


@dataclass(frozen=True, kw_only=True)
class PairScores:
    """Two scores an item: s(image, caption) and s(image, neg_caption), each [N]."""

    positive: Scores
    negative: Scores


@dataclass(frozen=True, kw_only=True)
class GroupScores:
    """Four scores an item with image i, caption c and their negatives i', c', each [N]."""

    image_caption: Scores
    image_neg_caption: Scores
    neg_image_caption: Scores
    neg_image_neg_caption: Scores


@dataclass(frozen=True, kw_only=True)
class ParaphraseScores:
    """Six scores an item with image i, true captions p1 and p2 and their negative n, each [N]."""

    image_first: Scores
    image_second: Scores
    image_negative: Scores
    first_second: Scores
    first_negative: Scores
    second_negative: Scores


def cosines(first_ND: Tensor, second_ND: Tensor) -> Scores:
    """Row by row products [N]."""
    assert len(first_ND) == len(second_ND), (len(first_ND), len(second_ND))
    products_N = torch.empty(len(first_ND))
    for start in range(0, len(first_ND), CHUNK):
        rows = slice(start, start + CHUNK)
        products_N[rows] = (first_ND[rows].double() * second_ND[rows].double()).sum(dim=1).float()
    rounded: Scores = products_N.numpy()
    return rounded


def similarity(first_ND: Tensor, second_MD: Tensor) -> Scores:
    """All products [N, M]."""
    second_DM = second_MD.double().T
    scores_NM = torch.empty(len(first_ND), len(second_MD))
    for start in range(0, len(first_ND), CHUNK):
        scores_NM[start : start + CHUNK] = (first_ND[start : start + CHUNK].double() @ second_DM).float()
    rounded: Scores = scores_NM.numpy()
    return rounded


def pair_scores(image_ND: Tensor, caption_ND: Tensor, neg_caption_ND: Tensor) -> PairScores:
    return PairScores(positive=cosines(image_ND, caption_ND), negative=cosines(image_ND, neg_caption_ND))


def group_scores(image_ND: Tensor, neg_image_ND: Tensor, caption_ND: Tensor, neg_caption_ND: Tensor) -> GroupScores:
    return GroupScores(
        image_caption=cosines(image_ND, caption_ND),
        image_neg_caption=cosines(image_ND, neg_caption_ND),
        neg_image_caption=cosines(neg_image_ND, caption_ND),
        neg_image_neg_caption=cosines(neg_image_ND, neg_caption_ND),
    )


def choice_scores(image_ND: Tensor, option_CD: Tensor, counts: Sequence[int]) -> tuple[PairScores, list[int]]:
    """The score of each item's true caption, its first, and the highest of its others; and which of C that one is.

    ``option_CD`` holds the captions of the first item, then those of the second, …; ``counts`` [N] says how many.
    """
    score_C = cosines(image_ND.repeat_interleave(torch.tensor(counts), dim=0), option_CD)
    starts = np.cumsum([0, *counts[:-1]])
    hardest = [
        start + 1 + int(score_C[start + 1 : start + count].argmax())
        for start, count in zip(starts.tolist(), counts, strict=True)
    ]
    return PairScores(positive=score_C[starts], negative=score_C[hardest]), hardest


def paraphrase_scores(image_ND: Tensor, first_ND: Tensor, second_ND: Tensor, negative_ND: Tensor) -> ParaphraseScores:
    return ParaphraseScores(
        image_first=cosines(image_ND, first_ND),
        image_second=cosines(image_ND, second_ND),
        image_negative=cosines(image_ND, negative_ND),
        first_second=cosines(first_ND, second_ND),
        first_negative=cosines(first_ND, negative_ND),
        second_negative=cosines(second_ND, negative_ND),
    )


def class_prototypes(prompt_KTD: Tensor) -> Tensor:
    """One unit vector a class [K, D]: the mean over its templates' unit features, normalised again."""
    return nn.functional.normalize(prompt_KTD.double().mean(dim=1), dim=1).float()


def fewer_words_scores(captions: Sequence[str]) -> Scores:
    """The blind scorer [N]: the fewer words, the better, whatever the image shows."""
    return np.array([-len(caption.split()) for caption in captions], dtype=np.float32)
