"""What a run says while it goes: lines of JSON always, TensorBoard and Weights & Biases when asked, and its speed."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Protocol

import torch

from tripletclip.errors import UserError
from tripletclip.extras import require
from tripletclip.training.config import TrainConfig
from tripletclip.training.state import METRICS_FILE

PEAK_SIZE = 1024
"""Side of the square matrices whose product measures what the device can do."""


class Tracker(Protocol):
    """Anything that takes numbers by name for a step."""

    def write(self, step: int, values: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


class TensorBoard:
    """Event files in ``tensorboard/`` of the run's folder."""

    def __init__(self, config: TrainConfig) -> None:
        require("track", "the tracker tensorboard", "tensorboard")
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(config.out / "tensorboard"))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(f"train/{name}", value, step)

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    """A run of Weights & Biases, configured by its own environment variables; the key is theirs to read."""

    def __init__(self, config: TrainConfig) -> None:
        require("track", "the tracker wandb", "wandb")
        import wandb  # type: ignore[import-not-found, unused-ignore]

        settings = json.loads(json.dumps(config.identity()))
        # The same id at each start, so that a resumed run goes on as one curve.
        self._run: Any = wandb.init(
            dir=str(config.out), name=config.out.name, id=config.out.name, resume="allow", config=settings
        )

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


TRACKERS: dict[str, Callable[[TrainConfig], Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
}


@dataclass(kw_only=True)
class Stopwatch:
    """Seconds since the last reading: in all, and of these waiting for data and for the other ranks."""

    pairs: int = 0
    flops: float = 0.0
    data: float = 0.0
    ranks: float = 0.0
    since: float = field(default_factory=time.perf_counter)

    def read(self, peak_flops: float | None) -> dict[str, float]:
        """Speeds and shares by name, and start again."""
        now = time.perf_counter()
        seconds = now - self.since
        found = {"pairs_per_second": self.pairs / seconds, "data_share": self.data / seconds}
        if self.ranks:
            found["ranks_share"] = self.ranks / seconds
        if peak_flops is not None:
            found["mfu"] = self.flops / seconds / peak_flops
        self.pairs, self.flops, self.data, self.ranks, self.since = 0, 0.0, 0.0, 0.0, now
        return found


SPEED = ("pairs_per_second", "data_share", "ranks_share", "mfu")
"""What no two runs share."""


class Journal:
    """Writes what the first rank knows; the other ranks have none."""

    def __init__(self, config: TrainConfig) -> None:
        self._trackers: list[Tracker] = [TRACKERS[name](config) for name in config.trackers]
        self._file: IO[str] = open(config.out / METRICS_FILE, "a", encoding="utf8")  # noqa: SIM115

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """One line, flushed: whoever watches sees it at once."""
        try:
            self._file.write(json.dumps({"step": step, **values}) + "\n")
            self._file.flush()
        except OSError as error:
            raise UserError(f"cannot write {self._file.name}: {error.strerror or error}") from error
        for tracker in self._trackers:
            tracker.write(step, values)

    def close(self) -> None:
        self._file.close()
        for tracker in self._trackers:
            tracker.close()


def peak_flops(device: torch.device, precision: str) -> float:
    """FLOPs per second of one large matrix product on ``device``: the ceiling that MFU is measured against."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    size = PEAK_SIZE * (8 if device.type == "cuda" else 1)
    left = torch.ones(size, size, dtype=dtype, device=device)
    best = float("inf")
    for _ in range(3):  # the first call sets things up
        _settle(device)
        start = time.perf_counter()
        left @ left
        _settle(device)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def _settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def bound_by(values: Mapping[str, float]) -> str:
    """What bound a stretch of steps, in words, from its shares: data, the other ranks, or computing."""
    shares = {"data": values["data_share"], "ranks": values.get("ranks_share", 0.0)}
    shares["computing"] = 1 - sum(shares.values())
    most = max(shares, key=lambda name: shares[name])
    return f"bound by {most}: " + ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items() if share)
