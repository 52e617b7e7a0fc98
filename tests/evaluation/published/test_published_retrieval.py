"""Karpathy's splits in their four forms, COCO val2017, and recall as clip_benchmark computes it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from made_files import SHARED, write_image, write_images, write_json
from torch import Tensor

from tripletclip.errors import UserError
from tripletclip.evaluation import retrieval
from tripletclip.evaluation.pictures import ImageFile
from tripletclip.evaluation.published import karpathy
from tripletclip.evaluation.sets import RetrievalSet

NAMES = ["COCO_val2014_000000391895.jpg", "COCO_val2014_000000060623.jpg"]
CAPTIONS = [[f"A man, riding {n}." for n in range(5)], [f'A "girl" {n}' for n in range(6)]]


def read(root: Path, name: str = "retrieval-coco") -> RetrievalSet:
    (benchmark,) = (one for one in karpathy.BENCHMARKS if one.name == name)
    (item_set,) = benchmark.read(root)
    assert isinstance(item_set, RetrievalSet)
    return item_set


def karpathy_form(folder: str, split: str = "test") -> dict[str, object]:
    images = [
        {
            "filepath": folder,
            "filename": name,
            "split": split,
            "sentences": [{"raw": text, "tokens": []} for text in texts],
        }
        for name, texts in zip(NAMES, CAPTIONS, strict=True)
    ]
    train = {"filename": "train.jpg", "split": "restval", "sentences": [{"raw": "not in the test split"}]}
    return {"images": [train, *images], "dataset": "coco"}


def coco_form() -> dict[str, object]:
    ids = {name: number for number, name in enumerate(NAMES, start=7)}
    pairs = [(ids[name], text) for name, texts in zip(NAMES, CAPTIONS, strict=True) for text in texts]
    return {
        "images": [{"id": ids[name], "file_name": name} for name in NAMES],
        "annotations": [{"image_id": image, "caption": text, "id": 1} for image, text in pairs],
    }


def blip_form() -> list[object]:
    return [{"image": f"val2014/{name}", "caption": texts} for name, texts in zip(NAMES, CAPTIONS, strict=True)]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("dataset_coco.json", karpathy_form("val2014")),
        ("coco_test_karpathy.json", coco_form()),
        ("annotations/coco_karpathy_test.json", blip_form()),
    ],
)
def test_forms_of_cocos_test_split_agree(tmp_path: Path, file: str, content: object) -> None:
    write_json(tmp_path / "coco" / file, content)
    write_images(tmp_path / "coco" / "val2014", NAMES)
    item_set = read(tmp_path)
    assert item_set.name == "coco" and item_set.left_out == {}
    assert [picture.path.name for picture in item_set.images if isinstance(picture, ImageFile)] == NAMES
    assert item_set.captions == CAPTIONS[0] + CAPTIONS[1]  # all of them, as clip_benchmark: six, too
    assert item_set.image_of_caption == [0] * 5 + [1] * 6


def test_flickr_as_csv(tmp_path: Path) -> None:
    (tmp_path / "flickr30k").mkdir()
    with (tmp_path / "flickr30k" / "flickr30k_test_karpathy.txt").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "caption"])
        writer.writerows((name, text) for name, texts in zip(NAMES, CAPTIONS, strict=True) for text in texts)
    write_images(tmp_path / "flickr30k", NAMES)  # clip_benchmark keeps images and captions in one folder
    assert read(tmp_path, "retrieval-flickr30k").captions == CAPTIONS[0] + CAPTIONS[1]
    write_images(tmp_path / "flickr30k" / "flickr30k-images", NAMES)
    write_json(tmp_path / "flickr30k" / "dataset_flickr30k.json", karpathy_form("", "test"))
    assert read(tmp_path, "retrieval-flickr30k").captions == CAPTIONS[0] + CAPTIONS[1]


def test_a_missing_image_takes_its_captions_along(tmp_path: Path) -> None:
    write_json(tmp_path / "coco" / "dataset_coco.json", karpathy_form("val2014"))
    write_images(tmp_path / "coco" / "val2014", NAMES[:1])
    item_set = read(tmp_path)
    assert item_set.left_out == {"image file missing": 6}
    assert item_set.captions == CAPTIONS[0] and item_set.image_of_caption == [0] * 5


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (karpathy_form("val2014", "val"), "no image of the split 'test'"),
        ({"images": [{"split": "test"}]}, "of objects"),
        ({"something": []}, "neither a Karpathy split nor a COCO captions file"),
        ({"images": [], "annotations": [{"image_id": 1, "bbox": []}]}, r"captions_\*\.json is needed"),
        ([{"image": "a.jpg", "caption": "one text"}], "list of at least 1 texts in 'caption'"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: object, line: str) -> None:
    write_json(tmp_path / "coco" / "dataset_coco.json", content)
    (tmp_path / "coco" / "val2014").mkdir()
    with pytest.raises(UserError, match=line):
        read(tmp_path)


@pytest.mark.skipif(not (SHARED / "captions_val2017.json").exists(), reason="needs shared/data")
def test_real_coco_val2017(tmp_path: Path) -> None:
    (tmp_path / "coco" / "val2017").mkdir(parents=True)
    (tmp_path / "coco" / "captions_val2017.json").symlink_to((SHARED / "captions_val2017.json").resolve())
    names = [image["file_name"] for image in json.loads((SHARED / "captions_val2017.json").read_text())["images"]]
    for number, name in enumerate(names[:60]):
        write_image(tmp_path / "coco" / "val2017" / name, number)
    item_set = read(tmp_path, "retrieval-coco-val2017")
    assert item_set.name == "coco-val2017" and len(item_set.images) == 60
    assert len(item_set) + sum(item_set.left_out.values()) == 25_014
    assert item_set.captions[0] == "A man is in a kitchen making pizzas."


def features(images: int, captions: list[int]) -> tuple[Tensor, Tensor]:
    """Random unit features; a caption lies near its image."""
    generator = torch.Generator().manual_seed(3)
    image_ND = torch.nn.functional.normalize(torch.randn(images, 6, generator=generator), dim=1)
    noise = torch.randn(len(captions), 6, generator=generator)
    return image_ND, torch.nn.functional.normalize(image_ND[captions] + 0.4 * noise, dim=1)


IMAGE_OF_CAPTION = [image for image in range(40) for _ in range(5 + image % 2)]


def ours(image_ND: Tensor, text_MD: Tensor) -> dict[str, float]:
    match_NM = retrieval.matches(range(40), [f"{m}" for m in range(len(text_MD))], IMAGE_OF_CAPTION)
    outcome = retrieval.decide((image_ND @ text_MD.T).numpy(), match_NM)
    return {name: float(np.mean(decisions)) for name, decisions in outcome.decisions.items()}


def test_recall_by_sorting() -> None:
    """An image is found if any of its captions is among the k best, a caption if its image is."""
    image_ND, text_MD = features(40, IMAGE_OF_CAPTION)
    found = ours(image_ND, text_MD)
    scores = (image_ND @ text_MD.T).tolist()
    for k in (1, 5, 10):
        best = [sorted(range(len(row)), key=row.__getitem__, reverse=True)[:k] for row in scores]
        right = [any(IMAGE_OF_CAPTION[caption] == image for caption in row) for image, row in enumerate(best)]
        assert found[f"i2t_r{k}"] == pytest.approx(sum(right) / 40)
        columns = [[row[caption] for row in scores] for caption in range(len(IMAGE_OF_CAPTION))]
        place = [
            sum(other > column[image] for other in column)
            for image, column in zip(IMAGE_OF_CAPTION, columns, strict=True)
        ]
        assert found[f"t2i_r{k}"] == pytest.approx(sum(p < k for p in place) / len(place))
    assert 0.2 < found["i2t_r1"] < 0.9 and 0.2 < found["t2i_r1"] < 0.9  # neither all nor nothing


class Fixed:
    """A model in clip_benchmark's eyes: "images" and "tokens" are features already."""

    def encode_image(self, images: Tensor) -> Tensor:
        return images

    def encode_text(self, tokens: Tensor) -> Tensor:
        return tokens


def test_recall_equals_clip_benchmarks() -> None:
    theirs = pytest.importorskip("clip_benchmark.metrics.zeroshot_retrieval")
    image_ND, text_MD = features(40, IMAGE_OF_CAPTION)
    texts_of = [[str(m) for m, image in enumerate(IMAGE_OF_CAPTION) if image == n] for n in range(40)]
    batches = [(image_ND[start : start + 16], texts_of[start : start + 16]) for start in range(0, 40, 16)]
    found = ours(image_ND, text_MD)
    expected = theirs.evaluate(
        Fixed(), batches, lambda texts: torch.stack([text_MD[int(text)] for text in texts]), "cpu", False, [1, 5, 10]
    )
    for k in (1, 5, 10):
        assert found[f"i2t_r{k}"] == pytest.approx(expected[f"text_retrieval_recall@{k}"], abs=1e-6)
        assert found[f"t2i_r{k}"] == pytest.approx(expected[f"image_retrieval_recall@{k}"], abs=1e-6)
