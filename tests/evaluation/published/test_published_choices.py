"""ARO's two VG sets, VALSE, What'sUp and CREPE as published."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from made_files import write_images, write_json

from tripletclip.errors import UserError
from tripletclip.evaluation.pictures import ImageFile
from tripletclip.evaluation.published import aro, crepe, valse, whatsup
from tripletclip.evaluation.sets import BenchmarkSet, ChoiceSet


def only(sets: Sequence[BenchmarkSet]) -> ChoiceSet:
    (item_set,) = sets
    assert isinstance(item_set, ChoiceSet)
    return item_set


def file_of(item_set: ChoiceSet, row: int) -> ImageFile:
    picture = item_set.images[row]
    assert isinstance(picture, ImageFile)
    return picture


def aro_record(number: int, **fields: object) -> dict[str, object]:
    box = {"bbox_x": number, "bbox_y": 2, "bbox_w": 3, "bbox_h": 4}
    captions = {"true_caption": f"the horse is eating the grass {number}", "false_caption": "the grass ... the horse"}
    return {"image_id": 1, "image_path": "1.jpg", **box, **captions, **fields}


def test_aro_relation(tmp_path: Path) -> None:
    relations = ["eating", "next to", "eating", "on", "near"]
    records = [aro_record(number, relation_name=name) for number, name in enumerate(relations)]
    write_json(tmp_path / "aro" / "visual_genome_relation.json", records)
    write_images(tmp_path / "aro" / "images", ["1.jpg"])
    item_set = only(aro.read_relation(tmp_path))
    assert item_set.name == "aro-relation" and item_set.splits == relations
    assert item_set.options[2] == ["the horse is eating the grass 2", "the grass ... the horse"]
    assert file_of(item_set, 2).box == (2, 2, 3, 4)
    assert item_set.means == {"relations": ["eating", "on"]}  # what is next to something has it next to itself


def test_aro_relations_left_out_of_the_mean() -> None:
    """157 stand in the official notebook; those with sides that matter do not."""
    assert len(aro.SYMMETRIC) == 157
    assert {"near", "beside", "with", "of", "parked in front of", "in between"} <= aro.SYMMETRIC
    assert not {"on", "in", "behind", "to the left of", "to the right of", "riding", "eating"} & aro.SYMMETRIC


def test_aro_attribution(tmp_path: Path) -> None:
    pairs = [["white", "black"]] * 25 + [["red", "round"]] * 24
    records = [aro_record(number, attributes=pair) for number, pair in enumerate(pairs)]
    path = write_json(tmp_path / "aro" / "visual_genome_attribution.json", records)
    write_images(tmp_path / "aro" / "images", ["1.jpg"])
    item_set = only(aro.read_attribution(tmp_path))
    assert item_set.name == "aro-attribution"
    assert item_set.means == {"attributes": ["white_black"]} and item_set.splits[30] == "red_round"
    write_json(path, [aro_record(0, attributes=["white"])])
    with pytest.raises(UserError, match=r"item 0 of .* needs two 'attributes'"):
        aro.read_attribution(tmp_path)


def valse_record(dataset: str, image: str, votes: int) -> dict[str, object]:
    return {
        "dataset": dataset,
        "image_file": image,
        "caption": "A man exercises his torso.",
        "foil": "A torso exercises for a man.",
        "mturk": {"foil": 3 - votes, "caption": votes, "other": 0},
    }


def write_valse(root: Path, folder: str = "valse") -> None:
    for name in valse.INSTRUMENTS:
        write_json(root / folder / f"{name}.json", {"a_0": valse_record("coco2017", "1.jpg", 3)})
    write_images(root / "coco" / "val2017", ["1.jpg"])


def test_valse_keeps_what_two_of_three_annotators_accept(tmp_path: Path) -> None:
    write_valse(tmp_path, "VALSE/data")
    records = {f"actions_{votes}": valse_record("SWiG", "x_1.jpg", votes) for votes in range(4)}
    write_json(tmp_path / "VALSE" / "data" / "actant-swap.json", records)
    write_images(tmp_path / "valse" / "actions" / "images_512", ["x_1.jpg"])
    item_set = only(valse.read(tmp_path))
    assert item_set.name == "valse" and item_set.left_out == {}
    kept = [key for key, split in zip(item_set.keys, item_set.splits, strict=True) if split == "actant-swap"]
    assert kept == ["actant-swap-actions_2", "actant-swap-actions_3"]
    assert set(item_set.splits) == set(valse.INSTRUMENTS) and len(item_set) == 12
    assert item_set.options[0] == ["A man exercises his torso.", "A torso exercises for a man."]


def test_valse_looks_where_each_data_set_keeps_its_images(tmp_path: Path) -> None:
    write_valse(tmp_path)
    write_json(tmp_path / "valse" / "existence.json", {"0": valse_record("visual7w", "v7w_1.jpg", 3)})
    write_json(tmp_path / "valse" / "foil-it.json", {"0": valse_record("FOIL dataset", "COCO_val2014_1.jpg", 2)})
    write_json(
        tmp_path / "valse" / "coreference-hard.json",
        {
            "0": valse_record("VisDial_v1.0", "VisualDialog_val2018_1.jpg", 3),
            "1": valse_record("VisDial_v1.0", "COCO_train2014_1.jpg", 3),
        },
    )
    write_images(tmp_path / "visual7w" / "images", ["v7w_1.jpg"])
    write_images(tmp_path / "coco" / "val2014", ["COCO_val2014_1.jpg"])
    write_images(tmp_path / "coco" / "train2014", ["COCO_train2014_1.jpg"])
    item_set = only(valse.read(tmp_path))
    assert item_set.left_out == {"image file missing": 1} and len(item_set) == 11
    write_images(tmp_path / "valse" / "images" / "VisDial_v1.0", ["VisualDialog_val2018_1.jpg"])
    assert only(valse.read(tmp_path)).left_out == {}


def test_valse_of_another_version(tmp_path: Path) -> None:
    write_valse(tmp_path)
    record = valse_record("coco2017", "1.jpg", 3)
    path = write_json(tmp_path / "valse" / "plurals.json", {"0": record | {"mturk": None}})
    with pytest.raises(UserError, match="no annotators' votes"):
        valse.read(tmp_path)
    write_json(path, {"0": record | {"dataset": "elsewhere"}})
    with pytest.raises(UserError, match="images of 'elsewhere'; known are"):
        valse.read(tmp_path)


def photo(name: str, relations: Sequence[str], right: str) -> dict[str, object]:
    others = [relation for relation in relations if relation != right]
    return {
        "image_path": f"data/controlled_images/{name}",
        "caption_options": [f"A mug {r} it" for r in [right, *others]],
    }


def write_photos(root: Path) -> list[str]:
    relations = ["left_of", "right_of", "on", "under"]
    names = [f"beer-bottle_{relation}_armchair.jpeg" for relation in relations]
    names += [f"mug_{relation}_chair.jpeg" for relation in relations]
    records = [photo(name, relations, relation) for name, relation in zip(names, relations * 2, strict=True)]
    write_json(root / "whatsup" / "controlled_images_dataset.json", records)
    write_images(root / "whatsup" / "controlled_images", names)
    return names


def whatsup_a(root: Path) -> ChoiceSet:
    (benchmark,) = (one for one in whatsup.BENCHMARKS if one.name == "whatsup-a")
    return only(benchmark.read(root))


def test_whatsup_pairs_and_sets(tmp_path: Path) -> None:
    write_photos(tmp_path)
    item_set = whatsup_a(tmp_path)
    assert (item_set.name, item_set.headline) == ("whatsup-a", "micro")
    assert item_set.splits == ["left", "right", "on", "under"] * 2
    assert item_set.options[0] == ["A mug left_of it", "A mug right_of it", "A mug on it", "A mug under it"]
    pairs, sets = item_set.teams["pairs"], item_set.teams["sets"]
    assert [pairs.index(team) for team in pairs] == [0, 0, 2, 2, 4, 4, 6, 6]
    assert [sets.index(team) for team in sets] == [0, 0, 0, 0, 4, 4, 4, 4]


def test_whatsup_set_without_a_photo_is_no_set(tmp_path: Path) -> None:
    names = write_photos(tmp_path)
    (tmp_path / "whatsup" / "controlled_images" / names[1]).unlink()
    item_set = whatsup_a(tmp_path)
    assert len(item_set) == 7 and item_set.left_out == {"image file missing": 1}
    assert [bool(team) for team in item_set.teams["pairs"]] == [False] + [True] * 6
    assert [bool(team) for team in item_set.teams["sets"]] == [False] * 3 + [True] * 4


def test_whatsup_name_without_a_relation(tmp_path: Path) -> None:
    write_json(tmp_path / "whatsup" / "controlled_images_dataset.json", [photo("mug.jpeg", ["on", "under"], "on")])
    (tmp_path / "whatsup" / "controlled_images").mkdir()
    with pytest.raises(UserError, match=r"item 0 of .*'mug\.jpeg' has no relation"):
        whatsup_a(tmp_path)


QUESTIONS: Mapping[str, tuple[str, str, list[list[Any]], list[str]]] = {
    "whatsup-coco-one": (
        "coco_qa_one_obj.json",
        "coco/val2017/000000000139.jpg",
        [[139, "A photo of a cat on the left", "A photo of a cat on the right"], [139, "a cat on the top", "x"]],
        ["left", "top"],
    ),
    "whatsup-coco-two": (
        "coco_qa_two_obj.json",
        "coco/val2017/000000000139.jpg",
        [[139, "a cat to the left of a dog", "x"], [139, "a cat above a dog", "x"], [139, "a cat below a dog", "x"]],
        ["left", "above", "below"],
    ),
    "whatsup-gqa-one": (
        "vg_qa_one_obj.json",
        "whatsup/vg_images/139.jpg",
        [["139", "a cat on the bottom", "x"]],
        ["bottom"],
    ),
    "whatsup-gqa-two": (
        "vg_qa_two_obj.json",
        "visual_genome/VG_100K/139.jpg",
        [
            ["139", "a cat on top of a dog", "x"],
            ["139", "a cat in front of a dog", "x"],
            ["139", "a cat behind it", "x"],
        ],
        ["top", "front", "behind"],
    ),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_whatsup_questions(tmp_path: Path, name: str) -> None:
    file, image, items, splits = QUESTIONS[name]
    write_json(tmp_path / "whatsup" / file, items)
    write_images((tmp_path / image).parent, [Path(image).name])
    (benchmark,) = (one for one in whatsup.BENCHMARKS if one.name == name)
    item_set = only(benchmark.read(tmp_path))
    assert item_set.name == name and item_set.splits == splits and item_set.teams == {}
    assert item_set.options[0] == items[0][1:]
    write_json(tmp_path / "whatsup" / file, [[139, "a", ""]])
    with pytest.raises(UserError, match=r"item 0 of .* is not \[image id"):
        benchmark.read(tmp_path)


def write_crepe(path: Path, columns: Mapping[str, Sequence[str]], rows: int = 2) -> None:
    """A file with a box, a caption and, by column, the cells that hold lists of negatives."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["", "image_id", "caption", "x", "y", "width", "height", *columns])
        for row in range(rows):
            cells = [values[row] for values in columns.values()]
            writer.writerow([row, 5, f"a dog, {path.stem} {row}", 1, 2, 30 + row, 40, *cells])


