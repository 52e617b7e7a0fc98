"""Image folders, COCO's JSON and NegCLIP's TSV: names, captions and negatives as the files give them."""

import json
import os
from pathlib import Path

import pytest
from source_files import BAD_CAPTIONS, BAD_IMAGES, jpeg, pairs_of, problems_of

from tripletclip.data.negclip import MAX_LIST, parse_list
from tripletclip.data.sources import open_source
from tripletclip.errors import UserError

REAL = Path(__file__).parents[3] / "shared" / "data"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="needs shared/data")


# ---- folders -------------------------------------------------------------------------------------------------------


def put(folder: Path, name: str, image: bytes | None, caption: bytes | None) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if image is not None:
        path.write_bytes(image)
    if caption is not None:
        path.with_suffix(".txt").write_bytes(caption)


@pytest.mark.parametrize("rows", [1, 2, 100])
def test_a_folder_is_read_in_a_fixed_order_at_any_depth(tmp_path: Path, rows: int) -> None:
    for name in ("b.jpg", "z/1.PNG", "a/c d.jpg", "a/b/e.jpg", "x.png", "x.jpg", "x-1.jpg"):
        put(tmp_path, name, jpeg(), f"of\n{name}".encode())
    put(tmp_path, ".hidden.jpg", jpeg(), b"no")
    put(tmp_path, "only.txt", None, b"no")
    pairs = pairs_of(open_source(f"folder:{tmp_path}"), rows)
    assert [pair.caption for pair in pairs] == [
        "of b.jpg", "of x.jpg", "of x.jpg", "of x-1.jpg", "of a/c d.jpg", "of a/b/e.jpg", "of z/1.PNG",
    ]  # fmt: skip
    assert [pair.key for pair in pairs][:4:3] == ["b", "x-1"] and pairs[1].key == "x"
    assert pairs[2].key.startswith("x-png-") and pairs[4].key.startswith("a-c-d-")
    assert all(pair.problem == "" and pair.image == jpeg() for pair in pairs)


