"""The triplet loss (Eq. 4), dense and chunked, beside the formula as published: time, memory, and the same gradients.

    python benchmarks/objectives.py --pairs 512 1536 --width 512

All run in this process, in turns, forward and backward. Memory is the peak above what was in use before: on the CPU the
resident set of the process (Linux with glibc only), on CUDA the allocator's own count. The first line is the yardstick.
"""

import argparse
import ctypes
import statistics
import time
from collections.abc import Callable
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
CHUNK = 256


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


def measure(losses: dict[str, Loss], pairs: int, width: int, rounds: int, device: str) -> Table:
    """One table: median time, median peak memory, and the largest difference in a gradient relative to its maximum."""
    generator = torch.Generator().manual_seed(0)
    halves = [F.normalize(torch.randn(pairs, width, generator=generator), dim=1).to(device) for _ in range(4)]
    leaves = [half.requires_grad_() for half in halves] + [torch.tensor(20.0, device=device, requires_grad=True)]
    seconds: dict[str, list[float]] = {name: [] for name in losses}
    peaks: dict[str, list[int]] = {name: [] for name in losses}
    gradients: dict[str, tuple[Tensor, ...]] = {}
    for turn in range(rounds + 1):
        for name, loss in losses.items():
            gradients.pop(name, None)
            with Peak(device) as peak:
                start = time.perf_counter()
                gradients[name] = torch.autograd.grad(loss(leaves[:2], leaves[2:4], leaves[4]), leaves)
                if peak.cuda:
                    torch.cuda.synchronize()
                elapsed = time.perf_counter() - start
            if turn > 0:  # the first turn warms up
                seconds[name].append(elapsed)
                peaks[name] += [] if peak.rise is None else [peak.rise]
    threads = f"{torch.get_num_threads()} threads" if device == "cpu" else torch.cuda.get_device_name(device)
    table = Table(title=f"Triplet loss, {pairs:,} pairs, {width} features, {threads}")
    for heading in ("", "time", "ratio", "memory", "ratio", "gradient off by"):
        table.add_column(heading, justify="right" if heading else "left")
    for name in losses:
        table.add_row(name, *_row(name, seconds, peaks, gradients))
    return table


def _row(
    name: str,
    seconds: dict[str, list[float]],
    peaks: dict[str, list[int]],
    gradients: dict[str, tuple[Tensor, ...]],
) -> list[str]:
    middle, base = statistics.median(seconds[name]), statistics.median(seconds[PUBLISHED])
    cells = [f"{1000 * middle:,.0f} ms", f"{middle / base:.2f}"]
    if peaks[name]:
        most, base_peak = statistics.median(peaks[name]), statistics.median(peaks[PUBLISHED])
        cells += [f"{most / 1e6:,.0f} MB", f"{most / base_peak:.2f}"]
    else:
        cells += ["not known", ""]
    largest = max(
        float((mine - theirs).abs().max() / theirs.abs().max())
        for mine, theirs in zip(gradients[name], gradients[PUBLISHED], strict=True)
    )
    return [*cells, f"{largest:.0e}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, nargs="+", default=[512, 1536])
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    losses = {PUBLISHED: published, "dense": ours(None), f"chunked by {CHUNK}": ours(CHUNK)}
    for pairs in options.pairs:
        Console().print(measure(losses, pairs, options.width, options.rounds, options.device))


if __name__ == "__main__":
    main()
