"""A source and stages without models: instant, deterministic, and able to break on demand."""

import io
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from tripletclip.data.pairs import Pair
from tripletclip.data.triplet import ACCEPTED, FAILED, REJECTED, Triplet
from tripletclip.negatives.contract import Cost


def picture(red: int) -> bytes:
    """A tiny JPEG of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (red % 256, 0, 0)).save(buffer, "JPEG")
    return buffer.getvalue()


@dataclass(frozen=True, kw_only=True)
class FakeChunk:
    """Rows first to last - 1."""

    first: int
    last: int

    def read(self) -> Iterator[Pair]:
        """Every seventh row has a problem."""
        for index in range(self.first, self.last):
            problem = "image: truncated" if index % 7 == 3 else ""
            image = None if problem else picture(index)
            yield Pair(key=f"k{index:04d}", caption=f"caption {index}", image=image, problem=problem)


@dataclass(frozen=True, kw_only=True)
class FakeSource:
    """``rows`` rows."""

    rows: int
    title: str = "fake"

    def chunks(self, rows: int) -> Iterator[FakeChunk]:
        """Chunks of ``rows`` rows."""
        for first in range(0, self.rows, rows):
            yield FakeChunk(first=first, last=min(first + rows, self.rows))


@dataclass(kw_only=True)
class FakeStage:
    """Writes a negative caption and image; rejects every fifth row; ``fails`` are keys that fail."""

    name: str = "fake"
    seconds_a_row: float = 0.0
    fails: set[str] = field(default_factory=set)
    seen: list[str] = field(default_factory=list)

    @classmethod
    def listed(cls) -> "list[FakeStage]":
        """The stages of a job with this one alone."""
        return [cls()]

    def run(self, rows: Sequence[Triplet]) -> list[Triplet]:
        """See ``Stage``."""
        return [self._one(row) if row.status == ACCEPTED else row for row in rows]

    def _one(self, row: Triplet) -> Triplet:
        time.sleep(self.seconds_a_row)
        self.seen.append(row.key)
        if row.key in self.fails or "all" in self.fails:
            return replace(row, status=FAILED, reason="server gone")
        number = int(row.key[1:])
        if number % 5 == 0:
            return replace(row, status=REJECTED, reason="caption: unchanged")
        return replace(row, neg_caption=f"not {row.caption}", neg_image=picture(number + 100), extra={"seed": number})

    def cost(self) -> Cost:
        """A call a row."""
        return Cost(calls=len(self.seen))


@dataclass(kw_only=True)
class DyingStage(FakeStage):
    """Kills its process at the row ``at``, the first time."""

    at: str = ""
    once: Path = Path()

    @classmethod
    def listed(cls, at: str = "", once: Path = Path()) -> "list[FakeStage]":
        """The stages of a job with this one alone."""
        return [cls(at=at, once=once)]

    def _one(self, row: Triplet) -> Triplet:
        if row.key == self.at and not self.once.exists():
            self.once.touch()
            os._exit(1)
        return super()._one(row)
