"""The triplet loss (Eq. 4), dense and chunked, beside the formula as published: same numbers, time, extra memory.

    python benchmarks/objectives.py --n 512 1536 --width 512
    OMP_NUM_THREADS=1 python benchmarks/objectives.py --n 8192 --rounds 1     # about 5 GB, minutes on one core

All run in this process, in turns, forward and backward. Memory is the peak above what was in use before: on the CPU the
resident set of the process (Linux with glibc only), on CUDA the allocator's own count. The first line is the yardstick.
The CPU's seconds stand beside the clock's: they hardly feel what else the machine does. Goals at 8,192 pairs of 512
features for the chunked form: at most 1/8 of the memory and 1.1 of the time.
"""

import argparse
import ctypes
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F

from tripletclip.objectives.contrastive import two_way_softmax
from tripletclip.objectives.losses import objective_named

Loss = Callable[[list[Tensor], list[Tensor], Tensor], Tensor]
PUBLISHED = "published"


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One forward and backward pass: seconds of the clock and of the CPU, bytes, and what came out."""

    seconds: float
    cpu_seconds: float
    peak: int | None
    value: float
    gradients: tuple[Tensor, ...]


def negclip_formula(image_ND: Tensor, text_ND: Tensor, other_text_ND: Tensor, scale: Tensor) -> Tensor:
    """L_NegCLIP(X, Y, Y'), Eq. 3, halved: three products of N x N."""
    image_to_text = scale * image_ND @ text_ND.T
    image_to_other = scale * image_ND @ other_text_ND.T
    text_to_image = scale * text_ND @ image_ND.T
    target = torch.arange(len(image_ND), device=image_ND.device)
    over_all_texts = F.cross_entropy(torch.cat([image_to_text, image_to_other], 1), target)
    return (over_all_texts + F.cross_entropy(text_to_image, target)) / 2


def published(images: list[Tensor], texts: list[Tensor], scale: Tensor) -> Tensor:
    """L_TCL = L_NegCLIP(X, Y, Y') + L_NegCLIP(X', Y', Y), Eq. 4: two calls, six products."""
    first = negclip_formula(images[0], texts[0], texts[1], scale)
    return first + negclip_formula(images[1], texts[1], texts[0], scale)


def ours(chunk: int | None) -> Loss:
    """The same loss as one pattern of the two-way softmax."""
    pattern = objective_named("tripletclip").pattern

    def loss(images: list[Tensor], texts: list[Tensor], scale: Tensor) -> Tensor:
        image_loss, text_loss = two_way_softmax(images, texts, scale, pattern, chunk=chunk)
        return image_loss + text_loss

    return loss


class Peak:
    """The highest use of memory within the block, above that at its start, in bytes; None where it cannot be told."""

    def __init__(self, device: str) -> None:
        self.cuda = device.startswith("cuda")
        self.libc = ctypes.CDLL(None) if Path("/proc/self/clear_refs").exists() else None
        self.rise: int | None = None

    def __enter__(self) -> "Peak":
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated()
        elif self.libc is not None:
            self.libc.malloc_trim(0)  # what earlier turns freed goes back to the system
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from the present size
            self.before = _status("VmRSS")
        return self

    def __exit__(self, *exception: object) -> None:
        if self.cuda:
            self.rise = torch.cuda.max_memory_allocated() - self.before
        elif self.libc is not None:
            self.rise = _status("VmHWM") - self.before


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text("utf8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


def turn(loss: Loss, leaves: list[Tensor], device: str) -> Turn:
    """Forward and backward, measured."""
    with Peak(device) as peak:
        start, cpu_start = time.perf_counter(), time.process_time()
        value = loss(leaves[:2], leaves[2:4], leaves[4])
        gradients = torch.autograd.grad(value, leaves)
        if peak.cuda:
            torch.cuda.synchronize()
        elapsed, cpu_elapsed = time.perf_counter() - start, time.process_time() - cpu_start
    return Turn(seconds=elapsed, cpu_seconds=cpu_elapsed, peak=peak.rise, value=value.item(), gradients=gradients)


def made(pairs: int, width: int, device: str) -> list[Tensor]:
    """Halves X, X', Y, Y' and the scale, as leaves."""
    generator = torch.Generator().manual_seed(0)
    halves = [F.normalize(torch.randn(pairs, width, generator=generator), dim=1).to(device) for _ in range(4)]
    return [half.requires_grad_() for half in halves] + [torch.tensor(20.0, device=device, requires_grad=True)]


def measure(losses: dict[str, Loss], pairs: int, width: int, rounds: int, device: str) -> Table:
    """One table: medians of time and memory, and how far value and gradients are from the published formula's."""
    for loss in losses.values():
        turn(loss, made(64, width, device), device)  # warms up
    leaves = made(pairs, width, device)
    turns: dict[str, list[Turn]] = {name: [] for name in losses}
    for _ in range(rounds):
        for name, loss in losses.items():
            turns[name] = [replace(known, gradients=()) for known in turns[name]]  # only the latest are compared
            turns[name].append(turn(loss, leaves, device))
    threads = f"{torch.get_num_threads()} threads" if device == "cpu" else torch.cuda.get_device_name(device)
    table = Table(title=f"Triplet loss, {pairs:,} pairs, {width} features, {threads}, {rounds} rounds")
    for heading in ("", "time", "ratio", "CPU", "ratio", "memory", "ratio", "value off by", "gradient off by"):
        table.add_column(heading, justify="right" if heading else "left")
    for name in losses:
        table.add_row(name, *_row(turns[name], turns[PUBLISHED]))
    return table


def _row(mine: list[Turn], base: list[Turn]) -> list[str]:
    cells = []
    for kind in ("seconds", "cpu_seconds"):
        middle, base_middle = (statistics.median(vars(found)[kind] for found in turns) for turns in (mine, base))
        cells += [f"{1000 * middle:,.0f} ms", f"{middle / base_middle:.2f}"]
    peaks, base_peaks = ([found.peak for found in turns if found.peak is not None] for turns in (mine, base))
    if peaks:
        most, base_most = statistics.median(peaks), statistics.median(base_peaks)
        cells += [f"{most / 1e6:,.0f} MB", f"{most / base_most:.3f}"]
    else:
        cells += ["not known", ""]
    pairs = zip(mine[-1].gradients, base[-1].gradients, strict=True)
    gradient = max(float((ours - theirs).abs().max() / theirs.abs().max()) for ours, theirs in pairs)
    return [*cells, f"{abs(mine[-1].value - base[-1].value) / abs(base[-1].value):.0e}", f"{gradient:.0e}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, nargs="+", default=[512, 1536])
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chunk", type=int, nargs="+", default=[256])
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    losses = {PUBLISHED: published, "dense": ours(None)}
    losses |= {f"chunked by {chunk}": ours(chunk) for chunk in options.chunk}
    for pairs in options.n:
        Console().print(measure(losses, pairs, options.width, options.rounds, options.device))


if __name__ == "__main__":
    main()
