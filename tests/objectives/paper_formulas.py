"""The paper's objectives written out term by term: one N x N product a term, no sharing, nothing from the package.

Shapes: N pairs, D features. x, y: images and captions; x_neg, y_neg: their hard negatives. Equations 1 to 4 of
Patel et al. 2024, arXiv 2411.02545.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

NAMES = ("clip", "negclip", "negimage", "tripletclip", "clip-on-triplets")
HALVES = {"clip": (1, 1), "negclip": (1, 2), "negimage": (2, 1), "tripletclip": (2, 2), "clip-on-triplets": (2, 2)}


@dataclass(frozen=True, kw_only=True)
class Made:
    """Features of a made batch, each ``[N, D]``, and the factor of the logits."""

    x: Tensor
    y: Tensor
    x_neg: Tensor
    y_neg: Tensor
    scale: Tensor

    def leaves(self) -> list[Tensor]:
        return [self.x, self.y, self.x_neg, self.y_neg, self.scale]

    def images(self, name: str) -> list[Tensor]:
        return [self.x, self.x_neg][: HALVES[name][0]]

    def texts(self, name: str) -> list[Tensor]:
        return [self.y, self.y_neg][: HALVES[name][1]]


def made(n: int, d: int = 5, seed: int = 0, scale: float = 7.0) -> Made:
    """Random unit features in fp64, leaves that want gradients."""
    generator = torch.Generator().manual_seed(seed)

    def rows() -> Tensor:
        drawn = torch.randn(n, d, generator=generator, dtype=torch.float64)
        return F.normalize(drawn, dim=1).requires_grad_()

    factor = torch.tensor(scale, dtype=torch.float64, requires_grad=True)
    return Made(x=rows(), y=rows(), x_neg=rows(), y_neg=rows(), scale=factor)


def reference(name: str, m: Made) -> tuple[Tensor, Tensor]:
    """``(image-to-text, text-to-image)`` of objective ``name``; their sum is the loss."""

    def logits(queries: Tensor, keys: Tensor) -> Tensor:
        return m.scale * queries @ keys.T

    def softmax(*blocks: Tensor) -> Tensor:
        return F.cross_entropy(torch.cat(blocks, dim=1), torch.arange(len(blocks[0])))

    x, y, x_neg, y_neg = m.x, m.y, m.x_neg, m.y_neg
    if name == "clip":
        return softmax(logits(x, y)) / 2, softmax(logits(y, x)) / 2
    if name == "negclip":
        return softmax(logits(x, y), logits(x, y_neg)) / 2, softmax(logits(y, x)) / 2
    if name == "negimage":
        return softmax(logits(x, y)) / 2, softmax(logits(y, x), logits(y, x_neg)) / 2
    if name == "tripletclip":
        image_to_text = softmax(logits(x, y), logits(x, y_neg)) + softmax(logits(x_neg, y_neg), logits(x_neg, y))
        text_to_image = softmax(logits(y, x)) + softmax(logits(y_neg, x_neg))
        return image_to_text / 2, text_to_image / 2
    assert name == "clip-on-triplets"
    all_x, all_y = torch.cat([x, x_neg]), torch.cat([y, y_neg])
    return softmax(logits(all_x, all_y)) / 2, softmax(logits(all_y, all_x)) / 2
