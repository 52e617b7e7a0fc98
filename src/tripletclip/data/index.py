"""The index of a shard: a table row for every key that entered, and the JSON that says the shard is finished.

The index says where each member's bytes lie in the tar, so that a row is read with one ``pread`` and no scan.
docs/data-format.md describes the same for other tools.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tripletclip.data.triplet import CAPTION, FORMAT_VERSION, NEG_CAPTION, ROLES
from tripletclip.errors import UserError

FORMAT_NAME = "tripletclip"
KEY, STATUS, REASON = "key", "status", "reason"

Value = str | int | float | None


def offset_column(role: str) -> str:
    """Name of the column with the position of the member's first byte in the tar; null where there is no member."""
    return f"{role}_offset"


def length_column(role: str) -> str:
    """Name of the column with the member's length in bytes; null where there is no member."""
    return f"{role}_length"


PLACE_COLUMNS = tuple(name for role in ROLES for name in (offset_column(role), length_column(role)))
TEXT_COLUMNS = (KEY, CAPTION, NEG_CAPTION, STATUS, REASON)
CORE_COLUMNS = (*TEXT_COLUMNS, *PLACE_COLUMNS)


@dataclass(frozen=True, kw_only=True)
class ShardPaths:
    """The three files of a shard; ``stats`` is the done-marker."""

    tar: Path
    parquet: Path
    stats: Path


def shard_paths(folder: Path, number: int) -> ShardPaths:
    """``00007.tar``, ``00007.parquet`` and ``00007.json`` for number 7."""
    if number < 0:
        raise UserError(f"shard number {number} is negative; count from 0")
    stem = f"{number:05d}"
    return ShardPaths(tar=folder / f"{stem}.tar", parquet=folder / f"{stem}.parquet", stats=folder / f"{stem}.json")


@dataclass(frozen=True, kw_only=True)
class ShardIndex:
    """A tar and the table that describes it: ``CORE_COLUMNS`` and whatever flat columns the writer added."""

    tar: Path
    table: pa.Table


def index_table(records: Sequence[dict[str, Value]]) -> pa.Table:
    """The table of ``records``; a column that a record lacks is null there.

    Raises :class:`UserError` for an extra column whose values are not all text or all numbers.
    """
    extra_columns = dict.fromkeys(name for record in records for name in record if name not in CORE_COLUMNS)
    columns = {name: pa.array([record.get(name) for record in records], pa.string()) for name in TEXT_COLUMNS}
    columns |= {name: pa.array([record.get(name) for record in records], pa.int64()) for name in PLACE_COLUMNS}
    for name in extra_columns:
        try:
            columns[name] = pa.array([record.get(name) for record in records])
        except (ValueError, TypeError, OverflowError) as error:
            why = first_line(error)
            raise UserError(f"extra column '{name}' must hold only text or only numbers: {why}") from error
    return pa.table(columns)


def read_index(folder: Path, number: int) -> ShardIndex:
    """Read and check the index of a finished shard.

    Raises :class:`UserError` for a file that is missing, truncated, foreign or of another format version.
    """
    paths = shard_paths(folder, number)
    stats = _read_stats(paths.stats)
    try:
        tar_bytes = paths.tar.stat().st_size
        table = pq.ParquetFile(paths.parquet).read()
    except FileNotFoundError as error:
        raise UserError(
            f"{error.filename or paths.parquet} is missing though {paths.stats} exists; write the shard again"
        ) from error
    except OSError as error:
        raise UserError(f"cannot read shard {number} of {folder}: {first_line(error)}") from error
    except pa.ArrowException as error:
        raise UserError(f"{paths.parquet} is truncated or no parquet file: {first_line(error)}") from error
    if tar_bytes != stats["tar_bytes"]:
        raise UserError(
            f"{paths.tar} has {tar_bytes} bytes, recorded were {stats['tar_bytes']}: it is truncated or "
            f"was replaced; write the shard again"
        )
    _check_table(table, paths.parquet, rows=stats["count"], tar_bytes=tar_bytes)
    return ShardIndex(tar=paths.tar, table=table)


def _read_stats(path: Path) -> dict[str, Any]:
    """The done-marker's content, checked for format, version and the fields that reading needs."""
    try:
        stats = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {first_line(error)}") from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {first_line(error)}; write the shard again") from error
    if not isinstance(stats, dict) or stats.get("format") != FORMAT_NAME:
        raise UserError(
            f"{path} is not the record of a {FORMAT_NAME} shard; open shards of other tools with "
            f"Shards(folder, foreign=True)"
        )
    if stats.get("version") != FORMAT_VERSION:
        raise UserError(
            f"{path} has format version {stats.get('version')}, this program reads {FORMAT_VERSION}; "
            f"use the release that wrote it or write the shard again"
        )
    for field in ("count", "tar_bytes"):
        if not isinstance(stats.get(field), int):
            raise UserError(f"{path} lacks the number '{field}'; write the shard again")
    return stats


def _check_table(table: pa.Table, path: Path, *, rows: int, tar_bytes: int) -> None:
    missing = [name for name in CORE_COLUMNS if name not in table.column_names]
    if missing:
        raise UserError(f"{path} lacks the columns {', '.join(missing)}; it is not the index of a {FORMAT_NAME} shard")
    if table.num_rows != rows:
        raise UserError(f"{path} has {table.num_rows} rows, recorded were {rows}; write the shard again")
    for role in ROLES:
        offset, length = member_places(table, role)
        if np.any((offset < 0) != (length < 0)) or np.any(offset + length > tar_bytes):
            raise UserError(f"{path} places '{role}' outside of the tar; write the shard again")


def member_places(table: pa.Table, role: str) -> tuple[np.ndarray[Any, np.dtype[np.int64]], ...]:
    """Offsets and lengths of a role's members, int64 [rows] each, -1 where there is none."""
    return tuple(
        table[name].cast(pa.int64()).fill_null(-1).to_numpy() for name in (offset_column(role), length_column(role))
    )


def first_line(error: BaseException) -> str:
    """An error's text cut to one line, for use inside a :class:`UserError`."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).splitlines() or [type(error).__name__])[0]
