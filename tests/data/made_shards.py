"""Small made shards: an image of its own for every row, captions with everything Unicode has."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from tripletclip.data.shards import write_shard
from tripletclip.data.triplet import Triplet


def encoded(seed: int, size: tuple[int, int] = (16, 16), kind: str = "JPEG") -> bytes:
    """A noisy image of its own, encoded."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, quality=90)
    return buffer.getvalue()


def make_triplets(count: int, start: int = 0) -> list[Triplet]:
    """Accepted triplets with an extra column of text and one of numbers."""
    return [
        Triplet(
            key=f"{number:06d}",
            caption=f"a red dog № {number} 🐕" + " and more" * (number % 3),
            image=encoded(2 * number),
            neg_caption=f"a blue dog\n№ {number}",
            neg_image=encoded(2 * number + 1),
            extra={"split": "swap_att" if number % 2 else "add_obj", "score": number / 4},
        )
        for number in range(start, start + count)
    ]


def make_folder(parent: Path, *counts: int) -> Path:
    """``make_folder(tmp_path, 5, 6)``: a folder with a shard of 5 rows and one of 6."""
    start = 0
    for number, count in enumerate(counts):
        write_shard(parent / "shards", number, make_triplets(count, start))
        start += count
    return parent / "shards"
