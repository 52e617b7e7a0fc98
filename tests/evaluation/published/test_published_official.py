"""From published files to numbers: the official rules, written anew over the raw records, against the whole of our way.

The encoder's features are random but depend on the decoded pixels and on the text alone.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from made_files import write_images, write_json
from PIL import Image
from torch import Tensor

from tripletclip.data.transforms import decode_rgb
from tripletclip.evaluation.encoder import ConstantEncoder
from tripletclip.evaluation.published.aro import SYMMETRIC
from tripletclip.evaluation.published.registry import benchmark_named
from tripletclip.evaluation.sets import BenchmarkSet
from tripletclip.evaluation.suite import evaluate
from tripletclip.reporting.results import Result

Score = Callable[[Image.Image, str], float]


def vector(content: bytes) -> list[float]:
    random = Random(hashlib.sha256(content).digest())
    drawn = [random.gauss(0, 1) for _ in range(12)]
    length = sum(value * value for value in drawn) ** 0.5
    return [value / length for value in drawn]


class PixelEncoder:
    """Random unit features of what an image shows and of a text's letters."""

    def encode_images(self, images: Sequence[bytes]) -> Tensor:
        return torch.tensor([vector(seen(decode_rgb(image))) for image in images])

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        return torch.tensor([vector(text.encode()) for text in texts])


def seen(image: Image.Image) -> bytes:
    return f"{image.size}".encode() + image.convert("RGB").tobytes()


def score(image: Image.Image, text: str) -> float:
    return sum(a * b for a, b in zip(vector(seen(image)), vector(text.encode()), strict=True))


def results(sets: Sequence[BenchmarkSet], encoder: PixelEncoder | ConstantEncoder) -> dict[str, Result]:
    made = evaluate(encoder, sets, method="m", seed=0, step=0, checkpoint="c", budget={}, config={})
    return {result.benchmark: result for result in made}


def values(name: str, root: Path) -> dict[str, float]:
    found = results(benchmark_named(name).read(root), PixelEncoder())
    return {metric: value.value for metric, value in found[name].metrics.items()}


