"""The objectives of the paper (Patel et al. 2024, arXiv 2411.02545) and their relatives, by name.

X, Y: images and captions; X', Y': their hard negatives. Half 0 is the positive, half 1 the negative. Adding a softmax
objective is one entry in ``COMPARED``. Shapes: N pairs, D features.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch import distributed as dist

from tripletclip.data.triplet import CAPTION, IMAGE, NEG_CAPTION, NEG_IMAGE
from tripletclip.errors import UserError, unknown_name
from tripletclip.objectives.contrastive import two_way_softmax
from tripletclip.objectives.cyclic import cross_modal, in_modal
from tripletclip.objectives.features import Features as Features
from tripletclip.objectives.features import Part, pieces, refuse_chunk, whole
from tripletclip.objectives.gather import Gathered, gather_features
from tripletclip.objectives.hard import HardNegatives as HardNegatives
from tripletclip.objectives.pattern import Pattern
from tripletclip.objectives.sigmoid import pairwise_sigmoid

PAPERS_TREATMENT = HardNegatives()

CYCLIC_WEIGHT = 0.25
"""Lambda 1 (in-modal) and lambda 2 (cross-modal) of Goel et al. 2022, arXiv 2205.14459; so their command lines too:
https://github.com/goel-shashank/CyCLIP/blob/707e7c7cc52ef66eb657d2b27fa5f026bc89e815/README.md#L64"""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A named pattern; ``title`` is the system's name in tables.

    ``needs_bias``: the halves that meet go through SigLIP's sigmoid, with ``logit_bias``, instead of the softmax.
    ``in_modal`` and ``cross_modal`` weigh CyCLIP's consistency terms, of each half's own pairs; 0 leaves them out.
    """

    name: str
    title: str
    pattern: Pattern
    needs_bias: bool = False
    in_modal: float = 0.0
    cross_modal: float = 0.0

    @property
    def image_halves(self) -> int:
        """Halves of images that a batch must bring."""
        return self.pattern.image_halves

    @property
    def text_halves(self) -> int:
        """Halves of texts that a batch must bring: one and the negative captions of a pair."""
        return self.pattern.text_halves

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles of a triplet that the objective needs."""
        roles = [IMAGE, CAPTION]
        roles += [NEG_IMAGE] if self.image_halves > 1 else []
        roles += [NEG_CAPTION] if self.text_halves > 1 else []
        return tuple(roles)

    @property
    def passes(self) -> int:
        """Images plus texts encoded for one pair."""
        return self.image_halves + self.text_halves


CLIP = Pattern(image_to_text=((0,),), text_to_image=((0,),))
TRIPLET = Pattern(image_to_text=((0, 1), (0, 1)), text_to_image=((0,), (1,)))

COMPARED: dict[str, Objective] = {
    objective.name: objective
    for objective in (
        # L_CLIP = (L_CL(X->Y) + L_CL(Y->X)) / 2, Eq. 1.
        Objective(name="clip", title="CLIP", pattern=CLIP),
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
        Objective(name="tripletclip", title="TripletCLIP", pattern=TRIPLET),
        # The control that tells more data from the triplet loss: L_CLIP of the doubled batch, everything meets.
        Objective(
            name="clip-on-triplets",
            title="CLIP on triplets",
            pattern=Pattern(image_to_text=((0, 1), (0, 1)), text_to_image=((0, 1), (0, 1)), weight=0.25),
        ),
    )
}
"""The objectives that the demo trains side by side."""

OBJECTIVES: dict[str, Objective] = COMPARED | {
    objective.name: objective
    for objective in (
        # L_CLIP + lambda1 L_in-modal + lambda2 L_cross-modal, Goel et al. 2022.
        Objective(name="cyclip", title="CyCLIP", pattern=CLIP, in_modal=CYCLIC_WEIGHT, cross_modal=CYCLIC_WEIGHT),
        # L_TCL and the same terms of (X, Y) and of (X', Y'), as Eq. 4 has both pairs; Table 15.
        Objective(
            name="cyclip-triplet",
            title="CyCLIP + TripletLoss",
            pattern=TRIPLET,
            in_modal=CYCLIC_WEIGHT,
            cross_modal=CYCLIC_WEIGHT,
        ),
        # -1/N sum log sigmoid(z (s x.y + b)), Zhai et al. 2023. Not halved: a cell has no direction and counts once.
        Objective(name="siglip", title="SigLIP", pattern=replace(CLIP, weight=1.0), needs_bias=True),
        # The same over the halves that meet in L_TCL: X and X' with Y and Y'.
        Objective(
            name="siglip-triplet",
            title="SigLIP + TripletLoss",
            pattern=replace(TRIPLET, weight=1.0),
            needs_bias=True,
        ),
    )
}


def objective_named(name: str, *, neg_captions: int = 1) -> Objective:
    """The objective called ``name``; ``neg_captions`` negative captions a pair, for ``negclip`` any number of them.

    Raises:
        UserError: an unknown name, or a number of negative captions that the objective cannot use.
    """
    if name not in OBJECTIVES:
        raise unknown_name("objective", name, OBJECTIVES)
    if neg_captions == 1:
        return OBJECTIVES[name]
    if neg_captions < 1:
        raise UserError(f"neg_captions is {neg_captions}; give at least 1")
    if name != "negclip":
        raise UserError(f"neg_captions is {neg_captions}, but {name} takes one a pair at most; use negclip, or give 1")
    # Eq. 2 with Y' of K N captions: NegCLIP's four rule-made negatives a pair.
    asked = tuple(range(1 + neg_captions))
    pattern = Pattern(image_to_text=(asked,), text_to_image=((0,), *[()] * neg_captions))
    return replace(COMPARED[name], title="NegCLIP", pattern=pattern)


