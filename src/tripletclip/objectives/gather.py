"""Features of all processes, with gradients: each half is gathered apart and stays a half.

A process asks for its own pairs against the candidates of all (a rank-local loss). Its loss then depends on the
features of every process, so their gradients must travel back: the backward pass sums them over the processes. With
that, the average over processes (which DistributedDataParallel takes) of the gradients equals one process with the
joined batch, ``logit_scale`` and ``logit_bias`` included. Without it the direction is wrong and nothing tells, so the
losses refuse features that were gathered without gradients. Stacking halves before a gather and splitting them in the
middle after it would mix them.

Shapes: W processes, H halves, N pairs of all processes, n of one, D features.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.autograd.function import once_differentiable

from tripletclip.errors import UserError
from tripletclip.objectives.features import Features, Part


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """The features of all processes in the order of their ranks, this process's part, and whether gradients flow."""

    features: Features
    part: Part
    gradients: bool


def gather_features(features: Features, group: dist.ProcessGroup, *, gradients: bool = True) -> Gathered:
    """The joined batch of all processes of ``group``, every one of which must call this.

    Processes may have different numbers of pairs, also none. ``gradients=False`` is for metrics: the losses refuse it.

    Raises:
        UserError: on every process alike, when number of halves, width or type differ between the processes, or no
            process has a pair.
    """
    halves = (*features.images, *features.texts)
    lengths = _lengths(halves, len(features.images), group)
    if gradients:
        joined = _gather(group, lengths, *halves)
    else:
        with torch.no_grad():
            joined = _joined(group, lengths, halves)
    rank = dist.get_rank(group)
    start = sum(lengths[:rank])
    return Gathered(
        features=Features(images=joined[: len(features.images)], texts=joined[len(features.images) :]),
        part=Part(start=start, stop=start + lengths[rank], mean=len(lengths) / sum(lengths)),
        gradients=gradients,
    )


def _lengths(halves: tuple[Tensor, ...], images: int, group: dist.ProcessGroup) -> list[int]:
    """Pairs of every process, after a look at whether their features fit together."""
    n, d = halves[0].shape
    said = torch.tensor([n, d, images, len(halves), halves[0].element_size()], device=halves[0].device)
    heard = [torch.empty_like(said) for _ in range(dist.get_world_size(group))]
    dist.all_gather(heard, said, group=group)
    rows = torch.stack(heard).tolist()
    if any(row[1:] != rows[0][1:] for row in rows):
        raise UserError(
            f"features of the processes do not fit: [width, image halves, halves, bytes a number] by rank are "
            f"{[row[1:] for row in rows]}; give every process the same objective, model and precision"
        )
    lengths = [int(row[0]) for row in rows]
    if sum(lengths) == 0:
        raise UserError("the batch is empty on every process; give at least one pair")
    return lengths


def _joined(group: dist.ProcessGroup, lengths: list[int], halves: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Every half of all processes; shorter ones travel padded, since a collective wants equal shapes."""
    own_HnD = torch.stack(halves)
    padded = own_HnD.new_zeros((len(halves), max(lengths), own_HnD.shape[2]))
    padded[:, : own_HnD.shape[1]] = own_HnD
    received = [torch.empty_like(padded) for _ in lengths]
    dist.all_gather(received, padded, group=group)
    return tuple(
        torch.cat([rows[half, :n] for rows, n in zip(received, lengths, strict=True)]) for half in range(len(halves))
    )


class _Gather(torch.autograd.Function):
    """One node for all halves, so that every process meets the same single collective on its way back."""

    @staticmethod
    def forward(ctx: Any, group: dist.ProcessGroup, lengths: list[int], *halves: Tensor) -> tuple[Tensor, ...]:
        ctx.group, ctx.lengths = group, lengths
        return _joined(group, lengths, halves)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        summed_HND = torch.stack(grads)
        dist.all_reduce(summed_HND, group=ctx.group)
        rank = dist.get_rank(ctx.group)
        start = sum(ctx.lengths[:rank])
        own = summed_HND[:, start : start + ctx.lengths[rank]]
        return None, None, *own.unbind(0)


_gather: Callable[..., tuple[Tensor, ...]] = _Gather.apply
