"""The checks: one example that each reason catches, and one next to it that it lets pass."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tripletclip.errors import UserError
from tripletclip.negatives.captions.checks import CaptionCheck, CheckSettings, check, guess_category
from tripletclip.negatives.captions.prompts import PAPER, REWRITE, Prompt
from tripletclip.negatives.contract import Failed, Request, Written


def verdict(
    old: str, new: str, category: str = "", prompt: Prompt | None = PAPER, others: tuple[str, ...] = (), **limits: float
) -> str:
    request = Request(key="k", caption=old, seed=0, other_captions=others)
    return check(Written(caption=new, category=category), request, prompt, CheckSettings(**limits))


@pytest.mark.parametrize(
    ("old", "new", "category", "reason"),
    [
        ("A red bus.", "a RED bus!", "", "unchanged"),
        ("A t-shirt, folded", "A T shirt folded.", "", "unchanged"),
        ("The dog's bed", "the dogs bed", "", "unchanged"),
        ("A red bus.", "A blue bus.", "", ""),
        ("a dog chases a cat", "a cat chases a dog", "", ""),
        ("a dog chases a cat", "a cat chases a dog", "swap", ""),
        ("a dog chases a cat", "a cat chases a dog", "object", "same words"),
        ("a cat and a dog", "a dog and a cat", "", "same meaning"),
        ("A bench sitting in the grass", "The bench sits in the grass", "", "same meaning"),
        ("three birds walking on a field", "Three birds are walking on the field", "", "same meaning"),
        ("a dog sitting on a bench", "dogs sitting on a bench", "", ""),
        ("a man riding a horse", "a man rides a house", "", ""),
        ("a cat next to the dog", "the dog next to a cat", "swap", "same meaning"),
        ("a red cat and a blue dog", "a blue cat and a red dog", "", ""),
        ("a cat on the dog", "the cat on a dog", "", "unchanged"),
        ("a cat on the dog", "the cat on the dog", "", "unchanged"),
        ("one two three four", "one", "", "length"),
        ("a red bus waits", "a red bus waits at the stop next to a", "", "length"),
        ("one two three four five six", "one two three", "", ""),
        ("a man rides a horse on the beach", "a woman eats soup in a quiet kitchen", "", "too far"),
        ("a man rides a horse on the beach", "a woman riding a horse on the street", "", ""),
        ("a cat", "a dog", "", ""),
        ("A dog behind a cat.", "A dog to the right of the cat.", "", "copied example"),
        ("A dog behind a cat.", "A dog to the left of the cat.", "", "copied example"),
        ("A dog to the left of the cat.", "A dog to the right of the cat.", "", ""),
    ],
)
def test_each_reason_and_its_neighbour(old: str, new: str, category: str, reason: str) -> None:
    assert verdict(old, new, category) == reason


def test_a_duplicate_of_another_caption_of_the_image() -> None:
    others = ("Two people ride.", "A green bus waits.")
    assert verdict("A red bus waits", "a green bus waits", others=others) == "duplicate caption"
    assert verdict("A red bus waits", "a blue bus waits", others=others) == ""


def test_a_paraphrase_may_turn_the_words_round() -> None:
    assert verdict("a cat and a dog", "a dog and a cat", prompt=REWRITE) == ""
    assert verdict("a cat and a dog", "A cat and a dog!", prompt=REWRITE) == "unchanged"


def test_limits_are_settable_and_meant() -> None:
    old, new = "a small red bus waits", "a small red bus"
    assert verdict(old, new, min_length_ratio=0.8) == ""
    assert verdict(old, new, min_length_ratio=0.81) == "length"
    assert verdict("a red bus waits", "a blue bus goes", min_overlap=0.3) == ""
    assert verdict("a red bus waits", "a blue bus goes", min_overlap=0.34) == "too far"


@pytest.mark.parametrize("limits", [{"min_length_ratio": 1.1}, {"max_length_ratio": 0.9}, {"min_overlap": 1.5}])
def test_limits_that_allow_nothing_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(UserError):
        CheckSettings(**limits)


@given(
    st.lists(
        st.sampled_from(["a", "the", "red", "cat", "dog", "bus", "on", "near", "and", "runs"]), min_size=1, max_size=8
    )
)
@settings(max_examples=40, deadline=None)
def test_a_caption_is_never_a_negative_of_itself(parts: list[str]) -> None:
    caption = " ".join(parts)
    assert verdict(caption, caption.upper() + " .") == "unchanged"


@pytest.mark.parametrize(
    ("old", "new", "category"),
    [
        ("a dog chases a cat", "a cat chases a dog", "swap"),
        ("two dogs", "five dogs", "count"),
        ("a dog runs", "two dogs run", "count"),
        ("3 dogs", "4 dogs", "count"),
        ("a red bus", "a blue bus", "attribute"),
        ("a cat on a box", "a cat under a box", "relation"),
        ("a cat to the left of a box", "a cat to the right of a box", "relation"),
        ("a red bus", "a red car", ""),
        ("a red bus", "two blue buses", ""),
        ("a bus", "a bus", ""),
    ],
)
def test_the_category_is_guessed_only_where_the_words_tell(old: str, new: str, category: str) -> None:
    assert guess_category(old, new) == category


class FakeEntailment:
    """Says what it is told, and keeps what it was asked."""

    def __init__(self, said: Sequence[str | Failed]) -> None:
        self.said, self.asked = said, [("", "")][:0]

    def judge(self, pairs: Sequence[tuple[str, str]]) -> Sequence[str | Failed]:
        self.asked += pairs
        return self.said


def asked(*captions: str) -> list[tuple[Request, Written]]:
    request = Request(key="k", caption="a red bus waits", seed=0)
    return [(request, Written(caption=caption)) for caption in captions]


def test_only_what_has_passed_the_rules_is_judged() -> None:
    judge = FakeEntailment(["entailed", "not entailed", "unclear", Failed(reason="server gone")])
    new = ["a bus waits", "a blue bus waits", "a green bus waits", "a red car waits"]
    verdicts = CaptionCheck(prompt=PAPER, entailment=judge)(asked(new[0], "A RED BUS WAITS", *new[1:]))
    assert verdicts == ["still entailed", "unchanged", "", "judge unclear", Failed(reason="server gone")]
    assert judge.asked == [("a red bus waits", caption) for caption in new]


def test_a_paraphrase_must_be_entailed() -> None:
    check_all = CaptionCheck(prompt=REWRITE, entailment=FakeEntailment(["entailed", "not entailed"]))
    assert check_all(asked("a bus in red waits", "a blue bus waits")) == ["", "meaning changed"]


def test_no_judge_is_asked_about_nothing() -> None:
    judge = FakeEntailment([])
    assert CaptionCheck(prompt=None, entailment=judge)([]) == []
    assert CaptionCheck(prompt=None)(asked("a blue bus waits")) == [""]
