"""The objectives of the paper (Patel et al. 2024, arXiv 2411.02545) as patterns of one two-way softmax.

X, Y: images and captions; X', Y': their hard negatives. Half 0 is the positive, half 1 the negative.
Adding an objective is one entry in ``OBJECTIVES``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tripletclip.data.triplet import CAPTION, IMAGE, NEG_CAPTION, NEG_IMAGE
from tripletclip.errors import unknown_name
from tripletclip.objectives.contrastive import Pattern, two_way_softmax


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A named pattern; ``title`` is the system's name in tables."""

    name: str
    title: str
    pattern: Pattern

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles of a triplet that the objective needs."""
        roles = [IMAGE, CAPTION]
        roles += [NEG_IMAGE] if self.pattern.image_halves == 2 else []
        roles += [NEG_CAPTION] if self.pattern.text_halves == 2 else []
        return tuple(roles)

    @property
    def passes(self) -> int:
        """Images plus texts encoded for one pair."""
        return self.pattern.image_halves + self.pattern.text_halves


OBJECTIVES: dict[str, Objective] = {
    objective.name: objective
    for objective in (
        # L_CLIP = (L_CL(X->Y) + L_CL(Y->X)) / 2, Eq. 1.
        Objective(name="clip", title="CLIP", pattern=Pattern(image_to_text=((0,),), text_to_image=((0,),))),
        # L_NegCLIP(X, Y, Y') = (L_NegCL(X->Y; Y') + L_CL(Y->X)) / 2, Eqs. 2 and 3.
        Objective(
            name="negclip",
            title="NegCLIP++",
            pattern=Pattern(image_to_text=((0, 1),), text_to_image=((0,), ())),
        ),
        # L_NegCLIP(Y, X, X'): the roles of the modalities exchanged.
        Objective(
            name="negimage",
            title="NegImage",
            pattern=Pattern(image_to_text=((0,), ()), text_to_image=((0, 1),)),
        ),
        # L_TCL = L_NegCLIP(X, Y, Y') + L_NegCLIP(X', Y', Y), Eq. 4: texts meet the images of their own half only.
        Objective(
            name="tripletclip",
            title="TripletCLIP",
            pattern=Pattern(image_to_text=((0, 1), (0, 1)), text_to_image=((0,), (1,))),
        ),
        # The control that tells more data from the triplet loss: L_CLIP of the doubled batch, everything meets.
        Objective(
            name="clip-on-triplets",
            title="CLIP on triplets",
            pattern=Pattern(image_to_text=((0, 1), (0, 1)), text_to_image=((0, 1), (0, 1)), weight=0.25),
        ),
    )
}


def objective_named(name: str) -> Objective:
    """The objective called ``name``."""
    if name not in OBJECTIVES:
        raise unknown_name("objective", name, OBJECTIVES)
    return OBJECTIVES[name]


@dataclass(frozen=True, kw_only=True)
class Features:
    """L2-normalised features of a batch: a ``[N, D]`` a half, the positives first."""

    images: tuple[Tensor, ...]
    texts: tuple[Tensor, ...]


def contrastive_losses(
    objective: Objective, features: Features, logit_scale: Tensor, *, chunk: int | None = None
) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
    """``(losses, report)``: the sum of ``losses`` is minimised, ``report`` is logged.

    The report holds ``accuracy`` (share of images that score their caption above every other of the positive half)
    and, where negative captions exist, ``hard_accuracy`` (share of images that score it above each of their own).
    """
    image_loss, text_loss = two_way_softmax(
        features.images, features.texts, logit_scale, objective.pattern, chunk=chunk
    )
    return {"image_to_text_loss": image_loss, "text_to_image_loss": text_loss}, _accuracies(features, chunk)


@torch.no_grad()
def _accuracies(features: Features, chunk: int | None) -> dict[str, Tensor]:
    image_ND, text_ND = features.images[0], features.texts[0]
    n = len(image_ND)
    beaten = []
    for start in range(0, n, chunk or n):
        cosine_CN = image_ND[start : start + (chunk or n)] @ text_ND.T
        own = cosine_CN.diagonal(start)
        beaten.append((cosine_CN >= own[:, None]).sum(1) == 1)
    report = {"accuracy": torch.cat(beaten).float().mean()}
    if len(features.texts) > 1:
        own = (image_ND * text_ND).sum(1)
        hardest = torch.stack([(image_ND * half).sum(1) for half in features.texts[1:]]).amax(0)
        report["hard_accuracy"] = (own > hardest).float().mean()
    return report
