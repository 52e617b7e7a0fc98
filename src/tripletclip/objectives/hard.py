"""How much a hard negative counts: the one place with the formulas. The defaults are the paper's losses.

A candidate is *hard* for a query when it comes from another half of the batch: for an image, the negative captions (all
of the batch, its own and those of the other pairs); for a negative image, the positive captions, since Eq. 4 takes the
negative pair as the positive one of its mirror. Eq. 2 has all of them in one denominator, and so the settings act on
whole halves: ``weight`` then leads from L_CLIP (towards 0) to L_NegCLIP (1), and 1/K makes K negative captions count as
one. Candidates of the query's own half, and with them the positive, are never touched.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tripletclip.errors import UserError


@dataclass(frozen=True, kw_only=True)
class HardNegatives:
    """Settings of hard candidates. With cosine c and ``logit_scale`` s the logit of a hard candidate is

        l = s (c + margin) / temperature + ln(weight)          instead of l = s c,

    in softmax and sigmoid alike (the latter adds its bias b to both), and Eq. 4 becomes

        L_TCL = L_NegCLIP(X, Y, Y') + pair_weight * L_NegCLIP(X', Y', Y).

    weight       its share of a denominator: e^l is multiplied by it. In the sigmoid, ln(1 + e^l) -> ln(1 + weight e^l)
    margin       a hard candidate must lie below the positive by this much cosine to cost what it costs without; 0 to 2
    temperature  divides the logits of hard candidates on top of s; above 1 they are told apart more softly
    pair_weight  the terms that negative pairs ask themselves: every query of a half that is not the positive one

    Raises:
        UserError: a setting that is not finite or not in its range.
    """

    weight: float = 1.0
    margin: float = 0.0
    temperature: float = 1.0
    pair_weight: float = 1.0

    def __post_init__(self) -> None:
        positive = {"weight": self.weight, "temperature": self.temperature, "pair_weight": self.pair_weight}
        for name, value in positive.items():
            if not (math.isfinite(value) and value > 0):
                raise UserError(f"{name} of hard negatives is {value}; give a number above 0 (1 is the paper's)")
        if not 0 <= self.margin <= 2:
            raise UserError(f"margin of hard negatives is {self.margin}; it is a cosine: give 0 (the paper's) to 2")

    @property
    def is_papers(self) -> bool:
        """Whether hard candidates are treated as in the paper."""
        return self == HardNegatives()

    def gain(self, query_half: int, candidate_half: int) -> float:
        """The factor of s c for these halves."""
        return 1.0 if query_half == candidate_half else 1 / self.temperature

    def shift(self, query_half: int, candidate_half: int, logit_scale: Tensor) -> Tensor:
        """What is added to the logits of these halves; a scalar that knows its gradient to ``logit_scale``."""
        if query_half == candidate_half:
            return torch.zeros_like(logit_scale)
        return logit_scale * (self.margin / self.temperature) + math.log(self.weight)

    def of_queries(self, half: int) -> float:
        """The factor of the terms that queries of ``half`` ask."""
        return 1.0 if half == 0 else self.pair_weight