def write_photos(folder: Path, names: Sequence[str]) -> None:
    """Lossless images in which every pixel differs, so that every crop does."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name, format="PNG")


def aro_records(field: str, splits: Sequence[object], seed: int) -> list[dict[str, object]]:
    random = Random(seed)
    return [
        {
            "image_path": f"{random.randrange(4)}.jpg",
            **{"bbox_x": random.randrange(20), "bbox_y": random.randrange(20)},
            **{"bbox_w": random.randrange(5, 30), "bbox_h": random.randrange(5, 20)},
            "true_caption": f"true {number}",
            "false_caption": f"false {number}",
            field: split,
        }
        for number, split in enumerate(splits)
    ]


def aro_right(root: Path, file: str) -> list[tuple[dict[str, object], bool]]:
    """Each record with whether the true caption scores higher in its box, as PIL crops it."""
    judged = []
    for record in json.loads((root / "aro" / file).read_text()):
        with Image.open(root / "aro" / "images" / record["image_path"]) as image:
            x, y = record["bbox_x"], record["bbox_y"]
            box = image.convert("RGB").crop((x, y, x + record["bbox_w"], y + record["bbox_h"]))
        judged.append((record, score(box, record["true_caption"]) > score(box, record["false_caption"])))
    return judged


def test_aro_relation_is_the_mean_over_asymmetric_relations(tmp_path: Path) -> None:
    write_photos(tmp_path / "aro" / "images", [f"{number}.jpg" for number in range(4)])
    relations = ["on", "eating", "near", "to the left of", "with"]
    records = aro_records("relation_name", [relations[(n * n) % 5] for n in range(120)], 1)
    write_json(tmp_path / "aro" / "visual_genome_relation.json", records)
    right = defaultdict(list)
    for record, is_right in aro_right(tmp_path, "visual_genome_relation.json"):
        right[str(record["relation_name"])].append(is_right)
    counted = [np.mean(right[relation]) for relation in right if relation not in SYMMETRIC]
    assert 0 < len(counted) < len(right)
    found = values("aro-relation", tmp_path)
    assert found["relations"] == pytest.approx(100 * np.mean(counted))
    assert found["on"] == pytest.approx(100 * np.mean(right["on"]))
    assert found["micro"] == pytest.approx(100 * np.mean([one for group in right.values() for one in group]))


def test_aro_attribution_is_the_mean_over_pairs_with_25_items(tmp_path: Path) -> None:
    write_photos(tmp_path / "aro" / "images", [f"{number}.jpg" for number in range(4)])
    pairs = [["white", "black"]] * 30 + [["red", "round"]] * 25 + [["old", "new"]] * 24
    write_json(tmp_path / "aro" / "visual_genome_attribution.json", aro_records("attributes", pairs, 2))
    right = [is_right for _, is_right in aro_right(tmp_path, "visual_genome_attribution.json")]
    found = values("aro-attribution", tmp_path)
    assert found["attributes"] == pytest.approx(100 * (np.mean(right[:30]) + np.mean(right[30:55])) / 2)


def test_whatsup_pairs_and_sets(tmp_path: Path) -> None:
    relations = {"left_of": "left", "right_of": "right", "in-front_of": "in-front", "behind": "behind"}
    records, names = [], []
    for things in range(60):
        for relation in relations:
            others = [other for other in relations if other != relation]
            name = f"a{things}_{relation}_b{things}.jpeg"
            names.append(name)
            options = [f"a{things} {other} b{things}" for other in [relation, *others]]
            records.append({"image_path": f"data/controlled_clevr/{name}", "caption_options": options})
    Random(4).shuffle(records)
    write_json(tmp_path / "whatsup" / "controlled_clevr_dataset.json", records)
    folder = tmp_path / "whatsup" / "controlled_clevr"
    write_photos(folder, names)
    right: dict[str, bool] = {}
    for record in records:
        name = str(record["image_path"]).rpartition("/")[2]
        with Image.open(folder / name) as image:
            scores = [score(image, text) for text in record["caption_options"]]
        right[name] = max(range(4), key=scores.__getitem__) == 0
    sides = [right[f"a{n}_left_of_b{n}.jpeg"] and right[f"a{n}_right_of_b{n}.jpeg"] for n in range(60)]
    depth = [right[f"a{n}_in-front_of_b{n}.jpeg"] and right[f"a{n}_behind_b{n}.jpeg"] for n in range(60)]
    found = values("whatsup-b", tmp_path)
    assert found["micro"] == pytest.approx(100 * sum(right.values()) / 240)
    assert found["pairs"] == pytest.approx(100 * (sum(sides) + sum(depth)) / 120)
    assert found["sets"] == pytest.approx(100 * sum(a and b for a, b in zip(sides, depth, strict=True)) / 60)
    assert 0 < found["pairs"] < found["micro"]


def test_colas_image_accuracy(tmp_path: Path) -> None:
    fours = [[f"https://x.org/{n}.jpg", f"one {n}", f"https://x.org/{(n + 1) % 80}.jpg", f"two {n}"] for n in range(80)]
    write_json(tmp_path / "cola" / "COLA_multiobjects_matching_benchmark.json", fours)
    write_photos(tmp_path / "cola" / "images", [f"{n}.jpg" for n in range(80)])
    right = []
    for link, caption, other_link, other_caption in fours:
        paths = [tmp_path / "cola" / "images" / one.rpartition("/")[2] for one in (link, other_link)]
        first, second = (Image.open(path) for path in paths)
        chosen = (
            score(first, caption) > score(second, caption),
            score(second, other_caption) > score(first, other_caption),
        )
        right.append(all(chosen))
    found = results(benchmark_named("cola").read(tmp_path), PixelEncoder())["cola"]
    assert found.headline == "image"
    assert found.metrics["image"].value == pytest.approx(100 * np.mean(right)) and 5 < 100 * np.mean(right) < 60


def test_a_constant_encoder_gets_nothing(tmp_path: Path) -> None:
    """Scorers that take the arg-max of equal scores give it up to 100 on COCO-Order and What'sUp."""
    write_photos(tmp_path / "aro" / "images", ["0.jpg", "1.jpg", "2.jpg", "3.jpg"])
    write_json(tmp_path / "aro" / "visual_genome_relation.json", aro_records("relation_name", ["on"] * 9, 1))
    write_images(tmp_path / "val2014", ["a.jpg"])
    write_images(tmp_path / "coco" / "val2017", ["000000000001.jpg"])
    write_json(tmp_path / "whatsup" / "coco_qa_one_obj.json", [[1, "a cat on the left", "a cat on the right"]])
    sets = [
        item_set for name in ("aro-relation", "whatsup-coco-one") for item_set in benchmark_named(name).read(tmp_path)
    ]
    found = results(sets, ConstantEncoder())
    assert len(found) == 2
    assert {value.value for result in found.values() for value in result.metrics.values()} == {0.0}
