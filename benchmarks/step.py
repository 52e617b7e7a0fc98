"""A training step of ViT-B/32, forward and backward, ours beside open_clip's.

    python benchmarks/step.py --captions SUGARCREPE_FOLDER --batch 8

The same weights and pairs for all, in this process, in turns, fp32. For L_CLIP the yardstick is open_clip's model on
all 77 tokens with its ``ClipLoss``; for the triplet loss (Eq. 4) the official step: a forward for the pairs, a forward
for their negatives, six products. Ours is one forward per tower over both halves, texts cut to the longest; in the last
lines texts are sorted by length and encoded in groups, each cut to its own longest.

Captions are those of SugarCrepe's JSON files, or of lengths drawn to its statistics (mean 13.8 tokens, 99 % at most 23,
start and end included). Time is processor time: with one thread that is the step's, whatever else the machine does.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from open_clip.loss import ClipLoss
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F

from tripletclip.models import Clip, fresh_clip, image_features, text_features
from tripletclip.objectives.features import Features
from tripletclip.objectives.losses import contrastive_losses, objective_named

MODEL, CONTEXT = "ViT-B-32", 77
MEAN_TOKENS, TOKENS_99 = 13.8, 23
START, END = 49406, 49407


@dataclass(frozen=True, kw_only=True)
class Data:
    """Normalised pixels [N, 3, H, W] and tokens [N, 77], positives and negatives."""

    images: tuple[Tensor, Tensor]
    texts: tuple[Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class Step:
    """The features of a step (a tensor a tower, halves stacked) and its loss."""

    images: Tensor
    texts: Tensor
    loss: Tensor


Way = Callable[[Clip, Data], Step]


# ---- theirs --------------------------------------------------------------------------------------------------------


def open_clip_step(clip: Clip, data: Data) -> Step:
    image_ND, text_ND, scale = clip.model(data.images[0], data.texts[0])
    return Step(images=image_ND, texts=text_ND, loss=ClipLoss()(image_ND, text_ND, scale))


def official_triplet_step(clip: Clip, data: Data) -> Step:
    """Pairs and negatives one after the other, then L_NegCLIP(X, Y, Y') + L_NegCLIP(X', Y', Y), three products each."""
    image_ND, text_ND, scale = clip.model(data.images[0], data.texts[0])
    neg_image_ND, neg_text_ND, _ = clip.model(data.images[1], data.texts[1])
    first = negclip_formula(image_ND, text_ND, neg_text_ND, scale)
    second = negclip_formula(neg_image_ND, neg_text_ND, text_ND, scale)
    return Step(
        images=torch.cat([image_ND, neg_image_ND]), texts=torch.cat([text_ND, neg_text_ND]), loss=first + second
    )


def negclip_formula(image_ND: Tensor, text_ND: Tensor, other_text_ND: Tensor, scale: Tensor) -> Tensor:
    """Eq. 3, halved."""
    target = torch.arange(len(image_ND))
    over_all_texts = torch.cat([scale * image_ND @ text_ND.T, scale * image_ND @ other_text_ND.T], 1)
    return (F.cross_entropy(over_all_texts, target) + F.cross_entropy(scale * text_ND @ image_ND.T, target)) / 2


# ---- ours ----------------------------------------------------------------------------------------------------------


def our_step(objective: str, groups: int) -> Way:
    """One forward per tower; texts in ``groups`` by length."""
    named = objective_named(objective)

    def step(clip: Clip, data: Data) -> Step:
        images, texts = data.images[: named.image_halves], data.texts[: named.text_halves]
        image_rows = image_features(clip.model, torch.cat(images))
        text_rows = grouped_texts(clip, torch.cat(texts), groups)
        pairs = len(images[0])
        features = Features(images=torch.split(image_rows, pairs), texts=torch.split(text_rows, pairs))
        losses, _ = contrastive_losses(named, features, clip.model.logit_scale.exp())
        return Step(images=image_rows, texts=text_rows, loss=torch.stack(list(losses.values())).sum())

    return step


def grouped_texts(clip: Clip, text_ML: Tensor, groups: int) -> Tensor:
    """Features of texts that are encoded in ``groups`` of equal numbers, the shortest first, in the order given."""
    length_M = text_ML.ne(0).sum(1)
    order_M = torch.argsort(length_M, stable=True)
    rows = []
    for chosen in order_M.chunk(groups):
        length = int(length_M[chosen].max())
        rows.append(text_features(clip.model, text_ML[chosen, :length], length))
    return torch.cat(rows)[torch.argsort(order_M)]


# ---- data ----------------------------------------------------------------------------------------------------------


def draw_data(clip: Clip, pairs: int, captions: Path | None) -> Data:
    """Random pixels, and texts of real length."""
    generator = torch.Generator().manual_seed(0)
    size = clip.image_size
    images = [torch.randn(pairs, 3, size, size, generator=generator) for _ in range(2)]
    texts = made_texts(pairs) if captions is None else real_texts(clip, pairs, captions)
    return Data(images=(images[0], images[1]), texts=texts)


def real_texts(clip: Clip, pairs: int, folder: Path) -> tuple[Tensor, Tensor]:
    """Captions and negatives of items drawn from all of SugarCrepe's splits."""
    items = [item for path in sorted(folder.glob("*.json")) for item in json.loads(path.read_text("utf8")).values()]
    if len(items) < pairs:
        raise SystemExit(f"{folder} has {len(items)} items in its *.json, fewer than {pairs}")
    chosen = [items[place] for place in np.random.default_rng(0).permutation(len(items))[:pairs]]
    positive, negative = (clip.tokenizer([item[role] for item in chosen]) for role in ("caption", "negative_caption"))
    return positive, negative


def made_texts(pairs: int) -> tuple[Tensor, Tensor]:
    generator = np.random.default_rng(0)
    spread = (TOKENS_99 - MEAN_TOKENS) / 2.326
    lengths = np.clip(generator.normal(MEAN_TOKENS, spread, 2 * pairs).round(), 5, CONTEXT).astype(int)
    texts = torch.zeros(2 * pairs, CONTEXT, dtype=torch.int64)
    for row, length in enumerate(lengths):
        texts[row, :length] = torch.from_numpy(generator.integers(300, 40_000, length))
        texts[row, 0], texts[row, length - 1] = START, END
    return texts[:pairs], texts[pairs:]


# ---- measuring -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Seconds of each turn, and how far features, loss and gradients are from the yardstick's."""

    seconds: list[float]
    off: dict[str, float]


def measure(clip: Clip, data: Data, ways: dict[str, Way], rounds: int) -> dict[str, Measured]:
    """Every way in turns; the first named is the yardstick."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    off: dict[str, dict[str, float]] = {}
    yardstick: list[Tensor] = []
    for _ in range(rounds):
        for name, way in ways.items():
            clip.model.zero_grad(set_to_none=True)
            start = time.process_time()
            step = way(clip, data)
            torch.autograd.backward(step.loss)
            seconds[name].append(time.process_time() - start)
            found = [step.images.detach(), step.texts.detach(), step.loss.detach()]
            found.append(torch.cat([parameter.grad.flatten() for parameter in clip.model.parameters()]))
            yardstick = yardstick or found
            off[name] = distances(found, yardstick)
    return {name: Measured(seconds=seconds[name], off=off[name]) for name in ways}


def distances(found: Sequence[Tensor], yardstick: Sequence[Tensor]) -> dict[str, float]:
    """Largest difference of a feature and of the loss; of a gradient, relative to the largest gradient."""
    images, texts, loss, gradient = (
        float((mine - theirs).abs().max()) for mine, theirs in zip(found, yardstick, strict=True)
    )
    return {"features": max(images, texts), "loss": loss, "gradient": gradient / float(yardstick[3].abs().max())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=Path, help="folder of SugarCrepe's *.json")
    parser.add_argument("--batch", type=int, default=8, help="pairs of a step")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clip = fresh_clip(MODEL)
    data = draw_data(clip, options.batch, options.captions)
    warm_up = draw_data(clip, 2, None)
    lengths = [texts.ne(0).sum(1).float() for texts in data.texts]
    tables = {
        "clip": {"open_clip, ClipLoss, 77 tokens": open_clip_step},
        "tripletclip": {"official: two forwards, six products": official_triplet_step},
    }
    for objective, ways in tables.items():
        ways |= {"ours, cut to the longest": our_step(objective, 1)}
        ways |= {f"ours, {groups} groups by length": our_step(objective, groups) for groups in (2, 3)}
        measure(clip, warm_up, dict(list(ways.items())[:2]), 1)
        found = measure(clip, data, ways, options.rounds)
        said = torch.cat(lengths if objective == "tripletclip" else lengths[:1])
        table = Table(
            title=f"{MODEL}, {objective}, {options.batch} pairs, texts of {said.mean():.1f} tokens in the mean and "
            f"{said.max():.0f} at most, {options.threads} thread"
        )
        for heading in ("", "s/step", "to the first", "features off", "loss off", "gradient off"):
            table.add_column(heading, justify="right" if heading else "left")
        base = min(next(iter(found.values())).seconds)
        for name, measured in found.items():
            best = min(measured.seconds)
            table.add_row(
                name, f"{best:.2f}", f"{base / best:.2f}", *(f"{value:.0e}" for value in measured.off.values())
            )
        Console(width=110).print(table)


if __name__ == "__main__":
    main()
