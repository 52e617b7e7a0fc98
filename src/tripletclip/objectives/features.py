"""Features of a batch, and which of its rows a process answers for.

Shapes: N pairs, D features.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tripletclip.errors import UserError

RowSum = Callable[..., Tensor]
"""``(rows, *inputs) -> scalar``, a sum over ``rows`` of the inputs' first."""


@dataclass(frozen=True, kw_only=True)
class Features:
    """L2-normalised features of a batch: a ``[N, D]`` a half, the positives first."""

    images: tuple[Tensor, ...]
    texts: tuple[Tensor, ...]


@dataclass(frozen=True, kw_only=True)
class Part:
    """The rows of every half whose questions one process asks, against all rows as candidates.

    A sum over these rows times ``mean`` is a mean over all pairs of the batch, up to the average over the processes
    that share it: ``mean`` is (number of processes) / (pairs of all of them), so unequal parts count by their length.
    """

    start: int
    stop: int
    mean: float

    @property
    def rows(self) -> slice:
        """The rows as a slice of each half."""
        return slice(self.start, self.stop)

    def is_whole(self, n: int) -> bool:
        """Whether one process asks for all ``n`` rows."""
        return self.start == 0 and self.stop == n


def whole(n: int) -> Part:
    """All rows of a batch of ``n`` pairs, in one process."""
    if n == 0:
        raise ValueError("the batch is empty; give at least one pair")
    return Part(start=0, stop=n, mean=1 / n)


def refuse_chunk(chunk: int | None) -> None:
    """Raise UserError where ``chunk`` is no number of rows."""
    if chunk is not None and chunk < 1:
        raise UserError(f"chunk is {chunk}; give at least 1, or None")


def pieces(rows: slice, chunk: int) -> Iterator[slice]:
    """``rows`` cut into slices of at most ``chunk``; empty rows give one empty slice."""
    for start in range(rows.start, max(rows.stop, rows.start + 1), chunk):
        yield slice(start, min(start + chunk, rows.stop))


def summed_over_rows(total: RowSum, rows: slice, chunk: int | None, *inputs: Tensor) -> Tensor:
    """``total(rows, *inputs)`` for a ``total`` that is a sum over rows.

    With ``chunk`` it is computed piece by piece and once more in the backward pass, so what ``total`` keeps for its
    gradient exists for one piece at a time.
    """
    return total(rows, *inputs) if chunk is None else _in_pieces(total, rows, chunk, *inputs)


class _InPieces(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, total: RowSum, rows: slice, chunk: int, *inputs: Tensor) -> Tensor:
        ctx.save_for_backward(*inputs)
        ctx.total, ctx.rows, ctx.chunk = total, rows, chunk
        return torch.stack([total(piece, *inputs) for piece in pieces(rows, chunk)]).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        inputs = [tensor.detach().requires_grad_() for tensor in ctx.saved_tensors]
        sums = [torch.zeros_like(tensor) for tensor in inputs]
        for piece in pieces(ctx.rows, ctx.chunk):
            with torch.enable_grad():
                value = ctx.total(piece, *inputs)
            for known, found in zip(sums, torch.autograd.grad(value, inputs, grad), strict=True):
                known += found
        return None, None, None, *sums


_in_pieces: Callable[..., Tensor] = _InPieces.apply
