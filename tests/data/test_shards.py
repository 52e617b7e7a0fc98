"""Shards: whole or absent, the same bytes for the same rows, and refused at the door when something is wrong."""

import io
import json
import multiprocessing
import os
import pickle
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_shards import encoded, make_folder, make_triplets

from tripletclip.data import shards as shards_module
from tripletclip.data.shards import Shards, finished_shards, write_shard
from tripletclip.data.triplet import CAPTION, FORMAT_VERSION, IMAGE, NEG_CAPTION, NEG_IMAGE, REJECTED, ROLES, Triplet
from tripletclip.errors import UserError


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def one_line(error: pytest.ExceptionInfo[UserError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def test_every_role_of_every_row_comes_back(tmp_path: Path) -> None:
    shards = Shards(make_folder(tmp_path, 5, 1, 7))
    expected = make_triplets(13)
    assert len(shards) == 13
    assert shards.keys == [row.key for row in expected]
    assert shards.column("score") == [row.extra["score"] for row in expected]
    for index, row in enumerate(expected):
        assert (shards.caption(index), shards.neg_caption(index)) == (row.caption, row.neg_caption)
        assert shards.read(index, IMAGE) == row.image
        assert shards.read(index, NEG_IMAGE) == row.neg_image
        assert shards.read(index, CAPTION).decode() == row.caption
        assert shards.read(index, NEG_CAPTION).decode() == row.neg_caption
    assert all(shards.has(role) for role in ROLES)


def test_tar_holds_the_documented_members_and_nothing_else(tmp_path: Path) -> None:
    with tarfile.open(make_folder(tmp_path, 2) / "00000.tar") as tar:
        members = tar.getmembers()
    suffixes = ["jpg", "txt", "neg.jpg", "neg.txt"]
    assert [m.name for m in members] == [f"{key}.{suffix}" for key in ("000000", "000001") for suffix in suffixes]
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, 0, "", "")}


def test_same_rows_give_the_same_tar(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_shard(tmp_path / name, 0, make_triplets(3))
    assert (tmp_path / "one/00000.tar").read_bytes() == (tmp_path / "two/00000.tar").read_bytes()


def test_rejected_rows_stay_in_the_records_only(tmp_path: Path) -> None:
    good = make_triplets(2)
    bad = [Triplet(key=f"bad{i}", caption="x", status=REJECTED, reason=reason) for i, reason in enumerate("aab")]
    counts = write_shard(tmp_path, 3, [good[0], *bad, good[1]])
    assert counts == {"accepted": 2, "rejected": 3, "failed": 0, "a": 2, "b": 1}
    stats = json.loads((tmp_path / "00003.json").read_text())
    assert (stats["version"], stats["count"], stats["reasons"]) == (FORMAT_VERSION, 5, {"a": 2, "b": 1})
    assert stats["tar_bytes"] == (tmp_path / "00003.tar").stat().st_size
    table = pq.read_table(tmp_path / "00003.parquet")
    assert table["key"].to_pylist() == ["000000", "bad0", "bad1", "bad2", "000001"]
    assert table["image_offset"].to_pylist()[1:4] == [None] * 3
    shards = Shards(tmp_path)
    assert shards.keys == ["000000", "000001"]
    assert shards.rejected() == {"a": 2, "b": 1}
    assert shards.read(1, IMAGE) == good[1].image


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(captions=st.lists(st.tuples(st.text(), st.none() | st.text()), min_size=1, max_size=4), image=st.binary())
def test_any_text_and_bytes_survive(
    tmp_path_factory: pytest.TempPathFactory, captions: list[tuple[str, str | None]], image: bytes
) -> None:
    folder = tmp_path_factory.mktemp("any")
    rows = [Triplet(key=f"k{i}", caption=c, neg_caption=n, image=image) for i, (c, n) in enumerate(captions)]
    write_shard(folder, 0, rows)
    shards = Shards(folder)
    assert [shards.caption(i) for i in range(len(rows))] == [c for c, _ in captions]
    assert shards.column("neg_caption") == [n for _, n in captions]
    assert [shards.read(i, CAPTION).decode() for i in range(len(rows))] == [c for c, _ in captions]
    assert {shards.read(i, IMAGE) for i in range(len(rows))} == {image}
    assert shards.has(NEG_CAPTION) == all(n is not None for _, n in captions)


def test_finished_shards_is_what_resume_subtracts(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, 1, 1)
    write_shard(folder, 100_000, make_triplets(1, 50))
    (folder / "notes.json").write_text("{}")
    assert finished_shards(folder) == [0, 1, 100_000]
    assert finished_shards(folder / "nowhere") == []


def test_finished_shard_is_replaced_only_on_demand(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, 2)
    with pytest.raises(UserError, match=r"00000\.json exists.*overwrite"):
        write_shard(folder, 0, make_triplets(1))
    write_shard(folder, 0, make_triplets(1), overwrite=True)
    assert len(Shards(folder)) == 1


@pytest.mark.parametrize("fault", [KeyboardInterrupt, RuntimeError, OSError])
def test_interrupted_writing_leaves_nothing_and_keeps_the_old(tmp_path: Path, fault: type[BaseException]) -> None:
    def rows() -> Iterator[Triplet]:
        yield from make_triplets(3)
        raise fault

    folder = make_folder(tmp_path, 2)
    for number in (0, 1):
        with pytest.raises(fault):
            write_shard(folder, number, rows(), overwrite=True)
    assert files(folder) == ["00000.json", "00000.parquet", "00000.tar"]
    assert len(Shards(folder)) == 2


@pytest.mark.parametrize("failing_call", [1, 2])
def test_failed_publishing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing_call: int) -> None:
    calls = 0
    real = os.replace

    def failing_replace(source: Any, target: Any) -> None:
        nonlocal calls
        calls += 1
        if calls > failing_call:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", failing_replace)
    with pytest.raises(KeyboardInterrupt):
        write_shard(tmp_path, 0, make_triplets(2))
    assert files(tmp_path) == []


