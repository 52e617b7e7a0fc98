"""Every objective, with and without settings for hard negatives, equals the loops written from the equations."""

import pytest
import torch
from running import assert_equal, gradients, losses_of
from slow_references import HALVES, SIGMOID, Drawn, Knobs, drawn, drawn_for, slow_losses
from torch import Tensor

from tripletclip.objectives.losses import OBJECTIVES, HardNegatives, Objective, objective_named
from tripletclip.objectives.pattern import Pattern

SET = Knobs(weight=1.7, margin=0.15, temperature=1.3, pair_weight=0.6)
"""All settings at once: each is felt, since each changes every reference that it applies to."""


def knobs_for(name: str) -> Knobs:
    if HALVES[name] == (1, 1):
        return Knobs()
    if HALVES[name] == (2, 2):
        return SET
    return Knobs(weight=SET.weight, margin=SET.margin, temperature=SET.temperature)


def hard_of(knobs: Knobs) -> HardNegatives:
    return HardNegatives(**vars(knobs))


def test_every_objective_has_a_reference() -> None:
    assert {name: (o.image_halves, o.text_halves) for name, o in OBJECTIVES.items()} == HALVES


@pytest.mark.parametrize("chunk", [None, 1, 2, 3, 4, 9])
@pytest.mark.parametrize("name", HALVES)
def test_the_papers_losses(name: str, chunk: int | None) -> None:
    batch = drawn_for(name, seed=1)
    assert_equal(losses_of(objective_named(name), batch, chunk=chunk), slow_losses(name, batch), batch, 1e-10)


@pytest.mark.parametrize("chunk", [None, 3])
@pytest.mark.parametrize("name", [name for name in HALVES if HALVES[name] != (1, 1)])
def test_settings_of_hard_negatives(name: str, chunk: int | None) -> None:
    batch, knobs = drawn_for(name, seed=2), knobs_for(name)
    mine = losses_of(objective_named(name), batch, chunk=chunk, hard=hard_of(knobs))
    assert_equal(mine, slow_losses(name, batch, knobs), batch, 1e-10)


@pytest.mark.parametrize("chunk", [None, 3])
@pytest.mark.parametrize("captions", [1, 2, 3, 4])
def test_any_number_of_negative_captions(captions: int, chunk: int | None) -> None:
    batch, knobs = drawn(1, 1 + captions, seed=captions), knobs_for("negclip")
    objective = objective_named("negclip", neg_captions=captions)
    for settings in (Knobs(), knobs):
        mine = losses_of(objective, batch, chunk=chunk, hard=hard_of(settings))
        assert_equal(mine, slow_losses("negclip", batch, settings), batch, 1e-10)


@pytest.mark.parametrize("chunk", [None, 3])
def test_a_half_that_asks_in_one_direction_only(chunk: int | None) -> None:
    """No objective of the paper, but a pattern: L_TCL without the question of the negative captions."""
    batch, pattern = drawn_for("tripletclip", seed=8), Pattern(image_to_text=((0, 1), (0, 1)), text_to_image=((0,), ()))
    objective = Objective(name="one-sided", title="", pattern=pattern)
    expected = slow_losses("tripletclip", batch)
    expected["text_to_image_loss"] = slow_losses("negclip", batch)["text_to_image_loss"]
    assert_equal(losses_of(objective, batch, chunk=chunk), expected, batch, 1e-10)


@pytest.mark.parametrize("name", HALVES)
@pytest.mark.parametrize("n", [1, 13])
def test_one_pair_and_more_pairs_than_features(name: str, n: int) -> None:
    batch = drawn_for(name, n=n, seed=3)
    expected = slow_losses(name, batch)
    assert_equal(losses_of(objective_named(name), batch), expected, batch, 1e-10)


@pytest.mark.parametrize("name", HALVES)
def test_chunked_equals_dense_on_a_larger_batch(name: str) -> None:
    """101 pairs are prime: no chunk divides them. A scale of 100 is where logit_scale ends."""
    batch, hard = drawn_for(name, n=101, d=8, seed=4, scale=100.0), hard_of(knobs_for(name))
    objective = objective_named(name)
    for chunk in (16, 100, 101, 1000):
        dense = losses_of(objective, batch, hard=hard)
        assert_equal(losses_of(objective, batch, hard=hard, chunk=chunk), dense, batch, 1e-10)


@pytest.mark.parametrize("name", HALVES)
def test_chunked_gradient_equals_finite_differences(name: str) -> None:
    batch = drawn_for(name, n=3, d=2, seed=5, scale=2.0)
    objective, hard = objective_named(name), hard_of(knobs_for(name))
    images = objective.image_halves

    def losses(*leaves: Tensor) -> tuple[Tensor, ...]:
        moved = Drawn(images=leaves[:images], texts=leaves[images:-2], scale=leaves[-2], bias=leaves[-1])
        return tuple(losses_of(objective, moved, chunk=2, hard=hard).values())

    leaves = batch.leaves()
    leaves[-1].requires_grad_(name in SIGMOID)
    assert torch.autograd.gradcheck(losses, leaves)


@pytest.mark.parametrize("name", HALVES)
@pytest.mark.parametrize("chunk", [None, 10])
def test_single_precision_keeps_five_digits(name: str, chunk: int | None) -> None:
    batch = drawn_for(name, n=40, d=16, seed=6, scale=20.0)
    single = Drawn(
        images=tuple(half.detach().float() for half in batch.images),
        texts=tuple(half.detach().float() for half in batch.texts),
        scale=batch.scale.detach().float(),
        bias=batch.bias.detach().float(),
    )
    exact = losses_of(objective_named(name), batch)
    for loss, value in losses_of(objective_named(name), single, chunk=chunk).items():
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(exact[loss].item(), rel=1e-5)


@pytest.mark.parametrize("name", ["tripletclip", "cyclip", "siglip"])
@pytest.mark.parametrize("chunk", [None, 5])
def test_autocast_does_not_reach_the_loss(name: str, chunk: int | None) -> None:
    batch = drawn_for(name, n=12, d=16, seed=7)
    single = Drawn(
        images=tuple(half.detach().float().requires_grad_() for half in batch.images),
        texts=tuple(half.detach().float().requires_grad_() for half in batch.texts),
        scale=batch.scale.detach().float().requires_grad_(),
        bias=batch.bias.detach().float().requires_grad_(),
    )
    objective = objective_named(name)
    expected = gradients(losses_of(objective, single, chunk=chunk), single)
    with torch.autocast("cpu", torch.bfloat16):
        losses = losses_of(objective, single, chunk=chunk)
    found = gradients(losses, single)
    assert all(torch.equal(mine, wanted) for mine, wanted in zip(found, expected, strict=True))
