"""What holds a run back: a teacher that lags behind, the distance from the start, and weights between two models."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from made_batches import made_batch, tiny_clip
from tiny_runs import MODEL, WORDS, metrics, run, tiny
from torch.nn import functional as F

from tripletclip.errors import UserError
from tripletclip.models import load_clip, new_clip
from tripletclip.training.interpolate import interpolated, pareto_front
from tripletclip.training.settings import Retain, Tune
from tripletclip.training.step import Learner, encode_batch, train_step


def learner(retain: Retain, **more: Any) -> Learner:
    return Learner.alone(tiny(Path("data"), Path("out"), retain=retain, **more), tiny_clip())


def test_distillation_by_hand() -> None:
    """3 (2 - cos - cos), mean over the pairs, of a model whose projection was changed since the start."""
    one = learner(Retain(distill=3.0))
    noise = 0.1 * torch.randn(one.clip.model.visual.proj.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        one.clip.model.visual.proj.add_(noise)
    batch = made_batch(5)
    values = train_step(one, batch)
    start, changed = tiny_clip(), tiny_clip()
    with torch.no_grad():
        changed.model.visual.proj.add_(noise)
        old, new = (encode_batch(one.config, clip, batch) for clip in (start, changed))
        apart = 2 - F.cosine_similarity(old.images[0], new.images[0]) - F.cosine_similarity(old.texts[0], new.texts[0])
    assert values["distill_loss"] == pytest.approx(3 * apart.mean().item(), rel=1e-4) and apart.mean() > 1e-3


def test_the_teacher_moves_by_its_share() -> None:
    for momentum in (1.0, 0.75):
        one = learner(Retain(distill=1.0, momentum=momentum), learning_rate=0.1)
        train_step(one, made_batch(4))
        assert one.keeper.teacher is not None
        start = tiny_clip().model
        for old, now, lagging in zip(
            start.parameters(), one.clip.model.parameters(), one.keeper.teacher.model.parameters(), strict=True
        ):
            torch.testing.assert_close(lagging.data, momentum * old.data + (1 - momentum) * now.data, atol=1e-7, rtol=0)
            assert not lagging.requires_grad


def test_distance_from_the_start_by_hand() -> None:
    """Two weights moved by 0.5 and 0.1: 2 (0.25 n + 0.01); frozen weights do not count."""
    for tune, counted in ((Tune(), 1.0), (Tune(freeze_image="all"), 0.0)):
        config = tiny(Path("data"), Path("out"), retain=Retain(l2=2.0), tune=tune)
        clip = tiny_clip()
        if tune.freeze_image:
            clip.model.visual.requires_grad_(False)
        one = Learner.alone(config, clip)
        with torch.no_grad():
            clip.model.visual.proj.add_(0.5)
            clip.model.logit_scale.add_(0.1)
        count = clip.model.visual.proj.numel()
        expected = 2 * (counted * 0.25 * count + 0.01)
        assert train_step(one, made_batch(4))["l2_loss"] == pytest.approx(expected, rel=1e-5)


def test_both_hold_a_run_near_its_start(data: Path, tmp_path: Path) -> None:
    start = run(tiny(data, tmp_path / "start", objective="clip", steps=3))

    def distance(name: str, retain: Retain) -> float:
        folder = run(tiny(data, tmp_path / name, init=start, retain=retain, learning_rate=5e-3))
        pairs = zip(load_clip(start).model.parameters(), load_clip(folder).model.parameters(), strict=True)
        return float(sum((one - two).pow(2).sum().item() for one, two in pairs))

    free, pulled = distance("free", Retain()), distance("l2", Retain(l2=10.0))
    taught = distance("distill", Retain(distill=50.0, momentum=1.0))
    assert pulled < 0.9 * free and taught < 0.9 * free


def test_a_taught_run_goes_on_bit_for_bit(data: Path, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop_at_5(report: Any) -> None:
        if report.step == 5:
            raise Stop

    settings = {"retain": Retain(distill=1.0, momentum=0.5, l2=0.1), "skip_spikes": 1.01, "micro_batch": 2}
    whole = run(tiny(data, tmp_path / "whole", **settings))
    cut = tiny(data, tmp_path / "cut", **settings)
    with pytest.raises(Stop):
        run(cut, watch=stop_at_5)
    run(cut, resume=True)
    assert metrics(cut.out) == metrics(whole)
    assert 0 < metrics(whole)[-1]["skipped"] < 10
    assert (cut.out / "done.json").read_bytes() == (whole / "done.json").read_bytes()


# ---- weights between two models ------------------------------------------------------------------------------------


def test_the_ends_are_exact_and_the_middle_is_the_mean() -> None:
    start, end = tiny_clip(0), tiny_clip(1)
    for alpha, expected in ((0.0, start), (1.0, end)):
        found = interpolated(start, end, alpha).model.state_dict()
        assert all(torch.equal(found[name], weight) for name, weight in expected.model.state_dict().items())
    middle = interpolated(start, end, 0.25).model
    mean = 0.75 * start.model.visual.proj + 0.25 * end.model.visual.proj
    torch.testing.assert_close(middle.visual.proj, mean, rtol=0, atol=1e-7)
    assert torch.equal(end.model.visual.proj, tiny_clip(1).model.visual.proj)


def test_models_that_do_not_fit_are_named() -> None:
    with pytest.raises(UserError, match=r"do not fit each other: .* is .* and .*; give two of one architecture"):
        interpolated(tiny_clip(), new_clip(replace(MODEL, text_layers=2), WORDS, 0), 0.5)
    with pytest.raises(UserError, match="give numbers between 0"):
        interpolated(tiny_clip(), tiny_clip(1), 1.5)


def test_pareto_front_by_hand() -> None:
    """(1, 5) and (4, 2) lead in a number each, (3, 3) is beaten by none, (3, 2) by (4, 2); equals both stay."""
    points = [(1.0, 5.0), (3.0, 3.0), (3.0, 2.0), (4.0, 2.0), (4.0, 2.0)]
    assert pareto_front(points) == [True, True, False, True, True]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"distill": -1.0}, "distill is -1.0; give 0 or more"),
        ({"momentum": 1.5}, "momentum is 1.5; give a share between 0 and 1"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Retain(**settings).check()


def test_a_pull_to_the_start_and_adapters_exclude_each_other() -> None:
    with pytest.raises(UserError, match="adapters have none"):
        tiny(Path("data"), Path("out"), retain=Retain(l2=1.0), tune=Tune(lora_text=1))
