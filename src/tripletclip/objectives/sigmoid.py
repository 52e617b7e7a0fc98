"""The pairwise sigmoid of SigLIP (Zhai et al. 2023, arXiv 2303.15343, section 3.2), dense and in chunks.

Shapes: N pairs, C of them in a chunk, D features.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from tripletclip.objectives.features import Part, summed_over_rows
from tripletclip.objectives.hard import HardNegatives
from tripletclip.objectives.pattern import Pattern

START_SCALE, START_BIAS = 10.0, -10.0
"""Where SigLIP starts ``logit_scale`` (the factor itself) and ``logit_bias``: ibid., section 3.2."""


def pairwise_sigmoid(
    images: Sequence[Tensor],
    texts: Sequence[Tensor],
    logit_scale: Tensor,
    logit_bias: Tensor,
    pattern: Pattern,
    part: Part,
    *,
    hard: HardNegatives,
    chunk: int | None,
) -> Tensor:
    """-1/N sum of log sigmoid(z l) over all cells of the halves that meet; z is 1 for a pair and -1 for all others.

    l = s x.y + b, and of hard candidates as :class:`HardNegatives` says. A cell has no direction and counts once. It
    belongs to its image: ``part`` are the rows of images, and cells of negative images are the negative pairs' terms.
    """
    terms = []
    for i, t in sorted(pattern.meeting()):
        gain, shift = hard.gain(i, t), hard.shift(i, t, logit_scale) + logit_bias
        image_ND, text_ND = logit_scale * gain * images[i], texts[t]
        term = summed_over_rows(_as_unlike, part.rows, chunk, image_ND, text_ND, shift)
        if i == t:
            # log sigmoid(l) = log sigmoid(-l) + l: the diagonal was summed as unlike
            own_N = (image_ND[part.rows] * text_ND[part.rows]).sum(1) + shift
            term = term - own_N.sum()
        terms.append(hard.of_queries(i) * term)
    return pattern.weight * part.mean * torch.stack(terms).sum()


def _as_unlike(rows: slice, image_ND: Tensor, text_ND: Tensor, shift: Tensor) -> Tensor:
    """The sum over the cells of ``rows``, as if none of them were a pair."""
    logits_CN = image_ND[rows] @ text_ND.T + shift
    return -F.logsigmoid(-logits_CN).sum()
