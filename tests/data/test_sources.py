"""The door: specifications are split as written, kinds are told apart, and mistakes are named in one line."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_files import jpeg, write_tar

from tripletclip.data.pairs import Pair
from tripletclip.data.rows import clean_caption, pairs_of_image, read_inside, safe_key, unique_keys
from tripletclip.data.sources import SCHEMES, detect, open_source
from tripletclip.data.spec import parse_spec
from tripletclip.data.transforms import ImageError
from tripletclip.errors import UserError

SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")

names = st.from_regex(r"[a-z][a-z_]{0,9}", fullmatch=True)
values = st.text(st.characters(codec="utf-8", exclude_characters="=,"), min_size=1, max_size=20)
paths = st.text(st.characters(codec="utf-8", exclude_characters="=:"), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(scheme=names | st.none(), path=paths, options=st.dictionaries(names, values, max_size=4))
def test_what_is_written_is_what_is_parsed(scheme: str | None, path: str, options: dict[str, str]) -> None:
    text = (f"{scheme}:" if scheme else "") + path + "".join(f",{name}={value}" for name, value in options.items())
    spec = parse_spec(text)
    assert (spec.scheme, spec.path, spec.options) == (scheme, path, options)


@pytest.mark.parametrize(
    ("text", "scheme", "path"),
    [
        ("s3://bucket/a.tar", None, "s3://bucket/a.tar"),
        ("tar:s3://bucket/a.tar", "tar", "s3://bucket/a.tar"),
        ("tar:{a,b}.tar", "tar", "{a,b}.tar"),
        ("tar:one, two.tar", "tar", "one, two.tar"),
        ("folder/with:colon", None, "folder/with:colon"),
    ],
)
def test_urls_braces_and_commas_are_part_of_the_path(text: str, scheme: str | None, path: str) -> None:
    spec = parse_spec(text)
    assert (spec.scheme, spec.path, dict(spec.options)) == (scheme, path, {})


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=200))
def test_every_key_is_made_safe_and_stays_the_same_when_it_is(text: str) -> None:
    key = safe_key(text)
    assert SAFE.fullmatch(key)
    assert safe_key(key) == key
    assert (key == text) == bool(SAFE.fullmatch(text))


def test_different_names_with_one_slug_have_different_keys() -> None:
    names = ["a/b", "a b", "a\\b", "a//b", "é/", "è/", "x" * 90, "x" * 91, "\udcff"]
    keys = [safe_key(name) for name in names]
    assert len(set(keys)) == len(names)
    assert keys[0].startswith("a-b-") and keys[6].startswith("xxxx")


def test_repeated_keys_are_renamed_and_counted() -> None:
    keys = ["a", "a", "a-dup1", "a", "b" * 80, "b" * 80]
    found = list(unique_keys(Pair(key=key, caption="c", image=b"i") for key in keys))
    assert [pair.key for pair in found][:5] == ["a", "a-dup1", "a-dup1-dup1", "a-dup2", "b" * 80]
    assert [pair.problem for pair in found] == ["", *["duplicate key"] * 3, "", "duplicate key"]
    assert len({pair.key for pair in found}) == 6 and all(SAFE.fullmatch(pair.key) for pair in found)
    assert found[1].image is None and found[0].image == b"i"


@pytest.mark.parametrize(
    ("raw", "text", "problem"),
    [
        (b"a  dog\r\n on\ta\x00mat \x7f", "a dog on a mat", ""),
        ("<b>a & b</b>", "<b>a & b</b>", ""),
        ("🐕 \u200dé", "🐕 \u200dé", ""),
        (b"\xef\xbb\xbfa dog", "a dog", ""),
        ("x" * 2000, "x" * 2000, ""),
        ("x" * 2001, "x" * 200, "too long"),
        ("é" * 200_000, "é" * 200, "too long"),
        ("é".encode() * 200_001, "é" * 200, "too long"),
        (b"caf\xe9", "caf\ufffd", "not UTF-8"),
        ("caf\udce9", "caf?", "not UTF-8"),
        (" \x85\u2028\t", "", "empty"),
        (None, "", "missing"),
    ],
)
def test_captions_are_cleaned_and_judged(raw: str | bytes | None, text: str, problem: str) -> None:
    assert clean_caption(raw) == (text, problem)


def test_no_path_leads_out_of_the_folder(tmp_path: Path) -> None:
    base = tmp_path / "base"
    (base / "sub").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"secret")
    (base / "good").write_bytes(b"good")
    (base / "link").symlink_to(tmp_path / "secret")
    (base / "up").symlink_to(tmp_path)
    (base / "circle").symlink_to(base / "circle")
    for path in ("../secret", "sub/../../secret", str(tmp_path / "secret"), "link", "up/secret", "../absent"):
        with pytest.raises(ImageError, match=r"^path outside the folder$"):
            read_inside(base, path, limit=100)
    for path in ("absent", "good/more", "nul\0", "x" * 300, "circle", ""):
        with pytest.raises(ImageError, match=r"^missing file$"):
            read_inside(base, path, limit=100)
    with pytest.raises(ImageError, match=r"^not a file$"):
        read_inside(base, "sub", limit=100)
    with pytest.raises(ImageError, match=r"^too large$"):
        read_inside(base, "good", limit=3)
    assert read_inside(base, "sub/../good", limit=4) == b"good"
    assert read_inside(base, str(base / "good"), limit=4) == b"good"


@pytest.mark.parametrize("fault", [None, ImageError("empty")])
def test_the_image_of_several_captions_is_decoded_once(fault: ImageError | None) -> None:
    calls = []

    def image() -> bytes:
        calls.append(1)
        if fault is not None:
            raise fault
        return b"image"

    pairs = list(pairs_of_image(["a", "b", "c"], ["x", "y", "z"], image, "all"))
    assert [(pair.image, pair.problem) for pair in pairs] == [(None, "image: empty") if fault else (b"image", "")] * 3
    assert len(calls) == 1


def kinds(folder: Path) -> dict[str, str]:
    """Paths of every kind that can be told, with their schemes."""
    (folder / "tars").mkdir()
    write_tar(folder / "tars" / "0.tar", {"a.txt": b"a"})
    (folder / "tars" / "0.parquet").touch()
    (folder / "photos" / "sub").mkdir(parents=True)
    (folder / "photos" / "sub" / "a.jpg").write_bytes(jpeg())
    (folder / "saved").mkdir()
    (folder / "saved" / "state.json").write_text("{}")
    (folder / "tables").mkdir()
    (folder / "tables" / "a.parquet").touch()
    (folder / "plain.tsv").write_text("image\tcaption\n")
    (folder / "neg.tsv").write_text("\ttitle\tfilepath\tneg_caption\tneg_image\n")
    return {
        "tars": "tar", "tars/0.tar": "tar", "no/{0..3}.tar": "tar", "photos": "folder", "saved": "hf",
        "tables": "parquet", "x.parquet": "parquet", "x.csv": "csv", "x.json": "coco",
        "plain.tsv": "tsv", "neg.tsv": "negclip",
    }  # fmt: skip


def test_kinds_are_told_from_the_path(tmp_path: Path) -> None:
    expected = kinds(tmp_path)
    found = {path: detect(parse_spec(str(tmp_path / path))) for path in expected}
    assert found == expected
    assert detect(parse_spec("s3://bucket/00000.tar")) == "tar"


def message(text: str) -> str:
    with pytest.raises(UserError) as error:
        open_source(text)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_mistakes_are_named_with_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "captions.json").write_text(json.dumps({"images": [], "annotations": []}))
    (tmp_path / "rows.csv").write_text("filepath,title\n")
    (tmp_path / "empty").mkdir()
    coco, table = f"{tmp_path}/captions.json", f"{tmp_path}/rows.csv"
    assert "unknown source 'cocoo'; did you mean 'coco'?" in message("cocoo:x")
    assert "did you mean 'max_side'?" in message(f"coco:{coco},images=none,max-side=3")
    assert "add ,images=FOLDER or ,images=none" in message(f"coco:{coco}")
    assert f"no file {tmp_path}/caption.json; did you mean {coco}?" in message(f"coco:{tmp_path}/caption.json")
    assert "no folder" in message(f"coco:{coco},images={tmp_path}/photos")
    assert "is a folder; give a file" in message(f"coco:{tmp_path}")
    assert "max_side='0'" in message(f"coco:{coco},images=none,max_side=0")
    assert "unknown value of 'captions'" in message(f"coco:{coco},images=none,captions=frist")
    assert "twice" in message(f"coco:{coco},images=a,images=b")
    assert "no value" in message(f"coco:{coco},images=")
    assert "names no file" in message("coco:")
    assert "has no column 'image'; write image=COLUMN. Columns: filepath, title" in message(f"csv:{table}")
    assert "did you mean caption=title?" in message(f"csv:{table},image=filepath,caption=titel")
    assert "write the scheme before it" in message(str(tmp_path / "empty"))
    assert "write a scheme before it" in message("org/name")
    assert "has no image" in message(f"folder:{tmp_path}/empty")
    assert "no tar matches" in message(f"tar:{tmp_path}/empty")
    assert "no file" in message(f"tar:{tmp_path}/{{0..2}}.tar")


def test_every_scheme_has_help_and_an_example_that_it_takes() -> None:
    for name, scheme in SCHEMES.items():
        spec = parse_spec(scheme.example)
        assert spec.scheme == name
        assert set(spec.options) <= set(scheme.keys)
        assert scheme.help and "\n" not in scheme.help


def test_the_page_of_sources_names_every_scheme_and_key() -> None:
    page = (Path(__file__).parents[2] / "docs" / "sources.md").read_text(encoding="utf-8")
    for name, scheme in SCHEMES.items():
        assert f"`{scheme.example}`" in page, name
        assert all(f"`{key}`" in page for key in scheme.keys), name
