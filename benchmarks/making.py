"""Triplets a second that the stages add to instant models, and memory as rows grow.

    python benchmarks/making.py --rows 2000
    python benchmarks/making.py --rows 10000 100000 --size 64

An instant writer changes one word, an instant painter hands out one of a few ready pictures; what is measured is all
the rest: requests, checks, JPEG encoding, journal, tar, parquet, done-markers. Each number of rows runs in a process of
its own, so that its peak memory is its own.
"""

import argparse
import io
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from tripletclip.data.pairs import Pair
from tripletclip.negatives.captions.checks import CaptionCheck
from tripletclip.negatives.contract import Answer, Cost, Failed, PaintRequest, Rejected, Request, Written
from tripletclip.negatives.engine import EngineConfig, run
from tripletclip.negatives.job import Job
from tripletclip.negatives.stages import CaptionStage, ImageStage, Stage

PICTURES = 20


def pictures(size: int) -> list[Image.Image]:
    """Blurred noise: JPEGs of it are as large as those of photos."""
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (size, size, 3), np.uint8) for _ in range(PICTURES)]
    return [Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(2)) for pixels in noise]


def encoded(picture: Image.Image) -> bytes:
    """As JPEG."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A chunk that makes its rows when it is read."""

    first: int
    last: int
    images: tuple[bytes, ...]

    def read(self) -> Iterator[Pair]:
        """The pairs."""
        for index in range(self.first, self.last):
            caption = f"a red cup beside plate number {index}"
            yield Pair(key=f"{index:09d}", caption=caption, image=self.images[index % PICTURES])


@dataclass(frozen=True, kw_only=True)
class Endless:
    """A source of any number of rows."""

    rows: int
    images: tuple[bytes, ...]
    title: str = "made"

    def chunks(self, rows: int) -> Iterator[Rows]:
        """Lazily."""
        for first in range(0, self.rows, rows):
            yield Rows(first=first, last=min(first + rows, self.rows), images=self.images)


class InstantWriter:
    """Red becomes blue."""

    name, model, prompt_hash = "instant", "instant", ""

    def write(self, requests: Sequence[Request]) -> list[list[Answer]]:
        """One answer each."""
        return [[Written(caption=request.caption.replace("red", "blue"))] for request in requests]

    def cost(self) -> Cost:
        """Nothing."""
        return Cost()


class InstantPainter:
    """Hands out ready pictures."""

    name, model, batch_size = "instant", "instant", 64

    def __init__(self, ready: list[Image.Image]) -> None:
        self.ready = ready

    def paint(self, requests: Sequence[PaintRequest]) -> list[Image.Image | Rejected | Failed]:
        """One each."""
        return [self.ready[request.seed % PICTURES] for request in requests]

    def cost(self) -> Cost:
        """Nothing."""
        return Cost()


def measure(rows: int, size: int, workers: int) -> None:
    """One run, printed."""
    ready = pictures(size)

    def stages() -> list[Stage]:
        check = CaptionCheck(prompt=None)
        return [
            CaptionStage(writer=InstantWriter(), check=check, tries=1),
            ImageStage(painter=InstantPainter(ready)),
        ]

    with tempfile.TemporaryDirectory() as folder:
        source = Endless(rows=rows, images=tuple(map(encoded, ready)))
        job = Job(source=source, out=Path(folder) / "out", make_stages=stages)
        start = time.perf_counter()
        ran = run(job, EngineConfig(workers=workers))
        seconds = time.perf_counter() - start
    assert ran.tally.of("accepted") == rows, ran.tally
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{rows:,} rows, {size} px: {rows / seconds:,.0f} triplets/s written, peak memory {peak:,.0f} MiB", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[2000])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    for rows in options.rows:
        process = multiprocessing.get_context("spawn").Process(
            target=measure, args=(rows, options.size, options.workers)
        )
        process.start()
        process.join()


if __name__ == "__main__":
    main()
