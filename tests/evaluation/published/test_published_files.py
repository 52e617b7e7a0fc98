"""Patterns, JSON and its mistakes, and pictures by threads."""

import hashlib
from pathlib import Path

import pytest
from made_files import write_image, write_json

from tripletclip.errors import UserError
from tripletclip.evaluation.pictures import ImageFile
from tripletclip.evaluation.published import files
from tripletclip.evaluation.published.files import (
    Wanted,
    alternatives,
    either,
    gather,
    place,
    places,
    read_json,
    read_json_lines,
)


def test_alternatives_in_order() -> None:
    assert alternatives("{a,b}/{x,y}.json") == ["a/x.json", "a/y.json", "b/x.json", "b/y.json"]
    assert alternatives("{,in/}a") == ["a", "in/a"]
    assert either("{a,b}/x", "c") == "{a/x,b/x,c}"


def test_first_place_wins(tmp_path: Path) -> None:
    for name in ("b", "c"):
        (tmp_path / name).mkdir()
    assert place(tmp_path, "{a,b,c}") == tmp_path / "b"
    assert places(tmp_path, "{a,b,c}") == [tmp_path / "b", tmp_path / "c"]


def test_missing_place_names_expected_and_found(tmp_path: Path) -> None:
    for number in range(7):
        (tmp_path / f"thing{number}").mkdir()
    with pytest.raises(UserError, match=r"no x/a or y/a; it has thing0, .*thing4 and 2 more"):
        place(tmp_path, "{x,y}/a")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"0": {"a": 1', r"torn\.json is not whole JSON \(line 1"),
        ('{"0": {}, "0": {}}', "has the id '0' twice"),
        ('{"0": {"a": 1, "a": 2}}', "has the id 'a' twice"),
        ("[" * 100_000, "nested too deeply"),
        ("\udcff", "not UTF-8"),
    ],
)
def test_bad_json_is_named(tmp_path: Path, text: str, line: str) -> None:
    path = tmp_path / "torn.json"
    path.write_bytes(text.encode("utf8", "surrogateescape"))
    with pytest.raises(UserError, match=line) as error:
        read_json(path)
    assert "torn.json" in str(error.value) and "\n" not in str(error.value)


def test_bad_lines_are_named_by_number(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text('{"a": "one\u2028line"}\n\n{"b": 2}\n', "utf8")
    assert read_json_lines(path) == [(1, {"a": "one\u2028line"}), (3, {"b": 2})]
    for bad, what in (("{", "is not JSON"), ("[1]", "is not an object"), ('{"a": 1, "a": 2}', "'a' twice")):
        path.write_text(f'{{"a": 1}}\n{bad}\n', "utf8")
        with pytest.raises(UserError, match=rf"line 2 of .*own\.jsonl.*{what}"):
            read_json_lines(path)


def wanted(folder: Path, *names: str) -> list[list[Wanted]]:
    return [[Wanted(folders=(folder,), name=name)] for name in names]


def test_gather_counts_what_is_missing(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.png", 1)
    (tmp_path / "in" / "folder.png").mkdir()
    items = wanted(tmp_path / "in", "a.png", "gone.png", "folder.png", "a.png")
    got = gather(items, lambda item: item, tmp_path / "list.json", weight=lambda item: 5)
    assert got.items == [items[0], items[3]]
    assert got.left_out == {"image file missing": 5, "image file cannot be read": 5}
    content = (tmp_path / "in" / "a.png").read_bytes()
    assert got.column() == [ImageFile(path=Path(), digest=hashlib.sha256(content).hexdigest())] * 2


def test_gather_looks_in_every_folder(tmp_path: Path) -> None:
    write_image(tmp_path / "two" / "a.png", 1)
    want = Wanted(folders=(tmp_path / "one", tmp_path / "two"), name="a.png", box=(1, 2, 3, 4))
    (picture,) = gather([want], lambda one: [one], tmp_path).column()
    assert isinstance(picture, ImageFile)
    assert picture.path == tmp_path / "two" / "a.png" and picture.box == (1, 2, 3, 4)


def test_gather_reads_each_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "a.png", 1)
    read: list[Path] = []

    def counted(path: Path) -> ImageFile:
        read.append(path)
        return ImageFile(path=path, digest="x")

    monkeypatch.setattr(files, "image_file", counted)
    gather(wanted(tmp_path, *["a.png"] * 5), lambda item: item, tmp_path)
    assert len(read) == 1


def test_gather_leaves_out_large_files_and_empty_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "a.png", 1)
    write_image(tmp_path / "b.png", 2, side=200)
    monkeypatch.setattr(files, "MAX_IMAGE_BYTES", (tmp_path / "a.png").stat().st_size)
    items = [*wanted(tmp_path, "a.png", "b.png"), [Wanted(folders=(tmp_path,), name="a.png", box=(0, 0, 0, 5))]]
    got = gather(items, lambda item: item, tmp_path)
    assert got.left_out == {"image file too large": 1, "box without area": 1}


@pytest.mark.parametrize("name", ["../a.png", "x/../../a.png", "/etc/a.png", "..\\a.png", "C:\\a.png", "a\0.png", ""])
def test_gather_stays_in_the_folder(tmp_path: Path, name: str) -> None:
    write_image(tmp_path / "a.png", 1)
    (tmp_path / "in").mkdir()
    with pytest.raises(UserError, match="leads out of the image folder"):
        gather(wanted(tmp_path / "in", name), lambda item: item, tmp_path / "list.json")


def test_gather_of_a_wrong_folder_says_what_it_wanted(tmp_path: Path) -> None:
    write_json(tmp_path / "other.txt", 0)
    with pytest.raises(UserError, match=r"2 x image file missing.*images such as a\.png in .*it has other\.txt"):
        gather(wanted(tmp_path, "a.png", "b.png"), lambda item: item, tmp_path / "list.json")
    with pytest.raises(UserError, match="has no items"):
        gather([], lambda item: item, tmp_path / "list.json")
