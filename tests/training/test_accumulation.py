"""Micro-batches give the step of the whole batch: same losses, same weights, the scale's gradient counted once."""

from pathlib import Path
from typing import Any

import pytest
import torch
from made_batches import made_batch, tiny_clip
from tiny_runs import tiny

from tripletclip.models import with_bias
from tripletclip.objectives.losses import OBJECTIVES, Features, objective_named
from tripletclip.training import step
from tripletclip.training.settings import Retain
from tripletclip.training.step import Learner, encode_batch, train_step


def learner(objective: str, micro_batch: int | None, **more: object) -> Learner:
    """In double precision, so that a factor or a missing row cannot hide behind rounding."""
    clip = with_bias(tiny_clip()) if objective_named(objective).needs_bias else tiny_clip()
    clip.model.double()
    with torch.no_grad():
        clip.model.logit_scale.fill_(1.5)
    return Learner.alone(tiny(Path("data"), Path("out"), objective=objective, micro_batch=micro_batch, **more), clip)


def gradients(one: Learner) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in one.clip.model.named_parameters() if p.grad is not None}


@pytest.fixture(autouse=True)
def _double_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixels and features stay double: the casts to float are for real runs."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)


@pytest.mark.parametrize("micro_batch", [1, 2, 4, 7])
@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_every_gradient_equals_that_of_the_whole_batch(objective: str, micro_batch: int) -> None:
    """Seven pairs in parts of 1, 2, 4 (the last part is smaller) and 7."""
    whole, parts = learner(objective, None), learner(objective, micro_batch)
    values, values_of_parts = (train_step(one, made_batch(7)) for one in (whole, parts))
    assert values_of_parts == pytest.approx(values, rel=1e-12)
    expected = gradients(whole)
    assert expected["logit_scale"].abs() > 1e-4
    assert set(gradients(parts)) == set(expected)
    for name, gradient in gradients(parts).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-10, atol=1e-14, msg=name)


def test_recomputed_activations_give_the_same_gradients() -> None:
    kept, again = learner("tripletclip", 3), learner("tripletclip", 3)
    again.clip.model.set_grad_checkpointing()
    values, values_again = (train_step(one, made_batch(7)) for one in (kept, again))
    assert values_again == pytest.approx(values, rel=1e-12)
    expected = gradients(kept)
    for name, gradient in gradients(again).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-12, atol=1e-15, msg=name)


def test_distillation_and_l2_are_counted_once() -> None:
    """Away from the start, so that both pull."""
    retain = Retain(distill=2.0, l2=0.1)
    whole, parts = learner("tripletclip", None, retain=retain), learner("tripletclip", 3, retain=retain)
    for one in (whole, parts):
        with torch.no_grad():
            for number, parameter in enumerate(one.clip.model.parameters()):
                parameter.add_(0.01 * (-1) ** number)
    values, values_of_parts = (train_step(one, made_batch(7)) for one in (whole, parts))
    assert values_of_parts == pytest.approx(values, rel=1e-12)
    assert values["distill_loss"] > 1e-4 and values["l2_loss"] > 1e-4
    expected = gradients(whole)
    for name, gradient in gradients(parts).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-10, atol=1e-14, msg=name)


def test_random_layers_draw_the_same_in_both_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A feature's gradient is of use only to the very feature it was computed for."""
    one = learner("tripletclip", 2)
    one.clip.model.visual.ln_post = torch.nn.Sequential(one.clip.model.visual.ln_post, torch.nn.Dropout(0.5))
    seen: list[Features] = []

    def noted(*arguments: Any) -> Features:
        seen.append(encode_batch(*arguments))
        return seen[-1]

    monkeypatch.setattr(step, "encode_batch", noted)
    train_step(one, made_batch(4))
    first, second, first_again, second_again = seen
    assert not torch.equal(first.images[0], second.images[0])
    for before, after in ((first, first_again), (second, second_again)):
        assert all(map(torch.equal, before.images, after.images)) and all(map(torch.equal, before.texts, after.texts))
