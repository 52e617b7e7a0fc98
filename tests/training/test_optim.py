"""The schedule by hand, decay where it belongs, bounds of the scale and of the gradient."""

from pathlib import Path

import pytest
import torch
from tiny_runs import MODEL, WORDS, tiny

from tripletclip.data.loader import Batch
from tripletclip.models import new_clip
from tripletclip.training.config import TrainConfig
from tripletclip.training.optim import learning_rate, make_optimizer
from tripletclip.training.step import Learner, train_step


def config(**changes: object) -> TrainConfig:
    return tiny(Path("data"), Path("out"), **changes)


def made_batch() -> Batch:
    """Three triplets of noise."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (2, 3, 3, 16, 16), generator=generator, dtype=torch.uint8)
    tokenizer = new_clip(MODEL, WORDS, 0).tokenizer
    text, neg_text = tokenizer(["a red ball", "a blue cube", "a green cone"]), tokenizer(["a red cube"] * 3)
    return Batch(keys=["0", "1", "2"], image=images[0], neg_image=images[1], text=text, neg_text=neg_text)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 1 / 10),  # the first of ten warm steps
        (4, 1 / 2),  # half warm
        (9, 1),  # the last warm step is the peak
        (10, 1),  # cos 0° = 1: the peak holds for two steps
        (40, 1 / 2 + 1 / 4),  # 30 of 90 cooling steps: cos 60° = 1/2
        (55, 1 / 2),  # cos 90° = 0
        (70, 1 / 2 - 1 / 4),  # cos 120°
        (100, 0),  # cos 180° = -1
    ],
)
def test_schedule_by_hand(step: int, expected: float) -> None:
    for peak in (1.0, 2e-3):
        found = learning_rate(config(steps=100, warmup=10, learning_rate=peak), step)
        assert found == pytest.approx(peak * expected, abs=1e-12)


def test_no_warm_up_starts_at_the_peak() -> None:
    assert learning_rate(config(steps=100, warmup=0, learning_rate=3.0), 0) == 3.0


def test_every_parameter_is_trained_once_and_only_matrices_decay() -> None:
    model = new_clip(MODEL, WORDS, 0).model
    decayed, free = make_optimizer(model, config(weight_decay=0.3)).param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.3, 0.0)
    names = {id(parameter): name for name, parameter in model.named_parameters() if parameter.requires_grad}
    found = [names[id(parameter)] for group in (decayed, free) for parameter in group["params"]]
    assert sorted(found) == sorted(names.values())
    kept = {names[id(parameter)] for parameter in free["params"]}
    assert {"logit_scale", "ln_final.weight", "ln_final.bias", "visual.class_embedding"} <= kept
    assert {name for name in names.values() if name.endswith("bias") or "ln_" in name} <= kept
    assert all(parameter.ndim >= 2 for parameter in decayed["params"])


def test_a_step_without_gradient_shrinks_matrices_alone() -> None:
    """AdamW multiplies by 1 - learning rate x decay, whatever the gradient: here 1 - 0.5 x 0.2 = 0.9."""
    model = new_clip(MODEL, WORDS, 0).model
    optimizer = make_optimizer(model, config(weight_decay=0.2, learning_rate=0.5))
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        factor = 0.9 if parameter.ndim >= 2 and parameter.requires_grad else 1.0
        torch.testing.assert_close(parameter.detach(), factor * before[name], rtol=1e-6, atol=0)


@pytest.mark.parametrize(("start", "bound"), [(10.0, 100.0), (-3.0, 1.0)])
def test_the_scale_stays_between_1_and_100(start: float, bound: float) -> None:
    settings = config(learning_rate=1e-3)
    clip = new_clip(MODEL, WORDS, 0)
    with torch.no_grad():
        clip.model.logit_scale.fill_(start)
    values = train_step(Learner.alone(settings, clip), made_batch())
    assert clip.model.logit_scale.exp().item() == pytest.approx(bound, rel=1e-6)
    assert values["logit_scale"] == pytest.approx(bound, rel=1e-6)


def test_gradients_are_clipped_and_the_norm_before_is_logged() -> None:
    norms = []
    for clip_gradient in (1e9, 0.25):
        settings = config(clip_gradient=clip_gradient)
        clip = new_clip(MODEL, WORDS, 0)
        values = train_step(Learner.alone(settings, clip), made_batch())
        gradients = [p.grad for p in clip.model.parameters() if p.grad is not None]
        norms.append((values["gradient_norm"], torch.stack([grad.norm() for grad in gradients]).norm().item()))
    (logged, whole), (logged_again, clipped) = norms
    assert logged == logged_again == pytest.approx(whole, rel=1e-5)
    assert whole > 0.25 == pytest.approx(clipped, rel=1e-4)
