"""Tiny runs: 26 made triplets of 16 px and a model that takes a few milliseconds a step.

The pictures are PNG and the captions fixed, so no change of the embedded world or of a JPEG library changes a loss.
"""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tripletclip.data.shards import write_shard
from tripletclip.data.triplet import Triplet
from tripletclip.models import ModelConfig
from tripletclip.training.config import TrainConfig
from tripletclip.training.log import SPEED
from tripletclip.training.loop import train
from tripletclip.training.state import METRICS_FILE

COLOURS, SHAPES = ("red", "green", "blue"), ("ball", "cube", "cone")
WORDS = ["a", *COLOURS, *SHAPES]
TOKENS = 5
"""Start, three words, end: every text of the made triplets."""

ROWS = 26
MODEL = ModelConfig(
    embed_dim=8,
    image_size=16,
    patch_size=8,
    vision_width=16,
    vision_layers=1,
    text_width=16,
    text_layers=1,
    heads=2,
    context_length=8,
)


def picture(seed: int, colour: int) -> bytes:
    """Noise with one channel brighter, as PNG."""
    pixels = np.random.default_rng(seed).integers(0, 128, (16, 16, 3), dtype=np.uint8)
    pixels[:, :, colour] += 100
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def make_shards(folder: Path, *, negatives: bool = True, broken: tuple[int, ...] = ()) -> Path:
    """A shard of triplets, or of plain pairs; the images of the rows ``broken`` end too early."""
    rows = []
    for number in range(ROWS):
        colour, shape = number % 3, SHAPES[number // 3 % 3]
        other = (colour + 1) % 3
        rows.append(
            Triplet(
                key=f"{number:04d}",
                caption=f"a {COLOURS[colour]} {shape}",
                image=picture(2 * number, colour)[: 200 if number in broken else None],
                neg_caption=f"a {COLOURS[other]} {shape}" if negatives else None,
                neg_image=picture(2 * number + 1, other) if negatives else None,
            )
        )
    write_shard(folder, 0, rows)
    return folder


def tiny(data: Path, out: Path, **changes: Any) -> TrainConfig:
    """Ten steps of 12 passes over ``data``, every step logged."""
    config = TrainConfig(
        data=data,
        out=out,
        model=MODEL,
        steps=10,
        passes_per_step=12,
        learning_rate=1e-3,
        warmup=4,
        log_every=1,
        save_every=3,
        seed=5,
    )
    return replace(config, **changes)


def run(config: TrainConfig, **options: Any) -> Path:
    return train(config, words=WORDS, **options)


def metrics(folder: Path) -> list[dict[str, float]]:
    """The logged lines without the speed, which no two runs share."""
    lines = [json.loads(line) for line in (folder / METRICS_FILE).read_text("utf8").splitlines()]
    return [{name: value for name, value in line.items() if name not in SPEED} for line in lines]
