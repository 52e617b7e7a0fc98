"""Rows of a folder of shards to look through: one self-contained HTML file that opens without a server.

Positives beside negatives, the changed words marked, with scores, provenance and verdict; rejected and failed rows too.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tripletclip.data.index import KEY, REASON, STATUS, read_index
from tripletclip.data.one_shard import opened_shard, scores_of
from tripletclip.data.shards import required_shards
from tripletclip.data.triplet import ACCEPTED, STATUSES
from tripletclip.errors import UserError, unknown_name
from tripletclip.files import write_atomic
from tripletclip.negatives.contract import CATEGORY
from tripletclip.reporting.html import content_policy, environment, script
from tripletclip.reporting.inspect_rows import SCORE_HEADS, Row, further_columns, make_row

NO_CATEGORY = "no category"


@dataclass(frozen=True, kw_only=True)
class InspectConfig:
    """What to show.

    ``rows``       at most so many, drawn by the hash of ``seed`` and the key: the same rows in any order of shards
    ``status``     only these statuses; all if empty. ``category`` likewise
    ``columns``    of the further columns only these; all if empty
    ``thumbnail``  longer side of a picture in pixels
    ``scores``     folder with ``NNNNN.scores.parquet``; the shards' own if ``None``
    """

    title: str = "Triplets to inspect"
    rows: int = 200
    seed: int = 0
    status: tuple[str, ...] = ()
    category: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    thumbnail: int = 256
    scores: Path | None = None

    def __post_init__(self) -> None:
        for name, value, most in (("rows", self.rows, 10_000), ("thumbnail", self.thumbnail, 512)):
            if not 1 <= value <= most:
                raise UserError(f"{name} is {value}; give 1 to {most:,}")
        for status in self.status:
            if status not in STATUSES:
                raise unknown_name("status", status, STATUSES)


@dataclass(frozen=True, kw_only=True)
class Census:
    """Counts over all rows of a folder, and the columns and categories that it has."""

    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    categories: Counter[str] = field(default_factory=Counter)
    columns: dict[str, None] = field(default_factory=dict)


def inspect_page(folder: Path, out: Path, config: InspectConfig) -> int:
    """Write the page of the shards in ``folder`` to ``out`` and return the number of rows shown.

    Raises :class:`UserError` for a folder without finished shards, for damaged shards, for a category or column that
    no shard has, and if ``out`` cannot be written. An image that does not decode is shown as such, with the reason.
    """
    numbers = required_shards(folder)
    census = Census()
    chosen = _draw(folder, numbers, config, census)
    _check_names(config, census)
    rows = list(_rows(folder, chosen, config))
    templates = environment()
    code = script(templates, "inspect.js")
    content = {
        "title": config.title,
        "rows": rows,
        "score_heads": SCORE_HEADS,
        "total": census.statuses.total(),
        "statuses": [(status, census.statuses[status]) for status in STATUSES],
        "reasons": sorted(census.reasons.items(), key=lambda item: (-item[1], item[0])),
        "shown_statuses": [status for status in STATUSES if any(row.status == status for row in rows)],
        "shown_categories": sorted({row.category for row in rows} - {""}),
        "filtered": [*config.status, *config.category],
        "seed": config.seed,
        "scored": any(row.scores for row in rows),
        "index": [{"status": row.status, "category": row.category, "text": row.search} for row in rows],
        "code": code,
        "policy": content_policy(code),
    }
    write_atomic(out, templates.get_template("inspect.html").render(content).encode("utf-8"))
    return len(rows)


# ---- which rows ----------------------------------------------------------------------------------------------------


def _draw(folder: Path, numbers: Sequence[int], config: InspectConfig, census: Census) -> dict[int, list[int]]:
    """Shard number to the rows shown, in their order: those whose keys have the smallest hashes. Fills ``census``."""
    best: list[tuple[bytes, int, int]] = []
    for number in numbers:
        table = read_index(folder, number).table
        categories = _categories(table)
        _count(census, table, categories)
        wanted = pa.array([True] * table.num_rows, pa.bool_())
        if config.status:
            wanted = pc.and_(wanted, pc.is_in(table[STATUS].combine_chunks(), value_set=pa.array(config.status)))
        if config.category:
            wanted = pc.and_(wanted, pc.is_in(categories, value_set=pa.array(config.category)))
        places = pc.indices_nonzero(wanted).to_pylist()
        keys = table[KEY].take(pa.array(places, pa.int64())).to_pylist()
        best += [(_order(key, config.seed), number, place) for place, key in zip(places, keys, strict=True)]
        best = sorted(best)[: config.rows]
    chosen: dict[int, list[int]] = {}
    for _, number, place in sorted(best, key=lambda item: item[1:]):
        chosen.setdefault(number, []).append(place)
    return chosen


def _order(key: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\x1f{key}".encode()).digest()[:8]


def _categories(table: pa.Table) -> pa.Array:
    """The category of every row, ``no category`` where it has none."""
    if CATEGORY not in table.column_names:
        return pa.array([NO_CATEGORY] * table.num_rows, pa.string())
    texts = pc.fill_null(table[CATEGORY].combine_chunks().cast(pa.string()), "")
    return pc.if_else(pc.equal(texts, ""), NO_CATEGORY, texts)


def _count(census: Census, table: pa.Table, categories: pa.Array) -> None:
    census.statuses.update(table[STATUS].to_pylist())
    pairs = zip(table[STATUS].to_pylist(), table[REASON].to_pylist(), strict=True)
    census.reasons.update((status, reason or "") for status, reason in pairs if status != ACCEPTED)
    census.categories.update(categories.to_pylist())
    census.columns.update(dict.fromkeys(further_columns(table.column_names)))


def _check_names(config: InspectConfig, census: Census) -> None:
    for category in config.category:
        if category not in census.categories:
            raise unknown_name("category", category, census.categories)
    for name in config.columns:
        if name not in census.columns:
            raise unknown_name("column", name, census.columns)


# ---- what they show ------------------------------------------------------------------------------------------------


def _rows(folder: Path, chosen: Mapping[int, Sequence[int]], config: InspectConfig) -> Iterator[Row]:
    for number, places in chosen.items():
        with opened_shard(folder, number) as shard:
            keys = shard.table[KEY].take(pa.array(places)).combine_chunks()
            scores = scores_of(config.scores or folder, number, keys)
            names = further_columns(shard.table.column_names)
            names = [name for name in names if name in config.columns or not config.columns]
            for turn, place in enumerate(places):
                columns: dict[str, Any] = {name: shard.table[name][place].as_py() for name in names}
                if scores is not None:
                    columns |= {name: scores[name][turn].as_py() for name in scores.column_names}
                yield make_row(shard, place, columns, config.thumbnail)
