"""What the verbs do: each turns its arguments into a config, calls a room, and shows progress."""

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from tripletclip import demo as pipeline
from tripletclip.data.shards import Shards
from tripletclip.errors import UserError
from tripletclip.recipes.embedded import budget_named, scaled
from tripletclip.report import demo_report
from tripletclip.scenes.benchmark import SetConfig, write_set
from tripletclip.scenes.world import world_named

if TYPE_CHECKING:
    from tripletclip.cli import Demo, Scenes


def demo(verb: "Demo") -> None:
    """Everything, with one progress display; ends with the tables and the path of the page."""
    if verb.seeds < 1 or verb.jobs < 1:
        raise UserError("seeds and jobs count from 1")
    world_named(verb.world)
    budget = budget_named(verb.budget)
    config = pipeline.DemoConfig(
        out=verb.out,
        budget=budget if verb.images is None else scaled(budget, verb.images),
        world=verb.world,
        seeds=verb.seeds,
        methods=verb.methods,
        jobs=verb.jobs,
        device=verb.device,
    )
    methods = config.method_names()
    if verb.resume and not (verb.out / pipeline.MANIFEST).exists():
        raise UserError(f"{verb.out} holds no demo to resume; leave out --resume to start one")
    pipeline.open_folder(config, overwrite=verb.overwrite)
    with progress_display() as show:
        sets = _make_sets(config, show)
        seeds = range(config.seeds)
        if config.budget.start_steps:
            starts = [pipeline.start_job(config, sets, seed) for seed in seeds]
            pipeline.run_all(starts, config.jobs, _watch_runs(show))
        jobs = [pipeline.method_job(config, sets, method, seed) for seed in seeds for method in methods]
        pipeline.run_all(jobs, config.jobs, _watch_runs(show))
    demo_report(config, control=verb.control, command=f"tripletclip {shlex.join(sys.argv[1:])}")


def _make_sets(config: pipeline.DemoConfig, show: Progress) -> Path:
    task = show.add_task("scenes", total=sum(one.rows for one in config.budget.sets(config.world).values()))
    return pipeline.make_sets(config, lambda rows: show.advance(task, rows))


def _watch_runs(show: Progress) -> Callable[[Mapping[str, float]], None]:
    tasks: dict[str, TaskID] = {}

    def tick(shares: Mapping[str, float]) -> None:
        for name, share in shares.items():
            if name not in tasks:
                tasks[name] = show.add_task(f"train · {name}", total=1.0, start=False)
            if share > 0 and not show.tasks[tasks[name]].started:
                show.start_task(tasks[name])
            show.update(tasks[name], completed=share)

    return tick


@contextmanager
def progress_display(*, disable: bool = False) -> Iterator[Progress]:
    """A progress bar with the time left on stderr."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<34}"),
        BarColumn(bar_width=30),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=Console(stderr=True), disable=disable) as show:
        yield show


def scenes(verb: "Scenes") -> None:
    """Write one data set."""
    config = SetConfig(world=verb.world, part=verb.part, rows=verb.rows, seed=verb.seed, image_size=verb.image_size)
    world_named(verb.world)
    folder = write_set(config, verb.out, workers=verb.jobs)
    print(f"{len(Shards(folder)):,} rows in {folder}")
