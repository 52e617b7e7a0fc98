"""What ``train`` does: arguments to a config, the room, progress; recipes and plans."""

import os
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich
from rich.table import Table

from tripletclip.commands import progress_display
from tripletclip.errors import UserError
from tripletclip.evaluation.encoder import clip_encoder
from tripletclip.evaluation.suite import benchmark_set
from tripletclip.evaluation.suite import evaluate as measure
from tripletclip.models import Clip
from tripletclip.recipes.paper import recipes
from tripletclip.scenes.grammar import vocabulary
from tripletclip.scenes.world import WORLDS, world_named
from tripletclip.training.config import TrainConfig
from tripletclip.training.loop import Interrupted
from tripletclip.training.loop import train as run_training
from tripletclip.training.plan import make_plan
from tripletclip.training.prepare import StepReport

if TYPE_CHECKING:
    from tripletclip.cli_train import Train


def train(verb: "Train") -> None:
    """One training run with a progress bar; or the list of recipes, or the plan of a run."""
    if verb.list:
        print_recipes()
        return
    config = _config(verb)
    if verb.dry_run:
        print_plan(config)
        return
    judge = _judge(verb.validation, verb.device) if verb.validation else None
    with progress_display(disable=os.environ.get("RANK", "0") != "0") as show:
        task = show.add_task(config.objective, total=config.steps)

        def watch(report: StepReport) -> None:
            show.update(task, completed=report.step, description=_said(report))
            if report.note:
                show.console.print(report.note)

        try:
            folder = run_training(
                config, words=_all_words(), resume=verb.resume, overwrite=verb.overwrite, watch=watch, judge=judge
            )
        except Interrupted as stop:
            raise KeyboardInterrupt(f"{stop}; the same command with --resume goes on") from None
    if os.environ.get("RANK", "0") == "0":
        print(f"model: {folder} (open_clip: local-dir:{folder})")


def _said(report: StepReport) -> str:
    """Loss, share of images that score their caption above its negative, scale, gradient norm; in few columns."""
    values = report.values
    hard = f" · hard {values['hard_accuracy']:.2f}" if "hard_accuracy" in values else ""
    return f"loss {values['loss']:.2f}{hard} · scale {values['logit_scale']:.0f} · norm {values['gradient_norm']:.1f}"


def _config(verb: "Train") -> TrainConfig:
    for name in ("data", "out"):
        if vars(verb)[name] is None:
            raise UserError(f"--{name} is missing; give a folder")
    if verb.init and verb.model:
        raise UserError("init and model exclude each other: a model to start from has its architecture")
    names = {field.name for field in fields(TrainConfig)}
    given: dict[str, Any] = {name: value for name, value in vars(verb).items() if name in names}
    if verb.model is None:
        del given["model"]
    return TrainConfig(**given)


def _all_words() -> list[str]:
    """The words of every world: a fresh model can read whichever wrote its data."""
    return sorted({word for name in WORLDS for word in vocabulary(world_named(name))})


def _judge(folders: tuple[Path, ...], device: str) -> Callable[[Clip], float]:
    """The mean of each benchmark's headline over ``folders``."""
    sets = [benchmark_set(folder) for folder in folders]

    def judge(clip: Clip) -> float:
        found = measure(
            clip_encoder(clip, device), sets, method="", seed=0, step=0, checkpoint="", budget={}, config={}
        )
        values = [result.metrics[HEADLINES[result.benchmark.split("-")[0]]].value for result in found]
        return sum(values) / len(values)

    return judge


HEADLINES = {"sugarcrepe": "macro", "winoground": "group", "retrieval": "i2t_r1", "zeroshot": "top1"}
"""The one number of a benchmark that a run is judged by."""


def print_recipes() -> None:
    """Every recipe with what it reproduces, needs and costs."""
    title = "Recipes of the paper. NAME@passes: the same at the encoder passes of CLIP's row. Costs and numbers: theirs"
    table = Table(title=title, box=None, pad_edge=False, title_justify="left")
    table.add_column("recipe", no_wrap=True)
    for column in ("reproduces", "steps", "found", "cost", "shards hold"):
        table.add_column(column)
    for recipe in recipes().values():
        steps = f"{recipe.train.steps:,}"
        table.add_row(recipe.name, recipe.reproduces, steps, recipe.expected, recipe.cost, recipe.needs)
    rich.print(table)


def print_plan(config: TrainConfig) -> None:
    """The resolved config and what a run of it costs."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in asdict(config).items():
        table.add_row(name, str(value))
    table.add_section()
    for label, said in make_plan(config, _all_words()).lines(config).items():
        table.add_row(f"[bold]{label}", said)
    rich.print(table)
