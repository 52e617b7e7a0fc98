"""The writer ``rules``: each kind of edit by example, and what holds for every caption."""

import json
import pickle
import re
from collections import Counter
from pathlib import Path

import pytest

from tripletclip.errors import UserError
from tripletclip.negatives.captions.rules import RulesConfig, RulesWriter
from tripletclip.negatives.contract import CATEGORIES, Rejected, Request, Written, seed_of

pytest.importorskip("wn", reason="the extra 'text' is not installed")

CAPTIONS_FILE = Path(__file__).parents[3] / "../shared/data/captions_val2017.json"
CAPTIONS = (
    "A man riding a motorcycle down a street.",
    "Two dogs sitting on a wooden bench next to a red umbrella",
    "An old woman holding an apple in front of a white refrigerator.",
    "a bathroom with a toilet, a sink and a mirror",
    "There is a black cat and a white dog on the bed.",
    "Three airplanes flying above a city in a cloudy sky",
    "A bowl of oranges beside a knife on the kitchen counter",
    "A young girl eats pizza at an outdoor restaurant",
)


def written(caption: str, *categories: str, seeds: int = 30, others: tuple[str, ...] = ()) -> set[str]:
    """Every caption that ``seeds`` seeds give."""
    config = RulesConfig(categories=categories) if categories else RulesConfig()
    writer = RulesWriter(config)
    requests = [Request(key="k", caption=caption, seed=seed, other_captions=others) for seed in range(seeds)]
    return {answer.caption for answers in writer.write(requests) for answer in answers if isinstance(answer, Written)}


def bag(caption: str) -> Counter[str]:
    """Words without articles: these follow the words after them."""
    return Counter(word for word in re.findall(r"[a-z]+", caption.lower()) if word not in ("a", "an"))


@pytest.mark.parametrize(
    ("category", "caption", "expected"),
    [
        ("relation", "A cat in front of a mirror", {"A cat behind a mirror", "A cat beside a mirror"}),
        ("relation", "A bowl on top of a table", {"A bowl under a table", "A bowl behind a table",
        "A bowl beside a table"}),
        ("relation", "A vase on the left side of the table", {"A vase on the right side of the table"}),
        ("relation", "A kitchen with a stove", {"A kitchen without a stove"}),
        ("relation", "A bowl filled with bananas", set()),
        ("relation", "A dog on display", set()),
        ("relation", "A boy playing with a dog", set()),
        ("count", "There are two dogs.", None),
        ("attribute", "An open umbrella", {"A closed umbrella"}),
        ("attribute", "A black and white photo of a bench", set()),
        ("attribute", "A glass of orange juice", set()),
        ("attribute", "A hot dog", set()),
        ("swap", "A cat sitting on a dog", {"A dog sitting on a cat"}),
        ("swap", "A cat and a dog", set()),
        ("swap", "A dog standing and a cat sleeping", set()),
        ("swap", "An elephant chasing a zebra", {"A zebra chasing an elephant"}),
        ("swap", "A red car behind a blue bus", {"A blue car behind a red bus", "A red bus behind a blue car"}),
        ("action", "A woman is reading a book", {f"A woman is {verb} a book" for verb in ("writing", "tearing",
        "burning")}),
        ("action", "He reads a book", {f"He {verb} a book" for verb in ("writes", "tears", "burns")}),
        ("action", "a fruit stand", set()),
        ("object", "An idea of freedom", set()),
    ],
)  # fmt: skip
def test_edits_by_example(category: str, caption: str, expected: set[str] | None) -> None:
    found = written(caption, category)
    if expected is None:
        numbers = {re.fullmatch(r"There are (\w+) dogs\.", text) for text in found}
        assert found and all(match is not None and match[1] != "two" for match in numbers)
    else:
        assert found == expected


def test_an_object_keeps_its_number_and_gets_the_right_article() -> None:
    singular, plural = written("A photo of an apple.", "object"), written("A photo of two apples.", "object")
    assert {"A photo of a banana.", "A photo of an orange."} <= singular
    assert {"A photo of two bananas.", "A photo of two oranges."} <= plural
    assert all(re.fullmatch(r"A photo of (an [aeiou]|a [^aeiou])\w*\.", text) for text in singular)
    assert written("Dog in a car", "object") >= {"Cat in a car"}, "a capital stays where one stood"


