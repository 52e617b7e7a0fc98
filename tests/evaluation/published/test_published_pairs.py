"""SugarCrepe and SugarCrepe++ as published."""

import json
from pathlib import Path

import pytest
from made_files import SHARED, write_images, write_json

from tripletclip.errors import UserError
from tripletclip.evaluation.pictures import ImageFile
from tripletclip.evaluation.published import sugarcrepe, sugarcrepe_pp
from tripletclip.evaluation.sets import PairSet, ParaphraseSet

SIZES = {
    "replace_obj": 1652,
    "replace_att": 788,
    "replace_rel": 1406,
    "swap_obj": 245,
    "swap_att": 666,
    "add_obj": 2062,
    "add_att": 692,
}


def write_sugarcrepe(root: Path) -> None:
    for number, split in enumerate(sugarcrepe.SPLITS):
        items = {
            str(id_): {
                "filename": f"{number:03}.jpg",
                "caption": f"true {split} {id_} ",
                "negative_caption": f"false {split} {id_}",
            }
            for id_ in (0, 7)
        }
        write_json(root / "sugarcrepe" / f"{split}.json", items)
    write_images(root / "coco" / "val2017", [f"{number:03}.jpg" for number in range(7)])


def read(root: Path) -> PairSet:
    (item_set,) = sugarcrepe.read(root)
    assert isinstance(item_set, PairSet)
    return item_set


def test_sugarcrepe(tmp_path: Path) -> None:
    write_sugarcrepe(tmp_path)
    item_set = read(tmp_path)
    assert item_set.name == "" and item_set.neg_images is None and item_set.left_out == {}
    assert item_set.keys == [f"{split}-{id_}" for split in sugarcrepe.SPLITS for id_ in (0, 7)]
    assert item_set.splits == [split for split in sugarcrepe.SPLITS for _ in range(2)]
    assert (item_set.captions[1], item_set.neg_captions[1]) == ("true replace_obj 7 ", "false replace_obj 7")
    first, second = item_set.images[1:3]
    assert isinstance(first, ImageFile) and isinstance(second, ImageFile)
    assert (first.path.name, second.path.name) == ("000.jpg", "001.jpg")


def test_sugarcrepe_in_the_layouts_of_others(tmp_path: Path) -> None:
    write_sugarcrepe(tmp_path)
    digest = read(tmp_path).digest()
    (tmp_path / "sugar-crepe").mkdir()
    (tmp_path / "sugarcrepe").rename(tmp_path / "sugar-crepe" / "data")  # a clone of the official repository
    (tmp_path / "coco" / "val2017").rename(tmp_path / "val2017")
    assert read(tmp_path).digest() == digest
    (tmp_path / "sugar-crepe" / "data").rename(tmp_path / "sugar_crepe")  # clip_benchmark's one folder
    (tmp_path / "val2017").rename(tmp_path / "sugar_crepe" / "val2017")
    assert read(tmp_path).digest() == digest


def test_sugarcrepe_counts_missing_images(tmp_path: Path) -> None:
    write_sugarcrepe(tmp_path)
    (tmp_path / "coco" / "val2017" / "003.jpg").unlink()
    item_set = read(tmp_path)
    assert item_set.left_out == {"image file missing": 2} and item_set.coverage == 12 / 14
    assert "swap_obj" not in item_set.splits


def test_sugarcrepe_of_another_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no sugarcrepe/replace_obj\.json or"):
        read(tmp_path)
    write_sugarcrepe(tmp_path)
    write_json(tmp_path / "sugarcrepe" / "add_obj.json", {"3": {"filename": "000.jpg", "caption": "a"}})
    with pytest.raises(UserError, match=r"item '3' of .*add_obj\.json has no text in 'negative_caption'"):
        read(tmp_path)


@pytest.mark.skipif(not (SHARED / "sugarcrepe").is_dir(), reason="needs shared/data")
def test_real_sugarcrepe(tmp_path: Path) -> None:
    (tmp_path / "sugarcrepe").symlink_to((SHARED / "sugarcrepe").resolve())
    names = {
        item["filename"]
        for split in sugarcrepe.SPLITS
        for item in json.loads((SHARED / "sugarcrepe" / f"{split}.json").read_text()).values()
    }
    write_images(tmp_path / "coco" / "val2017", names)
    item_set = read(tmp_path)
    assert {split: item_set.splits.count(split) for split in SIZES} == SIZES and len(item_set) == 7511
    assert len(set(item_set.images)) == len(names)
    assert item_set.captions[0] == "Several toy animals - a bull, giraffe, deer and parakeet."
    assert item_set.neg_captions[0] == "Several toy animals - a bull, giraffe, snake and parakeet."


def write_plus(root: Path) -> None:
    for split in sugarcrepe_pp.SPLITS:
        record = {"filename": "a.jpg", "caption": "c", "caption2": f"p {split}", "negative_caption": "n"}
        write_json(root / "scpp" / "data" / f"{split}.json", [record | {"id": id_} for id_ in (4, 5)])
    write_images(root / "val2017", ["a.jpg"])


def test_sugarcrepe_pp(tmp_path: Path) -> None:
    write_plus(tmp_path)
    (item_set,) = sugarcrepe_pp.read(tmp_path)
    assert isinstance(item_set, ParaphraseSet)
    assert item_set.name == "sugarcrepe++" and len(item_set) == 10
    assert item_set.keys[:2] == ["replace_obj-4", "replace_obj-5"]
    assert (item_set.captions[0], item_set.paraphrases[0], item_set.neg_captions[0]) == ("c", "p replace_obj", "n")


def test_sugarcrepe_pp_with_an_id_twice(tmp_path: Path) -> None:
    write_plus(tmp_path)
    record = {"id": 1, "filename": "a.jpg", "caption": "c", "caption2": "p", "negative_caption": "n"}
    write_json(tmp_path / "scpp" / "data" / "swap_obj.json", [record, record])
    with pytest.raises(UserError, match=r"swap_obj\.json has the id 'swap_obj-1' 2 times"):
        sugarcrepe_pp.read(tmp_path)


@pytest.mark.skipif(not (SHARED / "sugarcrepe_pp").is_dir(), reason="needs shared/data")
def test_real_sugarcrepe_pp(tmp_path: Path) -> None:
    (tmp_path / "sugarcrepe_pp").symlink_to((SHARED / "sugarcrepe_pp").resolve())
    lists = [json.loads((SHARED / "sugarcrepe_pp" / f"{split}.json").read_text()) for split in sugarcrepe_pp.SPLITS]
    write_images(tmp_path / "coco" / "val2017", {item["filename"] for items in lists for item in items})
    (item_set,) = sugarcrepe_pp.read(tmp_path)
    assert isinstance(item_set, ParaphraseSet)
    assert {split: item_set.splits.count(split) for split in sugarcrepe_pp.SPLITS} == {
        split: SIZES[split] for split in sugarcrepe_pp.SPLITS
    }
    assert item_set.paraphrases[0] == "There are several toy animals, including a bull, deer, giraffe, and parakeet."
