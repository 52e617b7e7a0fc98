"""What a model folder of ours says about its training: method, seed, steps, and what it had seen."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tripletclip.training.state import DONE_FILE

TRAIN_FILE = "train.json"
_SEED = re.compile(r"(?P<method>.+)-seed(?P<seed>\d+)")


@dataclass(frozen=True, kw_only=True)
class Trained:
    """``budget`` is empty where it is not known from the first step on."""

    method: str
    seed: int = 0
    step: int = 0
    budget: Mapping[str, float] = field(default_factory=dict)


def trained(name: str, folder: Path) -> Trained:
    """A run named ``METHOD-seedN`` is seed N of METHOD; other names are methods of their own, seed 0.

    Steps and budget count the run and, where it went on from others, those before it.
    """
    named = _SEED.fullmatch(name)
    budget = _budget(folder)
    return Trained(
        method=named["method"] if named else name,
        seed=int(named["seed"]) if named else 0,
        step=int(budget.get("steps", 0)),
        budget=budget,
    )


def _budget(folder: Path) -> dict[str, float]:
    """The sums over a run and those before it; empty as soon as one of them is not one of our finished runs."""
    done, settings = _read(folder / DONE_FILE), _read(folder / TRAIN_FILE)
    if "budget" not in done or "init" not in settings:
        return {}
    spent: Counter[str] = Counter(done["budget"])
    if settings["init"] is None:
        return dict(spent)
    start = Path(settings["init"])
    beside = folder.resolve().parent / start.name  # where a folder of runs was moved, or the command ran elsewhere
    before = _budget(start) or (_budget(beside) if beside != folder.resolve() else {})
    return {name: spent[name] + before[name] for name in spent if name in before} if before else {}


def _read(path: Path) -> dict[str, Any]:
    """What a file of ours holds; nothing where there is none, as in a folder of somebody else's."""
    try:
        content = json.loads(path.read_text("utf8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
