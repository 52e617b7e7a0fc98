"""What a folder of shards holds, counted from the records of its finished shards, one at a time."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from tripletclip.data.index import REASON, STATUS, offset_column, shard_paths
from tripletclip.data.one_shard import read_parquet
from tripletclip.data.shards import required_shards
from tripletclip.data.triplet import ACCEPTED, ROLES, STATUSES
from tripletclip.errors import UserError

WRITER_COLUMNS = ("writer", "writer_model", "prompt_hash")
PAINTER_COLUMNS = ("painter", "painter_model")
CATEGORY = "category"


@dataclass(frozen=True, kw_only=True)
class Yields:
    """Counts over every row that entered.

    ``statuses``   status to rows; ``reasons`` the same by (status, reason) for what is not accepted
    ``roles``      role to accepted rows that have it
    ``writers``    (writer, model, prompt hash) and status to rows; empty text where a row does not say
    ``painters``   (painter, model) and status to rows
    ``categories`` kind of edit to accepted rows
    """

    shards: int
    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[tuple[str, ...]] = field(default_factory=Counter)
    roles: Counter[str] = field(default_factory=Counter)
    writers: Counter[tuple[str, ...]] = field(default_factory=Counter)
    painters: Counter[tuple[str, ...]] = field(default_factory=Counter)
    categories: Counter[str] = field(default_factory=Counter)

    @property
    def rows(self) -> int:
        """Rows that entered."""
        return self.statuses.total()


def count_yields(folder: Path) -> Yields:
    """Read the records of ``folder``, only the columns that are counted.

    Raises :class:`UserError` for a folder without finished shards and for records that cannot be read.
    """
    numbers = required_shards(folder)
    yields = Yields(shards=len(numbers))
    for number in numbers:
        path = shard_paths(folder, number).parquet
        _add(yields, _counted_columns(path))
    return yields


def _add(yields: Yields, table: pa.Table) -> None:
    yields.statuses.update({str(group[0]): rows for group, rows in _groups(table, [STATUS])})
    yields.reasons.update({group: rows for group, rows in _groups(table, [STATUS, REASON]) if group[0] != ACCEPTED})
    yields.writers.update(dict(_groups(table, [*WRITER_COLUMNS, STATUS])))
    yields.painters.update(dict(_groups(table, [*PAINTER_COLUMNS, STATUS])))
    accepted = table.filter(pc.equal(table[STATUS], ACCEPTED))
    yields.categories.update({group[0]: rows for group, rows in _groups(accepted, [CATEGORY])})
    for role in ROLES:
        yields.roles[role] += accepted.num_rows - accepted[offset_column(role)].null_count


def _counted_columns(path: Path) -> pa.Table:
    """The columns that are counted, all present; text columns without nulls."""
    text = [STATUS, REASON, *WRITER_COLUMNS, *PAINTER_COLUMNS, CATEGORY]
    places = [offset_column(role) for role in ROLES]
    table = read_parquet(path, [*text, *places])
    if STATUS not in table.column_names:
        raise UserError(f"{path} lacks the column '{STATUS}'; it is not the index of a shard")
    for name in (*text, *places):
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(table.num_rows))
    for name in text:
        table = table.set_column(table.column_names.index(name), name, pc.fill_null(table[name].cast(pa.string()), ""))
    return table


def _groups(table: pa.Table, names: list[str]) -> Iterable[tuple[tuple[str, ...], int]]:
    for row in table.group_by(names).aggregate([([], "count_all")]).to_pylist():
        yield tuple(row[name] for name in names), row["count_all"]


def rows_by_status(counts: Counter[tuple[str, ...]]) -> list[tuple[tuple[str, ...], list[int]]]:
    """Counts keyed by (…, status) as a line for each …, with its accepted, rejected and failed rows; most first."""
    lines: dict[tuple[str, ...], Counter[str]] = {}
    for (*group, status), rows in counts.items():
        lines.setdefault(tuple(group), Counter())[status] += rows
    ordered = sorted(lines.items(), key=lambda line: (-line[1].total(), line[0]))
    return [(group, [found[status] for status in STATUSES]) for group, found in ordered]
