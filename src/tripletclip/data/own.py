"""Our own shards as a source: what one stage wrote is what the next one reads."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from tripletclip.data.index import CORE_COLUMNS, KEY, REASON, STATUS
from tripletclip.data.one_shard import OneShard, opened_shard
from tripletclip.data.selection import select_rows
from tripletclip.data.shards import required_shards
from tripletclip.data.triplet import ACCEPTED, CAPTION, IMAGE, NEG_CAPTION, NEG_IMAGE, Triplet
from tripletclip.errors import UserError


def read_rows(folder: Path, number: int, kept: pa.Array | None = None) -> Iterator[Triplet]:
    """Every row of a finished shard as it was written, also the rejected and failed ones, in its order.

    ``kept`` are the keys of a selection: other rows are passed over.
    """
    with opened_shard(folder, number) as shard:
        columns = {name: shard.table[name] for name in shard.table.column_names if name not in CORE_COLUMNS}
        wanted = None if kept is None else select_rows(shard.table[KEY], kept)
        for row in range(shard.table.num_rows):
            if wanted is None or wanted[row].as_py():
                yield _triplet(shard, row, columns)


def _triplet(shard: OneShard, row: int, columns: dict[str, Any]) -> Triplet:
    def text(name: str) -> Any:
        return shard.table[name][row].as_py()

    return Triplet(
        key=text(KEY),
        caption=text(CAPTION) or "",
        neg_caption=text(NEG_CAPTION),
        image=shard.read(row, IMAGE) if shard.has(row, IMAGE) else None,
        neg_image=shard.read(row, NEG_IMAGE) if shard.has(row, NEG_IMAGE) else None,
        status=text(STATUS) or ACCEPTED,
        reason=text(REASON) or "",
        extra={name: value for name, column in columns.items() if (value := column[row].as_py()) is not None},
    )


@dataclass(frozen=True, kw_only=True)
class OwnChunk:
    """One of our shards."""

    folder: Path
    number: int
    kept: pa.Array | None = None

    def rows(self) -> Iterator[Triplet]:
        """Its rows with status, negatives and columns."""
        return read_rows(self.folder, self.number, self.kept)


@dataclass(frozen=True, kw_only=True)
class OwnShards:
    """A folder of our shards; shard k becomes shard k of the next folder. ``kept`` are the keys of a selection."""

    folder: Path
    kept: pa.Array | None = None

    @property
    def title(self) -> str:
        """How the data card names it."""
        return f"shards:{self.folder.name}"

    def numbers(self) -> list[int]:
        """The numbers of the finished shards; :class:`UserError` if there is none."""
        if not self.folder.is_dir():
            raise UserError(f"{self.folder} is not a folder; give the folder that holds the shards")
        return required_shards(self.folder)

    def chunk(self, number: int) -> OwnChunk:
        """The rows of shard ``number``."""
        return OwnChunk(folder=self.folder, number=number, kept=self.kept)
