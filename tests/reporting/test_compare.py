"""What is said follows from the numbers: above, below, not apart, order, data or loss."""

import math

import pytest
from synthetic import full_run, plain, run, sugarcrepe

from tripletclip.reporting.compare import Comparison, compare, data_or_loss, headline, number, ordering, signed


def test_sentence_follows_the_interval() -> None:
    def comparison(value: float, low: float, high: float) -> str:
        return Comparison(
            method="tripletclip", against="clip", value=value, low=low, high=high, seeds=1, paired=True
        ).sentence()

    assert comparison(9.1, 7.2, 11.0) == "TripletCLIP is 9.1 points above CLIP (95 % interval 7.2 to 11.0)."
    assert comparison(-3.0, -5.0, -1.0) == "TripletCLIP is 3.0 points below CLIP (95 % interval 1.0 to 5.0)."
    assert comparison(1.2, -0.8, 3.2) == (
        "TripletCLIP and CLIP are not apart: the difference is +1.2 points (95 % interval −0.8 to 3.2)."
    )
    assert "not apart" in comparison(0.0, 0.0, 0.0)


def test_numbers_have_a_real_minus_and_no_negative_zero() -> None:
    assert [number(-1.25), number(-0.01), signed(0.5), signed(-0.5), signed(0.04)] == [
        "−1.2",
        "0.0",
        "+0.5",
        "−0.5",
        "0.0",
    ]


def test_equal_methods_are_not_apart() -> None:
    sentence = headline(run({"clip": 120, "tripletclip": 120}))
    assert sentence.startswith("TripletCLIP and CLIP are not apart: the difference is 0.0 points (95 % interval −")


def test_headline_value_is_the_difference_of_the_means() -> None:
    found = compare(run({"clip": 120, "tripletclip": 160}), "tripletclip", "clip")[0]
    assert (found.value, found.paired, found.seeds, found.apart) == (20.0, True, 1, True)
    assert headline(run({"clip": 120, "tripletclip": 160})).startswith("TripletCLIP is 20.0 points above CLIP")
    assert headline(run({"clip": 160, "tripletclip": 120})).startswith("TripletCLIP is 20.0 points below CLIP")


def test_seeds_that_disagree_widen_the_interval() -> None:
    results = [sugarcrepe("clip", 120, seed=seed) for seed in (0, 1)]
    results += [sugarcrepe("tripletclip", right, seed=seed) for seed, right in enumerate((160, 120))]
    found = compare(results, "tripletclip", "clip")[0]
    # differences 20 and 0: mean 10, deviation √200, t(1) = 12.71, half-width 12.71 · √200 / √2 = 127.1 and more.
    assert found.value == 10.0 and found.seeds == 2
    assert found.low < 10 - 127.1 and found.high > 10 + 127.1
    assert not found.apart


def test_without_decisions_the_intervals_are_independent() -> None:
    results = [plain("clip", "zeroshot", {"top1": 30.0}), plain("negclip", "zeroshot", {"top1": 35.0})]
    found = compare(results, "negclip", "clip", benchmark="zeroshot", metric="top1")[0]
    assert not found.paired
    assert math.isclose(found.low, 5 - math.sqrt(8)) and math.isclose(found.high, 5 + math.sqrt(8))


@pytest.mark.parametrize(
    ("rights", "words"),
    [
        ((120, 140, 160), "holds, each step apart"),
        ((120, 120, 160), "does not hold here: NegCLIP++ is not above CLIP"),
        ((120, 121, 160), "holds in the means, but CLIP and NegCLIP++ are not apart"),
        ((160, 140, 120), "NegCLIP++ is not above CLIP and TripletCLIP is not above NegCLIP++"),
    ],
)
def test_order_in_words(rights: tuple[int, int, int], words: str) -> None:
    assert words in ordering(run(dict(zip(("clip", "negclip", "tripletclip"), rights, strict=True))))


def test_data_or_loss_splits_the_gain() -> None:
    sentence = data_or_loss(full_run())
    assert "give CLIP +2.0 points" in sentence and "adds +18.0" in sentence


def test_missing_methods_are_named() -> None:
    assert headline(run({"clip": 120})) == "No verdict on TripletCLIP against CLIP: no result for TripletCLIP."
    assert headline([]).endswith("no result for TripletCLIP and CLIP.")
    assert ordering([]) == data_or_loss([]) == ""
