"""The text probe finds what is planted, nothing where there is nothing, and what was measured on published data."""

from pathlib import Path

import numpy as np
import pytest
from made_items import SHARED, coin_items, item, planted_items

from tripletclip.errors import UserError
from tripletclip.screening.items import items_from_negclip, items_from_sugarcrepe
from tripletclip.screening.text_probe import ProbeConfig, length_rule, probe_scores, text_probe, words

PUBLISHED = {
    "negclip": (0.81, 0.81),
    "replace_rel": (0.79, 0.81),
    "replace_obj": (0.71, 0.75),
    "replace_att": (0.66, 0.64),
    "swap_att": (0.61, 0.54),
    "swap_obj": (0.56, 0.45),
    "add_att": (0.78, 0.78),
    "add_obj": (0.91, 0.96),
}
"""AUC and share of items whose negative scores higher, measured before this code was written (issue B)."""


def test_words_are_lower_case_and_without_punctuation() -> None:
    assert words("  A Dog's «ball», red_one – 2!") == ["a", "dog", "s", "ball", "red", "one", "2"]


def test_nothing_is_found_where_captions_and_negatives_are_drawn_alike() -> None:
    result = text_probe(coin_items(1500))
    # Standard error of an AUC at chance with 1,500 of each: 0.0105.
    assert result.auc == pytest.approx(0.5, abs=0.03)
    assert result.low < 0.5 < result.high


def test_a_planted_word_is_found_as_often_as_it_was_planted() -> None:
    """Half of the negatives are told for sure, the other half by a coin: 0.5 * 1 + 0.5 * 0.5."""
    assert text_probe(planted_items(1200, share=0.5)).auc == pytest.approx(0.75, abs=0.03)
    assert text_probe(planted_items(600, share=1.0)).auc > 0.999


def test_only_word_order_tells_needs_grams_of_two() -> None:
    rng = np.random.default_rng(0)
    pairs = [(f"x{one} red y{one % 50}", f"y{one % 50} red x{one}") for one in rng.integers(0, 50, 400)]
    items = [item(f"{a} {row}", f"{b} {row}", key=str(row)) for row, (a, b) in enumerate(pairs)]
    assert text_probe(items, ProbeConfig(longest_gram=1)).ties == 1
    assert text_probe(items, ProbeConfig(longest_gram=2)).auc > 0.95


def test_items_with_one_caption_share_a_fold() -> None:
    """Five photos' captions, fifty negatives each: a probe that met the caption in training would know it."""
    items = [
        item(f"the very {group}", f"unseen {group} {row}", key=f"{group}{row}")
        for group in "abcde"
        for row in range(50)
    ]
    positive, _ = probe_scores(items, ProbeConfig(min_count=1))
    for group in range(5):
        assert len(set(positive[50 * group : 50 * group + 50])) == 1


def test_without_frequent_grams_the_probe_knows_nothing() -> None:
    result = text_probe([item(f"p{row}", f"n{row}", key=str(row)) for row in range(20)])
    assert (result.auc, result.ties) == (0.5, 1.0)


def test_the_same_items_give_the_same_result_and_another_seed_another() -> None:
    items = planted_items(300, share=0.3)
    assert text_probe(items) == text_probe(items)
    assert text_probe(items) != text_probe(items, ProbeConfig(seed=1))


@pytest.mark.parametrize(
    ("field", "value"),
    [("longest_gram", 0), ("shortest_word", 0), ("min_count", 0), ("fit_on_at_most", 0), ("folds", 1)],
)
def test_settings_that_make_no_sense_are_named(field: str, value: int) -> None:
    with pytest.raises(UserError, match=field):
        ProbeConfig(**{field: value})


def test_too_few_items_and_no_words_are_said() -> None:
    with pytest.raises(UserError, match="at least 5 different items; got 1"):
        text_probe([item("a", "b")] * 30)
    with pytest.raises(UserError, match="has a word of 3 letters"):
        text_probe([item(f"a {row}", f"b {row}") for row in range(10)], ProbeConfig(shortest_word=3))


def test_length_rule_by_hand() -> None:
    lengths = length_rule([item("a b c", "a b"), item("a b", "a b c d"), item("a", "b"), item("a b", "c, d; e")])
    assert (lengths.shorter, lengths.longer, lengths.equal) == (0.25, 0.5, 0.25)
    # Negatives of 2, 4, 1, 3 words against positives of 3, 2, 1, 2: (2.0 + 4 + 0.5 + 3.5) / 16.
    assert lengths.rule.auc == pytest.approx(10 / 16)
    assert lengths.told == pytest.approx(10 / 16)
    assert length_rule([item("a b", "a")] * 3).told == 1.0


def published(name: str) -> Path:
    return SHARED / ("negclip_valid.tsv" if name == "negclip" else f"sugarcrepe/{name}.json")


@pytest.mark.skipif(not published("negclip").exists(), reason="needs shared/data")
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_negatives_are_told_as_was_measured(name: str) -> None:
    """Within 0.05. One number is apart, and the reason is shown.

    In add_att the default probe finds the negative in 0.054 more of the items than was measured, because it sees the
    article "a" that the insertions bring along; without one-letter words it agrees there too.
    """
    read = items_from_negclip if name == "negclip" else items_from_sugarcrepe
    items = list(read(published(name)))
    auc, share = PUBLISHED[name]
    result = text_probe(items)
    assert result.auc == pytest.approx(auc, abs=0.05)
    if name == "add_att":
        assert result.negative_higher > share
        result = text_probe(items, ProbeConfig(shortest_word=2))
        assert result.auc == pytest.approx(auc, abs=0.05)
    assert result.negative_higher == pytest.approx(share, abs=0.05)
