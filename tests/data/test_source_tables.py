"""CSV, TSV and Parquet: rows come as they stand, in chunks that begin where they should; faults stay in their row."""

import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_files import BAD_CAPTIONS, BAD_IMAGES, jpeg, pairs_of, problems_of

from tripletclip.data.columns import Columns
from tripletclip.data.pairs import Pair
from tripletclip.data.sources import open_source
from tripletclip.data.tables import CsvTable, csv_header
from tripletclip.errors import UserError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with ``0.jpg`` to ``9.jpg``, each of its own height, in a folder of its own."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(10):
        (folder / f"{number}.jpg").write_bytes(jpeg(size=(8, number + 1)))
    return folder


def as_parquet(path: Path, rows: list[tuple[str, str]]) -> None:
    table = pa.table({"image": [row[0] for row in rows], "caption": [row[1] for row in rows]})
    pq.write_table(table, path, row_group_size=2)


def as_lines(path: Path, rows: list[tuple[str, str]], delimiter: str) -> None:
    lines = [f"image{delimiter}caption", *(delimiter.join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write(path: Path, rows: list[tuple[str, str]]) -> str:
    if path.suffix == ".parquet":
        as_parquet(path, rows)
    else:
        as_lines(path, rows, "\t" if path.suffix == ".tsv" else ",")
    return str(path)


KINDS = ["t.csv", "t.tsv", "t.parquet"]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("rows", [1, 3, 100])
def test_rows_are_numbered_pairs_whatever_the_chunks(photos: Path, name: str, rows: int) -> None:
    text = write(photos.parent / name, [(f"photos/{number}.jpg", f"a dog № {number}") for number in range(7)])
    pairs = pairs_of(open_source(text), rows)
    assert [(pair.key, pair.caption) for pair in pairs] == [(f"{n:09d}", f"a dog № {n}") for n in range(7)]
    assert [pair.image for pair in pairs] == [jpeg(size=(8, number + 1)) for number in range(7)]
    assert len(list(open_source(text).chunks(rows))) == -(-7 // rows)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("rows", [1, 2, 3, 100])
def test_captions_of_one_image_stay_together(photos: Path, name: str, rows: int) -> None:
    listing = [("0.jpg", "a"), ("0.jpg", "b"), ("0.jpg", "b"), ("1.jpg", "c"), ("2.jpg", "d"), ("2.jpg", "e")]
    text = write(photos / name, listing)
    first = [
        (pair.key, pair.caption, pair.other_captions) for pair in pairs_of(open_source(f"{text},captions=first"), rows)
    ]
    assert first == [("000000000", "a", ("b",)), ("000000003", "c", ()), ("000000004", "d", ("e",))]
    every = [
        (pair.key, pair.caption, pair.other_captions) for pair in pairs_of(open_source(f"{text},captions=all"), rows)
    ]
    assert every == [
        ("000000000", "a", ("b",)), ("000000001", "b", ("a",)), ("000000002", "b", ("a",)),
        ("000000003", "c", ()), ("000000004", "d", ("e",)), ("000000005", "e", ("d",)),
    ]  # fmt: skip
    apart = [(pair.caption, pair.other_captions) for pair in pairs_of(text)]
    assert apart == [(caption, ()) for _, caption in listing]
    alone = pairs_of(open_source(f"{text},images=none,captions=first"), rows)
    assert [(pair.key, pair.caption, pair.other_captions) for pair in alone] == first
    assert all(pair.image is None and not pair.problem for pair in alone)


@pytest.mark.parametrize("name", KINDS)
def test_faults_stay_in_their_row(photos: Path, name: str) -> None:
    for problem, content in BAD_IMAGES.items():
        (photos / problem.replace(": ", "-")).write_bytes(content)
    (photos.parent / "outside.jpg").write_bytes(jpeg())
    (photos / "link.jpg").symlink_to(photos.parent / "outside.jpg")
    rows = [(problem.replace(": ", "-"), "a", problem) for problem in BAD_IMAGES]
    rows += [(path, "a", "image: path outside the folder") for path in
             ("../outside.jpg", str(photos.parent / "outside.jpg"), "link.jpg", "../../../etc/passwd")]  # fmt: skip
    rows += [("absent.jpg", "a", "image: missing file"), ("0.jpg", " ", "caption: empty"), ("0.jpg", "<b>", "")]
    rows += [("0.jpg", "x" * 2001, "caption: too long"), ("", "a", "image: missing file")]
    text = write(photos / name, [(path, caption) for path, caption, _ in rows])
    assert list(problems_of(text).values()) == [problem for _, _, problem in rows]


@pytest.mark.parametrize("name", KINDS)
def test_keys_come_from_the_column_that_is_named(photos: Path, name: str) -> None:
    path = photos / name
    if name == "t.parquet":
        pq.write_table(pa.table({"id": ["x", "a/b", "x", None], "image": ["0.jpg"] * 4, "caption": ["c"] * 4}), path)
    else:
        mark = "," if name == "t.csv" else "\t"
        lines = [("id", "image", "caption"), *((key, "0.jpg", "c") for key in ("x", "a/b", "x", ""))]
        path.write_text("\n".join(mark.join(line) for line in lines))
    pairs = pairs_of(f"{path},key=id")
    assert [pair.key for pair in pairs] == ["x", "a-b-c14cddc033f64b9d", "x-dup1", "000000003"]
    assert [pair.problem for pair in pairs] == ["", "", "duplicate key", ""]


# ---- CSV alone -----------------------------------------------------------------------------------------------------


def captions_of(text: str, rows: int = 100) -> list[tuple[str, str]]:
    return [(pair.caption, pair.problem) for pair in pairs_of(open_source(text), rows)]


@pytest.mark.parametrize("rows", [1, 2, 100])
def test_quoted_line_ends_blank_lines_and_bytes_that_are_not_utf8(tmp_path: Path, rows: int) -> None:
    (tmp_path / "t.csv").write_bytes(
        b'\xef\xbb\xbf"caption",id\r\n"a, ""big""\r\ndog",1\r\n\r\ncaf\xe9,2\r\nshort\r\n'
        b"\xc3\xa9t\xc3\xa9,3,more\r\nlast,4"
    )
    assert captions_of(f"{tmp_path}/t.csv,images=none", rows) == [
        ('a, "big" dog', ""), ("caf?", "caption: not UTF-8"), ("", "row: too few columns"), ("été", ""), ("last", ""),
    ]  # fmt: skip


def test_a_quote_that_never_ends_costs_rows_but_not_the_file(tmp_path: Path) -> None:
    """The parser gives up a cell at 131,072 characters: one broken row, and it goes on with the next line."""
    lines = ["caption,id", 'a "quoted",0', '"never ends,1', *(f"{'x' * 996},{number}" for number in range(400))]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    found = captions_of(f"{tmp_path}/t.csv,images=none")
    assert found[0] == ('a "quoted"', "") and found[1] == ("", "row: broken")
    assert found[-1] == ("x" * 996, "") and 260 < len(found) < 300


@settings(max_examples=30, deadline=None)
@given(
    cells=st.lists(
        st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), min_size=1), max_size=8
    ),
    rows=st.integers(1, 4),
)
def test_any_text_survives_a_csv_in_any_chunks(
    tmp_path_factory: pytest.TempPathFactory, cells: list[str], rows: int
) -> None:
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    quoted = ['"' + cell.replace('"', '""') + '\n"' for cell in cells]
    path.write_text("caption\n" + "".join(f"{cell}\n" for cell in quoted), encoding="utf-8", newline="")
    found = [pair.caption for pair in pairs_of(open_source(f"{path},images=none"), rows)]
    assert found == [" ".join(cell.replace("\ufeff", " ").split()) for cell in cells]


def test_a_chunk_reads_its_own_part_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("caption\n" + "".join(f"row {number}\n" for number in range(1000)))
    chunks = list(open_source(f"{path},images=none").chunks(10))
    assert len(pickle.dumps(chunks[50])) < 2000
    content = path.read_bytes()
    path.write_bytes(content.replace(b"row", b"ROW", 500))  # rows before the chunk are not what it reads
    assert [pair.caption for pair in pickle.loads(pickle.dumps(chunks[50])).read()] == [
        f"row {n}" for n in range(500, 510)
    ]


def test_places_are_bytes(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("caption\né\n\nb\n".encode())
    header, start = csv_header(path, ",")
    columns = Columns(caption="caption", image=None, key=None)
    table = CsvTable(path=path, columns=columns, delimiter=",", header=header, start=start)
    assert (start, [place for place, _ in table.outline(0)]) == (8, [11, 14])


# ---- Parquet alone -------------------------------------------------------------------------------------------------


def test_bytes_records_lists_and_dictionaries(tmp_path: Path) -> None:
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    for number, (images, captions) in enumerate([
        (pa.array([jpeg(), None], pa.large_binary()), pa.array([["a", "b"], []])),
        (pa.array([{"bytes": jpeg(), "path": "x"}, None], image), pa.array(["a", None]).dictionary_encode()),
    ]):  # fmt: skip
        pq.write_table(pa.table({"image": images, "text": captions}), tmp_path / f"{number}.parquet")
        first, second = pairs_of(f"{tmp_path}/{number}.parquet,caption=text")
        assert (first.image, first.caption, first.problem) == (jpeg(), "a", "")
        assert first.other_captions == (("b",) if number == 0 else ())
        assert second.problem == "caption: missing"
    every = pairs_of(f"{tmp_path}/0.parquet,caption=text,captions=all")
    assert [(pair.key, pair.caption) for pair in every] == [
        ("000000000-0", "a"), ("000000000-1", "b"), ("000000001-0", ""),
    ]  # fmt: skip


def test_text_that_is_not_utf8_costs_its_row_alone(tmp_path: Path) -> None:
    raw = pa.array([b"a dog", BAD_CAPTIONS["caption: not UTF-8"], b"a cat"])
    captions = pa.StringArray.from_buffers(3, raw.buffers()[1], raw.buffers()[2])
    pq.write_table(pa.table({"caption": captions}), tmp_path / "t.parquet")
    assert list(problems_of(f"{tmp_path}/t.parquet,images=none").values()) == ["", "caption: not UTF-8", ""]


def test_files_of_a_folder_or_pattern_are_numbered_through(tmp_path: Path) -> None:
    for number in range(3):
        pq.write_table(
            pa.table({"caption": [f"{number}-{row}" for row in range(5)]}),
            tmp_path / f"{number}.parquet",
            row_group_size=2,
        )
    for text in (f"{tmp_path},images=none", f"parquet:{tmp_path}/*.parquet,images=none"):
        pairs = pairs_of(open_source(text), 3)
        assert [(pair.key, pair.caption) for pair in pairs] == [
            (f"{5 * number + row:09d}", f"{number}-{row}") for number in range(3) for row in range(5)
        ]


def test_wrong_types_and_broken_files_stop_at_the_door(tmp_path: Path) -> None:
    pq.write_table(pa.table({"caption": [1], "image": ["a"], "text": ["a"], "pixels": [[1]]}), tmp_path / "t.parquet")
    with pytest.raises(UserError, match=r"column 'caption' .* is int64; captions must be text"):
        open_source(f"{tmp_path}/t.parquet")
    with pytest.raises(UserError, match=r"column 'pixels' .* images must be paths, bytes"):
        open_source(f"{tmp_path}/t.parquet,image=pixels,caption=text")
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"t\.parquet is no Parquet file or is truncated"):
        open_source(f"{tmp_path}/t.parquet")
    (tmp_path / "t.csv").write_bytes(b"")
    with pytest.raises(UserError, match=r"has no header line"):
        open_source(f"{tmp_path}/t.csv")


def test_a_broken_image_is_one_problem_for_all_of_its_captions(photos: Path) -> None:
    (photos / "bad.jpg").write_bytes(b"")
    text = write(photos / "t.csv", [("bad.jpg", "a"), ("bad.jpg", "b")])
    pairs: list[Pair] = pairs_of(f"{text},captions=all")
    assert [pair.problem for pair in pairs] == ["image: empty", "image: empty"]
