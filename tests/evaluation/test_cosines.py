"""How far an item lies from its hard negative: numbers against plain loops over angles."""

import hashlib
import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tripletclip.errors import UserError
from tripletclip.evaluation.cosines import (
    BEYOND_LIMIT,
    Comparison,
    Cosines,
    compare,
    comparisons,
    hard_pairs,
    needed,
    sample,
)
from tripletclip.evaluation.encoder import FeatureTable
from tripletclip.evaluation.encoding import Features, constant_features
from tripletclip.evaluation.measuring import measure
from tripletclip.evaluation.pictures import Picture
from tripletclip.evaluation.sets import ChoiceSet, ClassSet, GroupSet, PairSet, ParaphraseSet, RetrievalSet

KEYS = ["k0", "k1", "k2", "k3"]
IMAGES: list[Picture] = [b"i0", b"i1", b"i2", b"i3"]
NEG_IMAGES: list[Picture] = [b"j0", b"j1", b"j2", b"j3"]
CAPTIONS = ["a", "b", "b", "c"]  # two items share a caption
NEG_CAPTIONS = ["na", "nb", "nB", "nc"]
ANGLES: dict[Picture | str, float] = {
    "a": 0.0, "b": 0.7, "c": 2.0, "na": 0.1, "nb": 1.2, "nB": 2.9, "nc": 0.2,
    b"i0": 0.1, b"i1": 0.75, b"i2": 1.3, b"i3": 2.4, b"j0": 0.3, b"j1": 2.75, b"j2": 1.31, b"j3": 0.9,
}  # fmt: skip
"""Every item's place on the circle; no two cosines that are compared are equal."""


def pair_set(name: str = "set") -> PairSet:
    return PairSet(
        name=name, keys=KEYS, splits=["s"] * 4, images=IMAGES, captions=CAPTIONS, neg_captions=NEG_CAPTIONS,
        neg_images=NEG_IMAGES,
    )  # fmt: skip


def vectors(items: Sequence[Picture | str]) -> Tensor:
    return torch.tensor([[math.cos(ANGLES[item]), math.sin(ANGLES[item])] for item in items])


def features(unreadable: Sequence[Picture] = ()) -> Features:
    texts: list[str] = sorted(item for item in ANGLES if isinstance(item, str))
    pictures: list[Picture] = [item for item in ANGLES if isinstance(item, bytes) and item not in unreadable]
    return Features(
        images=FeatureTable({item: row for row, item in enumerate(pictures)}, vectors(pictures)),
        texts=FeatureTable({item: row for row, item in enumerate(texts)}, vectors(texts)),
        unreadable=dict.fromkeys(unreadable, "torn"),
    )


def cosine(first: Picture | str, second: Picture | str) -> float:
    return math.cos(ANGLES[first] - ANGLES[second])


def digest(item: Picture | str) -> bytes:
    assert isinstance(item, str | bytes)
    return hashlib.sha256(item.encode() if isinstance(item, str) else item).digest()


def following(items: Sequence[Picture | str]) -> dict[Picture | str, Picture | str]:
    """Each distinct item's next one in the order of the hashes; the last one's is the first."""
    ring = sorted(set(items), key=digest)
    return {item: ring[(place + 1) % len(ring)] for place, item in enumerate(ring)}


def assert_numbers(
    found: Cosines, negative: Sequence[float], other: Sequence[float], own_other: Sequence[float]
) -> None:
    for spread, values in ((found.negative, negative), (found.other, other)):
        expected = [statistics.fmean(values), *statistics.quantiles(values, n=4, method="inclusive")]
        assert [spread.mean, spread.q25, spread.median, spread.q75] == pytest.approx(expected, abs=1e-6)
    nearer = sum(one >= two for one, two in zip(negative, own_other, strict=True))
    assert found.nearer.value == pytest.approx(100 * nearer / len(negative)) and 0 < nearer < len(negative)
    assert (found.n, found.nearer.n, found.others) == (len(negative), len(negative), len(other))
    assert sum(found.histogram["negative"]) == len(negative) and sum(found.histogram["positive"]) == len(other)
    for side, values in (("negative", negative), ("positive", other)):
        bins = [min(int((value + 1) / 0.025), 79) for value in values]
        assert [found.histogram[side][place] for place in range(80)] == [bins.count(place) for place in range(80)]