def test_done_marker_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    targets: list[str] = []
    real = os.replace

    def noting_replace(source: Any, target: Any) -> None:
        targets.append(Path(target).name)
        real(source, target)

    monkeypatch.setattr(os, "replace", noting_replace)
    write_shard(tmp_path, 0, make_triplets(1))
    assert targets[-1] == "00000.json" and sorted(targets) == ["00000.json", "00000.parquet", "00000.tar"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fdopen

    def fdopen_on_full_disk(handle: int, mode: str) -> Any:
        os.dup2(os.open("/dev/full", os.O_WRONLY), handle)
        return real(handle, mode)

    monkeypatch.setattr(os, "fdopen", fdopen_on_full_disk)
    with pytest.raises(UserError, match=r"cannot write .*00000\.tar: No space left") as error:
        write_shard(tmp_path, 0, make_triplets(30))
    one_line(error)
    assert files(tmp_path) == []


def test_unwritable_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write") as error:
        write_shard(tmp_path / "file" / "shards", 0, make_triplets(1))
    one_line(error)


@pytest.mark.parametrize("key", ["", "a.b", "a/b", "../a", "a b", "-a", "__a__", "é", "a\n", "x" * 81])
def test_unsafe_keys_are_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(UserError, match="unsafe"):
        write_shard(tmp_path, 0, [Triplet(key=key, caption="", image=b"")])
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"caption": "\ud800"}, "surrogate"),
        ({"extra": {"key": "x"}}, "reserved"),
        ({"extra": {"image_offset": 1}}, "reserved"),
        ({"extra": {"score": "high"}}, "only text or only numbers"),
        ({"status": REJECTED, "reason": "accepted"}, "is a status"),
        ({"key": "000000"}, "comes twice"),
    ],
)
def test_rows_that_a_shard_cannot_hold(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    first, second = make_triplets(2)
    with pytest.raises(UserError, match=message) as error:
        write_shard(tmp_path, 0, [first, replace(second, **changes)])
    one_line(error)
    assert files(tmp_path) == []


def edit_stats(folder: Path, **changes: object) -> None:
    stats = json.loads((folder / "00000.json").read_text())
    (folder / "00000.json").write_text(json.dumps(stats | changes))


def test_truncated_tar_is_refused(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, 2, 2)
    os.truncate(folder / "00001.tar", (folder / "00001.tar").stat().st_size - 1)
    with pytest.raises(UserError, match=r"00001\.tar.*truncated") as error:
        Shards(folder)
    one_line(error)


def test_tar_that_shrinks_while_open_is_refused(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, 2)
    shards = Shards(folder)
    os.truncate(folder / "00000.tar", 600)
    with pytest.raises(UserError, match="truncated while"):
        shards.read(1, IMAGE)


def test_missing_done_marker_is_refused(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, 2, 2)
    (folder / "00001.json").unlink()
    with pytest.raises(UserError, match=r"00001\.tar has no 00001\.json"):
        Shards(folder)


@pytest.mark.parametrize("suffix", ["tar", "parquet"])
def test_missing_file_is_named(tmp_path: Path, suffix: str) -> None:
    folder = make_folder(tmp_path, 2)
    (folder / f"00000.{suffix}").unlink()
    with pytest.raises(UserError, match=rf"00000\.{suffix} is missing"):
        Shards(folder)


def test_other_version_is_refused(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, 2)
    edit_stats(folder, version=FORMAT_VERSION + 1)
    with pytest.raises(UserError, match=f"version {FORMAT_VERSION + 1}.*reads {FORMAT_VERSION}"):
        Shards(folder)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"count": 1, "successes": 1}', '{"format": "other"}', "\udcff"])
