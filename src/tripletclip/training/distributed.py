"""Many devices, one process each, as ``torchrun`` starts them: who I am, and what ranks say to each other.

Every rank holds the whole model. Gradients are averaged after the backward pass, in a few large messages: with cached
features (see step.py) the gradient of ``logit_scale`` is ready before the towers run, which the hooks of
``DistributedDataParallel`` do not allow for; the average is the same.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from tripletclip.errors import Incomplete, UserError
from tripletclip.training.sharded import is_sharded

BUCKET_BYTES = 64 * 2**20
"""Gradients travel in messages of about this size: few enough to start rarely, small enough to need little memory."""

TIMEOUT = timedelta(minutes=10)
"""How long a rank waits for the others before it stops with an error instead of hanging."""


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process among all of a run. One process alone is rank 0 of 1 and sends nothing."""

    rank: int = 0
    size: int = 1
    device: torch.device
    group: dist.ProcessGroup | None = None

    @property
    def is_first(self) -> bool:
        """Whether this rank writes the files."""
        return self.rank == 0

    def average_gradients(self, model: nn.Module) -> None:
        """Replace every gradient by its mean over the ranks; parameters without one on this rank count as zero.

        Those of weights that are divided among the ranks are means already.
        """
        if self.size == 1:
            return
        trained = (parameter for parameter in model.parameters() if parameter.requires_grad)
        for bucket in _buckets(parameter for parameter in trained if not is_sharded(parameter)):
            flat = torch.cat([_gradient(parameter).flatten() for parameter in bucket])
            dist.all_reduce(flat, group=self.group)
            flat /= self.size
            for parameter, part in zip(
                bucket, torch.split(flat, [parameter.numel() for parameter in bucket]), strict=True
            ):
                parameter.grad = part.view_as(parameter)

    def worst(self, flags: list[float]) -> list[float]:
        """The largest of each flag over the ranks: what one rank must tell all before they go on together."""
        if self.size == 1:
            return flags
        told = torch.tensor(flags, dtype=torch.float64, device=self.device)
        dist.all_reduce(told, dist.ReduceOp.MAX, group=self.group)
        return [float(flag) for flag in told.tolist()]

    def mean(self, values: dict[str, Tensor]) -> dict[str, float]:
        """The mean of each named scalar over the ranks, as numbers; one message, one wait for the device."""
        told = torch.stack([value.detach().double().reshape(()) for value in values.values()])
        if self.size > 1:
            dist.all_reduce(told, group=self.group)
            told /= self.size
        return dict(zip(values, told.tolist(), strict=True))

    def joined(self, found: Mapping[str, str]) -> dict[str, str]:
        """What any rank has found, by name: two ranks may meet the same row in different epochs."""
        if self.size == 1:
            return dict(found)
        told: list[dict[str, str]] = [{} for _ in range(self.size)]
        dist.all_gather_object(told, dict(found), group=self.group)
        return {name: value for one in told for name, value in one.items()}

    def wait(self) -> None:
        """Go on when every rank is here."""
        if self.size > 1:
            dist.barrier(group=self.group)


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _buckets(parameters: Iterable[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Neighbours of one type, together about ``BUCKET_BYTES``."""
    bucket: list[nn.Parameter] = []
    size = 0
    for parameter in parameters:
        if bucket and (size >= BUCKET_BYTES or parameter.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(parameter)
        size += parameter.numel() * parameter.element_size()
    if bucket:
        yield bucket


@contextlib.contextmanager
def others_needed(ranks: Ranks, what_remains: str) -> Iterator[None]:
    """A process of the run that dies ends the others with :class:`Incomplete`, which says ``what_remains``.

    NCCL tells of it by an error of its own kind, gloo by a plain one that names its source file.
    """
    try:
        yield
    except RuntimeError as error:
        if ranks.size > 1 and (isinstance(error, dist.DistError) or "gloo" in str(error)):
            raise Incomplete(
                f"another process of this run ended, so rank {ranks.rank} stops; {what_remains}"
            ) from error
        raise


@contextlib.contextmanager
def all_ranks(device: str) -> Iterator[Ranks]:
    """This process's place in the run that ``torchrun`` started, or alone where nothing did.

    Raises :class:`UserError` for a device that this machine lacks, or has fewer of than processes.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    kind = torch.device(device)
    if kind.type == "cuda":
        if not torch.cuda.is_available():
            raise UserError(f"device is '{device}', and PyTorch sees no GPU here; give --device cpu")
        if size > 1 and local >= torch.cuda.device_count():
            raise UserError(
                f"{local + 1} processes need as many GPUs, and this machine has {torch.cuda.device_count()}"
            )
        if size > 1:
            kind = torch.device("cuda", local)
            torch.cuda.set_device(kind)
    if size == 1 or dist.is_initialized():
        yield _joined(kind) if dist.is_initialized() else Ranks(device=kind)
        return
    dist.init_process_group("nccl" if kind.type == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield _joined(kind)
    finally:
        dist.destroy_process_group()


def _joined(device: torch.device) -> Ranks:
    return Ranks(rank=dist.get_rank(), size=dist.get_world_size(), device=device, group=dist.group.WORLD)
