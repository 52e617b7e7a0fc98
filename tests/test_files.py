"""write_atomic: a reader sees the old file or the new one, and nothing else is ever left behind."""

import errno
import os
import stat
from pathlib import Path

import pytest

from tripletclip.errors import UserError
from tripletclip.files import write_atomic


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_makes_folders_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_atomic(path, b"old")
    assert path.read_bytes() == b"old"
    write_atomic(path, b"new\x00\xff")
    assert path.read_bytes() == b"new\x00\xff" and names(path.parent) == ["file"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_the_old_file_is_whole_until_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the rename the new bytes lie complete and synced beside the old file, in the same folder."""
    path, rename, seen = tmp_path / "file", os.replace, []
    write_atomic(path, b"old")
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)

    def watch(source: str, target: Path) -> None:
        seen.append((path.read_bytes(), Path(source).read_bytes(), Path(source).parent, len(synced)))
        rename(source, target)

    monkeypatch.setattr(os, "replace", watch)
    write_atomic(path, b"new")
    assert seen == [(b"old", b"new", tmp_path, 1)] and path.read_bytes() == b"new"


@pytest.mark.parametrize("call", ["fsync", "chmod", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_any_failure_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: BaseException
) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(os, call, fail)
    expected = UserError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as raised:
        write_atomic(path, b"new")
    if expected is UserError:
        assert str(raised.value) == f"cannot write {path}: No space left on device"
    assert path.read_bytes() == b"old" and names(tmp_path) == ["file"]


def test_a_full_disk_is_a_users_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    monkeypatch.setattr("tempfile.mkstemp", lambda dir, prefix: (os.open("/dev/full", os.O_WRONLY), "/nowhere/x"))
    with pytest.raises(UserError, match="No space left"):
        write_atomic(Path("file"), b"x" * 100)


def test_a_place_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match=r"cannot write .*file/below"):
        write_atomic(tmp_path / "file" / "below", b"x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "child").touch()
    with pytest.raises(UserError, match="cannot write"):
        write_atomic(tmp_path / "folder", b"x")
    assert names(tmp_path) == ["file", "folder"]
