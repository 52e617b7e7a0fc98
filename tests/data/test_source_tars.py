"""Tars: everybody's names are read, nothing is extracted, and a broken tar costs its tail alone."""

import gzip
import io
import pickle
import tarfile
from pathlib import Path

import fsspec
import pytest
from made_shards import make_folder, make_triplets
from source_files import BAD_CAPTIONS, BAD_IMAGES, jpeg, pairs_of, problems_of, write_tar

from tripletclip.data.sources import open_source
from tripletclip.data.spec import shown
from tripletclip.data.tar_names import expand_braces
from tripletclip.data.tars import TarChunk
from tripletclip.errors import UserError


def img2dataset(count: int) -> dict[str, bytes]:
    """Members as img2dataset writes them."""
    return {
        f"{number:05d}.{suffix}": content
        for number in range(count)
        for suffix, content in {"jpg": jpeg(), "json": b"{}", "txt": f"caption {number}".encode()}.items()
    }


def test_img2dataset_webdataset_and_others_are_read(tmp_path: Path) -> None:
    members = {
        "00000.jpg": jpeg(), "00000.json": b"{}", "00000.txt": b"one",
        "sub/dir/x.y.png": b"no", "sub/dir/x.TXT": b"two", "sub/dir/x.JPEG": jpeg("blue"),
        "._00000.jpg": b"resource fork",
        "b c.caption": b"three", "b c.image": jpeg("green"),
    }  # fmt: skip
    pairs = pairs_of(str(write_tar(tmp_path / "a.tar", members)))
    assert [(pair.caption, pair.image, pair.problem) for pair in pairs] == [
        ("one", jpeg(), ""), ("two", jpeg("blue"), ""), ("three", jpeg("green"), ""),
    ]  # fmt: skip
    assert pairs[0].key == "00000"
    assert pairs[1].key.startswith("sub-dir-x-") and pairs[2].key.startswith("b-c-")
    assert all(pair.neg_image is None and pair.neg_caption is None for pair in pairs)


def test_shards_of_the_authors_bring_their_negatives(tmp_path: Path) -> None:
    members = {
        "7.image": jpeg(), "7.caption": b"a dog", "7.neg_image": jpeg("blue"), "7.neg_caption": b"a cat",
        "8.image": jpeg(), "8.caption": b"a dog", "8.neg_image": b"", "8.neg_caption": b"a cat",
        "9.image": jpeg(), "9.caption": b"a dog", "9.neg_image": jpeg(), "9.neg_caption": b"",
    }  # fmt: skip
    first, second, third = pairs_of(str(write_tar(tmp_path / "shard-0.tar", members)))
    assert (first.image, first.caption, first.neg_image, first.neg_caption) == (
        jpeg(), "a dog", jpeg("blue"), "a cat",
    )  # fmt: skip
    assert (second.problem, third.problem) == ("neg_image: empty", "neg_caption: empty")


def test_own_shards_are_read_back(tmp_path: Path) -> None:
    pairs = pairs_of(f"tar:{make_folder(tmp_path, 2, 3)}")
    rows = make_triplets(5)
    assert [(pair.key, pair.image, pair.neg_image) for pair in pairs] == [
        (row.key, row.image, row.neg_image) for row in rows
    ]
    assert [pair.neg_caption for pair in pairs] == [f"a blue dog № {number}" for number in range(5)]


def test_bad_rows_have_their_reason_and_the_others_come_through(tmp_path: Path) -> None:
    rows = {f"i{number}": (problem, b"a dog", image) for number, (problem, image) in enumerate(BAD_IMAGES.items())}
    rows |= {f"c{number}": (problem, text, jpeg()) for number, (problem, text) in enumerate(BAD_CAPTIONS.items())}
    rows["good"] = ("", b"a <b>dog</b>\n", jpeg())
    members = [(f"{key}.{end}", data) for key, row in rows.items() for end, data in (("txt", row[1]), ("jpg", row[2]))]
    members += [("only.jpg", jpeg()), ("alone.txt", b"a dog")]
    found = problems_of(str(write_tar(tmp_path / "a.tar", members)))
    assert found == {key: row[0] for key, row in rows.items()} | {
        "only": "caption: missing",
        "alone": "image: missing",
    }


def test_keys_that_come_twice_are_kept_apart(tmp_path: Path) -> None:
    row = [("a.jpg", jpeg()), ("a.txt", b"x")]
    tar = write_tar(tmp_path / "a.tar", [*row, *row, ("b.jpg", jpeg()), ("b.txt", b"y"), *row])
    assert problems_of(str(tar)) == {"a": "", "a-dup1": "duplicate key", "b": "", "a-dup2": "duplicate key"}