def write_productivity(root: Path) -> None:
    for kind in ("atom", "swap", "negate"):
        for complexity in range(4, 13):
            path = f"crepe/prod_hard_negatives/{kind}/prod_vg_hard_negs_{kind}_complexity_{complexity}.csv"
            write_crepe(root / path, {"hard_negs": [f"['no {kind}', \"it's\"]"] * 2})
    write_images(root / "visual_genome" / "VG_100K_2", ["5.jpg"])


def test_crepe_productivity(tmp_path: Path) -> None:
    write_productivity(tmp_path)
    sets = crepe.read_productivity(tmp_path)
    assert [one.name for one in sets] == [f"crepe-productivity-{kind}" for kind in ("atom", "swap", "negate")]
    item_set = only(sets[1:2])
    assert item_set.splits == [f"complexity_{number}" for number in range(4, 13) for _ in range(2)]
    assert item_set.options[3] == ["a dog, prod_vg_hard_negs_swap_complexity_5 1", "no swap", "it's"]
    assert file_of(item_set, 3).box == (1, 2, 31, 40)


def test_crepe_negatives_that_equal_the_caption(tmp_path: Path) -> None:
    write_productivity(tmp_path)
    path = tmp_path / "crepe/prod_hard_negatives/atom/prod_vg_hard_negs_atom_complexity_4.csv"
    own = f"a dog, {path.stem} 0"
    write_crepe(path, {"hard_negs": [f"['{own}']", f"['{own}', 'b', 'b']"]})
    item_set = only(crepe.read_productivity(tmp_path)[:1])
    assert item_set.left_out == {"no negative differs from the caption": 1}
    assert item_set.options[0] == [f"a dog, {path.stem} 1", own, "b"]


