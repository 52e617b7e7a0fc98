"""The demo on a budget of seconds, through the same verb and files as the long ones; processes in the Ctrl-C test."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tripletclip import cli, demo
from tripletclip.demo import DemoConfig, Job
from tripletclip.recipes import embedded
from tripletclip.recipes.embedded import Budget
from tripletclip.scenes.benchmark import SetConfig
from tripletclip.training.loop import Interrupted, train
from tripletclip.training.prepare import StepReport

METHODS = {"clip", "clip-on-triplets", "negclip", "negimage", "tripletclip"}
SPLITS = {"add_att", "add_obj", "replace_att", "replace_obj", "replace_rel", "swap_att", "swap_obj"}
METRICS = {
    "sugarcrepe": {"macro", "micro", "compositional", *SPLITS},
    "sugarcrepe-heldout": {"macro", "micro", "compositional", *SPLITS},
    "winoground": {"text", "image", "group"},
    "winoground-heldout": {"text", "image", "group"},
    "retrieval": {f"{way}_r{k}" for way in ("i2t", "t2i") for k in (1, 5, 10)},
    "zeroshot": {"top1", "top5"},
}


class TinyBudget(Budget):
    """Every data set cut to 70 rows."""

    def sets(self, world: str) -> dict[str, SetConfig]:
        return {
            name: replace(settings, rows=min(settings.rows, self.train_rows if name == "train" else 70))
            for name, settings in super().sets(world).items()
        }


RUN_ALL = demo.run_all
TINY = TinyBudget(name="tiny", train_rows=96, start_steps=2, steps=2, passes_per_step=24, curve_points=1, test_rows=70)


def in_this_process(jobs: Sequence[Job], workers: int, tick: Callable[[Mapping[str, float]], None]) -> None:
    """What ``run_all`` does, without the seconds that a new process needs to import torch."""
    for job in jobs:
        demo.run_job(job)


def run_demo(out: Path, *more: str) -> None:
    cli.main(["demo", "--budget", "tiny", "--jobs", "1", "--out", str(out), *more])


def read_summary(out: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((out / "summary.json").read_text("utf8"))
    return rows


@pytest.fixture(scope="module", autouse=True)
def _tiny_budget_in_this_process() -> Iterator[None]:
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(embedded.BUDGETS, "tiny", lambda: TINY)
        patch.setattr(demo, "run_all", in_this_process)
        yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "out"
    run_demo(out)
    return out


def test_summary_has_every_method_benchmark_and_metric_in_percent(made: Path) -> None:
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    rows = read_summary(made)
    for row in rows:
        assert list(row) == ["method", "seed", "benchmark", "metric", "value", "low", "high", "n"]
        assert row["seed"] == 0 and type(row["n"]) is int and row["n"] > 0
        assert 0 <= row["low"] <= row["value"] <= row["high"] <= 100
        assert row["metric"] not in found[row["method"], row["benchmark"]]
        found[row["method"], row["benchmark"]].add(row["metric"])
    assert {method for method, _ in found} == METHODS
    for method in METHODS:
        for benchmark, metrics in METRICS.items():
            assert metrics <= found[method, benchmark], (method, benchmark)
    assert {benchmark for _, benchmark in found} == set(METRICS)
    assert max(row["value"] for row in rows if row["benchmark"] == "sugarcrepe") > 1  # percent, not shares


def test_macro_and_compositional_are_means_of_the_splits(made: Path) -> None:
    for method in METHODS:
        value = {
            row["metric"]: row["value"]
            for row in read_summary(made)
            if (row["method"], row["benchmark"]) == (method, "sugarcrepe")
        }
        assert value["macro"] == pytest.approx(sum(value[split] for split in SPLITS) / 7)
        hard = SPLITS - {"replace_obj", "add_obj"}
        assert value["compositional"] == pytest.approx(sum(value[split] for split in hard) / 5)


def test_the_page_is_whole_in_itself_and_shows_every_method(made: Path) -> None:
    page = (made / "report.html").read_text("utf8")
    assert page.lstrip().lower().startswith("<!doctype html>") and page.rstrip().endswith("</html>")
    loaded = re.findall(r"<(?:img|script|link|iframe|source)\b[^>]*?\b(?:src|href)\s*=\s*[\"']?([^\"'\s>]+)", page)
    assert all(address.startswith(("data:", "#")) for address in loaded)
    assert "data:image" in page and "@import" not in page and not re.search(r"url\(\s*['\"]?http", page)
    for name in ("CLIP", "NegCLIP", "NegImage", "TripletCLIP"):
        assert name.lower() in page.lower()
    assert str(made.parent) not in re.sub(r"tripletclip demo [^<]*", "", page)  # but for the command to repeat it


def test_every_run_is_a_model_with_its_curve_and_equal_budget(made: Path) -> None:
    passes = {}
    for method in METHODS:
        run = made / "runs" / f"{method}-seed0"
        assert (run / "open_clip_config.json").exists() and (run / "open_clip_model.safetensors").exists()
        spent = json.loads((run / "done.json").read_text())["budget"]
        passes[method] = spent["images"] + spent["texts"]
    assert len(set(passes.values())) == 1 and passes["clip"] == TINY.steps * TINY.passes_per_step
    points = {path.name for path in (made / "results" / "natural" / "curves").iterdir()}
    assert {f"{method}-seed0-step{TINY.start_steps + TINY.steps:07d}.json" for method in METHODS} <= points


def test_a_second_run_trains_nothing_and_says_the_same(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read_summary(made)
    times = {path: path.stat().st_mtime_ns for folder in ("data", "runs") for path in (made / folder).rglob("*.*")}
    assert len(times) > 40
    monkeypatch.setattr(demo, "run_all", RUN_ALL)
    monkeypatch.setattr(demo, "ProcessPoolExecutor", None)  # nothing may need one
    (made / "summary.json").unlink()
    run_demo(made, "--resume")
    settings = {path for path in times if path.name == "scenes.json" or path.name == "classes.json"}
    assert {path for path in times if path.stat().st_mtime_ns != times[path]} <= settings
    assert read_summary(made) == before


def test_a_folder_of_a_demo_with_other_settings_is_refused(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = read_summary(made)
    with pytest.raises(SystemExit) as stop:
        run_demo(made, "--world", "dense")
    assert stop.value.code == 2 and "holds a demo with other settings" in capsys.readouterr().err
    assert read_summary(made) == before


def test_an_interrupted_demo_goes_on_and_ends_with_the_same_numbers(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []

    def interrupted_in_negclip(config: Any, *, watch: Callable[[StepReport], None], **more: Any) -> Path:
        def watch_and_interrupt(report: StepReport) -> None:
            trained.append(f"{config.out.name} {report.step}")
            watch(report)
            if config.objective == "negclip" and report.step == 1 and trained.count("negclip-seed0 1") == 1:
                os.kill(os.getpid(), signal.SIGINT)

        return train(config, watch=watch_and_interrupt, **more)

    monkeypatch.setattr(demo, "train", interrupted_in_negclip)
    out = tmp_path / "demo"
    with pytest.raises(Interrupted, match="after step 1 of 2"):
        run_demo(out)
    assert (out / "runs" / "negclip-seed0" / "state.pt").exists() and not (out / "summary.json").exists()
    done = len(trained)
    run_demo(out)
    assert trained[done - 1] == "negclip-seed0 1" and trained[done] == "negclip-seed0 2"
    assert len(trained) == len(set(trained)) == TINY.start_steps + len(METHODS) * TINY.steps
    assert read_summary(out) == read_summary(made)


def test_more_methods_and_seeds_can_be_added() -> None:
    config = DemoConfig(out=Path("x"), budget=TINY)
    assert config.identity() == replace(config, seeds=3, methods=("clip",), jobs=4).identity()
    assert config.identity() != replace(config, world="dense").identity()
    assert set(config.method_names()) == METHODS
    assert replace(config, methods=("clip",)).method_names() == ("clip",)


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def eventually(condition: Callable[[], bool], seconds: float = 15) -> bool:
    """The helper processes of multiprocessing end a moment after their parent."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)
    return condition()


LONG_DEMO = """
import sys
from tripletclip.recipes import embedded
sys.path.insert(0, {tests!r})
from test_demo import TINY, replace
embedded.BUDGETS["tiny"] = lambda: replace(TINY, start_steps=0, steps=1_000_000)
from tripletclip.cli import main
main(["demo", "--budget", "tiny", "--jobs", "1", "--out", {out!r}])
"""


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="Ctrl-C reaches a process group")
def test_ctrl_c_leaves_resumable_state_and_no_traceback(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    script = LONG_DEMO.format(tests=str(Path(__file__).parent), out=str(out))
    process = subprocess.Popen(
        [sys.executable, "-c", script], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        metrics, deadline = out / "runs" / "clip-seed0" / "metrics.jsonl", time.monotonic() + 100
        while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=30)[1]
        assert process.returncode == 130
        assert "Traceback" not in said and "interrupted; the same command goes on" in said
        assert (out / "runs" / "clip-seed0" / "state.pt").exists()
        assert [path.name for path in (out / "runs").iterdir()] == ["clip-seed0"]  # the next one does not begin
        assert not list(out.rglob("*.tmp")) and not list(out.rglob(".*"))
        assert eventually(lambda: not group_lives(process.pid))
    finally:
        if group_lives(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
