"""The whole pipeline on the embedded world: scenes, shards, training, measurement, report.

Every stage leaves files behind and skips what is there, so an interrupted demo goes on where it was.
"""

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from multiprocessing import active_children
from multiprocessing.connection import wait as wait_for
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from tripletclip.data.shards import Shards
from tripletclip.errors import UserError
from tripletclip.evaluation.encoder import clip_encoder
from tripletclip.evaluation.suite import BenchmarkSet, class_set, evaluate, pair_set, retrieval_set
from tripletclip.files import write_atomic
from tripletclip.models import Clip, load_clip, weights_hash
from tripletclip.objectives.losses import COMPARED, objective_named
from tripletclip.processes import run_processes
from tripletclip.recipes.embedded import MODEL, Budget
from tripletclip.reporting.results import Metric, Result, save_result
from tripletclip.scenes.benchmark import write_sets
from tripletclip.scenes.grammar import vocabulary
from tripletclip.scenes.world import world_named
from tripletclip.training.config import TrainConfig
from tripletclip.training.loop import Interrupted, train
from tripletclip.training.prepare import StepReport
from tripletclip.training.state import DONE_FILE, METRICS_FILE

START = "start"
MANIFEST = "demo.json"


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """A demo. ``seeds`` seeds from 0; ``methods`` empty means all; ``jobs`` runs train side by side."""

    out: Path
    budget: Budget
    world: str = "natural"
    seeds: int = 1
    methods: tuple[str, ...] = ()
    jobs: int = 3
    device: str = "cpu"

    def method_names(self) -> tuple[str, ...]:
        """The methods to train, checked."""
        return tuple(objective_named(name).name for name in self.methods) or tuple(COMPARED)

    def identity(self) -> dict[str, Any]:
        """What must be equal for a demo to go on; more seeds or methods may be added to it."""
        return {"world": self.world, "budget": asdict(self.budget), "device": self.device}


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training run with its measurements: picklable, for a process of its own."""

    method: str
    seed: int
    train: TrainConfig
    sets: Path
    results: Path
    world: str
    curve_every: int
    steps_before: int
    budget_before: Mapping[str, float]


# ---- preparation ---------------------------------------------------------------------------------------------------


def open_folder(config: DemoConfig, *, overwrite: bool) -> None:
    """Claim the output folder: refuse one that holds something else, go on in one that holds this demo."""
    manifest = config.out / MANIFEST
    if manifest.exists() and not overwrite:
        try:
            saved = json.loads(manifest.read_text("utf8"))
        except ValueError as error:
            raise UserError(f"{manifest} is not a demo's settings ({error}); start again with --overwrite") from error
        if saved != json.loads(json.dumps(config.identity())):
            raise UserError(
                f"{config.out} holds a demo with other settings; choose another --out, or replace it with --overwrite"
            )
    elif config.out.exists() and any(config.out.iterdir()) and not manifest.exists():
        raise UserError(f"{config.out} is not empty and holds no demo; choose another --out")
    if overwrite and manifest.exists():
        shutil.rmtree(config.out)
    write_atomic(manifest, json.dumps(config.identity(), indent=1).encode())


def make_sets(config: DemoConfig, tell: Callable[[int], None]) -> Path:
    """Write every data set of the demo; ``tell`` hears the rows that are done, shard by shard."""
    folder = config.out / "data"
    sets = {folder / name: settings for name, settings in config.budget.sets(config.world).items()}
    write_sets(sets, workers=config.jobs, tell=tell)
    return folder


def test_sets(folder: Path) -> list[BenchmarkSet]:
    """The test: pairs with and without held-out combinations, retrieval, zero-shot."""
    return [
        pair_set(Shards(folder / "test-pairs"), ""),
        pair_set(Shards(folder / "test-pairs-heldout"), "heldout"),
        retrieval_set(Shards(folder / "test-retrieval"), ""),
        class_set(Shards(folder / "test-classes"), ""),
    ]


def validation_sets(folder: Path) -> list[BenchmarkSet]:
    """The smaller part on which learning curves are drawn and settings are chosen."""
    return [
        pair_set(Shards(folder / "validation-pairs"), ""),
        retrieval_set(Shards(folder / "validation-retrieval"), ""),
    ]


# ---- one run -------------------------------------------------------------------------------------------------------


def run_job(job: Job) -> str:
    """Train, measuring the validation part on the way, then measure the test. Returns the method's name."""
    # One thread a run: two runs with two threads each on two cores wait for each other's barriers, many times slower.
    torch.set_num_threads(1)
    checks = validation_sets(job.sets)

    def watch(report: StepReport) -> None:
        if report.step % job.curve_every == 0 or report.step == job.train.steps:
            save_result(_curve_point(job, report, checks), _point_path(job, report.step), overwrite=True)

    folder = train(job.train, words=vocabulary(world_named(job.world)), resume=True, watch=watch)
    spent = json.loads((folder / DONE_FILE).read_text("utf8"))["budget"]
    measured = _measure(job, load_clip(folder), test_sets(job.sets), job.train.steps, spent, weights_hash(folder))
    for result in measured:
        save_result(result, job.results / f"{_run_name(job)}-{result.benchmark}.json", overwrite=True)
    return job.method


def _run_name(job: Job) -> str:
    return f"{job.method}-seed{job.seed}"


def _point_path(job: Job, step: int) -> Path:
    return job.results / "curves" / f"{_run_name(job)}-step{job.steps_before + step:07d}.json"