# ---- numbers -------------------------------------------------------------------------------------------------------


def test_texts_against_loops() -> None:
    after = following(CAPTIONS)
    negative = [cosine(*pair) for pair in zip(CAPTIONS, NEG_CAPTIONS, strict=True)]
    found = compare("set", pair_set(), "text", features())
    other = [cosine(one, after[one]) for one in after]
    assert len(other) == 3
    assert_numbers(found, negative, other, [cosine(one, after[one]) for one in CAPTIONS])


def test_many_texts_each_against_its_own_next_one() -> None:
    drawn = random.Random(0)
    texts = [f"{kind}{place}" for kind in ("many", "negative") for place in range(40)]
    angle = {text: drawn.uniform(0, 3) for text in texts}
    rows = FeatureTable(
        {text: row for row, text in enumerate(texts)},
        torch.tensor([[math.cos(angle[text]), math.sin(angle[text])] for text in texts]),
    )
    captions, neg_captions = texts[:40], texts[40:]
    pairs = PairSet(
        name="", keys=captions, splits=["s"] * 40, images=[b"i"] * 40, captions=captions, neg_captions=neg_captions
    )
    ring = sorted(captions, key=digest)
    after = dict(zip(ring, ring[1:] + ring[:1], strict=True))
    near = [
        math.cos(angle[one] - angle[neg]) >= math.cos(angle[one] - angle[after[one]])
        for one, neg in zip(captions, neg_captions, strict=True)
    ]
    beside = captions[1:] + captions[:1]  # not the rule: the next one in the file
    wrong = [
        math.cos(angle[one] - angle[neg]) >= math.cos(angle[one] - angle[other])
        for one, neg, other in zip(captions, neg_captions, beside, strict=True)
    ]
    assert sum(wrong) != sum(near)
    found = compare("", pairs, "text", Features(images=FeatureTable({}, torch.zeros(0, 0)), texts=rows))
    assert found.nearer.value == 100 * sum(near) / 40


def test_pictures_against_loops() -> None:
    after = following(IMAGES)
    other = [cosine(one, after[one]) for one in IMAGES]
    negative = [cosine(*pair) for pair in zip(IMAGES, NEG_IMAGES, strict=True)]
    assert_numbers(compare("set", pair_set(), "image", features()), negative, other, other)


def test_across_the_towers_against_loops() -> None:
    own = [cosine(*pair) for pair in zip(IMAGES, CAPTIONS, strict=True)]
    negative = [cosine(*pair) for pair in zip(IMAGES, NEG_CAPTIONS, strict=True)]
    assert_numbers(compare("set", pair_set(), "cross", features()), negative, own, own)


def test_across_the_towers_is_what_the_benchmark_gets_wrong() -> None:
    found = compare("set", pair_set(), "cross", features())
    outcome = next(measure(pair_set(), features())).outcome
    right = outcome.decisions["micro"]
    assert found.nearer.value == 100 - 100 * sum(right) / len(right)


@pytest.mark.parametrize("comparison", ["text", "image", "cross"])
def test_an_encoder_that_tells_nothing_apart_has_everything_near(comparison: Comparison) -> None:
    found = compare("set", pair_set(), comparison, constant_features(features()))
    assert found.nearer.value == 100 and found.negative.mean == pytest.approx(1) == found.other.q25


# ---- sets ----------------------------------------------------------------------------------------------------------


def test_every_kind_of_set_with_negatives() -> None:
    shared = {"name": "one", "keys": KEYS[:2], "splits": ["macro-ish", "t"], "left_out": {"missing": 3}}
    images = IMAGES[:2]
    group = GroupSet(**shared, images=images, captions=["a", "b"], neg_images=NEG_IMAGES[:2], neg_captions=["x", "y"])  # type: ignore[arg-type]
    choice = ChoiceSet(**shared, images=images, options=[["a", "x", "z"], ["b", "y"]])  # type: ignore[arg-type]
    twice = ParaphraseSet(
        **shared, images=images, captions=["a", "b"], paraphrases=["A", "B"], neg_captions=["x", "y"]  # type: ignore[arg-type]
    )  # fmt: skip
    for whole in (group, choice, twice):
        found = hard_pairs(whole)
        assert found is not None and (found.captions, found.neg_captions) == (["a", "b"], ["x", "y"])
        assert (found.images, found.keys, found.left_out) == (images, KEYS[:2], {"missing": 3})
        assert found.neg_images == (NEG_IMAGES[:2] if whole is group else None)
    found = hard_pairs(pair_set())
    assert found is not None and found.neg_images == NEG_IMAGES and found.captions == CAPTIONS


