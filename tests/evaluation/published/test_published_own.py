"""The user's own JSONL: five kinds told by their fields, and every mistake by its line."""

from pathlib import Path
from typing import Any

import pytest
from made_files import write_images, write_json, write_lines

from tripletclip.errors import UserError
from tripletclip.evaluation.pictures import ImageFile
from tripletclip.evaluation.published.own import read_own
from tripletclip.evaluation.sets import BenchmarkSet, ChoiceSet, ClassSet, GroupSet, PairSet, RetrievalSet

PAIR = {"image": "in/a.png", "caption": "a dog", "neg_caption": "a cat"}


def write(root: Path, *lines: dict[str, Any]) -> Path:
    write_images(root, ["in/a.png", "in/b.png"])
    return write_lines(root / "mine.jsonl", lines)


def read(root: Path, *lines: dict[str, Any]) -> BenchmarkSet:
    (item_set,) = read_own(write(root, *lines))
    assert item_set.name == "mine"
    return item_set


def test_pairs(tmp_path: Path) -> None:
    item_set = read(tmp_path, PAIR, PAIR | {"image": "in/b.png", "key": 7, "split": "colour"})
    assert isinstance(item_set, PairSet) and item_set.neg_images is None
    assert (item_set.keys, item_set.splits) == (["1", "7"], ["all", "colour"])
    assert (item_set.captions[1], item_set.neg_captions[1]) == ("a dog", "a cat")
    second = item_set.images[1]
    assert isinstance(second, ImageFile) and second.path == tmp_path / "in" / "b.png"


def test_groups(tmp_path: Path) -> None:
    item_set = read(tmp_path, PAIR | {"neg_image": "in/b.png"})
    assert isinstance(item_set, GroupSet) and item_set.headline == "group"
    first, second = item_set.images[0], item_set.neg_images[0]
    assert isinstance(first, ImageFile) and isinstance(second, ImageFile)
    assert (first.path.name, second.path.name) == ("a.png", "b.png")
    assert (item_set.captions, item_set.neg_captions) == (["a dog"], ["a cat"])


def test_choices(tmp_path: Path) -> None:
    item_set = read(tmp_path, {"image": "in/a.png", "options": ["a dog", "a cat", "a cow"], "split": "animals"})
    assert isinstance(item_set, ChoiceSet)
    assert item_set.options == [["a dog", "a cat", "a cow"]] and item_set.splits == ["animals"]


def test_retrieval_of_several_captions(tmp_path: Path) -> None:
    item_set = read(
        tmp_path, {"image": "in/b.png", "captions": ["one", "two"]}, {"image": "in/a.png", "captions": ["three"]}
    )
    assert isinstance(item_set, RetrievalSet)
    assert (item_set.captions, item_set.image_of_caption) == (["one", "two", "three"], [0, 0, 1])


def test_retrieval_of_one_caption_a_line(tmp_path: Path) -> None:
    """Lines of the same image are one image; the captions of a missing image are counted."""
    lines = [{"image": f"in/{name}.png", "caption": f"{number}"} for number, name in enumerate("abacc")]
    item_set = read(tmp_path, *lines)
    assert isinstance(item_set, RetrievalSet)
    assert (item_set.captions, item_set.image_of_caption) == (["0", "2", "1"], [0, 0, 1])
    assert item_set.left_out == {"image file missing": 2}


def test_classification(tmp_path: Path) -> None:
    write_json(tmp_path / "classes.json", {"classes": ["cat", "dog"], "templates": ["a photo of a {}"]})
    item_set = read(tmp_path, {"image": "in/a.png", "label": "dog"}, {"image": "in/b.png", "label": 0})
    assert isinstance(item_set, ClassSet)
    assert (item_set.labels, item_set.class_names, item_set.templates) == ([1, 0], ["cat", "dog"], ["a photo of a {}"])
    for label in ("cow", 2, -1, True, None):
        path = write(tmp_path, {"image": "in/a.png", "label": label})
        with pytest.raises(UserError, match=r"line 1 of .*mine\.jsonl has the label"):
            read_own(path)


def test_folder_of_images(tmp_path: Path) -> None:
    write_images(tmp_path / "pets", ["cat/1.png", "dog/1.png"])
    write_json(tmp_path / "pets" / "classes.json", {"classes": ["cat", "dog"], "templates": ["a {}"]})
    (item_set,) = read_own(tmp_path / "pets")
    assert isinstance(item_set, ClassSet) and item_set.name == "pets" and item_set.labels == [0, 1]


@pytest.mark.parametrize(
    ("second", "line"),
    [
        (
            {"image": "in/a.png", "caption": "a dog"},
            "is of the kind 'retrieval of one caption', the first line 'pairs'",
        ),
        (PAIR | {"spilt": "x"}, "has the field 'spilt', which 'pairs' does not know"),
        ({"image": "in/a.png"}, "has the fields image; a line needs those of one kind"),
        (PAIR | {"caption": " "}, "has no text in 'caption'"),
        (PAIR | {"neg_caption": 3}, "has no text in 'neg_caption'"),
        (PAIR | {"key": None}, "'key' must be a text or a whole number"),
        (PAIR | {"split": ""}, "'split' must be a text or a whole number"),
    ],
)
def test_bad_line_is_named(tmp_path: Path, second: dict[str, Any], line: str) -> None:
    path = write(tmp_path, PAIR, second)
    with pytest.raises(UserError, match=rf"line 2 of .*mine\.jsonl.*{line}"):
        read_own(path)


def test_keys_twice_and_no_lines(tmp_path: Path) -> None:
    path = write(tmp_path, PAIR | {"key": "2"}, PAIR)
    with pytest.raises(UserError, match="has the id '2' 2 times"):
        read_own(path)
    path.write_text("\n")
    with pytest.raises(UserError, match=r"mine\.jsonl has no line"):
        read_own(path)


@pytest.mark.parametrize("name", ["../secret.png", "/etc/secret.png"])
def test_images_stay_beside_the_file(tmp_path: Path, name: str) -> None:
    write_images(tmp_path, ["secret.png"])
    path = write(tmp_path / "data", PAIR | {"image": name})
    with pytest.raises(UserError, match="leads out of the image folder"):
        read_own(path)