def contrastive_losses(
    objective: Objective,
    features: Features,
    logit_scale: Tensor,
    *,
    logit_bias: Tensor | None = None,
    chunk: int | None = None,
    hard: HardNegatives = PAPERS_TREATMENT,
    group: dist.ProcessGroup | None = None,
) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
    """``(losses, report)``: the sum of ``losses`` is minimised, ``report`` is logged.

    The report holds ``accuracy`` (share of images that score their caption above every other of the positive half)
    and, where negative captions exist, ``hard_accuracy`` (share of images that score it above each of their own).

    Args:
        logit_scale: scalar, the factor itself (not its logarithm); ``logit_bias``: scalar, for sigmoid objectives only.
        chunk: rows of logits that exist at a time; None keeps them all for the backward pass.
        hard: how much hard negatives count.
        group: processes that share the batch, each with its own pairs in ``features``; their numbers may differ.
            Features are gathered with gradients and each process computes the terms of its own pairs: the *average*
            over the processes of a loss, of a report's number and of a gradient is that of the joined batch.

    Raises:
        ValueError: features that do not fit the objective or each other.
        UserError: settings that the objective cannot use, a bias too many or too few.
    """
    refuse_settings(objective, hard, has_bias=logit_bias is not None)
    objective.pattern.refuse_others(features.images, features.texts)
    if group is not None:
        gathered = gather_features(features, group)
        return rank_local_losses(objective, gathered, logit_scale, logit_bias=logit_bias, chunk=chunk, hard=hard)
    part = whole(len(features.images[0]))
    return _losses_of(objective, features, part, logit_scale, logit_bias, chunk, hard)


def rank_local_losses(
    objective: Objective,
    gathered: Gathered,
    logit_scale: Tensor,
    *,
    logit_bias: Tensor | None = None,
    chunk: int | None = None,
    hard: HardNegatives = PAPERS_TREATMENT,
) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
    """:func:`contrastive_losses` of features that were gathered before, for one process's part.

    Raises:
        UserError: also when they were gathered without gradients.
    """
    if not gathered.gradients:
        raise UserError(
            "a rank-local loss of features gathered without gradients has a wrong gradient: the terms of the other "
            "processes are missing from it; gather with gradients=True"
        )
    refuse_settings(objective, hard, has_bias=logit_bias is not None)
    objective.pattern.refuse_others(gathered.features.images, gathered.features.texts)
    return _losses_of(objective, gathered.features, gathered.part, logit_scale, logit_bias, chunk, hard)


def refuse_settings(objective: Objective, hard: HardNegatives, *, has_bias: bool) -> None:
    """Raise UserError where a setting would have no effect on ``objective``, or a bias is missing."""
    if objective.needs_bias and not has_bias:
        raise UserError(f"{objective.name} needs logit_bias; build the model with one, or use a softmax objective")
    if has_bias and not objective.needs_bias:
        raise UserError(f"{objective.name} is a softmax, which no logit_bias changes; give none, or use siglip")
    if replace(hard, pair_weight=1.0) != PAPERS_TREATMENT and not objective.pattern.has_hard():
        raise UserError(f"{objective.name} sees no hard negatives; leave out their weight, margin and temperature")
    if hard.pair_weight != 1 and not objective.pattern.asks_negatives():
        raise UserError(f"{objective.name} has no terms of negative pairs; leave out pair_weight, or use tripletclip")


def _losses_of(
    objective: Objective,
    features: Features,
    part: Part,
    logit_scale: Tensor,
    logit_bias: Tensor | None,
    chunk: int | None,
    hard: HardNegatives,
) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
    """The named terms and the report of ``part``, in the precision of the features also under autocast."""
    refuse_chunk(chunk)
    images, texts, pattern = features.images, features.texts, objective.pattern
    with torch.autocast(images[0].device.type, enabled=False):
        if objective.needs_bias:
            assert logit_bias is not None, "refuse_settings has looked"
            losses = {
                "sigmoid_loss": pairwise_sigmoid(
                    images, texts, logit_scale, logit_bias, pattern, part, hard=hard, chunk=chunk
                )
            }
        else:
            image_loss, text_loss = two_way_softmax(
                images, texts, logit_scale, pattern, chunk=chunk, hard=hard, part=part
            )
            losses = {"image_to_text_loss": image_loss, "text_to_image_loss": text_loss}
        for name, weight, term in (
            ("in_modal_loss", objective.in_modal, in_modal),
            ("cross_modal_loss", objective.cross_modal, cross_modal),
        ):
            if weight:
                terms = [
                    hard.of_queries(half) * term(x, y, part, chunk)
                    for half, (x, y) in enumerate(zip(images, texts, strict=True))
                ]
                losses[name] = weight * torch.stack(terms).sum()
        return losses, _accuracies(features, part, chunk)


@torch.no_grad()
def _accuracies(features: Features, part: Part, chunk: int | None) -> dict[str, Tensor]:
    image_ND, text_ND = features.images[0], features.texts[0]
    right = image_ND.new_zeros(())
    for rows in pieces(part.rows, chunk or len(image_ND)):
        cosine_CN = image_ND[rows] @ text_ND.T
        own = cosine_CN.diagonal(rows.start)
        right += ((cosine_CN >= own[:, None]).sum(1) == 1).sum()
    report = {"accuracy": part.mean * right}
    if len(features.texts) > 1:
        image_nD = image_ND[part.rows]
        own, *others = [(image_nD * half[part.rows]).sum(1) for half in features.texts]
        report["hard_accuracy"] = part.mean * (own > torch.stack(others).amax(0)).to(own.dtype).sum()
    return report