def test_sets_without_negatives() -> None:
    assert hard_pairs(RetrievalSet(name="", images=IMAGES[:1], captions=["a"], image_of_caption=[0])) is None
    classes = ClassSet(name="", images=IMAGES[:1], labels=[0], class_names=["a", "b"], templates=["{}"])
    assert hard_pairs(classes) is None


def test_a_limit_takes_the_smallest_hashes_in_the_order_of_the_file() -> None:
    by_hash = sorted(KEYS, key=lambda key: hashlib.sha256(key.encode()).hexdigest())[:2]
    found = sample(replace(pair_set(), left_out={"missing": 1}), 2)
    assert found.keys == [key for key in KEYS if key in by_hash] and found.keys != KEYS[:2]
    assert found.captions == [CAPTIONS[KEYS.index(key)] for key in found.keys]
    assert found.neg_images == [NEG_IMAGES[KEYS.index(key)] for key in found.keys]
    assert found.left_out == {"missing": 1, BEYOND_LIMIT: 2}
    assert [sample(pair_set(), limit).keys for limit in (2, 3)] == [
        sorted(sorted(KEYS, key=lambda key: hashlib.sha256(key.encode()).hexdigest())[:limit]) for limit in (2, 3)
    ]
    assert sample(pair_set(), 4) == sample(pair_set(), None) == pair_set()


def test_what_an_encoder_can_measure_and_needs() -> None:
    pairs, without = pair_set(), replace(pair_set(), neg_images=None)
    assert comparisons(pairs, images=True, texts=True) == ["text", "image", "cross"]
    assert comparisons(without, images=True, texts=True) == ["text", "cross"]
    assert comparisons(pairs, images=True, texts=False) == ["image"]
    assert comparisons(without, images=True, texts=False) == []
    assert comparisons(pairs, images=False, texts=True) == ["text"]
    assert needed(pairs, ["text"]) == ([], CAPTIONS + NEG_CAPTIONS)
    assert needed(pairs, ["image"]) == (IMAGES + NEG_IMAGES, [])
    assert needed(without, ["text", "cross"]) == (IMAGES, CAPTIONS + NEG_CAPTIONS)


# ---- unreadable pictures, and too little ---------------------------------------------------------------------------


def test_an_unreadable_picture_costs_what_needs_it() -> None:
    torn = features(unreadable=[b"i1", b"j3"])
    pairs = replace(pair_set(), left_out={"image unreadable": 1})
    text, image, cross = (compare("set", pairs, one, torn) for one in ("text", "image", "cross"))  # type: ignore[arg-type]
    assert (text.n, text.left_out) == (4, {"image unreadable": 1})
    assert (image.n, image.left_out) == (2, {"image unreadable": 3})
    assert (cross.n, cross.left_out) == (3, {"image unreadable": 2})
    kept = [cosine(b"i0", b"j0"), cosine(b"i2", b"j2")]
    assert image.negative.mean == pytest.approx(statistics.fmean(kept), abs=1e-6)


def test_too_little_to_compare() -> None:
    with pytest.raises(UserError, match=r"set: no item can be measured; an image of 2 bytes is unreadable \(torn\)"):
        compare("set", pair_set(), "image", features(unreadable=[b"i0", b"i1", b"j2", b"j3"]))
    with pytest.raises(UserError, match="set has only one distinct caption to measure; give a set with at least two"):
        compare("set", replace(pair_set(), captions=["a"] * 4), "text", features())
    with pytest.raises(UserError, match="set has only one distinct image to measure"):
        compare("set", pair_set(), "image", features(unreadable=IMAGES[:3]))
