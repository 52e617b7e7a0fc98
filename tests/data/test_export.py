"""Exports: what goes in comes out, in layouts that other programs read; what stays behind is counted."""

import errno
import io
import json
import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_shards import make_folder, make_triplets
from PIL import Image

from tripletclip.data.export import Exported, export_official, export_parquet
from tripletclip.data.one_shard import OneShard
from tripletclip.data.shards import Shards, write_shard
from tripletclip.data.triplet import FAILED, NEG_IMAGE, REJECTED, ROLES, Triplet
from tripletclip.errors import UserError

EXPORTS = [export_parquet, export_official]
Export = Callable[..., Exported]


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


def mixed_folder(parent: Path) -> Path:
    """Two shards: three and two whole rows, one without negative image, one rejected, one failed."""
    rows = make_triplets(6)
    bad = Triplet(key="bad", caption="x", status=REJECTED, reason="too long")
    gone = Triplet(key="gone", caption="x", status=FAILED, reason="server gone")
    write_shard(parent / "mixed", 0, [rows[0], bad, rows[1], replace(rows[2], neg_image=None), rows[3]])
    write_shard(parent / "mixed", 1, [gone, rows[4], rows[5]])
    return parent / "mixed"


def kept_file(parent: Path, *keys: str) -> Path:
    pq.write_table(pa.table({"key": list(keys), "other": [1.0] * len(keys)}), parent / "kept.parquet")
    return parent / "kept.parquet"


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_hugging_face_datasets_reads_images_captions_and_scores(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, 5, 3)
    scores = pa.table({"key": [f"{n:06d}" for n in (4, 2, 0, 1)], "s_xy": [0.4, 0.2, 0.0, 0.1], "score": [9.0] * 4})
    pq.write_table(scores, folder / "00000.scores.parquet")
    assert export_parquet(folder, tmp_path / "out") == Exported(written=8, left_out={}, files=2, resumed=0)
    rows = datasets.load_dataset("parquet", data_files=str(tmp_path / "out" / "*.parquet"), split="train")
    assert rows.column_names == ["key", "image", "caption", "neg_image", "neg_caption", "split", "score", "s_xy"]
    assert isinstance(rows.features["image"], datasets.Image)
    assert isinstance(rows.features["neg_image"], datasets.Image)
    expected = make_triplets(8)
    assert rows["s_xy"] == [0.0, 0.1, 0.2, None, 0.4, None, None, None]
    assert rows["score"] == [9.0, 9.0, 9.0, None, 9.0, 1.25, 1.5, 1.75]
    for row, triplet in zip(rows, expected, strict=True):
        assert (row["key"], row["caption"], row["neg_caption"]) == (triplet.key, triplet.caption, triplet.neg_caption)
        assert row["split"] == triplet.extra["split"]
        for role, data in (("image", triplet.image), ("neg_image", triplet.neg_image)):
            assert np.array_equal(np.asarray(row[role]), np.asarray(Image.open(io.BytesIO(data or b""))))


def test_the_folder_loads_by_itself(tmp_path: Path) -> None:
    export_parquet(make_folder(tmp_path, 2, 2), tmp_path / "out")
    assert datasets.load_dataset(str(tmp_path / "out"), split="train")["key"] == [f"{n:06d}" for n in range(4)]


def test_parquet_keeps_the_bytes_and_has_small_row_groups(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, 5)
    export_parquet(folder, tmp_path / "out", row_group=2)
    file = pq.ParquetFile(tmp_path / "out" / "train-00000.parquet")
    assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [2, 2, 1]
    shards = Shards(folder)
    negatives = file.read()["neg_image"].to_pylist()
    assert [image["bytes"] for image in negatives] == [shards.read(index, NEG_IMAGE) for index in range(5)]
    assert negatives[3]["path"] == "000003.neg.jpg"


