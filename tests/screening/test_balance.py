"""Balancing drops what tells, keeps what does not, and says so when it cannot."""

from typing import Any

import numpy as np
import pytest
from made_items import SHARED, coin_items, planted_items

from tripletclip.errors import UserError
from tripletclip.screening.balance import BalanceConfig, _without_tell_tales, balance
from tripletclip.screening.items import items_from_negclip
from tripletclip.screening.text_probe import ProbeConfig, text_probe


def test_tell_tale_items_go_and_a_new_probe_is_near_chance() -> None:
    items = planted_items(400, share=0.4)
    told = {one.key for one in items if "mistake" in one.neg_caption}
    result = balance(items, BalanceConfig(max_text_auc=0.58))
    assert result.before.auc > 0.65
    assert result.reached and result.after.auc <= 0.58
    kept = [one for one in items if one.key in set(result.kept)]
    assert tuple(one.key for one in kept) == result.kept
    assert text_probe(kept, ProbeConfig(seed=77, min_count=1)).auc < 0.62
    # At least nine in ten of the dropped are those with the planted word.
    dropped = {one.key for one in items} - set(result.kept)
    assert len(dropped & told) >= 0.9 * len(dropped) > 0
    assert [n for n, _ in result.rounds] == sorted((n for n, _ in result.rounds), reverse=True)


def test_only_items_that_the_probe_gets_right_may_go() -> None:
    """Nine in ten are to go, the furthest first; but only two have a negative that scores higher."""
    items = coin_items(10)
    gaps = np.array([0.0, 2, -1, -2, -3, 1, 0, -1, -1, -1])
    left = _without_tell_tales(items, gaps, 0.9, BalanceConfig(drop_least=0.9, drop_most=0.95))
    assert [items.index(one) for one in left] == [0, 2, 3, 4, 6, 7, 8, 9]
    once = _without_tell_tales(items, gaps, 0.9, BalanceConfig(drop_least=0.1, drop_most=0.1))
    assert [items.index(one) for one in once] == [0, 2, 3, 4, 5, 6, 7, 8, 9]


def test_what_is_balanced_stays_whole() -> None:
    items = coin_items(500)
    result = balance(items)
    assert result.kept == tuple(one.key for one in items)
    assert result.reached and len(result.rounds) == 1


def test_it_stops_at_the_smallest_share_and_says_so() -> None:
    items = planted_items(200, share=1.0)
    result = balance(items, BalanceConfig(min_share=0.8))
    assert not result.reached
    assert 160 <= len(result.kept) < 200
    assert result.after.auc > 0.9
    assert result.to_json()["reached"] is False


def test_the_same_items_give_the_same_selection() -> None:
    items = planted_items(150, share=0.4)
    assert balance(items) == balance(items)


@pytest.mark.parametrize(
    ("field", "value"), [("max_text_auc", 0.5), ("min_share", 1.0), ("drop_least", 0.0), ("drop_most", 0.01)]
)
def test_settings_that_make_no_sense_are_named(field: str, value: float) -> None:
    settings: dict[str, Any] = {field: value}
    with pytest.raises(UserError, match=field):
        BalanceConfig(**settings)


@pytest.mark.skipif(not (SHARED / "negclip_valid.tsv").exists(), reason="needs shared/data")
def test_published_rule_negatives_can_be_balanced() -> None:
    """The first 500 of NegCLIP's; all 4,839 go from 0.815 to 0.593 and 3,045 are kept (17 s)."""
    items = list(items_from_negclip(SHARED / "negclip_valid.tsv"))[:500]
    result = balance(items)
    assert result.before.auc > 0.64
    assert result.reached and result.after.auc <= 0.6 and result.after_default.auc <= 0.62
    assert len(result.kept) > 0.4 * len(items)
