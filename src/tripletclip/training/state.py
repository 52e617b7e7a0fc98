"""A run's state on disk: everything that makes a resumed run equal an uninterrupted one to the bit."""

import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tripletclip.errors import UserError
from tripletclip.files import write_atomic
from tripletclip.training.config import TrainConfig
from tripletclip.training.optim import load_moments, moments
from tripletclip.training.sharded import placed, whole_tensors

STATE_FILE, METRICS_FILE, CONFIG_FILE, DONE_FILE = "state.pt", "metrics.jsonl", "train.json", "done.json"
OLD_STATE = "state-{}.pt"
STATE_VERSION = 3


@dataclass(kw_only=True)
class Budget:
    """What a run has spent so far, the run that it started from not included; ``flops`` are 0 where the architecture's
    are not known."""

    steps: int = 0
    pairs: int = 0
    images: int = 0
    texts: int = 0
    tokens: int = 0
    flops: float = 0.0


@dataclass(kw_only=True)
class Progress:
    """The position of a run: the number of finished steps is all that the loader needs.

    ``data`` is the digest of the shards whose rows the steps were made of.
    ``best`` is the highest value that the run's judge gave so far, ``best_step`` the step that got it.
    """

    step: int = 0
    data: str = ""
    budget: Budget = field(default_factory=Budget)
    best: float | None = None
    best_step: int = 0
    skipped: int = 0
    usual_norm: float | None = None


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a state is made of beside the progress: everything with a ``state_dict``, by name."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    teacher: nn.Module | None = None


def save_state(config: TrainConfig, parts: Parts, progress: Progress, *, first: bool = True) -> None:
    """Write the state atomically: the old one stays whole until the new one is, and longer as ``keep_last`` says.

    The ``first`` rank writes; where weights are divided, the others must call this, too, and give their parts.
    """
    model = whole_tensors(parts.model.state_dict(), keep=first)
    optimizer = moments(parts.model, parts.optimizer, keep=first)
    if not first:
        return
    buffer = io.BytesIO()
    torch.save(
        {
            "version": STATE_VERSION,
            "identity": json.dumps(config.identity(), sort_keys=True),
            "model": model,
            "optimizer": optimizer,
            "teacher": {} if parts.teacher is None else parts.teacher.state_dict(),
            "random": torch.get_rng_state(),
            "progress": asdict(progress),
        },
        buffer,
    )
    newest = config.out / STATE_FILE
    if config.keep_last > 1:
        write_atomic(config.out / OLD_STATE.format(f"{progress.step:07d}"), buffer.getvalue())
        for old in sorted(config.out.glob(OLD_STATE.format("*")))[: -config.keep_last]:
            old.unlink()
    write_atomic(newest, buffer.getvalue())


def load_state(config: TrainConfig, parts: Parts) -> Progress:
    """Put the saved state into ``parts``; refuse one that is torn, of another run or of another architecture."""
    path = config.out / STATE_FILE
    try:
        state: dict[str, Any] = torch.load(path, map_location=config.device, weights_only=True)
        version, identity = state["version"], json.loads(state["identity"])
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is torn or not a training state; remove it, or start again with --overwrite"
        ) from error
    if version != STATE_VERSION:
        raise UserError(f"{path} has state version {version}; this release reads version {STATE_VERSION}")
    _check_same_run(path, identity, json.loads(json.dumps(config.identity())))
    try:
        _load_weights(parts.model, state["model"])
        load_moments(parts.model, parts.optimizer, state["optimizer"])
        if parts.teacher is not None:
            parts.teacher.load_state_dict(state["teacher"])
        progress = Progress(**state["progress"] | {"budget": Budget(**state["progress"]["budget"])})
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        fault = str(error).splitlines()[0]
        raise UserError(f"{path} is the state of another model ({fault}); start again with --overwrite") from error
    torch.set_rng_state(state["random"].cpu())
    return progress


def _load_weights(model: nn.Module, saved: Mapping[str, Any]) -> None:
    """Strictly, divided among the ranks as ``model`` is."""
    own = model.state_dict()
    shared = {name: placed(value, own[name]) if name in own else value for name, value in saved.items()}
    model.load_state_dict(shared)


def refuse_other_run(config: TrainConfig) -> None:
    """A folder that holds a run, finished or not, goes on with the same settings only."""
    path = config.out / CONFIG_FILE
    if not path.exists():
        return
    try:
        saved = json.loads(path.read_bytes())
    except ValueError as error:
        raise UserError(f"{path} is torn; remove it, or start again with --overwrite") from error
    if not isinstance(saved, dict):
        raise UserError(f"{path} holds no settings of a run; remove it, or start again with --overwrite")
    _check_same_run(path, saved, json.loads(json.dumps(config.identity())))


def _check_same_run(path: Path, saved: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    for name in asked:
        if saved.get(name) != asked[name]:
            raise UserError(
                f"{path} belongs to a run with {name} = {saved.get(name)}, not {asked[name]}; "
                "resume with the same settings, choose another folder, or give --overwrite"
            )


def forget_later_metrics(path: Path, step: int) -> None:
    """Cut a metrics file back to its first ``step`` steps, past which a killed run may have logged but not saved."""
    if path.exists():
        lines = path.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if line.endswith(b"\n") and json.loads(line)["step"] <= step]
        write_atomic(path, b"".join(kept))