def test_official_layout_reads_back_equal(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, 3, 2)
    assert export_official(folder, tmp_path / "out").files == 2
    with tarfile.open(tmp_path / "out" / "shard-1.tar") as tar:
        names = [(member.name, member.mtime) for member in tar.getmembers()]
    assert names == [
        (f"00000{n}.{role}", 0) for n in (3, 4) for role in ("image", "caption", "neg_image", "neg_caption")
    ]
    ours, theirs = Shards(folder), Shards(tmp_path / "out", foreign=True)
    assert theirs.keys == ours.keys and len(theirs) == 5
    for index in range(5):
        assert [theirs.read(index, role) for role in ROLES] == [ours.read(index, role) for role in ROLES]
        assert theirs.neg_caption(index) == ours.neg_caption(index)


@pytest.mark.parametrize("write", EXPORTS)
def test_what_is_left_out_is_counted(tmp_path: Path, write: Export) -> None:
    done = write(mixed_folder(tmp_path), tmp_path / "out")
    assert done == Exported(written=5, left_out={"failed": 1, "no neg_image": 1, "rejected": 1}, files=2, resumed=0)


@pytest.mark.parametrize("write", EXPORTS)
def test_only_kept_keys_go_out(tmp_path: Path, write: Export) -> None:
    keep = kept_file(tmp_path, "000003", "000000", "bad", "elsewhere")
    done = write(mixed_folder(tmp_path), tmp_path / "out", keep=keep)
    assert (done.written, done.files) == (2, 1)
    assert done.left_out == {"failed": 1, "not kept": 4, "rejected": 1}


def test_roles_choose_the_columns_and_what_a_row_needs(tmp_path: Path) -> None:
    done = export_parquet(mixed_folder(tmp_path), tmp_path / "out", roles=("image", "caption"))
    assert done.left_out == {"failed": 1, "rejected": 1}
    table = pq.read_table(tmp_path / "out" / "train-00000.parquet")
    assert table.column_names == ["key", "image", "caption", "split", "score"]
    assert table["key"].to_pylist() == ["000000", "000001", "000002", "000003"]


def test_columns_of_any_shard_stand_in_every_file(tmp_path: Path) -> None:
    rows = make_triplets(3)
    write_shard(tmp_path / "in", 0, [replace(rows[0], extra={"count": 1})])
    write_shard(tmp_path / "in", 1, [replace(rows[1], extra={"count": 0.5, "category": "swap"})])
    write_shard(tmp_path / "in", 2, [replace(rows[2], extra={})])
    export_parquet(tmp_path / "in", tmp_path / "out")
    table = datasets.load_dataset("parquet", data_files=str(tmp_path / "out" / "*.parquet"), split="train")
    assert (table["count"], table["category"]) == ([1.0, 0.5, None], [None, "swap", None])


@pytest.mark.parametrize("write", EXPORTS)
def test_a_second_call_writes_nothing_and_a_lost_file_again(tmp_path: Path, write: Export) -> None:
    folder, out = mixed_folder(tmp_path), tmp_path / "out"
    first = write(folder, out)
    before = content(out)
    times = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert write(folder, out) == replace(first, resumed=2)
    assert times == {path: path.stat().st_mtime_ns for path in out.iterdir()}
    next(path for path in sorted(out.iterdir()) if path.is_file()).unlink()
    assert write(folder, out) == replace(first, resumed=1)
    assert content(out) == before


