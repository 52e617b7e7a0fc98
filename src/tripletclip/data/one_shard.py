"""One finished shard at a time: its record of every row, and the bytes of its members.

Whoever goes through a folder in this way needs the same memory for a thousand shards as for one.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tripletclip.data.index import KEY, first_line, member_places, read_index
from tripletclip.data.triplet import ROLES
from tripletclip.errors import UserError


@dataclass(frozen=True, kw_only=True)
class OneShard:
    """A shard that is open for reading.

    ``table``   a row for every key that entered; docs/data-format.md names the columns
    ``places``  role to offsets and lengths, int64 [2, rows], -1 where there is no member
    ``handle``  file descriptor of the tar
    """

    tar: Path
    table: pa.Table
    places: dict[str, np.ndarray[Any, np.dtype[np.int64]]]
    handle: int

    def has(self, row: int, role: str) -> bool:
        """Whether the row has a member for ``role``."""
        return bool(self.places[role][0, row] >= 0)

    def read(self, row: int, role: str) -> bytes:
        """A member's bytes. Raises :class:`UserError` if the row has none or the tar cannot be read."""
        offset, length = (int(number) for number in self.places[role][:, row])
        if offset < 0:
            raise UserError(f"'{self.table[KEY][row].as_py()}' in {self.tar} has no {role}; make the negatives first")
        try:
            content = os.pread(self.handle, length, offset)
        except OSError as error:
            raise UserError(f"cannot read {self.tar}: {first_line(error)}") from error
        if len(content) != length:
            raise UserError(f"{self.tar} was truncated while it was read; write the shard again")
        return content


@contextmanager
def opened_shard(folder: Path, number: int) -> Iterator[OneShard]:
    """Shard ``number`` of ``folder`` for the length of the context; damaged ones raise :class:`UserError`."""
    index = read_index(folder, number)
    places = {role: np.stack(member_places(index.table, role)) for role in ROLES}
    try:
        handle = os.open(index.tar, os.O_RDONLY)
    except OSError as error:
        raise UserError(f"cannot read {index.tar}: {first_line(error)}") from error
    try:
        yield OneShard(tar=index.tar, table=index.table, places=places, handle=handle)
    finally:
        os.close(handle)


def scores_path(folder: Path, number: int) -> Path:
    """Where screening leaves the scores of a shard: ``00007.scores.parquet`` with ``key`` and columns of numbers."""
    return folder / f"{number:05d}.scores.parquet"


def scores_of(folder: Path, number: int, keys: pa.Array) -> pa.Table | None:
    """The score columns for ``keys``, in their order, null where a key has none; ``None`` without such a file."""
    path = scores_path(folder, number)
    if not path.exists():
        return None
    table = read_parquet(path)
    if KEY not in table.column_names:
        raise UserError(f"{path} lacks the column '{KEY}'; score the shards again")
    found = pc.index_in(keys, value_set=table[KEY].combine_chunks())
    return table.drop_columns([KEY]).take(found)


def read_parquet(path: Path, columns: list[str] | None = None) -> pa.Table:
    """A parquet file whole, or those of ``columns`` that it has; :class:`UserError` if it cannot be read."""
    if not path.is_file():
        raise UserError(f"{path} is not a file; give the path of a parquet file")
    try:
        with pq.ParquetFile(path) as file:
            if columns is None:
                return file.read()
            return file.read(columns=[name for name in columns if name in file.schema_arrow.names])
    except OSError as error:
        raise UserError(f"cannot read {path}: {first_line(error)}") from error
    except pa.ArrowException as error:
        raise UserError(f"{path} is truncated or no parquet file: {first_line(error)}") from error