def test_faults_of_files_are_counted(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for number, content in enumerate(BAD_IMAGES.values()):
        put(folder, f"i{number}.jpg", content, b"a dog")
    for number, content in enumerate(BAD_CAPTIONS.values()):
        put(folder, f"c{number}.jpg", jpeg(), content)
    put(folder, "huge.jpg", jpeg(), b"x" * 500_000)
    put(folder, "lone.jpg", jpeg(), None)
    put(tmp_path, "secret.jpg", jpeg(), b"secret")
    put(folder, "text.jpg", jpeg(), None)
    (folder / "text.txt").symlink_to(tmp_path / "secret.txt")
    put(folder, "image.jpg", None, b"a dog")
    (folder / "image.jpg").symlink_to(tmp_path / "secret.jpg")
    (folder / "linked").symlink_to(tmp_path)
    (folder / "dangling.jpg").symlink_to(folder / "nowhere")
    (folder / "dangling.txt").write_bytes(b"a dog")
    expected = {f"i{number}": problem for number, problem in enumerate(BAD_IMAGES)}
    expected |= {f"c{number}": problem for number, problem in enumerate(BAD_CAPTIONS)}
    expected |= {"huge": "caption: too long", "lone": "caption: missing file", "dangling": "image: missing file"}
    expected |= {"text": "caption: path outside the folder", "image": "image: path outside the folder"}
    expected |= {"linked": "folder: link not followed"}
    assert problems_of(f"folder:{folder}") == expected


def test_an_undecodable_file_name_is_no_obstacle(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9"
    try:
        Path(os.fsdecode(name + b".jpg")).write_bytes(jpeg())
    except OSError:
        pytest.skip("the file system takes UTF-8 names alone")
    Path(os.fsdecode(name + b".txt")).write_bytes(b"coffee")
    (pair,) = pairs_of(f"folder:{tmp_path}")
    assert pair.problem == "" and pair.key.startswith("caf-") and pair.image == jpeg()


# ---- COCO ----------------------------------------------------------------------------------------------------------


def coco(folder: Path, images: list[object], annotations: list[object]) -> str:
    path = folder / "captions.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return str(path)


def made_coco(folder: Path) -> str:
    (folder / "photos").mkdir()
    (folder / "photos" / "a.jpg").write_bytes(jpeg())
    images: list[object] = [
        {"id": 20, "file_name": "a.jpg"},
        {"id": 3, "file_name": "b.jpg"},
        {"id": 4, "file_name": "../captions.json"},
    ]
    captions = [(3, "three"), (20, " "), (20, "one"), (20, "two"), (99, "of no image"), (4, "x"), (20, None)]
    return coco(folder, images, [{"image_id": number, "caption": text} for number, text in captions])


@pytest.mark.parametrize("rows", [1, 2, 100])
def test_coco_gives_a_pair_an_image_or_a_caption(tmp_path: Path, rows: int) -> None:
    text = f"coco:{made_coco(tmp_path)},images={tmp_path}/photos"
    found = [(pair.key, pair.caption, pair.other_captions, pair.problem) for pair in pairs_of(open_source(text), rows)]
    assert found == [
        ("20", "one", ("two",), ""),
        ("3", "three", (), "image: missing file"),
        ("4", "x", (), "image: path outside the folder"),
        ("99", "of no image", (), "image: missing"),
    ]
    every = [
        (pair.key, pair.caption, pair.other_captions, pair.problem)
        for pair in pairs_of(open_source(f"{text},captions=all"), rows)
    ]
    assert every[:4] == [
        ("20-0", "", ("one", "two"), "caption: empty"),
        ("20-1", "one", ("two",), ""),
        ("20-2", "two", ("one",), ""),
        ("20-3", "", ("one", "two"), "caption: missing"),
    ]
    alone = pairs_of(f"coco:{tmp_path}/captions.json,images=none")
    assert [(pair.key, pair.image, pair.problem) for pair in alone] == [
        (key, None, "") for key in ("20", "3", "4", "99")
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "needs the lists 'images' and 'annotations'"),
        ('{"images": [], "annotations": [{"image_id": 1, "bbox": []}]}', "no 'caption'; use captions_"),
        ('{"images": [{"id": 1}], "annotations": []}', "an image of .* has no 'file_name'"),
        ('{"images": [{"id": [], "file_name": ""}], "annotations": []}', "has no 'id'"),
    ],
)
def test_a_file_that_is_not_cocos_stops_at_the_door(tmp_path: Path, content: str, expected: str) -> None:
    (tmp_path / "c.json").write_text(content)
    with pytest.raises(UserError, match=expected) as error:
        open_source(f"coco:{tmp_path}/c.json,images=none")
    assert "\n" not in str(error.value)


@needs_real
def test_coco_val2017_whole() -> None:
    path = REAL / "captions_val2017.json"
    first = pairs_of(f"{path},images=none")
    assert len(first) == 5000 and not any(pair.problem for pair in first)
    assert first[0].key == "397133" and len(first[0].other_captions) == 4
    every = sum(len(list(chunk.read())) for chunk in open_source(f"{path},images=none,captions=all").chunks(1000))
    assert every == 25014


# ---- NegCLIP -------------------------------------------------------------------------------------------------------


def made_negclip(folder: Path) -> str:
    for number in range(4):
        (folder / f"{number}.jpg").write_bytes(jpeg(size=(8, number + 1)))
    rows = [
        ("zero", "0.jpg", "['not zero', 'no zero']", "[0, 9, -1, 2, 3]"),
        ("one", "1.jpg", "[]", "[1]"),
        ("two", "2.jpg", "['']", "[0]"),
        ("three", "3.jpg", "__import__('os').system('touch owned')", "['0']"),
        ("four", "absent.jpg", "['x']", "[0]"),
    ]
    lines = ["\ttitle\tfilepath\tneg_caption\tneg_image"]
    lines += [f"{number}\t" + "\t".join(row) for number, row in enumerate(rows)]
    (folder / "neg.tsv").write_text("\n".join(lines) + "\n")
    return f"{folder}/neg.tsv"


