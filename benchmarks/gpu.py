"""A whole training step of ViT-B/32 on a GPU: MFU, against open_clip's step, the loss's share, and the largest batch.

    python benchmarks/gpu.py                                         # bf16, 1,024 triplets
    python benchmarks/gpu.py --device cpu --precision fp32 --batch 2 --largest 64 --chunk 16    # does it run?

Synthetic uint8 pictures and texts of real length. *Ours* takes bytes and does everything that a step of ``tripletclip
train`` does, optimizer included. *open_clip's* is its model under autocast on pictures that are normalised already, the
official triplet formula on two forwards, gradient clipping and fused AdamW. MFU is counted on the towers' matrix
products of our (shortened) texts, against one large bf16 product measured here. Goals: MFU 50 %, 1.4 times open_clip's
step, a loss of at most 5 % of the step, a batch of 65,536 in the chunked loss.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from step import MODEL, made_texts, official_triplet_step
from step import Data as FloatData
from torch import Tensor
from torch.nn import functional as F

from tripletclip.data.batch import Batch, trimmed
from tripletclip.models import Clip, forward_flops, fresh_clip
from tripletclip.objectives.features import Features
from tripletclip.objectives.losses import contrastive_losses, objective_named
from tripletclip.training.config import TrainConfig
from tripletclip.training.log import peak_flops
from tripletclip.training.step import Learner, train_step

WIDTH = 512


@dataclass(frozen=True, kw_only=True)
class GpuFigures:
    """What was measured: seconds of a step, shares and ratios, and the memory of the largest loss in bytes."""

    device: str
    ours: float
    theirs: float
    mfu: float
    loss_share: float
    largest: int
    largest_bytes: int | None


def measure(
    device: torch.device, *, batch: int, rounds: int, largest: int, chunk: int, precision: str = "bf16"
) -> GpuFigures:
    """All figures on ``device``; steps take turns, medians count."""
    clip = fresh_clip(MODEL)
    clip.model.to(device).train()
    bytes_batch, float_data = synthetic(clip, batch, device)
    config = TrainConfig(data=Path("-"), out=Path("-"), device=str(device), precision=precision, chunk=chunk)
    learner = Learner.alone(config, clip)
    other = fresh_clip(MODEL)
    other.model.to(device).train()
    ways = {
        "ours": lambda: train_step(learner, bytes_batch),
        "theirs": open_clip_step(other, float_data, device, precision),
    }
    seconds = {name: [] for name in ways}
    for turn in range(rounds + 1):  # the first warms up
        for name, way in ways.items():
            took = timed(way, device)
            if turn:
                seconds[name].append(took)
    ours, theirs = statistics.median(seconds["ours"]), statistics.median(seconds["theirs"])
    image_flops, text_flops = forward_flops(clip.cfg, bytes_batch.text.shape[1])
    flops = 3 * 2 * batch * (image_flops + text_flops)
    loss = statistics.median(timed(loss_alone(batch, chunk, device), device) for _ in range(rounds + 1))
    return GpuFigures(
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        ours=ours,
        theirs=theirs,
        mfu=flops / ours / peak_flops(device, precision),
        loss_share=loss / ours,
        largest=largest,
        largest_bytes=largest_loss(largest, chunk, device),
    )


def synthetic(clip: Clip, batch: int, device: torch.device) -> tuple[Batch, FloatData]:
    """The same pairs as bytes on the CPU, as the loader gives them, and as normalised floats on ``device``."""
    generator = torch.Generator().manual_seed(0)
    shape = (batch, 3, clip.image_size, clip.image_size)
    images = [torch.randint(256, shape, generator=generator, dtype=torch.uint8) for _ in range(2)]
    texts = made_texts(batch)
    text, neg_text = trimmed(*texts)
    whole = Batch(
        keys=[str(row) for row in range(batch)], image=images[0], text=text, neg_image=images[1], neg_text=neg_text
    )
    pixels = [clip.pixels(image, device) for image in images]
    floats = FloatData(images=(pixels[0], pixels[1]), texts=(texts[0].to(device), texts[1].to(device)))
    return whole.pin_memory() if device.type == "cuda" else whole, floats


def open_clip_step(clip: Clip, data: FloatData, device: torch.device, precision: str) -> Callable[[], object]:
    """open_clip's model, the official formula, clipping and AdamW."""
    optimizer = torch.optim.AdamW(clip.model.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            loss = official_triplet_step(clip, data).loss
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(clip.model.parameters(), 1.0)
        optimizer.step()

    return step


def loss_alone(pairs: int, chunk: int, device: torch.device) -> Callable[[], Tensor]:
    """Value and gradients of the chunked triplet loss of ``pairs`` random features."""
    generator = torch.Generator().manual_seed(0)
    halves = [F.normalize(torch.randn(pairs, WIDTH, generator=generator), dim=1).to(device) for _ in range(4)]
    leaves = [half.requires_grad_() for half in halves]
    scale = torch.tensor(20.0, device=device, requires_grad=True)

    def loss() -> Tensor:
        features = Features(images=tuple(leaves[:2]), texts=tuple(leaves[2:]))
        losses, _ = contrastive_losses(objective_named("tripletclip"), features, scale, chunk=chunk)
        value = torch.stack(list(losses.values())).sum()
        torch.autograd.grad(value, [*leaves, scale])
        return value

    return loss


def largest_loss(pairs: int, chunk: int, device: torch.device) -> int | None:
    """Peak memory of the chunked loss at ``pairs``; None where only CUDA's allocator could tell."""
    loss = loss_alone(pairs, chunk, device)
    if device.type != "cuda":
        loss()
        return None
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    loss()
    return torch.cuda.max_memory_allocated() - before


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of ``work``, the device's queue emptied before and after."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--batch", type=int, default=1024, help="triplets of a step")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--largest", type=int, default=65_536, help="pairs of the largest loss")
    parser.add_argument("--chunk", type=int, default=4096)
    options = parser.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        raise SystemExit("no GPU here; --device cpu with small sizes shows that the benchmark runs")
    device = torch.device(options.device)
    sizes = {name: vars(options)[name] for name in ("batch", "rounds", "largest", "chunk", "precision")}
    found = measure(device, **sizes)
    console = Console()
    console.print(f"{found.device}, {MODEL}, {options.precision}, {options.batch:,} triplets")
    console.print(f"step: {1000 * found.ours:,.0f} ms, open_clip's {1000 * found.theirs:,.0f} ms")
    console.print(f"ratio {found.theirs / found.ours:.2f}")
    console.print(f"MFU {100 * found.mfu:.1f} %, loss {100 * found.loss_share:.1f} % of the step")
    memory = "memory not known" if found.largest_bytes is None else f"{found.largest_bytes / 1e9:.1f} GB"
    console.print(f"chunked loss of {found.largest:,} pairs: {memory}")


if __name__ == "__main__":
    main()