def test_names_from_a_tar_never_touch_the_disk(tmp_path: Path) -> None:
    names = ["../up", "/abs/olute", "a/../../b"]
    members = [(f"{name}.{end}", data) for name in names for end, data in (("jpg", jpeg()), ("txt", b"c"))]
    with tarfile.open(write_tar(tmp_path / "a.tar", members), "a") as tar:
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        caption = tarfile.TarInfo("link.txt")
        caption.size = 1
        tar.addfile(caption, io.BytesIO(b"c"))
    before = sorted(tmp_path.parent.rglob("*"))
    pairs = pairs_of(str(tmp_path / "a.tar"))
    assert [pair.problem for pair in pairs] == ["", "", "", "image: missing"]
    assert [pair.key.rsplit("-", 1)[0] for pair in pairs[:3]] == ["up", "abs-olute", "a-b"]
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_every_cut_of_a_tar_yields_the_rows_before_it(tmp_path: Path) -> None:
    """At each 512-byte block and around it: the rows that lie whole before the cut, then one row for the tar."""
    path = write_tar(tmp_path / "whole.tar", img2dataset(3))
    content = path.read_bytes()
    with tarfile.open(path) as tar:
        ends = [member.offset_data + member.size for member in tar if member.name.endswith(".txt")]
        archive_end = tar.offset
    cut = tmp_path / "00042.tar"
    for length in sorted({place + extra for place in range(0, archive_end, 512) for extra in (0, 1, 300)}):
        cut.write_bytes(content[:length])
        pairs = list(TarChunk(path=str(cut), max_side=None).read())
        whole = sum(length >= end for end in ends)
        assert [pair.key for pair in pairs[:-1] if not pair.problem] == [f"{row:05d}" for row in range(whole)], length
        assert (pairs[-1].key, pairs[-1].problem) == ("00042-truncated", "tar: truncated")
        assert len(pairs) == whole + 1


def test_a_cut_inside_a_triplet_does_not_pass_for_a_pair(tmp_path: Path) -> None:
    members = {f"{key}.{end}": data for key in "ab" for end, data in
               {"image": jpeg(), "caption": b"x", "neg_image": jpeg(), "neg_caption": b"y"}.items()}  # fmt: skip
    path = write_tar(tmp_path / "s.tar", members)
    with tarfile.open(path) as tar:
        place = tar.getmember("b.neg_image").offset
    path.write_bytes(path.read_bytes()[:place])
    assert problems_of(str(path)) == {"a": "", "s-truncated": "tar: truncated"}


def test_other_breaks_are_named(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", img2dataset(2))
    with tarfile.open(path) as tar:
        place = tar.getmember("00001.jpg").offset
    content = bytearray(path.read_bytes())
    content[place : place + 512] = b"\xa5" * 512
    path.write_bytes(content)
    assert problems_of(str(path)) == {"00000": "", "a-corrupt": "tar: corrupt"}
    path.write_bytes(b"<html>not found</html>" * 100)
    assert problems_of(str(path)) == {"a-not-a-tar": "tar: not a tar"}
    path.write_bytes(b"")
    assert problems_of(str(path)) == {"a-truncated": "tar: truncated"}
    zipped = tmp_path / "z.tar.gz"
    zipped.write_bytes(gzip.compress(write_tar(path, img2dataset(2)).read_bytes()))
    assert problems_of(str(zipped)) == {"00000": "", "00001": ""}
    zipped.write_bytes(zipped.read_bytes()[:-40])
    assert problems_of(str(zipped))["z-truncated"] == "tar: truncated"
    zipped.write_bytes(b"no gzip at all")
    assert problems_of(str(zipped)) == {"z-not-a-tar": "tar: not a tar"}


def test_folders_patterns_and_urls_name_the_same_tars(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    for number in range(3):
        rows = {f"{number}{name}": content for name, content in img2dataset(2).items()}
        write_tar(tmp_path / f"{number:05d}.tar", rows)
        memory.pipe_file(f"/tars-test/{number:05d}.tar", (tmp_path / f"{number:05d}.tar").read_bytes())
    (tmp_path / "00000.json").write_text("{}")
    expected = pairs_of(f"tar:{tmp_path}")
    assert len(expected) == 6
    for text in (
        f"{tmp_path}/{{00000..00002}}.tar", f"tar:{tmp_path}/0*", f"{tmp_path}/0000{{0,1,2}}.tar",
        "memory://tars-test/{00000..00002}.tar", "tar:memory://tars-test/*.tar",
    ):  # fmt: skip
        assert pairs_of(text) == expected, text
    with pytest.raises(UserError, match=r"no file memory://tars-test/9.tar"):
        open_source("memory://tars-test/9.tar")
    with pytest.raises(UserError, match=r"cannot open nosuch://"):
        open_source("nosuch://x/9.tar")


def test_a_tar_that_goes_away_is_no_bad_row(tmp_path: Path) -> None:
    source = open_source(str(write_tar(tmp_path / "a.tar", img2dataset(1))))
    (chunk,) = source.chunks(10)
    (tmp_path / "a.tar").unlink()
    with pytest.raises(UserError, match=r"cannot read a\.tar: No such file"):
        list(chunk.read())


def test_chunks_travel_and_read_the_same_twice(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", img2dataset(3))
    (chunk,) = open_source(f"{tmp_path},prefix=tar,max_side=4").chunks(1)
    copy = pickle.loads(pickle.dumps(chunk))
    assert list(copy.read()) == list(chunk.read()) == list(chunk.read())
    assert [pair.key for pair in chunk.read()] == ["a-00000", "a-00001", "a-00002"]
    assert len(pickle.dumps(chunk)) < 1000


def test_titles_show_no_folder_and_no_secret() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/t/a.tar", b"")
    assert open_source("tar:memory://t/a.tar").title == "tar: memory://t/a.tar"
    assert shown("https://me:secret@host/a/b.tar?token=secret") == "https://host/a/b.tar"
    assert shown("/home/me/data/b.tar") == "b.tar"


def test_braces_expand_one_at_a_time() -> None:
    assert list(expand_braces("{a,b}{08..10}")) == ["a08", "a09", "a10", "b08", "b09", "b10"]
    assert list(expand_braces("x{1..2}y{1..2}")) == ["x1y1", "x1y2", "x2y1", "x2y2"]
    assert list(expand_braces("{a}{}{1..x}")) == ["{a}{}{1..x}"]
    assert next(expand_braces("{0..99999999999}.tar")) == "0.tar"