def test_foreign_json_is_refused(tmp_path: Path, content: str) -> None:
    folder = make_folder(tmp_path, 2)
    (folder / "00000.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=r"00000\.json") as error:
        Shards(folder)
    one_line(error)


def test_foreign_parquet_is_refused(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, 2)
    pq.write_table(pa.table({"key": ["a", "b"], "caption": ["x", "y"]}), folder / "00000.parquet")
    with pytest.raises(UserError, match="lacks the columns neg_caption, status"):
        Shards(folder)


def test_parquet_of_another_shard_is_refused(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, 2, 3)
    (folder / "00000.parquet").write_bytes((folder / "00001.parquet").read_bytes())
    with pytest.raises(UserError, match="3 rows, recorded were 2"):
        Shards(folder)


def test_truncated_parquet_is_refused(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, 2)
    os.truncate(folder / "00000.parquet", 100)
    with pytest.raises(UserError, match=r"00000\.parquet is truncated") as error:
        Shards(folder)
    one_line(error)


def test_offsets_outside_of_the_tar_are_refused(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, 2)
    table = pq.read_table(folder / "00000.parquet")
    column = table.column_names.index("image_offset")
    pq.write_table(table.set_column(column, "image_offset", pa.array([0, 10**9])), folder / "00000.parquet")
    with pytest.raises(UserError, match="outside of the tar"):
        Shards(folder)


def test_same_key_in_two_shards_is_refused(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, 2)
    write_shard(folder, 1, make_triplets(1, start=1))
    with pytest.raises(UserError, match="'000001' comes more than once"):
        Shards(folder)


def test_columns_of_different_type_are_refused(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, 2)
    write_shard(folder, 1, [Triplet(key="x", caption="", image=b"", extra={"score": "high"})])
    with pytest.raises(UserError, match="differ in the type") as error:
        Shards(folder)
    one_line(error)


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a folder"):
        Shards(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no finished shard"):
        Shards(tmp_path)
    write_shard(tmp_path, 0, [Triplet(key="a", caption="", status=REJECTED, reason="blurred")])
    with pytest.raises(UserError, match=r"no accepted row.*blurred"):
        Shards(tmp_path)


def test_absent_roles_and_names(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, [Triplet(key="a", caption="c", image=b"i")])
    shards = Shards(tmp_path)
    assert not shards.has(NEG_IMAGE)
    with pytest.raises(UserError, match=r"'a' in .* has no neg_image"):
        shards.read(0, NEG_IMAGE)
    with pytest.raises(UserError, match="has no neg_caption"):
        shards.neg_caption(0)
    with pytest.raises(UserError, match="unknown column 'captoin'; did you mean 'caption'"):
        shards.column("captoin")
    with pytest.raises(UserError, match="unknown role 'negimage'"):
        shards.read(0, "negimage")


def _read_in_child(shards: Shards, queue: "multiprocessing.Queue[list[bytes]]") -> None:
    queue.put([shards.read(index, IMAGE) for index in range(len(shards))])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_readers_survive_fork_and_pickle(tmp_path: Path, method: Literal["fork", "spawn"]) -> None:
    shards = Shards(make_folder(tmp_path, 3, 3))
    here = [shards.read(index, IMAGE) for index in range(6)]
    context = multiprocessing.get_context("fork") if method == "fork" else multiprocessing.get_context("spawn")
    queue = context.Queue()
    child = context.Process(target=_read_in_child, args=(shards, queue))
    child.start()
    there = queue.get(timeout=60)
    child.join()
    assert there == here
    assert pickle.loads(pickle.dumps(shards)).read(5, IMAGE) == here[5]


def test_more_shards_than_open_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards_module, "OPEN_TARS", 2)
    shards = Shards(make_folder(tmp_path, 1, 1, 1, 1))
    for index in (0, 1, 2, 3, 0, 3):
        assert shards.read(index, IMAGE) == encoded(2 * index)


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            header.pax_headers = {"comment": "an extra header before the member"}
            tar.addfile(header, io.BytesIO(content))


def test_official_and_img2dataset_shards_are_read(tmp_path: Path) -> None:
    official = {"7.image": b"I", "7.caption": "ü".encode(), "7.neg_image": b"NI", "7.neg_caption": b"nc"}
    write_tar(tmp_path / "o/shard-0.tar", official)
    shards = Shards(tmp_path / "o", foreign=True)
    assert (shards.keys, shards.caption(0), shards.neg_caption(0)) == (["7"], "ü", "nc")
    assert [shards.read(0, role) for role in ROLES] == [b"I", "ü".encode(), b"NI", b"nc"]
    plain = {"0a.jpg": b"A", "0a.txt": b"ca", "0a.json": b"{}", "0b.json": b"{}", "0b.txt": b"cb", "0c.png": b"C"}
    write_tar(tmp_path / "p/00000.tar", plain)
    shards = Shards(tmp_path / "p", foreign=True)
    assert (shards.keys, shards.read(0, IMAGE), shards.has(NEG_IMAGE)) == (["0a"], b"A", False)
    assert shards.rejected() == {"no image": 1, "no caption": 1}


def test_foreign_reader_agrees_with_our_index(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, 3, 2)
    ours, scanned = Shards(folder), Shards(folder, foreign=True)
    assert ours.keys == scanned.keys
    for index in range(5):
        assert [ours.read(index, role) for role in ROLES] == [scanned.read(index, role) for role in ROLES]
        assert ours.neg_caption(index) == scanned.neg_caption(index)


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.8])
def test_truncated_foreign_tar_is_refused(tmp_path: Path, kept: float) -> None:
    write_tar(tmp_path / "00000.tar", {"a.jpg": bytes(5000), "a.txt": b"x", "b.jpg": b"1" * 5000, "b.txt": b"y"})
    with tarfile.open(tmp_path / "00000.tar") as tar:
        end = tar.getmembers()[-1].offset_data + 512
    os.truncate(tmp_path / "00000.tar", int(end * kept))
    with pytest.raises(UserError, match="truncated") as error:
        Shards(tmp_path, foreign=True)
    one_line(error)


def test_foreign_tar_cut_between_members_is_refused(tmp_path: Path) -> None:
    write_tar(tmp_path / "00000.tar", {"a.jpg": b"1" * 512, "a.txt": b"x", "b.jpg": b"1" * 512, "b.txt": b"y"})
    with tarfile.open(tmp_path / "00000.tar") as tar:
        end_of_first_row = tar.getmembers()[1].offset_data + 512
    os.truncate(tmp_path / "00000.tar", end_of_first_row)
    with pytest.raises(UserError, match="no end-of-archive"):
        Shards(tmp_path, foreign=True)


def test_foreign_tar_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "00000.tar").write_bytes(b"GIF89a" * 1000)
    with pytest.raises(UserError, match="no plain tar") as error:
        Shards(tmp_path, foreign=True)
    one_line(error)
    write_tar(tmp_path / "twice/00000.tar", {"a.jpg": b"", "a.png": b"", "a.txt": b""})
    with pytest.raises(UserError, match="two members for 'image'"):
        Shards(tmp_path / "twice", foreign=True)
