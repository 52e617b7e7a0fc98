"""From features to scores. Benchmarks get these numbers and nothing else.

A score is a cosine: features are unit vectors. Products are summed in float64 and rounded to float32, so that equal
features give equal scores in whatever order a matrix product adds them up. A tie stays a tie.

Shapes: N images (or items), M texts, K classes, T templates, D features.
"""

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


def cosines(first_ND: Tensor, second_ND: Tensor) -> Scores:
    """Row by row products [N]."""
    rounded: Scores = (first_ND.double() * second_ND.double()).sum(dim=1).float().numpy()
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


def class_prototypes(prompt_KTD: Tensor) -> Tensor:
    """One unit vector a class [K, D]: the mean over its templates' unit features, normalised again."""
    return nn.functional.normalize(prompt_KTD.double().mean(dim=1), dim=1).float()


def fewer_words_scores(captions: list[str]) -> Scores:
    """The blind scorer [N]: the fewer words, the better, whatever the image shows."""
    return np.array([-len(caption.split()) for caption in captions], dtype=np.float32)
