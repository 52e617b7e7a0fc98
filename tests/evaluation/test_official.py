"""The same random CLIP by our whole path (batches, trimmed texts) and by the official scorers, item by item."""

import functools

import made_clip
import numpy as np
import pytest
import slow_official as official
import torch
from made_clip import painting, png, spread_clip, tokenize, words
from torch import Tensor, nn

from tripletclip.data.transforms import decode_image
from tripletclip.evaluation.encoder import ConstantEncoder
from tripletclip.evaluation.sets import (
    BenchmarkSet,
    ChoiceSet,
    ClassSet,
    GroupSet,
    PairSet,
    ParaphraseSet,
    RetrievalSet,
)
from tripletclip.evaluation.suite import evaluate
from tripletclip.reporting.results import Result

N = 90


class OneByOne:
    """The model called with a single image or a whole, untrimmed text at a time."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.image, self.text = functools.cache(self._image), functools.cache(self._text)

    def _image(self, data: bytes) -> Tensor:
        pixels = decode_image(data, 16).float() / 255
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (made_clip.MEAN, made_clip.STD))
        with torch.no_grad():
            feature: Tensor = self.model(image=((pixels - mean) / std)[None])[0][0]
        return feature

    def _text(self, text: str) -> Tensor:
        with torch.no_grad():
            feature: Tensor = self.model(text=tokenize([text]))[1][0]
        return feature

    def score(self, image: bytes, text: str) -> float:
        return float(self.image(image) @ self.text(text))

    def between(self, one: str, other: str) -> float:
        return float(self.text(one) @ self.text(other))


def caption(item: int, number: int) -> str:
    """Every ninth item's captions are one text in two spellings that have the same tokens: a tie."""
    text = words(1000 * item + (0 if item % 9 == 0 else number))
    return text.upper() if item % 9 == 0 and number % 2 else text


def column(number: int) -> list[str]:
    return [caption(item, number) for item in range(N)]


KEYS, IMAGES, OTHER_IMAGES = (
    [f"k{i}" for i in range(N)],
    [painting(i) for i in range(N)],
    [painting(N + i) for i in range(N)],
)
SPLITS = [("swap_att", "replace_rel", "add_obj")[i % 3] for i in range(N)]


def run(item_set: BenchmarkSet, *, constant: bool = False) -> dict[str, Result]:
    encoder = ConstantEncoder() if constant else made_clip.encoder(spread_clip(), batch_size=32)
    results = evaluate(encoder, [item_set], method="m", seed=0, step=0, checkpoint="c", budget={}, config={})
    return {result.benchmark: result for result in results}


def found(result: Result, *names: str) -> dict[str, float]:
    return {name: result.metrics[name].value for name in names}


def pair_set() -> PairSet:
    return PairSet(name="", keys=KEYS, splits=SPLITS, images=list(IMAGES), captions=column(0), neg_captions=column(1))


