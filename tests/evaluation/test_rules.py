"""Each benchmark's rule: by hand, on ties, and against a slow loop over random scores that holds many ties."""

import itertools

import numpy as np
import pytest

from tripletclip.evaluation import groups, pairs, retrieval, zeroshot
from tripletclip.evaluation.outcome import Outcome, decision_strings, metrics
from tripletclip.evaluation.scores import GroupScores, PairScores, Scores


def array(*values: float) -> Scores:
    return np.array(values, dtype=np.float32)


def coarse(generator: np.random.Generator, *shape: int) -> Scores:
    """Scores with few distinct values, so that ties are common."""
    scores: Scores = generator.integers(0, 6, size=shape).astype(np.float32)
    return scores


def values(outcome: Outcome) -> dict[str, float]:
    return {name: metric.value for name, metric in metrics(outcome).items()}


def test_pairs_by_hand() -> None:
    scores = PairScores(positive=array(0.3, 0.2, 0.2, 0.9, 0.1), negative=array(0.1, 0.2, 0.3, 0.8, 0.0))
    outcome = pairs.decide(scores, ["add_obj", "add_obj", "swap_att", "swap_att", "replace_obj"])
    assert decision_strings(outcome) == {"micro": "10011", "add_obj": "10", "replace_obj": "1", "swap_att": "01"}
    assert values(outcome) == pytest.approx(
        {"micro": 60, "add_obj": 50, "swap_att": 50, "replace_obj": 100, "macro": 200 / 3, "compositional": 50}
    )
    assert outcome.groups == {"macro": ["add_obj", "replace_obj", "swap_att"], "compositional": ["swap_att"]}