@pytest.mark.parametrize("write", EXPORTS)
def test_an_interrupted_export_goes_on_and_ends_equal(
    tmp_path: Path, write: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = mixed_folder(tmp_path)
    write(folder, tmp_path / "whole")

    class Killed(BaseException):
        pass

    real, reads = OneShard.read, 0

    def read(shard: OneShard, row: int, role: str) -> bytes:
        nonlocal reads
        reads += 1
        if reads == (15 if write is export_official else 8):  # in the middle of the second shard
            raise Killed
        return real(shard, row, role)

    with monkeypatch.context() as patch:
        patch.setattr(OneShard, "read", read)
        with pytest.raises(Killed):
            write(folder, tmp_path / "out")
    assert len([path for path in (tmp_path / "out").iterdir() if path.is_file()]) == 1
    assert write(folder, tmp_path / "out").resumed == 1
    assert content(tmp_path / "out") == content(tmp_path / "whole")


@pytest.mark.parametrize("write", EXPORTS)
def test_another_export_is_not_mixed_in(tmp_path: Path, write: Export) -> None:
    folder, out = mixed_folder(tmp_path), tmp_path / "out"
    write(folder, out)
    with pytest.raises(UserError, match="exported from other rows or with other options; remove"):
        write(folder, out, keep=kept_file(tmp_path, "000001"))
    write_shard(folder, 0, make_triplets(4), overwrite=True)
    with pytest.raises(UserError, match="exported from other rows"):
        write(folder, out)


def test_bad_arguments_stop_before_work(tmp_path: Path) -> None:
    folder, out = mixed_folder(tmp_path), tmp_path / "out"
    (tmp_path / "empty").mkdir()
    nowhere = kept_file(tmp_path, "elsewhere")
    (tmp_path / "text.parquet").write_text("key")
    pq.write_table(pa.table({"name": ["a"]}), tmp_path / "nokey.parquet")
    wrong: dict[str, dict[str, Any]] = {
        "did you mean 'neg_image'": {"roles": ("image", "neg_imag")},
        "row_group is 0; give at least 1": {"row_group": 0},
        "export to another folder": {"out": folder},
        "has no finished shard": {"folder": tmp_path / "empty"},
        "no row to export.*'not kept': 6": {"keep": nowhere},
        "absent.parquet is no file; give a selection": {"keep": tmp_path / "absent.parquet"},
        "text.parquet is truncated or no parquet": {"keep": tmp_path / "text.parquet"},
        "nokey.parquet has no column 'key'": {"keep": tmp_path / "nokey.parquet"},
    }
    for message, arguments in wrong.items():
        with pytest.raises(UserError, match=message) as error:
            export_parquet(arguments.pop("folder", folder), arguments.pop("out", out), **arguments)
        assert "\n" not in str(error.value)
        assert not list(out.glob("*.parquet"))
    assert export_parquet(folder, out).written == 5  # the wrong keep file has left nothing that is in the way


def test_columns_that_cannot_be_one_are_named(tmp_path: Path) -> None:
    rows = make_triplets(2)
    write_shard(tmp_path / "in", 0, [replace(rows[0], extra={"count": 1})])
    write_shard(tmp_path / "in", 1, [replace(rows[1], extra={"count": "one"})])
    with pytest.raises(
        UserError, match=r"column 'count' of .*00001.parquet is string, in an earlier shard it was int64"
    ):
        export_parquet(tmp_path / "in", tmp_path / "out")
    write_shard(tmp_path / "roles", 0, [replace(rows[0], extra={"image": 1})])
    with pytest.raises(UserError, match=r"column 'image' .* has the name of a role"):
        export_parquet(tmp_path / "roles", tmp_path / "out")


@pytest.mark.parametrize("write", EXPORTS)
def test_new_scores_are_another_export(tmp_path: Path, write: Export) -> None:
    folder, out = make_folder(tmp_path, 2), tmp_path / "out"
    write(folder, out)
    pq.write_table(pa.table({"key": ["000001"], "score": [0.5]}), folder / "00000.scores.parquet")
    with pytest.raises(UserError, match="exported from other rows or with other options"):
        write(folder, out)


@pytest.mark.parametrize("write", EXPORTS)
def test_a_full_disk_leaves_nothing_half_written(
    tmp_path: Path, write: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = make_folder(tmp_path, 2)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot write .*: No space left on device; free space or choose"):
        write(folder, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("write", EXPORTS)
def test_a_shard_without_rows_is_passed_over(tmp_path: Path, write: Export) -> None:
    folder = make_folder(tmp_path, 2)
    write_shard(folder, 1, [])
    assert write(folder, tmp_path / "out") == Exported(written=2, left_out={}, files=1, resumed=0)


def test_a_spoilt_marker_is_named(tmp_path: Path) -> None:
    export_official(make_folder(tmp_path, 1), tmp_path / "out")
    marker = tmp_path / "out" / ".done" / "00000.json"
    assert json.loads(marker.read_text())["written"] == 1
    marker.write_text("{")
    with pytest.raises(UserError, match=r"00000.json cannot be read.*remove it to export the shard again"):
        export_official(tmp_path / "shards", tmp_path / "out")
