"""Many benchmarks in one call: what is encoded, what is written, what blind encoders get."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tripletclip.data.shards import Shards, write_shard
from tripletclip.data.triplet import Triplet
from tripletclip.errors import UserError
from tripletclip.evaluation.encoder import ConstantEncoder, Encoder
from tripletclip.evaluation.pairs import SPLITS
from tripletclip.evaluation.pictures import picture_bytes
from tripletclip.evaluation.suite import (
    BenchmarkSet,
    ClassSet,
    PairSet,
    RetrievalSet,
    class_set,
    evaluate,
    pair_set,
    retrieval_set,
)
from tripletclip.reporting.results import Result, load_result, save_result

WIDTH = 24


class NoiseEncoder:
    """A fixed random unit vector for each item, whatever it shows; counts what it is asked for."""

    def __init__(self) -> None:
        self.images: list[bytes] = []
        self.texts: list[str] = []

    def encode_images(self, images: list[bytes]) -> Tensor:
        self.images += images
        return torch.stack([self.vector(image) for image in images])

    def encode_texts(self, texts: list[str]) -> Tensor:
        self.texts += texts
        return torch.stack([self.vector(text.encode()) for text in texts])

    @staticmethod
    def vector(data: bytes) -> Tensor:
        seed = list(data)
        return nn.functional.normalize(torch.from_numpy(np.random.default_rng(seed).normal(size=WIDTH)).float(), dim=0)


class TruthfulEncoder(NoiseEncoder):
    """Images and captions that begin with the same word are equal."""

    @staticmethod
    def vector(data: bytes) -> Tensor:
        return NoiseEncoder.vector(data.split()[0])


def pair_data(name: str = "", n: int = 42, neg_images: bool = True) -> PairSet:
    return PairSet(
        name=name,
        keys=[f"k{i}" for i in range(n)],
        splits=[SPLITS[i % 7] for i in range(n)],
        images=[f"s{i} image".encode() for i in range(n)],
        captions=[f"s{i} caption" for i in range(n)],
        neg_captions=[f"n{i} caption" + " more" * (i % 2) for i in range(n)],
        neg_images=[f"n{i} image".encode() for i in range(n)] if neg_images else None,
    )


def retrieval_data(n: int = 20) -> RetrievalSet:
    return RetrievalSet(
        name="",
        images=[f"s{i} image".encode() for i in range(n)],
        captions=[f"s{i} caption {j}" for i in range(n) for j in range(2)],
        image_of_caption=[i for i in range(n) for _ in range(2)],
    )


def class_data(n: int = 30, classes: int = 8) -> ClassSet:
    return ClassSet(
        name="",
        images=[f"c{i % classes} image {i}".encode() for i in range(n)],
        labels=[i % classes for i in range(n)],
        class_names=[f"c{i}" for i in range(classes)],
        templates=["{} in a photo", "{} drawn"],
    )


def all_sets() -> list[BenchmarkSet]:
    return [pair_data(), pair_data("heldout", 14), retrieval_data(), class_data()]


def run(encoder: Encoder, sets: list[BenchmarkSet]) -> dict[str, Result]:
    results = evaluate(
        encoder, sets, method="clip", seed=3, step=7, checkpoint="some/run", budget={"pairs": 5.0}, config={"lr": 1e-3}
    )
    return {result.benchmark: result for result in results}


def test_constant_encoder_scores_zero_everywhere() -> None:
    for result in run(ConstantEncoder(), all_sets()).values():
        assert result.metrics
        assert {name: metric.value for name, metric in result.metrics.items()} == dict.fromkeys(result.metrics, 0.0)


def test_constant_line_stands_in_every_result() -> None:
    for result in run(NoiseEncoder(), all_sets()).values():
        assert result.blind["constant encoder"] == dict.fromkeys(result.metrics, 0.0)


def test_truthful_encoder_scores_everything() -> None:
    for result in run(TruthfulEncoder(), all_sets()).values():
        assert {name: metric.value for name, metric in result.metrics.items()} == dict.fromkeys(result.metrics, 100.0)


def test_benchmarks_and_metric_names() -> None:
    results = run(NoiseEncoder(), all_sets())
    assert list(results) == [
        "sugarcrepe",
        "winoground",
        "sugarcrepe-heldout",
        "winoground-heldout",
        "retrieval",
        "zeroshot",
    ]
    assert set(results["sugarcrepe"].metrics) == {"macro", "micro", "compositional", *SPLITS}
    grouped = {f"{name}_{split}" for name in ("text", "image", "group") for split in SPLITS}
    assert set(results["winoground"].metrics) == {"text", "image", "group"} | grouped
    assert set(results["retrieval"].metrics) == {f"{way}_r{k}" for way in ("i2t", "t2i") for k in (1, 5, 10)}
    assert set(results["zeroshot"].metrics) == {"top1", "top5", "mean_per_class"}


def test_each_distinct_item_is_encoded_once() -> None:
    encoder, sets = NoiseEncoder(), all_sets()
    run(encoder, sets)
    assert len(encoder.images) == len(set(encoder.images)) == 42 * 2 + 30  # the other sets show the same images
    assert len(encoder.texts) == len(set(encoder.texts)) == 42 * 2 + 40 + 16


def test_numbers_follow_from_the_vectors() -> None:
    """Re-derived with dot products of single vectors."""
    data, classes = pair_data(), class_data()
    results, vector = run(NoiseEncoder(), [data, classes]), NoiseEncoder.vector
    right = []
    for image, caption, neg_caption in zip(data.images, data.captions, data.neg_captions, strict=True):
        shown = vector(picture_bytes(image))
        right.append(bool(shown @ vector(caption.encode()) > shown @ vector(neg_caption.encode())))
    assert results["sugarcrepe"].decisions["micro"] == "".join("01"[won] for won in right)
    prototypes = []
    for name in classes.class_names:
        mean = sum((vector(t.replace("{}", name).encode()) for t in classes.templates), torch.zeros(WIDTH))
        prototypes.append(mean / mean.norm())
    guesses = [
        int(np.argmax([float(vector(picture_bytes(image)) @ p) for p in prototypes])) for image in classes.images
    ]
    hits = [guess == label for guess, label in zip(guesses, classes.labels, strict=True)]
    assert results["zeroshot"].decisions["top1"] == "".join("01"[hit] for hit in hits)


def test_blind_lines() -> None:
    results = run(NoiseEncoder(), all_sets())
    sugarcrepe, winoground = results["sugarcrepe"].blind, results["winoground"].blind
    assert sugarcrepe["random"] == dict.fromkeys(results["sugarcrepe"].metrics, 50.0)
    assert sugarcrepe["fewer words"]["micro"] == pytest.approx(50)  # every other negative has a word more, rest tie
    assert winoground["fewer words"] == dict.fromkeys(results["winoground"].metrics, 0.0)
    assert (winoground["random"]["text"], winoground["random"]["image_add_att"]) == (25, 25)
    assert winoground["random"]["group"] == pytest.approx(16.667, abs=1e-3)
    assert results["zeroshot"].blind["random"] == pytest.approx({"top1": 12.5, "top5": 62.5, "mean_per_class": 12.5})
    assert results["retrieval"].blind["random"]["t2i_r5"] == pytest.approx(25)
    assert set(results["retrieval"].blind) == {"random", "constant encoder"}


def test_results_carry_what_a_repetition_needs(tmp_path: Path) -> None:
    result = run(NoiseEncoder(), all_sets())["sugarcrepe"]
    assert (result.method, result.seed, result.step, result.checkpoint) == ("clip", 3, 7, "some/run")
    assert (result.budget, result.config) == ({"pairs": 5.0}, {"lr": 1e-3})
    assert set(result.versions) == {"torch", "open_clip", "tripletclip", "python"}
    assert result.items["n"] == 42
    assert {len(result.decisions[split]) for split in SPLITS} == {6}
    assert result.groups["macro"] == list(SPLITS)
    save_result(result, tmp_path / "result.json")
    assert load_result(tmp_path / "result.json") == result


def test_the_hash_sees_every_part() -> None:
    data = pair_data()
    changed = [
        replace(data, splits=[*data.splits[:-1], "swap_att"]),
        replace(data, captions=["other", *data.captions[1:]]),
        replace(data, images=[b"other", *data.images[1:]]),
        replace(data, neg_images=None),
        replace(data, keys=data.keys[::-1]),
    ]
    digests = {one.digest() for one in [data, *changed]}
    assert len(digests) == 6
    assert data.digest() == pair_data().digest()
    assert replace(data, name="heldout").digest() == data.digest()


def test_histograms() -> None:
    result = run(TruthfulEncoder(), [pair_data()])["sugarcrepe"]
    assert set(result.histograms) == {"cross", "text", "image"}
    for histogram in result.histograms.values():
        assert len(histogram["edges"]) == 81
        assert sum(histogram["positive"]) == sum(histogram["negative"]) == 42
    assert result.histograms["cross"]["positive"][-1] == 42  # cosine 1
    assert result.histograms["text"]["positive"][-1] == 0  # others are never the item itself


def test_without_negative_images_no_groups() -> None:
    results = run(NoiseEncoder(), [pair_data(neg_images=False)])
    assert list(results) == ["sugarcrepe"]
    assert set(results["sugarcrepe"].histograms) == {"cross", "text"}


class Rescaled(NoiseEncoder):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def encode_texts(self, texts: list[str]) -> Tensor:
        return super().encode_texts(texts) * self.factor


class Narrow(NoiseEncoder):
    def encode_texts(self, texts: list[str]) -> Tensor:
        return nn.functional.normalize(super().encode_texts(texts)[:, :5], dim=1)


@pytest.mark.parametrize(
    ("encoder", "says"),
    [(Rescaled(2), "text features"), (Rescaled(float("nan")), "text features"), (Narrow(), "agree in width")],
)
def test_features_that_are_not_unit_vectors_of_one_width(encoder: Encoder, says: str) -> None:
    with pytest.raises(UserError, match=says):
        run(encoder, [pair_data()])


def test_two_sets_of_one_name() -> None:
    with pytest.raises(UserError, match="'sugarcrepe'; give each"):
        run(NoiseEncoder(), [pair_data(), pair_data()])


def write(folder: Path, rows: list[Triplet]) -> Shards:
    write_shard(folder, 0, rows)
    return Shards(folder)


def triplets(n: int = 7) -> list[Triplet]:
    return [
        Triplet(
            key=f"k{i}",
            caption=f"s{i} caption",
            image=f"s{i // 2} image".encode(),
            neg_caption=f"n{i} caption",
            neg_image=f"n{i} image".encode(),
            extra={"split": SPLITS[i], "label": f"c{i % 2}"},
        )
        for i in range(n)
    ]


def test_sets_from_shards(tmp_path: Path) -> None:
    rows = triplets()
    shards = write(tmp_path, rows)
    pairs = pair_set(shards, "heldout")
    assert (pairs.name, pairs.keys, pairs.splits) == ("heldout", [row.key for row in rows], list(SPLITS))
    assert pairs.images == [row.image for row in rows]
    assert pairs.captions == [row.caption for row in rows]
    assert pairs.neg_captions == [row.neg_caption for row in rows]
    assert pairs.neg_images == [row.neg_image for row in rows]
    retrieval = retrieval_set(shards, "")
    assert len(retrieval.images) == 4
    assert retrieval.image_of_caption == [0, 0, 1, 1, 2, 2, 3]
    (tmp_path / "classes.json").write_text(json.dumps({"classes": ["c0", "c1"], "templates": ["a {}"]}))
    classes = class_set(shards, "")
    assert classes.labels == [0, 1, 0, 1, 0, 1, 0]
    assert classes.prompts() == ["a c0", "a c1"]


@pytest.mark.parametrize(
    ("classes", "says"),
    [
        (None, "classification set needs it"),
        ("{", "must hold"),
        ('{"classes": ["c0", "c1"]}', "must hold"),
        ('{"classes": "c0", "templates": ["{}"]}', "lists of strings"),
        ('{"classes": ["c0", "b"], "templates": ["{}"]}', "unknown class label 'c1'"),
        ('{"classes": ["c0", "c1"], "templates": ["photo"]}', "one {} each"),
        ('{"classes": ["c0", "c1", "c1"], "templates": ["{}"]}', "each named once"),
    ],
)
def test_classes_that_do_not_fit(tmp_path: Path, classes: str | None, says: str) -> None:
    shards = write(tmp_path, triplets())
    if classes is not None:
        (tmp_path / "classes.json").write_text(classes)
    with pytest.raises(UserError, match=says):
        class_set(shards, "")


def test_labels_as_numbers(tmp_path: Path) -> None:
    rows = [replace(row, extra={"label": index % 2}) for index, row in enumerate(triplets())]
    (tmp_path / "classes.json").write_text('{"classes": ["c0", "c1"], "templates": ["{}"]}')
    assert class_set(write(tmp_path, rows), "").labels == [0, 1, 0, 1, 0, 1, 0]


def test_pairs_need_negative_captions(tmp_path: Path) -> None:
    rows = [replace(row, neg_caption=None, neg_image=None) for row in triplets()]
    with pytest.raises(UserError, match="without neg_caption"):
        pair_set(write(tmp_path, rows), "")


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (lambda: replace(pair_data(), captions=["one"]), "different lengths"),
        (lambda: replace(pair_data(), neg_images=[]), "different lengths"),
        (lambda: replace(pair_data(n=1), splits=["macro"]), "split named 'macro'"),
        (lambda: replace(pair_data(), name="-heldout"), "leave out dashes"),
        (lambda: replace(pair_data(), keys=[]), "is empty"),
        (lambda: replace(retrieval_data(), image_of_caption=[0] * 40), "needs a caption"),
        (lambda: replace(class_data(), labels=[8] * 30), "labels outside"),
    ],
)
def test_sets_that_do_not_fit(broken: Callable[[], BenchmarkSet], says: str) -> None:
    with pytest.raises(UserError, match=says):
        broken()