def test_the_compositional_mean_is_over_the_five() -> None:
    names = ["add_att", "add_obj", "replace_att", "replace_obj", "replace_rel", "swap_att", "swap_obj"]
    right = [1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    found = values(pairs.decide(PairScores(positive=array(*right), negative=array(*[0.5] * 7)), names))
    assert found["compositional"] == pytest.approx(20)
    assert found["macro"] == pytest.approx(300 / 7)


def test_no_compositional_split_no_compositional_mean() -> None:
    outcome = pairs.decide(PairScores(positive=array(1), negative=array(0)), ["add_obj"])
    assert "compositional" not in values(outcome)


def test_a_stratum_of_a_swap_is_counted_once_more_unless_it_is_all_of_it() -> None:
    scores = PairScores(positive=array(1, 0, 1, 0, 1), negative=array(0, 1, 0, 1, 0))
    splits = ["swap_att", "swap_att", "swap_att", "swap_obj", "add_obj"]
    outcome = pairs.decide(scores, splits, np.array([False, True, True, True, True]))
    assert decision_strings(outcome)["swap_att_order_only"] == "01"
    assert {name for name in outcome.decisions if "order" in name} == {"swap_att_order_only"}
    assert outcome.groups["macro"] == ["add_obj", "swap_att", "swap_obj"]


def test_pairs_against_a_loop() -> None:
    generator = np.random.default_rng(0)
    positive, negative = coarse(generator, 300), coarse(generator, 300)
    splits = [str(name) for name in generator.choice(pairs.SPLITS, 300)]
    right: dict[str, list[bool]] = {}
    for own, other, split in zip(positive, negative, splits, strict=True):
        right.setdefault(split, []).append(bool(own > other))
    found = values(pairs.decide(PairScores(positive=positive, negative=negative), splits))
    for split in pairs.SPLITS:
        assert found[split] == pytest.approx(100 * sum(right[split]) / len(right[split]))
    assert found["macro"] == pytest.approx(sum(found[split] for split in pairs.SPLITS) / 7)
    assert found["micro"] == pytest.approx(100 * sum(map(sum, right.values())) / 300)


def test_groups_by_hand() -> None:
    """Items: all right; only text; only image; a tie in one comparison that only ``text`` makes."""
    scores = GroupScores(
        image_caption=array(0.9, 0.5, 0.5, 0.5),
        image_neg_caption=array(0.1, 0.4, 0.7, 0.5),
        neg_image_caption=array(0.2, 0.6, 0.4, 0.1),
        neg_image_neg_caption=array(0.8, 0.7, 0.8, 0.9),
    )
    outcome = groups.decide(scores, ["swap_obj", "swap_obj", "swap_att", "swap_att"])
    strings = decision_strings(outcome)
    assert {name: strings[name] for name in ("text", "image", "group")} == {
        "text": "1100",
        "image": "1011",
        "group": "1000",
    }
    assert strings["text_swap_obj"] == "11"
    assert strings["image_swap_att"] == "11"
    assert strings["group_swap_obj"] == "10"


def test_groups_against_a_loop() -> None:
    generator = np.random.default_rng(1)
    c0_i0, c1_i0, c0_i1, c1_i1 = (coarse(generator, 400) for _ in range(4))
    outcome = groups.decide(
        GroupScores(image_caption=c0_i0, image_neg_caption=c1_i0, neg_image_caption=c0_i1, neg_image_neg_caption=c1_i1),
        ["swap_obj"] * 400,
    )
    counts = {"text": 0, "image": 0, "group": 0}
    for a, b, c, d in zip(c0_i0, c1_i0, c0_i1, c1_i1, strict=True):
        text, image = a > b and d > c, a > c and d > b
        counts["text"] += text
        counts["image"] += image
        counts["group"] += text and image
    found = values(outcome)
    assert {name: found[name] for name in counts} == pytest.approx({name: won / 4 for name, won in counts.items()})


def test_chance_of_groups_by_all_orders() -> None:
    orders = np.array(list(itertools.permutations(range(4))), dtype=np.float32)
    outcome = groups.decide(
        GroupScores(
            image_caption=orders[:, 0],
            image_neg_caption=orders[:, 1],
            neg_image_caption=orders[:, 2],
            neg_image_neg_caption=orders[:, 3],
        ),
        ["swap_obj"] * 24,
    )
    assert values(outcome) == pytest.approx(groups.chance(outcome))


def test_retrieval_by_hand() -> None:
    """Three images; the first has two captions, the last caption is worded like the second image's."""
    match_NM = retrieval.matches([b"a", b"b", b"c"], ["p", "q", "r", "r"], [0, 0, 1, 2])
    assert match_NM.tolist() == [[True, True, False, False], [False, False, True, True], [False, False, True, True]]
    scores_NM = np.array([[0.1, 0.5, 0.4, 0.3], [0.6, 0.0, 0.6, 0.2], [0.9, 0.8, 0.1, 0.1]], dtype=np.float32)
    assert retrieval.ranks(scores_NM, match_NM).tolist() == [0, 1, 2]  # the second ties with a stranger and loses
    assert retrieval.ranks(scores_NM.T, match_NM.T).tolist() == [2, 1, 0, 1]
    found = values(retrieval.decide(scores_NM, match_NM))
    assert found == pytest.approx({"i2t_r1": 100 / 3, "t2i_r1": 25})


def test_equal_images_are_one_image() -> None:
    match_NM = retrieval.matches([b"same", b"same", b"other"], ["p", "q", "r"], [0, 1, 2])
    assert match_NM.tolist() == [[True, True, False], [True, True, False], [False, False, True]]


def test_retrieval_against_a_loop() -> None:
    generator = np.random.default_rng(2)
    captions = [f"caption {number}" for number in generator.integers(0, 40, size=60)]
    image_of_caption = [*range(20), *(int(number) for number in generator.integers(0, 20, size=40))]
    images = [f"image {number // 2}" for number in range(20)]
    scores_NM = coarse(generator, 20, 60)
    listed = {(images[image], caption) for caption, image in zip(captions, image_of_caption, strict=True)}
    found = values(retrieval.decide(scores_NM, retrieval.matches(images, captions, image_of_caption)))

    def rank(scored: list[tuple[float, bool]]) -> int:
        best = max(score for score, is_match in scored if is_match)
        return sum(score >= best and not is_match for score, is_match in scored)

    rows = [[(scores_NM[n, m], (images[n], captions[m]) in listed) for m in range(60)] for n in range(20)]
    i2t = [rank(row) for row in rows]
    t2i = [rank([row[m] for row in rows]) for m in range(60)]
    for k in (1, 5, 10):
        assert found[f"i2t_r{k}"] == pytest.approx(100 * sum(r < k for r in i2t) / 20)
        assert found[f"t2i_r{k}"] == pytest.approx(100 * sum(r < k for r in t2i) / 60)
    assert set(found) == {f"{way}_r{k}" for way in ("i2t", "t2i") for k in (1, 5, 10)}


def test_chance_of_retrieval_by_simulation() -> None:
    generator = np.random.default_rng(3)
    match_NM = retrieval.matches(list(range(12)), [f"{m // 3}" for m in range(24)], [m // 2 for m in range(24)])
    draws = [retrieval.decide(generator.random((12, 24), dtype=np.float32), match_NM) for _ in range(400)]
    expected = retrieval.chance(draws[0], match_NM)
    for name in draws[0].decisions:
        assert np.mean([values(draw)[name] for draw in draws]) == pytest.approx(expected[name], abs=3)


def test_chance_of_plain_retrieval_is_k_of_n() -> None:
    match_NM = np.eye(40, dtype=np.bool_)
    expected = retrieval.chance(retrieval.decide(np.zeros((40, 40), dtype=np.float32), match_NM), match_NM)
    assert expected["i2t_r1"] == pytest.approx(2.5)
    assert expected["t2i_r10"] == pytest.approx(25)


def test_zeroshot_by_hand() -> None:
    scores_NK = np.array([[3, 2, 1], [2, 2, 1], [0, 1, 5]], dtype=np.float32)
    outcome = zeroshot.decide(scores_NK, [0, 0, 1], ["a", "b", "c"])
    strings = {"top1": "100", "class:a": "10", "class:b": "0"}  # the second is a tie; no image of c
    assert decision_strings(outcome) == strings
    assert values(outcome) == pytest.approx({"top1": 100 / 3, "mean_per_class": 25})


def test_zeroshot_against_a_loop() -> None:
    generator = np.random.default_rng(4)
    scores_NK, labels = coarse(generator, 200, 9), [int(label) for label in generator.integers(0, 9, size=200)]
    found = values(zeroshot.decide(scores_NK, labels, list("abcdefghi")))
    for k in (1, 5):
        right = 0
        for row, label in zip(scores_NK, labels, strict=True):
            right += sum(score >= row[label] for index, score in enumerate(row) if index != label) < k
        assert found[f"top{k}"] == pytest.approx(right / 2)
    expected = {"top1": 100 / 9, "top5": 500 / 9, "mean_per_class": 100 / 9}
    assert zeroshot.chance(zeroshot.decide(scores_NK, labels, list("abcdefghi")), 9) == pytest.approx(expected)
