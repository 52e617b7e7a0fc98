"""The command line: parse, call, print."""

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import tyro

from tripletclip.cli_cosines import Cosines
from tripletclip.cli_evaluate import Evaluate, gathered
from tripletclip.cli_honesty import Concepts, Contamination
from tripletclip.cli_models import Export, Push
from tripletclip.cli_names import check_names
from tripletclip.cli_report import Report
from tripletclip.cli_train import Interpolate, Train
from tripletclip.errors import Incomplete, UserError
from tripletclip.processes import prepare_run_processes


@dataclass(frozen=True, kw_only=True)
class Demo:
    """The whole method on the embedded world: scenes, shards, training, measurement, report."""

    out: Path = Path("runs/demo")
    """Folder of the demo. The same command in the same folder goes on where it was."""
    budget: str = "standard"
    """quick (a first look), standard, or full (every method from scratch on 4 million passes; hours)."""
    world: str = "natural"
    """natural, or dense: the control in which hard negatives are hardly needed."""
    seeds: int = 1
    """Train every method with this many seeds."""
    methods: tuple[str, ...] = ()
    """clip, clip-on-triplets, negclip, negimage, tripletclip; none given means all."""
    images: int | None = None
    """Images for plain CLIP after the common start, in place of the budget's; other methods get equal compute."""
    control: Path | None = None
    """Folder of a finished demo of the dense world, to stand beside this one in the report."""
    jobs: int = 3
    """Runs that train side by side, one thread each; three keep two cores busy to the end of five methods."""
    device: str = "cpu"
    overwrite: bool = False
    """Remove what the folder holds and start again."""
    resume: bool = False
    """Only go on: refuse to start a new demo."""


@dataclass(frozen=True, kw_only=True)
class Scenes:
    """Write a data set of the embedded world as shards."""

    out: Path
    """Folder of the shards."""
    world: str = "natural"
    part: str = "train"
    """train, pairs, pairs-heldout, retrieval or classes."""
    rows: int = 10_000
    seed: int = 1
    image_size: int = 48
    jobs: int = 2


@dataclass(frozen=True, kw_only=True)
class Triplets:
    """Negative captions and images for anyone's pairs: make, captions, images, screen, audit, inspect, export."""


Verb: TypeAlias = (
    Demo
    | Triplets
    | Scenes
    | Train
    | Interpolate
    | Evaluate
    | Cosines
    | Report
    | Contamination
    | Concepts
    | Export
    | Push
)
VERBS: dict[str, type[Verb]] = {
    "demo": Demo,
    "triplets": Triplets,
    "scenes": Scenes,
    "train": Train,
    "interpolate": Interpolate,
    "evaluate": Evaluate,
    "cosines": Cosines,
    "report": Report,
    "contamination": Contamination,
    "concepts": Concepts,
    "export": Export,
    "push": Push,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. Exits with 2 for a user's mistake, 3 for work that is not complete, 130 for an interruption."""
    signal.signal(signal.SIGTERM, lambda number, frame: _raise_interrupt())
    given = sys.argv[1:] if arguments is None else arguments
    try:
        if given and given[0] == "triplets":
            _run_triplets(given[1:])
            return
        check_names(given, VERBS)
        _run(_parsed(given))
    except UserError as error:
        print(f"tripletclip: {error}", file=sys.stderr)
        sys.exit(2)
    except Incomplete as rest:
        print(f"tripletclip: {rest}", file=sys.stderr)
        sys.exit(3)
    except BrokenPipeError:
        # `tripletclip … | head` read what it wanted; what Python would still write at exit goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except KeyboardInterrupt as interruption:
        how_to_go_on = str(interruption) or "interrupted; the same command goes on where it was"
        print(f"tripletclip: {how_to_go_on}", file=sys.stderr)
        sys.exit(130)


def _parsed(given: Sequence[str]) -> object:
    """The verb with its options; a recipe's settings are the defaults of those that follow it."""
    verbs: dict[str, Any] = {**VERBS}
    if given and given[0] in ("evaluate", "cosines"):
        given = [given[0], *gathered(given[1:])]
    if given and given[0] == "train" and (recipe := _option(given, "--recipe")) is not None:
        from tripletclip.recipes.paper import recipe_named

        return tyro.cli(Train, args=given[1:], default=recipe_named(recipe).train, prog="tripletclip train")
    return tyro.extras.subcommand_cli_from_dict(verbs, args=given, prog="tripletclip", description=DESCRIPTION)


def _option(given: Sequence[str], name: str) -> str | None:
    """The value of an option given as ``--name value`` or ``--name=value``."""
    for place, argument in enumerate(given):
        if argument.startswith(f"{name}="):
            return argument.partition("=")[2]
        if argument == name and place + 1 < len(given):
            return given[place + 1]
    return None


DESCRIPTION = "CLIP that reads word order: hard-negative captions and images, training on both, and honest measurement."


def _raise_interrupt() -> None:
    raise KeyboardInterrupt


def _run_triplets(arguments: Sequence[str]) -> None:
    """The verbs below ``triplets``; imported only when they are asked for."""
    from tripletclip import cli_triplets, commands_triplets

    commands_triplets.run(cli_triplets.parse(arguments or ["--help"]))


def _run(verb: object) -> None:
    """Import what the verb needs only now: --help stays quick."""
    if isinstance(verb, Demo):
        prepare_run_processes()
    from tripletclip import commands, commands_interpolate, commands_train

    match verb:
        case Demo():
            commands.demo(verb)
        case Scenes():
            commands.scenes(verb)
        case Train():
            commands_train.train(verb)
        case Interpolate():
            commands_interpolate.interpolate(verb)
        case Evaluate():
            from tripletclip import commands_evaluate

            commands_evaluate.evaluate(verb)
        case Cosines():
            from tripletclip import commands_cosines

            commands_cosines.cosines(verb)
        case Report():
            from tripletclip import commands_report

            commands_report.report(verb)
        case Contamination():
            from tripletclip import commands_honesty

            commands_honesty.check_contamination(verb)
        case Concepts():
            from tripletclip import commands_honesty

            commands_honesty.count_concept_sets(verb)
        case Export():
            from tripletclip import commands_models

            commands_models.export(verb)
        case Push():
            from tripletclip import commands_models

            commands_models.push(verb)
