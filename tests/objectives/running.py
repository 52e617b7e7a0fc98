"""Runs the package's losses on made batches, for the tests."""

from collections.abc import Mapping

import torch
from slow_references import Drawn
from torch import Tensor

from tripletclip.objectives.losses import Features, HardNegatives, Objective, contrastive_losses


def losses_of(
    objective: Objective, batch: Drawn, *, chunk: int | None = None, hard: HardNegatives | None = None
) -> Mapping[str, Tensor]:
    bias = batch.bias if objective.needs_bias else None
    features = Features(images=batch.images, texts=batch.texts)
    hard = hard or HardNegatives()
    return contrastive_losses(objective, features, batch.scale, logit_bias=bias, chunk=chunk, hard=hard)[0]


def total(losses: Mapping[str, Tensor]) -> float:
    return sum(loss.item() for loss in losses.values())


def gradients(losses: Mapping[str, Tensor], batch: Drawn) -> list[Tensor]:
    """Of all leaves, of the losses weighted unequally by name so that none can make up for another."""
    weighted = [(1 + 2 * place) * losses[name] for place, name in enumerate(sorted(losses))]
    found = torch.autograd.grad(torch.stack(weighted).sum(), batch.leaves(), allow_unused=True)
    return [torch.zeros_like(leaf) if grad is None else grad for leaf, grad in zip(batch.leaves(), found, strict=True)]


def assert_equal(mine: Mapping[str, Tensor], expected: Mapping[str, Tensor], batch: Drawn, tolerance: float) -> None:
    """The same names, values and gradients."""
    assert set(mine) == set(expected)
    for name in expected:
        torch.testing.assert_close(mine[name], expected[name], rtol=0, atol=tolerance)
    for found, wanted in zip(gradients(mine, batch), gradients(expected, batch), strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=tolerance)
