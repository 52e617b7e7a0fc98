"""Intervals against published values and against brute force."""

import math

import numpy as np
import pytest

from tripletclip.intervals import mean_of_proportions, paired_bootstrap, wilson


@pytest.mark.parametrize(
    ("wins", "n", "low", "high"),
    [
        (81, 263, 25.53, 36.62),  # Newcombe 1998, table I: 0.2553 to 0.3662
        (15, 148, 6.24, 16.05),  # 0.0624 to 0.1605
        (0, 20, 0.0, 16.11),  # 0.0000 to 0.1611
        (1, 29, 0.61, 17.18),  # 0.0061 to 0.1718
        (29, 29, 88.30, 100.0),  # mirror of 0 / 29: 0.0000 to 0.1170
    ],
)
def test_wilson_gives_the_published_limits(wins: int, n: int, low: float, high: float) -> None:
    estimate = wilson(wins, n)
    assert estimate.value == pytest.approx(100 * wins / n)
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=0.006)
    assert estimate.n == n


def test_wilson_limits_solve_the_score_equation() -> None:
    """The limits are where the observed share lies 1.96 standard errors, taken at the limit, away."""
    estimate = wilson(7, 40)
    for limit in (estimate.low / 100, estimate.high / 100):
        assert abs(7 / 40 - limit) / math.sqrt(limit * (1 - limit) / 40) == pytest.approx(1.959964, abs=1e-6)


def test_mean_of_one_proportion_is_wilson() -> None:
    assert mean_of_proportions([(7, 40)]) == wilson(7, 40)


def test_mean_of_equal_proportions_narrows_with_the_root() -> None:
    one, four = wilson(30, 60), mean_of_proportions([(30, 60)] * 4)
    assert four.value == pytest.approx(50)
    assert four.high - four.low == pytest.approx((one.high - one.low) / 2)
    assert four.n == 240


def test_mean_is_plain_not_weighted_and_stays_within_bounds() -> None:
    assert mean_of_proportions([(0, 1000), (10, 10)]).value == pytest.approx(50)
    nothing, everything = mean_of_proportions([(0, 5)] * 3), mean_of_proportions([(5, 5)] * 3)
    assert nothing.low == 0 < nothing.high
    assert everything.low < 100 == everything.high


def test_mean_interval_covers() -> None:
    """Over simulated benchmarks the interval holds the truth in about 95 of 100."""
    generator = np.random.default_rng(1)
    sizes, truths = (30, 80, 200), (0.2, 0.55, 0.9)
    covered = 0
    for _ in range(1000):
        counts = [(int(generator.binomial(n, p)), n) for n, p in zip(sizes, truths, strict=True)]
        estimate = mean_of_proportions(counts)
        covered += int(estimate.low <= 100 * np.mean(truths) <= estimate.high)
    assert 930 <= covered <= 975


def test_bootstrap_covers() -> None:
    """Paired decisions with a true difference of 10 points in one split and 0 in the other, so 5 in the mean."""
    generator = np.random.default_rng(2)
    covered = 0
    for trial in range(500):
        a, b = {}, {}
        for name, n, gain, loss in (("x", 150, 0.2, 0.1), ("y", 60, 0.15, 0.15)):
            draw_N = generator.random(n)
            a[name] = "".join("1" if u < gain else "0" for u in draw_N)
            b[name] = "".join("1" if gain <= u < gain + loss else "0" for u in draw_N)
        difference = paired_bootstrap(a, b, ["x", "y"], rounds=400, seed=trial)
        covered += difference.low <= 5 <= difference.high
    assert 455 <= covered <= 490


def test_bootstrap_equals_drawing_items_one_by_one() -> None:
    a, b = {"x": "1101011101" * 4, "y": "10011" * 3}, {"x": "0101010001" * 4, "y": "11001" * 3}
    difference = paired_bootstrap(a, b, ["x", "y"], rounds=20000, seed=3)
    generator = np.random.default_rng(4)
    rounds = np.zeros(20000)
    for name in ("x", "y"):
        gain_N = np.array([int(p) - int(q) for p, q in zip(a[name], b[name], strict=True)])
        rounds += gain_N[generator.integers(len(gain_N), size=(20000, len(gain_N)))].mean(axis=1) * 50
    assert difference.value == pytest.approx(50 * (0.3 + 0.0))
    assert (difference.low, difference.high) == pytest.approx(tuple(np.percentile(rounds, [2.5, 97.5])), abs=0.8)


def test_bootstrap_pairs_the_items() -> None:
    """Two methods that differ in one item of a hundred: the interval is narrow although both hover around half."""
    a = {"x": "01" * 50}
    difference = paired_bootstrap(a, {"x": "00" + "01" * 49}, ["x"])
    assert difference.value == pytest.approx(1)
    assert difference.high - difference.low <= 4
    assert difference.p > 0.05


def test_bootstrap_of_equals_and_of_opposites() -> None:
    same = paired_bootstrap({"x": "0110"}, {"x": "0110"}, ["x"])
    assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)
    apart = paired_bootstrap({"x": "1" * 30}, {"x": "0" * 30}, ["x"])
    assert (apart.value, apart.low, apart.high) == (100, 100, 100)
    assert apart.p < 0.01


def test_bootstrap_changes_its_sign_with_the_order_and_repeats() -> None:
    a, b = {"x": "1110011011"}, {"x": "1010010011"}
    assert paired_bootstrap(a, b, ["x"]) == paired_bootstrap(a, b, ["x"])
    assert paired_bootstrap(a, b, ["x"]).value == pytest.approx(20)
    assert paired_bootstrap(b, a, ["x"]).value == pytest.approx(-20)


@pytest.mark.parametrize(
    ("b", "splits", "says"),
    [
        ({"x": "011"}, ["x"], "2 and 3 decisions"),
        ({"x": "0?"}, ["x"], "something else"),
        ({"x": "01"}, ["y"], "'y' on both sides"),
        ({"x": "01"}, [], "needs a split"),
    ],
)
def test_bootstrap_refuses_what_is_not_paired(b: dict[str, str], splits: list[str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        paired_bootstrap({"x": "01"}, b, splits)