def test_pronouns_are_not_contradicted() -> None:
    found = written("A man brushing his teeth", "object", seeds=60)
    assert "A kid brushing his teeth" in found
    assert not any(word in text for text in found for word in ("woman", "girl", "lady"))


def test_things_get_other_verbs_than_people() -> None:
    assert "A man dancing on a bench" in written("A man sitting on a bench", "action", seeds=80)
    assert not any(
        "dancing" in text or "kneeling" in text for text in written("A laptop sitting on a bench", "action", seeds=80)
    )


@pytest.mark.parametrize("caption", CAPTIONS)
def test_what_holds_for_every_caption(caption: str) -> None:
    writer = RulesWriter(RulesConfig(per_caption=6))
    for answers in writer.write([Request(key="k", caption=caption, seed=seed) for seed in range(10)]):
        negatives = [answer for answer in answers if isinstance(answer, Written)]
        assert len(negatives) == len(answers) == len({answer.caption for answer in negatives}) >= 2
        assert len({answer.category for answer in negatives}) == len(negatives), "one of each kind"
        for answer in negatives:
            assert answer.category in CATEGORIES
            assert answer.caption != caption and answer.caption[0].isupper() == caption[0].isupper()
            assert (bag(answer.caption) == bag(caption)) == (answer.category == "swap")
            assert not re.search(r"\b(a [aeio]|an [^aeiouh])", answer.caption.lower().replace("a one", "")), (
                answer.caption
            )
            assert answer.caption.endswith(".") == caption.endswith(".")


def test_an_answer_depends_on_caption_and_seed_alone() -> None:
    requests = [Request(key=str(seed), caption=caption, seed=seed) for caption in CAPTIONS for seed in (1, 2)]
    together = RulesWriter(RulesConfig()).write(requests)
    writer = pickle.loads(pickle.dumps(RulesWriter(RulesConfig())))
    assert [writer.write([request])[0] for request in reversed(requests)] == together[::-1]
    assert together[0::2] != together[1::2]
    assert writer.cost().calls == len(requests)


def test_limits_and_other_captions() -> None:
    assert len(RulesWriter(RulesConfig(per_caption=2)).write([Request(key="k", caption=CAPTIONS[1], seed=3)])[0]) == 2
    others = ("a CAT behind a mirror",)
    assert written("A cat in front of a mirror", "relation", others=others) == {"A cat beside a mirror"}


@pytest.mark.parametrize("caption", ["", "   ", "...", "日本語", "Hello there", "\x00\x01", "<script>", "x" * 10_000])
def test_nothing_to_edit_is_rejected(caption: str) -> None:
    assert RulesWriter(RulesConfig()).write([Request(key="k", caption=caption, seed=1)]) == [
        [Rejected(reason="no edit found")]
    ]


def test_bad_settings_name_the_field() -> None:
    with pytest.raises(UserError, match=r"unknown category of the rules writer 'atribute'; did you mean 'attribute'"):
        RulesConfig(categories=("atribute",))
    with pytest.raises(UserError, match=r"rules\.per_caption is 0"):
        RulesConfig(per_caption=0)
    with pytest.raises(UserError, match=r"rules\.categories is empty"):
        RulesConfig(categories=())


def test_a_missing_extra_is_said_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"'rules' writer needs wn, textblob; run: pip install 'tripletclip\[text\]'"):
        RulesWriter(RulesConfig())


@pytest.mark.skipif(not CAPTIONS_FILE.exists(), reason="shared data absent")
def test_real_captions_mostly_get_several_kinds_of_negatives() -> None:
    captions = sorted({item["caption"].strip() for item in json.loads(CAPTIONS_FILE.read_text())["annotations"]})[::60]
    writer = RulesWriter(RulesConfig())
    answers = writer.write([Request(key=text, caption=text, seed=seed_of(text)) for text in captions])
    accepted = [found for found in answers if isinstance(found[0], Written)]
    assert len(accepted) > 0.93 * len(captions)
    kinds = Counter(answer.category for found in accepted for answer in found if isinstance(answer, Written))
    assert min(kinds[kind] for kind in ("object", "attribute", "relation", "action")) > 0.2 * len(captions)
    first = Counter(found[0].category for found in accepted if isinstance(found[0], Written))
    assert first.most_common(1)[0][1] < 0.6 * len(accepted), "no kind crowds out the others"
    assert {answer.caption for found in accepted for answer in found if isinstance(answer, Written)}.isdisjoint(
        captions
    )
