"""Winoground and Cola as published."""

from pathlib import Path

import pytest
from made_files import SHARED, write_images, write_json, write_lines

from tripletclip.errors import UserError
from tripletclip.evaluation.pictures import ImageFile
from tripletclip.evaluation.published import cola, winoground
from tripletclip.evaluation.sets import GroupSet

EXAMPLES = [
    {
        "id": id_,
        "caption_0": f"an old person kisses a young person {id_}",
        "caption_1": f"a young person kisses an old person {id_}",
        "image_0": f"ex_{id_}_img_0",
        "image_1": f"ex_{id_}_img_1",
        "tag": "Adjective-Age",
        "secondary_tag": "",
        "num_main_preds": 1,
        "collapsed_tag": collapsed,
    }
    for id_, collapsed in ((0, "Object"), (3, "Both"))
]


def write_winoground(root: Path, folder: str, images: str) -> None:
    write_lines(root / "winoground" / folder / "examples.jsonl", EXAMPLES)
    names = [f"{example[side]}.png" for example in EXAMPLES for side in ("image_0", "image_1")]
    write_images(root / "winoground" / images, names)


def names(pictures: list[object]) -> list[str]:
    return [picture.path.name for picture in pictures if isinstance(picture, ImageFile)]


@pytest.mark.parametrize(("folder", "images"), [("", "images"), ("data", "data/images"), ("data", "images")])
def test_winoground(tmp_path: Path, folder: str, images: str) -> None:
    write_winoground(tmp_path, folder, images)
    (item_set,) = winoground.read(tmp_path)
    assert isinstance(item_set, GroupSet)
    assert (item_set.name, item_set.headline, item_set.keys) == ("winoground", "group", ["0", "3"])
    assert item_set.splits == ["Object", "Both"]
    assert item_set.captions[0] == "an old person kisses a young person 0"
    assert item_set.neg_captions[1] == "a young person kisses an old person 3"
    assert names([*item_set.images]) == ["ex_0_img_0.png", "ex_3_img_0.png"]
    assert names([*item_set.neg_images]) == ["ex_0_img_1.png", "ex_3_img_1.png"]


def test_winoground_needs_both_images(tmp_path: Path) -> None:
    write_winoground(tmp_path, "", "images")
    (tmp_path / "winoground" / "images" / "ex_0_img_1.png").unlink()
    (item_set,) = winoground.read(tmp_path)
    assert item_set.left_out == {"image file missing": 1} and len(item_set) == 1


def test_winoground_with_an_id_twice_or_none(tmp_path: Path) -> None:
    write_winoground(tmp_path, "", "images")
    path = write_lines(tmp_path / "winoground" / "examples.jsonl", [EXAMPLES[0], EXAMPLES[0]])
    with pytest.raises(UserError, match="has the id '0' 2 times"):
        winoground.read(tmp_path)
    write_lines(path, [EXAMPLES[0], {"caption_0": "a"}])
    with pytest.raises(UserError, match=r"line 2 of .* has no 'id'"):
        winoground.read(tmp_path)
    write_lines(path, [EXAMPLES[0] | {"image_1": "../ex_0_img_1"}])
    with pytest.raises(UserError, match="leads out of the image folder"):
        winoground.read(tmp_path)


FOURS = [
    [f"https://example.org/vg/{number}.jpg", f"left {number}", f"https://example.org/vg/{number + 1}.jpg", "right"]
    for number in (10, 11)
]


def test_cola(tmp_path: Path) -> None:
    write_json(tmp_path / "cola" / cola.NAME, FOURS)
    write_images(tmp_path / "visual_genome" / "VG_100K", ["10.jpg", "12.jpg"])
    write_images(tmp_path / "visual_genome" / "VG_100K_2", ["11.jpg"])
    (item_set,) = cola.read(tmp_path)
    assert isinstance(item_set, GroupSet)
    assert (item_set.name, item_set.headline, item_set.keys) == ("cola", "image", ["0", "1"])
    assert item_set.captions == ["left 10", "left 11"] and item_set.neg_captions == ["right", "right"]
    assert names([*item_set.images]) == ["10.jpg", "11.jpg"]
    assert names([*item_set.neg_images]) == ["11.jpg", "12.jpg"]


@pytest.mark.parametrize("content", [{}, [["a", "b", "c"]], [["a", "b", "c", 4]]])
def test_cola_of_another_shape(tmp_path: Path, content: object) -> None:
    write_json(tmp_path / "cola" / cola.NAME, content)
    (tmp_path / "cola" / "images").mkdir()
    with pytest.raises(UserError, match=r"\[link, caption, link, caption\]"):
        cola.read(tmp_path)


@pytest.mark.skipif(not (SHARED / "cola").is_dir(), reason="needs shared/data")
def test_real_cola(tmp_path: Path) -> None:
    (tmp_path / "cola").mkdir()
    (tmp_path / "cola" / cola.NAME).symlink_to((SHARED / "cola" / cola.NAME).resolve())
    write_images(tmp_path / "cola" / "images", ["2390970.jpg", "2388902.jpg"])
    (item_set,) = cola.read(tmp_path)
    assert isinstance(item_set, GroupSet)
    assert len(item_set) + sum(item_set.left_out.values()) == 210
    assert item_set.captions[0] == "standing tall long giraffe to the right of brown giraffe"
    assert item_set.neg_captions[0] == "brown giraffe behind tall white giraffe"
