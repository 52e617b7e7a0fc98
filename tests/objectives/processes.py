"""What the processes of test_gather.py run: every objective, results to a file a rank."""

import os
from pathlib import Path

import torch
from slow_references import HALVES
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F

from tripletclip.errors import UserError
from tripletclip.objectives.gather import gather_features
from tripletclip.objectives.losses import (
    Features,
    HardNegatives,
    Objective,
    contrastive_losses,
    objective_named,
    rank_local_losses,
)

SPLITS = {2: ((3, 4), (5, 2)), 3: ((3, 0, 4), (1, 4, 2), (0, 7, 0))}
"""Pairs of each rank, by number of processes; 7 in all, never equal parts."""

CHUNKS = (None, 2)
PAIRS, WIDTH = 7, 4
Result = dict[str, Tensor]


def cases() -> list[tuple[str, int, HardNegatives]]:
    """``(objective, negative captions, settings)``: all objectives, and the settings where negatives ask and not."""
    every = [(name, 1, HardNegatives()) for name in HALVES]
    hard = HardNegatives(weight=1.7, margin=0.15, temperature=1.3)
    pairs = HardNegatives(weight=1.7, margin=0.15, temperature=1.3, pair_weight=0.6)
    asked = [(name, 1, pairs) for name in HALVES if HALVES[name] == (2, 2)]
    return [*every, ("negclip", 3, hard), ("negimage", 1, hard), *asked]


class Towers(nn.Module):
    """A linear tower a modality, ``logit_scale`` (its logarithm) and, where wanted, ``logit_bias``."""

    def __init__(self, *, bias: bool) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.image = nn.Linear(5, WIDTH, dtype=torch.float64)
        self.text = nn.Linear(6, WIDTH, dtype=torch.float64)
        self.logit_scale = nn.Parameter(torch.tensor(1.5, dtype=torch.float64))
        self.logit_bias = nn.Parameter(torch.tensor(-2.0, dtype=torch.float64)) if bias else None

    def forward(self, images: list[Tensor], texts: list[Tensor]) -> tuple[list[Tensor], list[Tensor], Tensor]:
        image_rows = [F.normalize(self.image(half), dim=1) for half in images]
        return image_rows, [F.normalize(self.text(half), dim=1) for half in texts], self.logit_scale.exp()


def inputs(width: int, halves: int, seed: int, rows: slice) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(PAIRS, width, generator=generator, dtype=torch.float64)[rows] for _ in range(halves)]


def step(
    objective: Objective,
    hard: HardNegatives,
    rows: slice,
    chunk: int | None,
    group: dist.ProcessGroup | None,
) -> Result:
    """Losses, report and gradients of one process, before DistributedDataParallel would average them."""
    towers = Towers(bias=objective.needs_bias)
    images, texts, scale = towers(inputs(5, objective.image_halves, 1, rows), inputs(6, objective.text_halves, 2, rows))
    losses, report = contrastive_losses(
        objective,
        Features(images=tuple(images), texts=tuple(texts)),
        scale,
        logit_bias=towers.logit_bias,
        chunk=chunk,
        hard=hard,
        group=group,
    )
    torch.autograd.backward(torch.stack(list(losses.values())).sum())
    values = {name: value.detach() for name, value in {**losses, **report}.items()}
    grads = {f"{name}.grad": weight.grad for name, weight in towers.named_parameters() if weight.grad is not None}
    assert len(grads) == len(list(towers.parameters()))
    return values | grads


def label(name: str, captions: int, hard: HardNegatives, split: tuple[int, ...], chunk: int | None) -> str:
    return f"{name} captions={captions} hard={not hard.is_papers} split={split} chunk={chunk}"


def work(rank: int, folder: Path) -> None:
    """One of three processes on loopback: all cases with the three of them, and with the last two as their own group.

    In the latter a process's rank in the group is not its rank in the world. Writes ``PROCESSES-RANK.pt``.
    """
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=3)
    pair = dist.new_group([1, 2])
    for group in (dist.group.WORLD, pair):
        if group is None or dist.get_rank(group) < 0:
            continue
        size, place = dist.get_world_size(group), dist.get_rank(group)
        results: dict[str, Result] = {}
        for split in SPLITS[size]:
            rows = slice(sum(split[:place]), sum(split[: place + 1]))
            for name, captions, hard in cases():
                objective = objective_named(name, neg_captions=captions)
                for chunk in CHUNKS:
                    results[label(name, captions, hard, split, chunk)] = step(objective, hard, rows, chunk, group)
        torch.save({"results": results, "refused": refusals(place, group)}, folder / f"{size}-{place}.pt")
    dist.destroy_process_group()


def refusals(rank: int, group: dist.ProcessGroup) -> list[str]:
    """What each process is told: of a gather without gradients in a loss, of other widths, of a batch without pairs."""

    def features(n: int, width: int) -> Features:
        return Features(images=(torch.ones(n, width),), texts=(torch.ones(n, width),))

    told = []
    for n, width, gradients in ((rank + 1, 4, False), (2, 4 + rank, True), (0, 4, True)):
        try:
            gathered = gather_features(features(n, width), group, gradients=gradients)
            rank_local_losses(objective_named("clip"), gathered, torch.tensor(1.0))
            told.append("nothing")
        except UserError as error:
            told.append(str(error))
    return told
