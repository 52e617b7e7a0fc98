"""Stop anywhere, go on: the same weights and the same log, to the bit; anything else is refused."""

import errno
import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import MODEL, metrics, picture, run, tiny

from tripletclip.data.shards import Shards, write_shard
from tripletclip.data.triplet import Triplet
from tripletclip.errors import UserError
from tripletclip.models import weights_hash
from tripletclip.training.config import TrainConfig
from tripletclip.training.loop import Interrupted
from tripletclip.training.prepare import StepReport
from tripletclip.training.state import CONFIG_FILE, DONE_FILE, METRICS_FILE, STATE_FILE


class Crash(Exception):
    """Stands for a machine that dies in the middle of a run."""


def crash_after(step: int) -> Callable[[StepReport], None]:
    def watch(report: StepReport) -> None:
        if report.step == step:
            raise Crash

    return watch


def press_after(step: int, number: signal.Signals) -> Callable[[StepReport], None]:
    def watch(report: StepReport) -> None:
        if report.step == step:
            signal.raise_signal(number)

    return watch


def crashed(config: TrainConfig, step: int, **options: Any) -> Path:
    with pytest.raises(Crash):
        run(config, watch=crash_after(step), **options)
    return config.out


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_same_run(found: Path, expected: Path) -> None:
    """Bit for bit: the weights, every logged number but the speed, and what was spent."""
    assert weights_hash(found) == weights_hash(expected)
    assert metrics(found) == metrics(expected)
    assert (found / DONE_FILE).read_bytes() == (expected / DONE_FILE).read_bytes()
    assert {path.name for path in found.iterdir()} == {path.name for path in expected.iterdir()}


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The uninterrupted run."""
    return run(tiny(data, tmp_path_factory.mktemp("whole") / "run"))


@pytest.fixture(scope="module")
def stopped_once(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, dead after step 5; its state is that of step 3."""
    return crashed(tiny(data, tmp_path_factory.mktemp("stopped") / "run"), 5)


@pytest.fixture
def stopped(stopped_once: Path, data: Path, tmp_path: Path) -> TrainConfig:
    """A copy of it that a test may spoil."""
    return tiny(data, shutil.copytree(stopped_once, tmp_path / "run"))


# ---- resumed = uninterrupted ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [2, 3, 8])
def test_after_a_crash(stop: int, whole: Path, data: Path, tmp_path: Path) -> None:
    """States are written after steps 3, 6 and 9: a crash at 2 leaves none, one at 3 comes before its state, and one at
    8 leaves two logged steps that were not saved. Ten steps of 3 pairs run over the end of the 26 rows."""
    config = tiny(data, tmp_path / "stopped")
    crashed(config, stop)
    assert (config.out / STATE_FILE).exists() == (stop > 3)
    torch.manual_seed(stop)  # a new process has another random state
    assert_same_run(run(config, resume=True), whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_after_a_signal(number: signal.Signals, whole: Path, data: Path, tmp_path: Path) -> None:
    """The step is finished and saved, also where no state was due; the handlers are given back."""
    config = tiny(data, tmp_path / "stopped", save_every=100)
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match=f"stopped after step 4 of 10; the state is in {config.out}"):
        run(config, watch=press_after(4, number))
    assert signal.getsignal(number) is before
    assert torch.load(config.out / STATE_FILE, weights_only=True)["progress"]["step"] == 4
    assert not (config.out / DONE_FILE).exists()
    assert_same_run(run(config, resume=True), whole)


def test_a_signal_in_the_last_step_finishes_the_run(data: Path, tmp_path: Path) -> None:
    folder = run(tiny(data, tmp_path / "run", steps=3), watch=press_after(3, signal.SIGINT))
    assert (folder / DONE_FILE).exists()


def test_after_two_stops_and_with_other_writing_habits(whole: Path, stopped: TrainConfig) -> None:
    """How often files are written, and by how many workers, is no part of what a run is."""
    crashed(replace(stopped, save_every=1), 8, resume=True)
    assert torch.load(stopped.out / STATE_FILE, weights_only=True)["progress"]["step"] == 7
    assert_same_run(run(replace(stopped, save_every=50, workers=1), resume=True), whole)


def test_after_a_crash_of_a_run_from_a_model(whole: Path, data: Path, tmp_path: Path) -> None:
    expected = run(tiny(data, tmp_path / "whole", objective="clip", init=whole, steps=5))
    config = tiny(data, tmp_path / "stopped", objective="clip", init=whole, steps=5)
    crashed(config, 4)
    assert_same_run(run(config, resume=True), expected)


