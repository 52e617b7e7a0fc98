"""CyCLIP's two consistency terms (Goel et al. 2022, arXiv 2205.14459), dense and in chunks.

Shapes: N pairs, C of them in a chunk, D features. The factor is 1/N although the sum has N x N cells: so do the paper
and its code, https://github.com/goel-shashank/CyCLIP/blob/707e7c7cc52ef66eb657d2b27fa5f026bc89e815/src/train.py#L60-L74
(mean over N x N cells times N, logits divided by the squared scale again; the same lines halve L_CLIP).
"""

from torch import Tensor

from tripletclip.objectives.features import Part, summed_over_rows


def in_modal(image_ND: Tensor, text_ND: Tensor, part: Part, chunk: int | None) -> Tensor:
    """1/N sum over j, k of (x_j . x_k - y_j . y_k)^2: two images are as far apart as their captions."""
    return part.mean * summed_over_rows(_in_modal_rows, part.rows, chunk, image_ND, text_ND)


def cross_modal(image_ND: Tensor, text_ND: Tensor, part: Part, chunk: int | None) -> Tensor:
    """1/N sum over j, k of (x_j . y_k - x_k . y_j)^2: the matrix of cosines is symmetric."""
    return part.mean * summed_over_rows(_cross_modal_rows, part.rows, chunk, image_ND, text_ND)


def _in_modal_rows(rows: slice, image_ND: Tensor, text_ND: Tensor) -> Tensor:
    difference_CN = image_ND[rows] @ image_ND.T - text_ND[rows] @ text_ND.T
    return difference_CN.square().sum()


def _cross_modal_rows(rows: slice, image_ND: Tensor, text_ND: Tensor) -> Tensor:
    difference_CN = image_ND[rows] @ text_ND.T - text_ND[rows] @ image_ND.T
    return difference_CN.square().sum()
