"""Selections survive the disk, refuse what is no selection, and choose rows."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tripletclip.data.selection import read_selection, select_rows, selection_about, write_selection
from tripletclip.errors import UserError


def test_keys_and_their_story_come_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "kept.parquet"
    write_selection(path, pa.chunked_array([["b"], ["a", "c"]]), {"where": "s_xy > 0", "dropped": {"low": 3}})
    assert read_selection(path).to_pylist() == ["b", "a", "c"]
    assert selection_about(path) == {"where": "s_xy > 0", "dropped": {"low": 3}}
    assert [entry.name for entry in path.parent.iterdir()] == ["kept.parquet"]


def test_any_parquet_with_keys_will_do(tmp_path: Path) -> None:
    path = tmp_path / "own.parquet"
    pq.write_table(pa.table({"key": ["x"], "why": [1]}), path)
    assert read_selection(path).to_pylist() == ["x"]
    assert selection_about(path) == {}


def test_rows_are_kept_by_key() -> None:
    mask = select_rows(pa.chunked_array([["a", "b"], ["c", None]]), pa.chunked_array([["c"], ["a", "z"]]))
    assert mask.to_pylist() == [True, False, True, False]
    assert select_rows(pa.array(["a", "b"]), pa.array(["b"])).to_pylist() == [False, True]


def test_what_cannot_be_a_selection_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="come twice"):
        write_selection(tmp_path / "kept.parquet", pa.array(["a", "a"]), {})
    with pytest.raises(UserError, match="no row is left"):
        write_selection(tmp_path / "kept.parquet", pa.array([], pa.string()), {"dropped": {"low": 2}})
    with pytest.raises(UserError, match="is no file"):
        read_selection(tmp_path / "kept.parquet")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(UserError, match=r"torn\.parquet is truncated"):
        read_selection(tmp_path / "torn.parquet")
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(UserError, match="no column 'key' but id"):
        read_selection(tmp_path / "other.parquet")
    pq.write_table(pa.table({"key": pa.array([], pa.string())}), tmp_path / "empty.parquet")
    with pytest.raises(UserError, match="keeps no row"):
        read_selection(tmp_path / "empty.parquet")
