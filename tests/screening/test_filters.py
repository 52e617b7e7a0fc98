"""Conditions, rankings and presets on made columns; selections that leave the shards as they are."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_items import folder_of, scored

from tripletclip.data.selection import read_selection, selection_about
from tripletclip.errors import UserError
from tripletclip.screening.filters import FilterConfig, candidates, filter_shards, select

TABLE = pa.table(
    {
        "key": ["a", "b", "c", "d", "e", "f"],
        "status": ["accepted"] * 5 + ["rejected"],
        "s_xy": [0.1, 0.4, None, 0.3, 0.3, 0.9],
        "s_nxny": [0.1, 0.0, 0.9, 0.3, 0.3, 0.9],
    }
)


def kept(**fields: Any) -> tuple[list[str], dict[str, int]]:
    chosen = select(TABLE, FilterConfig(**fields))
    return chosen.keys.to_pylist(), dict(chosen.dropped)


def test_a_condition_keeps_where_it_is_true() -> None:
    assert kept(where="s_xy > 0.25") == (
        ["b", "d", "e"],
        {"not accepted": 1, "not s_xy > 0.25": 1, "where: value missing": 1},
    )


def test_the_papers_rule_ranks_by_the_mean_of_both_pairs() -> None:
    # Means: a 0.1, b 0.2, d 0.3, e 0.3; c has none and f was rejected.
    assert kept(preset="tripletclip++", top_count=3) == (
        ["b", "d", "e"],
        {"not accepted": 1, "rank: value missing": 1, "below the top": 1},
    )
    assert kept(preset="tripletclip++", top_share=0.5)[0] == ["d", "e"]


def test_ties_go_by_key_and_the_order_of_the_rows_stays() -> None:
    assert kept(preset="tripletclip++", top_count=1)[0] == ["d"]
    assert kept(rank_by="-s_xy", top_count=2)[0] == ["a", "d"]
    assert kept(rank_by="s_nxny", top_count=4)[0] == ["a", "c", "d", "e"]


def test_the_top_is_taken_of_what_the_condition_leaves() -> None:
    assert kept(where="s_xy < 0.35", rank_by="s_xy", top_share=1 / 3)[0] == ["d"]
    assert kept(preset="tripletclip++", rank_by="s_nxny", top_count=1)[0] == ["c"]


def test_more_than_there_is_keeps_all_with_a_rank() -> None:
    assert kept(rank_by="s_xy", top_count=99)[0] == ["a", "b", "d", "e"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "keeps everything"),
        ({"preset": "tripletclip+"}, "did you mean 'tripletclip\\+\\+'"),
        ({"preset": "tripletclip++"}, "needs top_count or top_share"),
        ({"top_count": 3}, "need rank_by"),
        ({"rank_by": "s_xy", "top_count": 1, "top_share": 0.1}, "choose one"),
        ({"rank_by": "s_xy", "top_count": 0}, "at least 1"),
        ({"rank_by": "s_xy", "top_share": 1.5}, "at most 1"),
    ],
)
def test_filters_that_make_no_sense_are_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        FilterConfig(**fields)


def made_folder(tmp_path: Path) -> Path:
    return folder_of(
        tmp_path,
        [scored("a", {"own": 1}), scored("b", {"own": 2.5, "category": "swap"})],
        [scored("c", {}, status="rejected"), scored("d", {"own": 3})],
    )


def write_score_file(path: Path, keys: list[str], values: list[float]) -> None:
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"key": keys, "s_xy": values}), path)


def test_columns_come_from_shards_and_from_score_files_in_any_order(tmp_path: Path) -> None:
    folder = made_folder(tmp_path)
    write_score_file(tmp_path / "scores" / "00000.scores.parquet", ["b", "a"], [0.2, 0.1])
    write_score_file(tmp_path / "scores" / "00001.scores.parquet", ["d"], [0.4])
    table = candidates(folder, ["s_xy", "own", "category"], tmp_path / "scores")
    assert table["key"].to_pylist() == ["a", "b", "c", "d"]
    assert table["s_xy"].to_pylist() == [0.1, 0.2, None, 0.4]
    assert table["own"].to_pylist() == [1, 2.5, None, 3]
    assert table["category"].to_pylist() == [None, "swap", None, None]


def test_missing_scores_and_columns_say_what_to_do(tmp_path: Path) -> None:
    folder = made_folder(tmp_path)
    with pytest.raises(UserError, match=r"00000\.scores\.parquet is missing: score the shards first"):
        candidates(folder, ["s_xy"])
    with pytest.raises(UserError, match="unknown column 'ownn'; did you mean 'own'"):
        candidates(folder, ["ownn"])
    with pytest.raises(UserError, match="no finished shard"):
        candidates(tmp_path, ["own"])


def test_filtering_writes_a_selection_and_touches_no_shard(tmp_path: Path) -> None:
    folder = made_folder(tmp_path)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    out = tmp_path / "kept.parquet"
    filter_shards(folder, out, FilterConfig(rank_by="own", top_count=2))
    assert read_selection(out).to_pylist() == ["b", "d"]
    about = selection_about(out)
    assert about["dropped"] == {"below the top": 1, "not accepted": 1}
    assert about["rank_by"] == "own"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_filter_that_leaves_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no row is left"):
        filter_shards(made_folder(tmp_path), tmp_path / "kept.parquet", FilterConfig(where="own > 99"))
    assert not (tmp_path / "kept.parquet").exists()
