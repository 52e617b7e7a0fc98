"""What a run writes down: lines, trackers, shares of its time, skipped steps, old states, what is not finite."""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from made_batches import made_batch, tiny_clip
from tiny_runs import metrics, run, tiny

from tripletclip.errors import UserError
from tripletclip.training.log import SPEED, Stopwatch, bound_by, peak_flops
from tripletclip.training.prepare import StepReport
from tripletclip.training.state import METRICS_FILE
from tripletclip.training.step import Learner, train_step


def test_every_line_has_losses_speed_and_what_was_waited_for(data: Path, tmp_path: Path) -> None:
    folder = run(tiny(data, tmp_path / "run"))
    lines = [json.loads(line) for line in (folder / METRICS_FILE).read_text("utf8").splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 11))
    for line in lines:
        assert line["loss"] == pytest.approx(line["image_to_text_loss"] + line["text_to_image_loss"], rel=1e-5)
        assert line["pairs_per_second"] > 0 and 0 < line["data_share"] < 1 and 0 < line["mfu"] < 1
        assert "ranks_share" not in line and "skipped" not in line
    assert "mfu" not in metrics(folder)[0] and set(SPEED) - set(lines[0]) == {"ranks_share"}


def test_a_sentence_at_the_end_of_each_epoch(data: Path, tmp_path: Path) -> None:
    """26 rows and 3 pairs a step are 8 steps an epoch; the run ends after 10."""
    notes: dict[int, str] = {}

    def watch(report: StepReport) -> None:
        notes[report.step] = report.note

    run(tiny(data, tmp_path / "run"), watch=watch)
    assert [step for step, note in notes.items() if note] == [8, 10]
    assert notes[8].startswith("epoch 1, bound by ") and notes[10].startswith("epoch 1.25, bound by ")


def test_shares_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds, of which 6 waiting for data and 1 for the other ranks: 40 pairs, 2e9 of 1e9 FLOPs a second."""
    monkeypatch.setattr(time, "perf_counter", lambda: 10.0)
    stopwatch = Stopwatch(pairs=40, flops=2e9, data=6.0, ranks=1.0, since=0.0)
    found = stopwatch.read(1e9)
    assert found == {"pairs_per_second": 4.0, "data_share": 0.6, "ranks_share": 0.1, "mfu": 0.2}
    assert bound_by(found) == "bound by data: data 60 %, ranks 10 %, computing 30 %"
    assert (stopwatch.pairs, stopwatch.flops, stopwatch.data, stopwatch.ranks) == (0, 0.0, 0.0, 0.0)
    assert bound_by({"data_share": 0.1}) == "bound by computing: data 10 %, computing 90 %"


def test_the_ceiling_is_a_speed() -> None:
    assert 1e8 < peak_flops(torch.device("cpu"), "fp32") < 1e14


def test_tensorboard_gets_what_the_lines_say(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = run(tiny(data, tmp_path / "run", trackers=("tensorboard",), steps=3))
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    found = [(event.step, event.value) for event in events.Scalars("train/loss")]
    assert found == [(line["step"], pytest.approx(line["loss"])) for line in metrics(folder)]


def test_weights_and_biases_gets_what_the_lines_say(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, dict[str, float]]] = []
    began: list[dict[str, Any]] = []
    ended: list[bool] = []

    def log_values(values: Mapping[str, float], step: int) -> None:
        told.append((step, dict(values)))

    def init(**settings: Any) -> SimpleNamespace:
        began.append(settings)
        return SimpleNamespace(log=log_values, finish=lambda: ended.append(True))

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init, __spec__=SimpleNamespace()))
    folder = run(tiny(data, tmp_path / "run", trackers=("wandb",), steps=3))
    assert [step for step, _ in told] == [1, 2, 3] and ended == [True]
    assert [values["loss"] for _, values in told] == [line["loss"] for line in metrics(folder)]
    (settings,) = began
    assert settings["id"] == "run" and settings["resume"] == "allow" and settings["config"]["steps"] == 3
    assert str(tmp_path.parent) not in json.dumps(settings["config"])  # no path of the machine is told


def test_a_missing_tracker_says_what_to_install(data: Path, tmp_path: Path) -> None:
    if "wandb" in sys.modules:
        pytest.skip("wandb is installed")
    with pytest.raises(UserError, match=r"the tracker wandb needs wandb; run: pip install 'tripletclip\[track\]'"):
        run(tiny(data, tmp_path / "run", trackers=("wandb",)))


# ---- steps that are not taken --------------------------------------------------------------------------------------


def test_a_spike_is_skipped_and_leaves_everything_as_it_was() -> None:
    """The usual norm is the first step's; at a tenth of it the limit 1.5 is passed, at the same size it is not."""
    learner = Learner.alone(tiny(Path("data"), Path("out"), skip_spikes=1.5), tiny_clip())
    train_step(learner, made_batch(4))
    assert learner.usual_norm is not None
    before = {name: weight.clone() for name, weight in learner.clip.model.state_dict().items()}
    state = {key: dict(value) for key, value in learner.optimizer.state_dict()["state"].items()}
    usual, learner.usual_norm = learner.usual_norm, learner.usual_norm / 10
    train_step(learner, made_batch(4))
    assert learner.skipped == 1 and learner.usual_norm == usual / 10
    assert all(torch.equal(weight, before[name]) for name, weight in learner.clip.model.state_dict().items())
    after = learner.optimizer.state_dict()["state"]
    assert all(torch.equal(after[key]["exp_avg"], value["exp_avg"]) for key, value in state.items())
    learner.usual_norm = usual
    train_step(learner, made_batch(4))
    assert learner.skipped == 1
    assert any(not torch.equal(weight, before[name]) for name, weight in learner.clip.model.state_dict().items())


def test_a_loss_that_is_not_finite_names_terms_and_keys() -> None:
    learner = Learner.alone(tiny(Path("data"), Path("out")), tiny_clip())
    with torch.no_grad():
        learner.clip.model.visual.proj.fill_(float("nan"))
    with pytest.raises(
        UserError, match=r"not finite \(image_to_text_loss nan.*\) in step 1 at keys 0000, 0001, 0002 \.\.\."
    ):
        train_step(learner, made_batch(4))


def test_the_last_states_are_kept(data: Path, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop_at_9(report: StepReport) -> None:
        if report.step == 9:
            raise Stop

    config = tiny(data, tmp_path / "run", save_every=2, keep_last=3)
    with pytest.raises(Stop):
        run(config, watch=stop_at_9)
    assert {path.name for path in config.out.glob("state*.pt")} == {
        *("state.pt", "state-0000004.pt", "state-0000006.pt", "state-0000008.pt")
    }
    run(config, resume=True)
    assert not list(config.out.glob("state*.pt"))