@pytest.mark.parametrize("cell", ["[1]", "__import__('os')", "['a'", "'a'"])
def test_crepe_cell_that_is_no_list(tmp_path: Path, cell: str) -> None:
    write_productivity(tmp_path)
    write_crepe(
        tmp_path / "crepe/prod_hard_negatives/atom/prod_vg_hard_negs_atom_complexity_4.csv",
        {"hard_negs": ["['a']", cell]},
    )
    with pytest.raises(UserError, match=r"line 3 of .*complexity_4\.csv: 'hard_negs' is not a list of captions"):
        crepe.read_productivity(tmp_path)


def test_crepe_systematicity_of_what_is_there(tmp_path: Path) -> None:
    write_images(tmp_path / "visual_genome" / "VG_100K", ["5.jpg"])
    columns = {f"valid_hard_negs_{kind}": [f"['{kind}']"] * 2 for kind in ("atom", "comp", "combined")}
    folder = tmp_path / "crepe" / "syst_hard_negatives"
    write_crepe(folder / "syst_vg_hard_negs_seen_compounds_in_laion.csv", columns)
    with pytest.raises(UserError, match="unseen_compounds_in_cc12m"):
        crepe.read_systematicity(tmp_path)
    write_crepe(folder / "syst_vg_hard_negs_unseen_compounds_in_laion.csv", columns)
    write_crepe(folder / "syst_vg_hard_negs_unseen_compounds_in_cc12m.csv", columns)
    sets = crepe.read_systematicity(tmp_path)
    assert [one.name for one in sets] == [f"crepe-systematicity-laion-{kind}" for kind in ("atom", "comp", "combined")]
    item_set = only(sets[1:2])
    assert item_set.splits == ["seen_compounds"] * 2 + ["unseen_compounds"] * 2
    assert item_set.options[2][1:] == ["comp"]


def test_crepe_without_its_column(tmp_path: Path) -> None:
    write_productivity(tmp_path)
    write_crepe(
        tmp_path / "crepe/prod_hard_negatives/atom/prod_vg_hard_negs_atom_complexity_4.csv", {"negs": ["['a']"] * 2}
    )
    with pytest.raises(UserError, match=r"has no column hard_negs; it has , image_id, caption"):
        crepe.read_productivity(tmp_path)
