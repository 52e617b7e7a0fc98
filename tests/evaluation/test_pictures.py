"""Pictures: equality by content, crops, and what a set needs of them."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tripletclip.errors import UserError
from tripletclip.evaluation.pictures import Picture, image_file, picture_bytes, picture_digest
from tripletclip.evaluation.sets import UNREADABLE, ChoiceSet, ClassSet, GroupSet, ParaphraseSet, RetrievalSet


@pytest.fixture
def file(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, size=(20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def pixels(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_a_picture_is_its_content_not_its_place(tmp_path: Path, file: Path) -> None:
    (tmp_path / "b.png").write_bytes(file.read_bytes())
    a, b = image_file(file), image_file(tmp_path / "b.png")
    assert a == b and hash(a) == hash(b)
    assert a != image_file(file, (0, 0, 5, 5))
    assert picture_digest(a) == picture_digest(file.read_bytes())
    assert (
        len({picture_digest(one) for one in (a, image_file(file, (0, 0, 5, 5)), image_file(file, (0, 0, 5, 6)))}) == 3
    )
    assert picture_bytes(a) == file.read_bytes()
    with pytest.raises(FileNotFoundError):
        image_file(tmp_path / "nowhere.jpg")


def test_a_crop_is_cut_out_and_clipped_to_the_image(file: Path) -> None:
    whole = pixels(file.read_bytes())
    assert (pixels(picture_bytes(image_file(file, (4, 2, 10, 7)))) == whole[2:9, 4:14]).all()
    assert (pixels(picture_bytes(image_file(file, (-3, 15, 10, 70)))) == whole[15:, :7]).all()
    with pytest.raises(ValueError, match="lies outside"):
        picture_bytes(image_file(file, (30, 0, 5, 5)))
    with pytest.raises(ValueError, match="lies outside"):
        picture_bytes(image_file(file, (3, 3, 0, 5)))


def choice_set() -> ChoiceSet:
    return ChoiceSet(
        name="whatsup-a",
        keys=list("abcdef"),
        splits=["on", "on", "under", "under", "left", "left"],
        images=[b"0", b"1", b"2", b"3", b"4", b"5"],
        options=[[f"true {i}", f"wrong {i}"] for i in range(6)],
        means={"vertical": ["on", "under"], "sides": ["left"]},
        teams={"pairs": ["A", "A", "B", "B", "C", "C"]},
    )


def test_choices_without_unreadable_images() -> None:
    """A team that lost an item counts no more; a mean over splits that are gone is gone."""
    less = choice_set().without({b"1": "corrupt", b"4": "empty", b"5": "empty"})
    assert (less.keys, less.splits, less.left_out) == (["a", "c", "d"], ["on", "under", "under"], {UNREADABLE: 3})
    assert less.options == [["true 0", "wrong 0"], ["true 2", "wrong 2"], ["true 3", "wrong 3"]]
    assert less.teams == {"pairs": ["", "B", "B"]}
    assert less.means == {"vertical": ["on", "under"]}
    assert less.coverage == pytest.approx(0.5)
    assert less.digest() != choice_set().digest()


def test_groups_lose_an_item_with_either_image() -> None:
    groups = GroupSet(
        name="winoground", keys=["a", "b", "c"], splits=["x"] * 3, images=[b"0", b"1", b"2"], captions=list("pqr"),
        neg_images=[b"3", b"4", b"5"], neg_captions=list("stu"), left_out={"image file missing": 1},
    )  # fmt: skip
    less = groups.without({b"0": "corrupt", b"5": "corrupt"})
    assert (less.keys, less.neg_images, less.neg_captions) == (["b"], [b"4"], ["t"])
    assert less.left_out == {"image file missing": 1, UNREADABLE: 2} and less.coverage == pytest.approx(0.25)
    assert less.headline == "group"


def test_retrieval_loses_the_captions_too() -> None:
    images: list[Picture] = [b"0", b"1", b"2"]
    item_set = RetrievalSet(name="", images=images, captions=list("abcdef"), image_of_caption=[0, 1, 2, 2, 1, 0])
    less = item_set.without({b"1": "corrupt"})
    assert (less.images, less.captions, less.image_of_caption) == ([b"0", b"2"], ["a", "c", "d", "f"], [0, 1, 1, 0])
    assert less.left_out == {UNREADABLE: 2} and less.coverage == pytest.approx(4 / 6)


def test_classes_lose_images_and_keep_classes() -> None:
    item_set = ClassSet(name="", images=[b"0", b"1"], labels=[1, 0], class_names=["x", "y"], templates=["{}"])
    less = item_set.without({b"0": "corrupt"})
    assert (less.images, less.labels, less.class_names) == ([b"1"], [0], ["x", "y"])


def test_nothing_left_is_refused() -> None:
    with pytest.raises(UserError, match="is empty"):
        choice_set().without(dict.fromkeys(choice_set().pictures(), "corrupt"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"keys": list("abcdea")}, "the key 'a' twice"),
        ({"splits": ["macro"] * 6}, "split named 'macro'"),
        ({"options": [["one"]] * 6}, "item 'a' of 'whatsup-a' has 1 captions"),
        ({"means": {"on": ["on"]}}, "two metrics named 'on'"),
        ({"teams": {"vertical": [""] * 6}}, "two metrics named 'vertical'"),
        ({"means": {"v": ["above"]}}, "splits that it does not have"),
        ({"teams": {"pairs": ["A"]}}, "different lengths"),
        ({"headline": "pears"}, "no metric 'pears'"),
    ],
)
def test_choices_that_do_not_fit(change: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says):
        replace(choice_set(), **change)  # type: ignore[arg-type]


def test_the_hash_of_choices_sees_every_part() -> None:
    data = choice_set()
    changed = [
        replace(data, options=[["true 0 wrong 0", "x"], *data.options[1:]]),
        replace(data, options=[["true 0", "wrong 0", "true 1"], ["wrong 1", "x"], *data.options[2:]]),
        replace(data, teams={"pairs": ["A", "A", "A", "B", "C", "C"]}),
        replace(data, means={"vertical": ["on"]}),
        replace(data, images=[b"9", *data.images[1:]]),
        replace(data, splits=["on"] * 6, means={}),
    ]
    assert len({one.digest() for one in [data, *changed]}) == 7


def test_what_paraphrases_need_encoded() -> None:
    item_set = ParaphraseSet(
        name="s", keys=["a"], splits=["x"], images=[b"0"], captions=["p"], paraphrases=["q"], neg_captions=["n"]
    )
    assert (item_set.pictures(), item_set.texts()) == ([b"0"], ["p", "q", "n"])
