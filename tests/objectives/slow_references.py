"""Every objective cell by cell, in Python loops over the batch: nothing shared, nothing from the package.

Patel et al. 2024 (arXiv 2411.02545), Eqs. 1 to 4; Goel et al. 2022 (arXiv 2205.14459); Zhai et al. 2023
(arXiv 2303.15343). Shapes: a half is a list of N rows of D numbers.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

HALVES = {
    "clip": (1, 1),
    "negclip": (1, 2),
    "negimage": (2, 1),
    "tripletclip": (2, 2),
    "clip-on-triplets": (2, 2),
    "cyclip": (1, 1),
    "cyclip-triplet": (2, 2),
    "siglip": (1, 1),
    "siglip-triplet": (2, 2),
}
SIGMOID = ("siglip", "siglip-triplet")
CYCLIC = ("cyclip", "cyclip-triplet")


@dataclass(frozen=True, kw_only=True)
class Knobs:
    """How hard negatives are treated; the defaults are the paper's losses."""

    weight: float = 1.0
    margin: float = 0.0
    temperature: float = 1.0
    pair_weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A made batch: halves of unit features in fp64, scale and bias, all leaves that want gradients."""

    images: tuple[Tensor, ...]
    texts: tuple[Tensor, ...]
    scale: Tensor
    bias: Tensor

    def leaves(self) -> list[Tensor]:
        return [*self.images, *self.texts, self.scale, self.bias]


def drawn(images: int, texts: int, n: int = 4, d: int = 3, seed: int = 0, scale: float = 5.0) -> Drawn:
    generator = torch.Generator().manual_seed(seed)

    def half() -> Tensor:
        rows = torch.randn(n, d, generator=generator, dtype=torch.float64)
        return F.normalize(rows, dim=1).requires_grad_()

    def number(value: float) -> Tensor:
        return torch.tensor(value, dtype=torch.float64, requires_grad=True)

    return Drawn(
        images=tuple(half() for _ in range(images)),
        texts=tuple(half() for _ in range(texts)),
        scale=number(scale),
        bias=number(-1.5),
    )


def drawn_for(name: str, n: int = 4, d: int = 3, seed: int = 0, scale: float = 5.0) -> Drawn:
    return drawn(*HALVES[name], n=n, d=d, seed=seed, scale=scale)


class Slow:
    """The terms of one batch."""

    def __init__(self, batch: Drawn, knobs: Knobs) -> None:
        self.batch, self.knobs = batch, knobs
        self.n = len(batch.images[0])

    def logit(self, query: Tensor, candidate: Tensor, *, hard: bool = False) -> Tensor:
        cosine = (query * candidate).sum()
        if not hard:
            return self.batch.scale * cosine
        hardened = self.batch.scale * (cosine + self.knobs.margin) / self.knobs.temperature
        return hardened + math.log(self.knobs.weight)

    def neg_cl(self, queries: Tensor, keys: Tensor, *hard: Tensor) -> Tensor:
        """L_CL, and with ``hard`` halves L_NegCL: Eqs. 1 and 2."""
        total = torch.zeros((), dtype=torch.float64)
        for n in range(self.n):
            denominator = torch.zeros((), dtype=torch.float64)
            for m in range(self.n):
                denominator = denominator + self.logit(queries[n], keys[m]).exp()
                for half in hard:
                    denominator = denominator + self.logit(queries[n], half[m], hard=True).exp()
            total = total - (self.logit(queries[n], keys[n]).exp() / denominator).log()
        return total / self.n

    def sigmoids(self, images: Tensor, texts: Tensor, *hard: Tensor) -> Tensor:
        """-1/N sum of log(1 / (1 + e^(-z l))), z = 1 for a pair, else -1."""
        total = torch.zeros((), dtype=torch.float64)
        for n in range(self.n):
            for m in range(self.n):
                sign = 1.0 if n == m else -1.0
                logit = self.logit(images[n], texts[m]) + self.batch.bias
                total = total - (1 / (1 + (-sign * logit).exp())).log()
                for half in hard:
                    logit = self.logit(images[n], half[m], hard=True) + self.batch.bias
                    total = total - (1 / (1 + logit.exp())).log()
        return total / self.n

    def consistency(self, images: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
        """``(in-modal, cross-modal)``."""
        inside = crossing = torch.zeros((), dtype=torch.float64)
        for j in range(self.n):
            for k in range(self.n):
                inside = inside + ((images[j] @ images[k]) - (texts[j] @ texts[k])) ** 2
                crossing = crossing + ((images[j] @ texts[k]) - (images[k] @ texts[j])) ** 2
        return inside / self.n, crossing / self.n


def slow_losses(name: str, batch: Drawn, knobs: Knobs | None = None) -> dict[str, Tensor]:
    """The named losses of ``name``; their sum is minimised."""
    knobs = knobs or Knobs()
    slow, pair = Slow(batch, knobs), knobs.pair_weight
    x, y = batch.images[0], batch.texts[0]
    if name == "negclip":
        return _named(slow.neg_cl(x, y, *batch.texts[1:]) / 2, slow.neg_cl(y, x) / 2)
    if name == "negimage":
        return _named(slow.neg_cl(x, y) / 2, slow.neg_cl(y, x, batch.images[1]) / 2)
    if HALVES[name] == (1, 1):
        if name == "siglip":
            return {"sigmoid_loss": slow.sigmoids(x, y)}
        losses = _named(slow.neg_cl(x, y) / 2, slow.neg_cl(y, x) / 2)
        if name == "cyclip":
            inside, crossing = slow.consistency(x, y)
            losses |= {"in_modal_loss": inside / 4, "cross_modal_loss": crossing / 4}
        return losses
    x_neg, y_neg = batch.images[1], batch.texts[1]
    if name == "siglip-triplet":
        return {"sigmoid_loss": slow.sigmoids(x, y, y_neg) + pair * slow.sigmoids(x_neg, y_neg, y)}
    to_text = slow.neg_cl(x, y, y_neg) + pair * slow.neg_cl(x_neg, y_neg, y)
    if name == "clip-on-triplets":
        return _named(to_text / 4, (slow.neg_cl(y, x, x_neg) + pair * slow.neg_cl(y_neg, x_neg, x)) / 4)
    losses = _named(to_text / 2, (slow.neg_cl(y, x) + pair * slow.neg_cl(y_neg, x_neg)) / 2)
    if name == "cyclip-triplet":
        (inside, crossing), (inside_neg, crossing_neg) = slow.consistency(x, y), slow.consistency(x_neg, y_neg)
        losses["in_modal_loss"] = (inside + pair * inside_neg) / 4
        losses["cross_modal_loss"] = (crossing + pair * crossing_neg) / 4
    return losses


def _named(image_to_text: Tensor, text_to_image: Tensor) -> dict[str, Tensor]:
    return {"image_to_text_loss": image_to_text, "text_to_image_loss": text_to_image}
