"""Asking again: who is asked, with which seed, and what is remembered."""

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tripletclip.errors import UserError
from tripletclip.negatives.captions.attempts import Outcome, write_with_retries
from tripletclip.negatives.contract import Answer, Cost, Failed, Rejected, Request, Written, seed_of


def requests(count: int) -> list[Request]:
    return [Request(key=f"k{i}", caption="a red bus", seed=seed_of(f"k{i}", "caption", 0)) for i in range(count)]


class Scripted:
    """A writer that answers by (key, number of the attempt), which it tells from the seed."""

    name, model, prompt_hash = "scripted", "none", ""

    def __init__(self, script: dict[str, list[list[Answer]]]) -> None:
        self.script, self.batches = script, [[""]][:0]

    def write(self, asked: Sequence[Request]) -> list[list[Answer]]:
        self.batches.append([request.key for request in asked])
        return [self.script[request.key][self.attempt(request)] for request in asked]

    def attempt(self, request: Request) -> int:
        return [seed_of(request.key, "caption", attempt) for attempt in range(10)].index(request.seed)

    def cost(self) -> Cost:
        return Cost()


def bad_words(asked: Sequence[tuple[Request, Written]]) -> list[str | Failed]:
    """'bad …' is turned down under its own words, 'broken' could not be checked."""
    return [
        Failed(reason="judge gone")
        if written.caption == "broken"
        else written.caption
        if "bad" in written.caption
        else ""
        for _, written in asked
    ]


def good(text: str = "a red car", category: str = "object") -> Written:
    return Written(caption=text, category=category)


def test_only_the_rejected_go_again_with_the_seed_of_the_attempt() -> None:
    writer = Scripted(
        {
            "k0": [[good()]],
            "k1": [[Rejected(reason="chatter")], [good("bad one")], [good()]],
            "k2": [[Failed(reason="server gone")]],
            "k3": [[Rejected(reason="empty")], [Failed(reason="time-out")]],
            "k4": [[Rejected(reason="empty")], [good("bad length")], [Rejected(reason="refusal")]],
            "k5": [[good("broken")]],
        }
    )
    outcomes = write_with_retries(writer, requests(6), bad_words, tries=3)
    assert writer.batches == [["k0", "k1", "k2", "k3", "k4", "k5"], ["k1", "k3", "k4"], ["k1", "k4"]]
    assert [(outcome.answer, outcome.attempts) for outcome in outcomes] == [
        (good(), ()),
        (good(), ("chatter", "bad one")),
        (Failed(reason="server gone"), ()),
        (Failed(reason="time-out"), ("empty",)),
        (Rejected(reason="refusal"), ("empty", "bad length", "refusal")),
        (Failed(reason="judge gone"), ()),
    ]
    assert [outcome.seed for outcome in outcomes] == [
        seed_of(f"k{row}", "caption", attempt) for row, attempt in enumerate([0, 2, 0, 1, 2, 0])
    ]


def test_of_several_candidates_the_first_that_passes_wins() -> None:
    writer = Scripted(
        {
            "k0": [[Rejected(reason="empty"), good("bad"), good("a red tram"), good("a red van")]],
            "k1": [[good("bad"), Failed(reason="server gone")]],
            "k2": [[good("bad"), Rejected(reason="empty")], [Rejected(reason="empty"), good("bad")]],
            "k3": [[], []],
            "k4": [[Failed(reason="server gone"), good()]],
        }
    )
    found = [
        (outcome.answer, outcome.attempts) for outcome in write_with_retries(writer, requests(5), bad_words, tries=2)
    ]
    assert found == [
        (good("a red tram"), ()),
        (Failed(reason="server gone"), ()),
        (Rejected(reason="empty"), ("bad + empty", "empty + bad")),
        (Rejected(reason="no candidate"), ("no candidate", "no candidate")),
        (good(), ()),
    ]


def test_an_unknown_category_is_guessed_unless_the_meaning_is_kept() -> None:
    script: dict[str, list[list[Answer]]] = {
        "k0": [[Written(caption="a blue bus")]],
        "k1": [[good("bus red a", "other")]],
    }
    guessed = write_with_retries(Scripted(script), requests(2), bad_words, tries=1)
    assert [outcome.answer for outcome in guessed] == [good("a blue bus", "attribute"), good("bus red a", "other")]
    kept = write_with_retries(Scripted(script), requests(1), bad_words, tries=1, keeps_meaning=True)
    assert kept[0].answer == good("a blue bus", "")


def test_nothing_to_do_and_no_tries() -> None:
    assert write_with_retries(Scripted({}), [], bad_words, tries=2) == []
    with pytest.raises(UserError, match="tries is 0"):
        write_with_retries(Scripted({}), requests(1), bad_words, tries=0)


class Dice:
    """Answers by the request's seed alone."""

    name, model, prompt_hash = "dice", "none", ""

    def write(self, asked: Sequence[Request]) -> list[list[Answer]]:
        choices: list[Answer] = [good(), good("bad"), Rejected(reason="empty"), Failed(reason="time-out")]
        return [Random(request.seed).choices(choices, k=2) for request in asked]

    def cost(self) -> Cost:
        return Cost()


@given(order=st.permutations(list(range(12))), cut=st.integers(0, 12))
@settings(max_examples=20, deadline=None)
def test_an_outcome_does_not_depend_on_the_batch(order: list[int], cut: int) -> None:
    def outcomes(asked: list[Request]) -> dict[str, Outcome]:
        found = write_with_retries(Dice(), asked, bad_words, tries=3)
        return {request.key: outcome for request, outcome in zip(asked, found, strict=True)}

    all_at_once = outcomes(requests(12))
    shuffled = [requests(12)[index] for index in order]
    assert outcomes(shuffled[:cut]) | outcomes(shuffled[cut:]) == all_at_once
