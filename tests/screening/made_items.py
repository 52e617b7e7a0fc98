"""Items and small shards that the tests of screening share. All made from numbers, nothing from the code they test."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from tripletclip.data.shards import write_shard
from tripletclip.data.triplet import Triplet
from tripletclip.screening.items import Item

SHARED = Path(__file__).parents[3] / "shared" / "data"

NOUNS = [f"noun{number}" for number in range(40)]


def item(caption: str, neg_caption: str, key: str = "k", category: str = "") -> Item:
    return Item(key=key, caption=caption, neg_caption=neg_caption, category=category)


def coin_items(count: int, seed: int = 0) -> list[Item]:
    """Captions and negatives drawn alike: nothing tells them apart."""
    rng = Random(seed)
    texts = [" ".join(rng.choices(NOUNS, k=6)) for _ in range(2 * count)]
    return [item(texts[2 * row], texts[2 * row + 1], key=f"{row:05d}") for row in range(count)]


def planted_items(count: int, share: float, seed: int = 0) -> list[Item]:
    """As :func:`coin_items` with a last word: "noun0", but "mistake" in a ``share`` of the negatives."""
    rng = Random(seed + 1)
    return [
        item(
            f"{one.caption} noun0",
            f"{one.neg_caption} {'mistake' if rng.random() < share else 'noun0'}",
            key=one.key,
        )
        for one in coin_items(count, seed)
    ]


def picture(seed: int, *, brightness: int = 128, size: int = 24) -> bytes:
    """Noise around a brightness, as PNG."""
    pixels = np.random.default_rng(seed).normal(brightness, 40, (size, size, 3)).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def triplet(key: str, caption: str = "a dog", neg_caption: str | None = "a cat", **fields: object) -> Triplet:
    return Triplet(key=key, caption=caption, neg_caption=neg_caption, **fields)  # type: ignore[arg-type]


def folder_of(parent: Path, *shards: Sequence[Triplet]) -> Path:
    """A folder with one shard for each list of rows."""
    for number, rows in enumerate(shards):
        write_shard(parent / "shards", number, rows)
    return parent / "shards"


def scored(key: str, scores: Mapping[str, float | str], status: str = "accepted") -> Triplet:
    """A row with columns of its own."""
    return Triplet(
        key=key, caption="a dog", status=status, reason="" if status == "accepted" else "made up", extra=dict(scores)
    )