def choice_set() -> ChoiceSet:
    return ChoiceSet(
        name="whatsup-a",
        keys=KEYS,
        splits=SPLITS,
        images=list(IMAGES),
        options=[[caption(i, number) for number in range(2 + i % 3)] for i in range(N)],
        means={"relations": ["add_obj", "swap_att"]},
        teams={"pairs": [str(i // 2) for i in range(N)], "sets": ["" if i < 30 else str(i // 3) for i in range(N)]},
    )


def group_set() -> GroupSet:
    return GroupSet(
        name="cola", keys=KEYS, splits=["all"] * N, images=list(IMAGES), captions=column(0),
        neg_images=list(OTHER_IMAGES), neg_captions=column(1), headline="image",
    )  # fmt: skip


def paraphrase_set() -> ParaphraseSet:
    return ParaphraseSet(
        name="sugarcrepe++", keys=KEYS, splits=SPLITS, images=list(IMAGES),
        captions=column(0), paraphrases=column(2), neg_captions=column(1),
    )  # fmt: skip


def test_sugarcrepe() -> None:
    slow = OneByOne(spread_clip())
    right = [slow.score(IMAGES[i], caption(i, 0)) > slow.score(IMAGES[i], caption(i, 1)) for i in range(N)]
    by_split = official.accuracy_by(SPLITS, right)
    result = run(pair_set())["sugarcrepe"]
    assert found(result, *set(SPLITS)) == pytest.approx(by_split)
    assert found(result, "macro", "micro") == pytest.approx(
        {"macro": official.mean(list(by_split.values())), "micro": 100 * sum(right) / N}
    )
    assert result.decisions["micro"] == "".join("01"[won] for won in right)
    assert result.headline == "macro"
    assert not any(right[0::9]) and 0 < sum(right) < N


def test_choices_relations_and_teams() -> None:
    """ARO's mean over relations, VALSE's pairwise accuracy (the items of two options), What'sUp's pairs and sets."""
    slow, item_set = OneByOne(spread_clip()), choice_set()
    right = [
        official.first_is_best([slow.score(image, text) for text in options])
        for image, options in zip(IMAGES, item_set.options, strict=True)
    ]
    by_split = official.accuracy_by(SPLITS, right)
    result = run(item_set)["whatsup-a"]
    assert found(result, *set(SPLITS)) == pytest.approx(by_split)
    assert found(result, "micro", "macro", "relations", "pairs", "sets") == pytest.approx(
        {
            "micro": 100 * sum(right) / N,
            "macro": official.mean(list(by_split.values())),
            "relations": (by_split["add_obj"] + by_split["swap_att"]) / 2,
            "pairs": official.whole_teams([str(i // 2) for i in range(N)], right),
            "sets": official.whole_teams([str(i // 3) for i in range(30, N)], right[30:]),
        }
    )
    assert result.headline == "relations"
    assert result.metrics["sets"].n == 20


def test_winoground_and_cola() -> None:
    slow = OneByOne(spread_clip())
    won = [
        official.winoground(
            slow.score(IMAGES[i], caption(i, 0)),
            slow.score(IMAGES[i], caption(i, 1)),
            slow.score(OTHER_IMAGES[i], caption(i, 0)),
            slow.score(OTHER_IMAGES[i], caption(i, 1)),
        )
        for i in range(N)
    ]
    result = run(group_set())["cola"]
    expected = {
        name: 100 * sum(item[place] for item in won) / N for place, name in enumerate(("text", "image", "group"))
    }
    assert found(result, "text", "image", "group") == pytest.approx(expected)
    assert result.headline == "image"
    assert 0 < expected["group"] < expected["image"]


def test_sugarcrepe_plus_plus() -> None:
    slow = OneByOne(spread_clip())
    p1, p2, n = column(0), column(2), column(1)
    by_image = [
        official.itt(slow.score(IMAGES[i], p1[i]), slow.score(IMAGES[i], p2[i]), slow.score(IMAGES[i], n[i]))
        for i in range(N)
    ]
    by_text = [
        official.tot(slow.between(p1[i], p2[i]), slow.between(p1[i], n[i]), slow.between(p2[i], n[i])) for i in range(N)
    ]
    result = run(paraphrase_set())["sugarcrepe++"]
    for task, right in (("itt", by_image), ("tot", by_text)):
        by_split = official.accuracy_by(SPLITS, right)
        assert found(result, *(f"{task}_{split}" for split in by_split)) == pytest.approx(
            {f"{task}_{split}": value for split, value in by_split.items()}
        )
        assert result.metrics[f"{task}_micro"].value == pytest.approx(100 * sum(right) / N)
        assert result.metrics[f"{task}_macro"].value == pytest.approx(official.mean(list(by_split.values())))
        assert 0 < sum(right) < N


def test_recall_with_five_captions_an_image() -> None:
    images, captions = [png(500 + i) for i in range(30)], [words(9000 + i) for i in range(150)]
    slow = OneByOne(spread_clip())
    scores = np.array([[slow.score(image, text) for text in captions] for image in images])
    result = run(
        RetrievalSet(name="coco", images=list(images), captions=captions, image_of_caption=[i // 5 for i in range(150)])
    )["retrieval-coco"]
    for k in (1, 5, 10):
        i2t = official.recall_at(k, scores.tolist(), [{5 * i + j for j in range(5)} for i in range(30)])
        t2i = official.recall_at(k, scores.T.tolist(), [{i // 5} for i in range(150)])
        assert found(result, f"i2t_r{k}", f"t2i_r{k}") == pytest.approx({f"i2t_r{k}": i2t, f"t2i_r{k}": t2i})


def test_zero_shot_is_the_mean_over_templates() -> None:
    images, labels = [png(700 + i) for i in range(60)], [(i * i) % 7 for i in range(60)]
    names, templates = [words(7 * i, 4) for i in range(8)], ["{}", "an {} yo", "q{}"]
    slow = OneByOne(spread_clip())
    classifier = []
    for name in names:
        features = [slow.text(template.replace("{}", name)) for template in templates]
        whole = sum((one / one.norm() for one in features), torch.zeros(16)) / len(features)
        classifier.append(whole / whole.norm())
    logits = [[float(100 * slow.image(image) @ one) for one in classifier] for image in images]
    item_set = ClassSet(name="", images=list(images), labels=labels, class_names=names, templates=templates)
    result = run(item_set)["zeroshot"]
    assert found(result, "top1", "top5", "mean_per_class") == pytest.approx(
        {
            "top1": official.top(1, logits, labels),
            "top5": official.top(5, logits, labels),
            "mean_per_class": official.mean_per_class(logits, labels),
        }
    )
    assert result.metrics["mean_per_class"].value != pytest.approx(result.metrics["top1"].value)


@pytest.mark.parametrize(
    "item_set", [pair_set(), choice_set(), group_set(), paraphrase_set()], ids=lambda one: one.name
)
def test_a_constant_encoder_scores_nothing(item_set: BenchmarkSet) -> None:
    for result in run(item_set, constant=True).values():
        assert {name: metric.value for name, metric in result.metrics.items()} == dict.fromkeys(result.metrics, 0.0)
    for result in run(item_set).values():
        assert result.blind["constant encoder"] == dict.fromkeys(result.metrics, 0.0)
        assert set(result.blind["random"]) == set(result.metrics)