def test_rule_negatives_are_the_first_of_the_list(tmp_path: Path) -> None:
    pairs = pairs_of(open_source(made_negclip(tmp_path)), 2)
    assert [(pair.key, pair.neg_caption, pair.problem) for pair in pairs] == [
        ("000000000", "not zero", ""),
        ("000000001", None, "negative: none listed"),
        ("000000002", "", "neg_caption: empty"),
        ("000000003", None, "negative: broken list"),
        ("000000004", None, "image: missing file"),
    ]
    assert pairs[0].neg_image is None and pairs[0].image == jpeg(size=(8, 1))
    assert pairs[0].extra == {"writer": "negclip-rules"}
    assert not Path("owned").exists()


def test_mined_negatives_are_another_row_whole(tmp_path: Path) -> None:
    pairs = pairs_of(open_source(f"{made_negclip(tmp_path)},negatives=mined"), 2)
    assert [(pair.neg_caption, pair.problem) for pair in pairs] == [
        ("two", ""), (None, "negative: no such row"), ("zero", ""), (None, "negative: broken list"),
        (None, "image: missing file"),
    ]  # fmt: skip
    assert pairs[0].neg_image == jpeg(size=(8, 3)) and pairs[2].neg_image == jpeg(size=(8, 1))
    (tmp_path / "2.jpg").write_bytes(b"")
    assert pairs_of(f"{tmp_path}/neg.tsv,negatives=mined")[0].problem == "neg_image: empty"
    plain = pairs_of(f"{tmp_path}/neg.tsv,negatives=none")
    assert [pair.problem for pair in plain] == ["", "", "image: empty", "", "image: missing file"]
    assert all(pair.neg_caption is None and pair.neg_image is None and pair.extra == {} for pair in plain)


def test_lists_are_read_and_never_run() -> None:
    assert parse_list(" ['a', \"b's\"] ", str) == ["a", "b's"]
    assert parse_list("[1, 22]", int) == [1, 22]
    for text in ("['a', 1]", "[True]", "('a',)", "'a'", "", "[", "[f()]", "[" * 5000, "-" * 9000 + "1", "[1,]\0"):
        assert parse_list(text, str) is None, text[:20]
        assert parse_list(text, int) is None, text[:20]
    assert parse_list("[" + "1," * MAX_LIST + "]", int) is None


def test_a_tsv_without_negclips_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("title\tfilepath\n")
    with pytest.raises(UserError, match=r"lacks the column 'neg_caption'. Columns: title, filepath"):
        open_source(f"negclip:{tmp_path}/t.tsv")


@needs_real
def test_negclips_own_file_whole() -> None:
    """4,848 lines are a header and 4,839 rows: eight titles end in a quoted line end."""
    for negatives in ("rules", "mined"):
        pairs = pairs_of(open_source(f"{REAL}/negclip_valid.tsv,images=none,negatives={negatives}"), 1000)
        assert len(pairs) == 4839 and not any(pair.problem for pair in pairs)
        expected = "A umbrella holding a flowered child and petting a yak ." if negatives == "rules" else None
        assert expected in (None, pairs[0].neg_caption)
        assert all(pair.neg_caption and pair.neg_caption != pair.caption for pair in pairs)
    assert pairs[0].neg_caption == pairs[2973].caption


@needs_real
def test_flickr_photos_come_with_five_captions() -> None:
    folder = REAL / "flickr8k_200"
    pairs = pairs_of(f"tsv:{folder}/captions.tsv,images={folder}/images,captions=first")
    assert len(pairs) == 200 and not any(pair.problem for pair in pairs)
    assert all(len(pair.other_captions) == 4 for pair in pairs[:50])
    names = sorted(path.name for path in (folder / "images").iterdir())
    assert pairs[0].image == (folder / "images" / names[0]).read_bytes()