def _measure(
    job: Job, clip: Clip, sets: Sequence[BenchmarkSet], step: int, spent: Mapping[str, float], checkpoint: str
) -> list[Result]:
    budget = {name: value + job.budget_before.get(name, 0) for name, value in spent.items()}
    config = {"train": json.loads(json.dumps(job.train.identity())), "world": job.world, "revision": revision()}
    return evaluate(
        clip_encoder(clip, job.train.device),
        sets,
        method=job.method,
        seed=job.seed,
        step=job.steps_before + step,
        checkpoint=checkpoint,
        budget=budget,
        config=config,
    )


def _curve_point(job: Job, report: StepReport, checks: Sequence[BenchmarkSet]) -> Result:
    """One result of benchmark ``validation`` from all validation sets, without decisions and histograms."""
    measured = _measure(job, report.clip, checks, report.step, asdict(report.budget), "not kept")
    metrics = {name: metric for result in measured for name, metric in result.metrics.items()}
    loss = report.values["loss"]
    metrics["loss"] = Metric(value=loss, low=loss, high=loss, n=job.train.pairs_per_step)
    return replace(
        measured[0], benchmark="validation", metrics=metrics, decisions={}, histograms={}, blind={}, groups={}
    )


def revision() -> str:
    """The git revision of the code, with ``+`` for uncommitted changes; ``unknown`` outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


# ---- all runs ------------------------------------------------------------------------------------------------------


def start_job(config: DemoConfig, sets: Path, seed: int) -> Job:
    """The common start of a seed: plain CLIP."""
    budget = config.budget
    return Job(
        method=START,
        seed=seed,
        train=_train_config(config, sets, START, "clip", seed, budget.start_steps, None),
        sets=sets,
        results=config.out / "results" / config.world,
        world=config.world,
        curve_every=max(1, budget.start_steps // min(3, budget.curve_points)),
        steps_before=0,
        budget_before={},
    )


def method_job(config: DemoConfig, sets: Path, method: str, seed: int) -> Job:
    """One method of a seed, from the common start if there is one."""
    budget = config.budget
    start = config.out / "runs" / f"{START}-seed{seed}" if budget.start_steps else None
    before = json.loads((start / DONE_FILE).read_text("utf8"))["budget"] if start else {}
    return Job(
        method=method,
        seed=seed,
        train=_train_config(config, sets, method, method, seed, budget.steps, start),
        sets=sets,
        results=config.out / "results" / config.world,
        world=config.world,
        curve_every=max(1, budget.steps // budget.curve_points),
        steps_before=budget.start_steps,
        budget_before=before,
    )


def _train_config(
    config: DemoConfig, sets: Path, name: str, objective: str, seed: int, steps: int, init: Path | None
) -> TrainConfig:
    budget = config.budget
    return TrainConfig(
        data=sets / "train",
        out=config.out / "runs" / f"{name}-seed{seed}",
        objective=objective,
        init=init,
        model=MODEL,
        steps=steps,
        warmup=budget.warmup(steps),
        passes_per_step=budget.passes_per_step,
        learning_rate=budget.learning_rate,
        device=config.device,
        # The start has seen the order of `seed`; a method must not begin with the very same batches.
        seed=seed if init is None else seed + 1000,
    )


def run_all(jobs: Sequence[Job], workers: int, tick: Callable[[Mapping[str, float]], None]) -> None:
    """Run ``jobs`` in ``workers`` processes; ``tick`` hears, twice a second, the share done of each run."""
    todo = [job for job in jobs if not _is_done(job)]
    if not todo:
        return
    # Ctrl-C reaches every process of a terminal: the parent hears it and stops the others one way only.
    ignore = (signal.SIGINT, signal.SIG_IGN)
    processes = min(workers, len(todo))
    pool = ProcessPoolExecutor(processes, mp_context=run_processes(), initializer=signal.signal, initargs=ignore)
    futures: set[Future[str]] = set()
    try:
        while futures or todo:
            # One run a process: the pool would hand out one more, and after an interruption that one would begin.
            while todo and len(futures) < processes:
                futures.add(pool.submit(run_job, todo.pop(0)))
            done, futures = wait(futures, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
            tick({job.train.out.name: _share_done(job) for job in jobs})
    except BaseException as error:
        children = active_children()
        pool.shutdown(wait=False, cancel_futures=True)
        _stop(children, seconds=20)
        if isinstance(error, Interrupted):
            raise KeyboardInterrupt from error
        raise
    pool.shutdown()


def _stop(children: Sequence[BaseProcess], seconds: float) -> None:
    """End processes that train: on SIGTERM they save their state after the step, those that wait end at once."""
    for child in children:
        child.terminate()
    deadline = time.monotonic() + seconds
    while (left := [child for child in children if child.is_alive()]) and time.monotonic() < deadline:
        wait_for([child.sentinel for child in left], timeout=0.5)
        for child in left:
            child.terminate()  # the first may have come between a run and its evaluation
    for child in left:
        child.kill()


def _is_done(job: Job) -> bool:
    return (job.train.out / DONE_FILE).exists() and (job.results / f"{_run_name(job)}-zeroshot.json").exists()


def _share_done(job: Job) -> float:
    if (job.train.out / DONE_FILE).exists():
        return 1.0
    path = job.train.out / METRICS_FILE
    written = path.read_bytes() if path.exists() else b""
    # The training may be in the middle of its last line.
    lines = written[: written.rfind(b"\n") + 1].splitlines()
    return float(json.loads(lines[-1])["step"]) / job.train.steps if lines else 0.0