def test_after_a_crash_between_the_last_state_and_the_model(
    whole: Path, stopped: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr("tripletclip.training.loop.save_clip", fail)
        with pytest.raises(Crash):
            run(stopped, resume=True)
    assert not (stopped.out / DONE_FILE).exists()
    assert_same_run(run(stopped, resume=True), whole)


def test_a_torn_last_line_of_the_log_is_cut(whole: Path, stopped: TrainConfig) -> None:
    with open(stopped.out / METRICS_FILE, "a", encoding="utf8") as file:
        file.write('{"step": 6, "lo')
    assert_same_run(run(stopped, resume=True), whole)


def test_resuming_nothing_starts_and_resuming_a_finished_run_does_nothing(data: Path, tmp_path: Path) -> None:
    config = tiny(data, tmp_path / "run", steps=2)
    run(config, resume=True)
    before = contents(config.out)

    def never(report: StepReport) -> None:
        raise AssertionError("a finished run took a step")

    assert run(config, resume=True, watch=never) == config.out
    assert contents(config.out) == before


# ---- refused -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", 6),
        ("objective", "clip-on-triplets"),
        ("steps", 20),
        ("passes_per_step", 24),
        ("learning_rate", 2e-3),
        ("betas", (0.9, 0.99)),
        ("model", replace(MODEL, init_scale=20.0)),
    ],
)
def test_another_run_is_refused_by_the_field(
    field: str, value: Any, finished: bool, whole: Path, stopped_once: Path, data: Path
) -> None:
    """And nothing in the folder changes, so that the right settings still go on."""
    config = tiny(data, whole if finished else stopped_once)
    before = contents(config.out)
    with pytest.raises(UserError, match=f"{config.out}.* belongs to a run with {field} = "):
        run(replace(config, **{field: value}), resume=True)
    assert contents(config.out) == before


def test_a_state_of_another_run_is_refused(stopped: TrainConfig) -> None:
    (stopped.out / CONFIG_FILE).unlink()
    with pytest.raises(UserError, match=f"{stopped.out / STATE_FILE} belongs to a run with seed = 5, not 6"):
        run(replace(stopped, seed=6), resume=True)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_torn_state_is_refused(share: float, stopped: TrainConfig) -> None:
    path = stopped.out / STATE_FILE
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UserError, match=f"{path} is torn or not a training state"):
        run(stopped, resume=True)


@pytest.mark.parametrize("foreign", [b"hello", b"\x80\x02N.", {"weights": 1}, [1, 2], {"version": 1, "identity": "{"}])
def test_a_foreign_state_is_refused(foreign: object, stopped: TrainConfig) -> None:
    path = stopped.out / STATE_FILE
    if isinstance(foreign, bytes):
        path.write_bytes(foreign)
    else:
        torch.save(foreign, path)
    with pytest.raises(UserError, match=f"{path} is torn or not a training state"):
        run(stopped, resume=True)


def test_a_state_of_another_version_is_refused(stopped: TrainConfig) -> None:
    path = stopped.out / STATE_FILE
    state = torch.load(path, weights_only=True)
    torch.save({**state, "version": 99}, path)
    with pytest.raises(UserError, match=f"{path} has state version 99"):
        run(stopped, resume=True)


@pytest.mark.parametrize("change", ["another caption", "a row more", "another picture"])
def test_shards_that_changed_are_refused(change: str, stopped: TrainConfig, tmp_path: Path) -> None:
    """The position in the data means nothing where the rows are others; in another folder the same rows do."""
    shards = Shards(stopped.data)
    rows = [
        Triplet(
            key=key,
            caption=shards.caption(row),
            image=shards.read(row, "image"),
            neg_caption=shards.neg_caption(row),
            neg_image=shards.read(row, "neg_image"),
        )
        for row, key in enumerate(shards.keys)
    ]
    write_shard(tmp_path / "same", 0, rows)
    changed = {
        "another caption": [replace(rows[0], caption="a red cone"), *rows[1:]],
        "a row more": [*rows, replace(rows[0], key="new")],
        "another picture": [replace(rows[0], image=picture(0, 0)[:-1] + b"longer"), *rows[1:]],
    }
    write_shard(tmp_path / "other", 0, changed[change])
    with pytest.raises(UserError, match=r"are not those that .* was trained on so far: its shards have changed"):
        run(replace(stopped, data=tmp_path / "other"), resume=True)
    run(replace(stopped, data=tmp_path / "same"), resume=True)


def test_a_full_disk_leaves_the_state_before(
    data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state after step 6 does not fit: one line, the state of step 3 is whole, nothing half-written lies about, and
    with room again the run ends as if nothing had been."""
    config = tiny(data, tmp_path / "run")
    sync = os.fsync

    def full(handle: int) -> None:
        newest = tmp_path / "run" / STATE_FILE
        if newest.exists() and "state" in os.readlink(f"/proc/self/fd/{handle}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot write .*state.pt: No space left on device"):
        run(config)
    monkeypatch.undo()
    assert torch.load(config.out / STATE_FILE, weights_only=True)["progress"]["step"] == 3
    assert not [path for path in config.out.iterdir() if path.name.startswith(".")]
    assert_same_run(run(config, resume=True), whole)


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_torn_settings_are_refused(content: str, stopped: TrainConfig) -> None:
    path = stopped.out / CONFIG_FILE
    path.write_text(content)
    with pytest.raises(UserError, match=f"{path} "):
        run(stopped, resume=True)


def test_overwrite_beats_a_torn_state(whole: Path, stopped: TrainConfig) -> None:
    (stopped.out / STATE_FILE).write_bytes(b"torn")
    assert_same_run(run(stopped, overwrite=True), whole)


def test_the_settings_are_readable(whole: Path) -> None:
    saved = json.loads((whole / CONFIG_FILE).read_text("utf8"))
    assert (saved["objective"], saved["steps"], saved["out"]) == ("tripletclip", 10, str(whole))
