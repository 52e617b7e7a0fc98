"""Choose rows by what is known of them: a condition, the best of a ranking, or both; by hand or as a named preset.

Only accepted rows can be chosen. What is dropped is counted by reason.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tripletclip.data.index import KEY, STATUS, read_index
from tripletclip.data.one_shard import scores_of, scores_path
from tripletclip.data.selection import write_selection
from tripletclip.data.shards import required_shards
from tripletclip.data.triplet import ACCEPTED
from tripletclip.errors import UserError, unknown_name
from tripletclip.screening.expressions import column_names, number_of, truth_of
from tripletclip.screening.scores import SCORE_COLUMNS, is_stale


@dataclass(frozen=True, kw_only=True)
class FilterConfig:
    """Which rows to keep: those where ``where`` is true, and of them the ``top_…`` by ``rank_by``.

    ``top_count`` rows or ``top_share`` of the rows that have a rank, the highest first; equal ones by key.
    ``preset`` fills in what is not given: see :data:`PRESETS`.
    """

    preset: str | None = None
    where: str | None = None
    rank_by: str | None = None
    top_count: int | None = None
    top_share: float | None = None

    def __post_init__(self) -> None:
        if self.preset is not None and self.preset not in PRESETS:
            raise unknown_name("preset", self.preset, PRESETS)
        if self.top_count is not None and self.top_share is not None:
            raise UserError("top_count and top_share are both given; choose one")
        if self.top_count is not None and self.top_count < 1:
            raise UserError(f"top_count is {self.top_count}; give the number of rows to keep, at least 1")
        if self.top_share is not None and not 0 < self.top_share <= 1:
            raise UserError(f"top_share is {self.top_share}; give a share above 0, at most 1")
        rank_by, cut = self.ranking(), self.top_count is not None or self.top_share is not None
        if rank_by is not None and not cut:
            raise UserError(f"ranking by '{rank_by}' needs top_count or top_share: how many of the best to keep")
        if rank_by is None and cut:
            raise UserError("top_count and top_share need rank_by: the number by which rows are ordered")
        if rank_by is None and self.where is None:
            raise UserError("the filter keeps everything; give where, rank_by with a top, or a preset")

    def ranking(self) -> str | None:
        """The expression to rank by: the own one, else the preset's."""
        if self.rank_by is None and self.preset is not None:
            return PRESETS[self.preset]
        return self.rank_by


PRESETS: Mapping[str, str] = {"tripletclip++": "(s_xy + s_nxny) / 2"}
"""Name to what rows are ranked by.

``tripletclip++``  paper, Table 6: the pairs with the highest (s(x,y) + s(x′,y′)) / 2 by CLIP ViT-L/14; the paper keeps
1.4 million of CC12M. DataComp's image-based filter needs features, not columns: see ``image_clusters``.
"""


@dataclass(frozen=True, kw_only=True)
class Selected:
    """Keys to keep, in the order of the shards, and how many rows were dropped for which reason."""

    keys: pa.ChunkedArray
    dropped: Mapping[str, int]


def select(table: pa.Table, config: FilterConfig) -> Selected:
    """Choose among the rows of ``table`` (columns ``key``, ``status`` and those that the expressions name)."""
    dropped: Counter[str] = Counter()
    table = _keep(table, pc.equal(table[STATUS], ACCEPTED), dropped, "not accepted", "not accepted")
    if config.where is not None:
        table = _keep(table, truth_of(config.where, table), dropped, f"not {config.where}", "where: value missing")
    rank_by = config.ranking()
    if rank_by is not None:
        ranks = number_of(rank_by, table)
        has_rank = pc.is_valid(ranks)
        ranked = _keep(table, has_rank, dropped, "rank: value missing", "rank: value missing")
        chosen = _best(ranked[KEY], ranks.filter(has_rank), config)
        table = _keep(ranked, chosen, dropped, "below the top", "below the top")
    return Selected(keys=table[KEY], dropped=dict(sorted(dropped.items())))


def _keep(table: pa.Table, mask: Any, dropped: Counter[str], if_false: str, if_null: str) -> pa.Table:
    missing = int(mask.null_count)
    kept = table.filter(mask)
    dropped[if_null] += missing
    dropped[if_false] += table.num_rows - missing - kept.num_rows
    for reason in (if_null, if_false):
        if not dropped[reason]:
            del dropped[reason]
    return kept


def _best(keys: pa.ChunkedArray, ranks: pa.ChunkedArray, config: FilterConfig) -> pa.Array:
    """Mask of the rows at the top."""
    size = config.top_count if config.top_count is not None else math.floor((config.top_share or 0) * len(ranks) + 1e-9)
    order = pc.sort_indices(
        pa.table({"rank": ranks, KEY: keys}), sort_keys=[("rank", "descending"), (KEY, "ascending")]
    )
    return pc.is_in(pa.array(range(len(ranks)), pa.uint64()), value_set=order[:size])


def candidates(folder: Path, names: Sequence[str], scores: Path | None = None) -> pa.Table:
    """``key``, ``status`` and the columns ``names`` of every row of a folder, from its parquets and its score files.

    ``scores`` is where the score files are; the folder itself if not given. A column that only some shards have is
    null in the others. Raises :class:`UserError` for a column that no shard has, and for shards without scores.
    """
    numbers = required_shards(folder)
    known: set[str] = set()
    parts = []
    for number in numbers:
        table = read_index(folder, number).table
        found = _current_scores(folder, scores or folder, number, table[KEY])
        if found is None and set(names) & set(SCORE_COLUMNS) - set(table.column_names):
            path = scores_path(scores or folder, number)
            raise UserError(f"{path} is missing: score the shards first, or say where the scores are")
        if found is not None:
            table = table.select([name for name in table.column_names if name not in found.column_names])
            for name in found.column_names:
                table = table.append_column(name, found[name])
        known.update(table.column_names)
        parts.append(
            table.select([name for name in dict.fromkeys((KEY, STATUS, *names)) if name in table.column_names])
        )
    unknown = [name for name in names if name not in known]
    if unknown:
        raise unknown_name("column", unknown[0], known)
    return pa.concat_tables(parts, promote_options="permissive")


def _current_scores(folder: Path, scores: Path, number: int, keys: pa.ChunkedArray) -> pa.Table | None:
    """The scores of the rows; those of an earlier version of the shard are refused."""
    if is_stale(folder, scores, number):
        raise UserError(f"{scores_path(scores, number)} has the scores of an earlier shard {number}; score it again")
    return scores_of(scores, number, keys)


def filter_shards(folder: Path, out: Path, config: FilterConfig, scores: Path | None = None) -> Selected:
    """Choose rows of a folder and write the selection ``out``. The shards stay as they are."""
    expressions = [text for text in (config.where, config.ranking()) if text is not None]
    names = sorted({name for text in expressions for name in column_names(text)})
    chosen = select(candidates(folder, names, scores), config)
    about = {
        "made_by": "filter",
        "filter": asdict(config),
        "rank_by": config.ranking(),
        "dropped": dict(chosen.dropped),
    }
    write_selection(out, chosen.keys, about)
    return chosen
