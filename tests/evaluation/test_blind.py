"""Blind lines by hand: ties, several captions, paraphrases, a trained probe, examples and coverage."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tripletclip.errors import UserError
from tripletclip.evaluation.blind import probe_lines, rule_lines, word_lines
from tripletclip.evaluation.blind_rules import BlindRules
from tripletclip.evaluation.encoder import ConstantEncoder
from tripletclip.evaluation.examples import EXAMPLES_PER_SPLIT, chosen_rows, write_thumbnails
from tripletclip.evaluation.pairs import order_only
from tripletclip.evaluation.pictures import Picture, picture_digest
from tripletclip.evaluation.sets import ChoiceSet, GroupSet, PairSet, ParaphraseSet
from tripletclip.evaluation.suite import evaluate

WORDS = {1: "one", 2: "two words", 3: "three whole words", 4: "four quite whole words"}


def keys(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def pictures(count: int) -> list[Picture]:
    return [f"image {number}".encode() for number in range(count)]


def pair_set(lengths: list[tuple[int, int]], splits: list[str]) -> PairSet:
    return PairSet(
        name="", keys=keys(len(lengths)), splits=splits, images=pictures(len(lengths)),
        captions=[WORDS[own] for own, _ in lengths], neg_captions=[WORDS[other] for _, other in lengths],
    )  # fmt: skip


def choice_set(lengths: list[list[int]], teams: dict[str, list[str]] | None = None) -> ChoiceSet:
    return ChoiceSet(
        name="valse", keys=keys(len(lengths)), splits=["a"] * len(lengths), images=pictures(len(lengths)),
        options=[[WORDS[length] for length in one] for one in lengths], teams=teams or {},
    )  # fmt: skip


def test_fewer_words_of_pairs() -> None:
    """Won, lost, tie in one split; tie in the other. A tie is nothing in one line and half in the other."""
    lines = word_lines(pair_set([(1, 2), (2, 1), (2, 2), (3, 3)], ["add_att"] * 3 + ["add_obj"]))["sugarcrepe"]
    assert lines["fewer words"] == pytest.approx(
        {"micro": 25, "add_att": 100 / 3, "add_obj": 0, "macro": 100 / 6, "compositional": 100 / 3}
    )
    assert lines["fewer words, ties half"] == pytest.approx(
        {"micro": 50, "add_att": 50, "add_obj": 50, "macro": 50, "compositional": 50}
    )


def test_fewer_words_of_choices_and_teams() -> None:
    """Highest alone; tied with one of three; tied with both of two; beaten. A team needs all of its items."""
    lengths = [[1, 2, 3, 4], [2, 2, 3, 4], [2, 2, 2], [3, 2, 4]]
    lines = word_lines(choice_set(lengths, {"pairs": ["A", "A", "B", "C"]}))["valse"]
    assert lines["fewer words"] == pytest.approx({"micro": 25, "a": 25, "pairs": 0})
    half = lines["fewer words, ties half"]
    assert half == pytest.approx(
        {"micro": 100 * (1 + 1 / 2 + 1 / 3) / 4, "a": 100 * (11 / 6) / 4, "pairs": 100 * (1 / 2 + 1 / 3) / 3}
    )


def test_fewer_words_of_paraphrases() -> None:
    """The negative must lose to both captions: yes; ties with one; ties with both; beats one."""
    item_set = ParaphraseSet(
        name="sugarcrepe++", keys=keys(4), splits=["swap_obj"] * 4, images=pictures(4),
        captions=[WORDS[n] for n in (1, 1, 2, 3)], paraphrases=[WORDS[n] for n in (2, 2, 2, 1)],
        neg_captions=[WORDS[n] for n in (3, 2, 2, 2)],
    )  # fmt: skip
    lines = word_lines(item_set)["sugarcrepe++"]
    names = ("itt_micro", "itt_swap_obj", "itt_macro")
    assert lines["fewer words"] == pytest.approx(dict.fromkeys(names, 25))
    assert lines["fewer words, ties half"] == pytest.approx(dict.fromkeys(names, 100 * (1 + 1 / 2 + 1 / 3) / 4))


def test_a_rule_of_captions_likes_one_caption_for_both_images() -> None:
    item_set = GroupSet(
        name="cola", keys=keys(2), splits=["a", "b"], images=pictures(2), captions=["one", "two words"],
        neg_images=pictures(4)[2:], neg_captions=["two words", "one"],
    )  # fmt: skip
    lines = word_lines(item_set)
    assert set(lines) == {"cola"} and set(lines["cola"]) == {"fewer words"}
    assert set(lines["cola"]["fewer words"].values()) == {0.0}


def test_the_probe_finds_what_is_planted_and_only_on_captions_it_has_not_met() -> None:
    """Half of the wrong captions of split ``told`` hold a word of their own; nothing tells those of split ``coin``."""
    draw = np.random.default_rng(0)
    nouns = [f"noun{number}" for number in range(30)]
    rows = 400
    true, wrong = ([" ".join(draw.choice(nouns, 5)) for _ in range(rows)] for _ in range(2))
    wrong = [f"{text} not" if row % 4 == 0 else text for row, text in enumerate(wrong)]
    splits = ["told" if row % 2 == 0 else "coin" for row in range(rows)]
    item_set = ChoiceSet(
        name="valse", keys=keys(rows), splits=splits, images=pictures(rows),
        options=[list(both) for both in zip(true, wrong, strict=True)],
    )  # fmt: skip
    line = probe_lines(item_set)["valse"]["text-only probe"]
    assert line["told"] == pytest.approx(75, abs=9)
    assert line["coin"] == pytest.approx(50, abs=9)
    assert line["micro"] == pytest.approx((line["told"] + line["coin"]) / 2)


def test_lines_are_computed_once_and_a_torn_file_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item_set = choice_set([[1, 2], [2, 3], [3, 4], [4, 1], [2, 4], [3, 1]])
    made: list[str] = []

    def probe(one: ChoiceSet) -> dict[str, dict[str, dict[str, float]]]:
        made.append(one.name)
        return {"valse": {"text-only probe": {"micro": 1.0}}}

    monkeypatch.setattr("tripletclip.evaluation.blind_rules.probe_lines", probe)
    rules = BlindRules(folder=tmp_path)
    assert rules(item_set) == rules(item_set) == ({"valse": {"text-only probe": {"micro": 1.0}}}, {})
    assert made == ["valse"]
    (path,) = tmp_path.iterdir()
    path.write_text(path.read_text()[:5])
    assert rules(item_set) == rules(item_set) and made == ["valse"] * 2
    rules(choice_set([[1, 2]]))
    assert len(made) == 3


def test_a_probe_that_cannot_be_trained_leaves_a_note() -> None:
    lines, notes = BlindRules()(choice_set([[1, 2], [2, 3]]))
    assert lines == {} and "at least 5 different items" in str(notes["text-only probe"])
    assert BlindRules(probe=False)(choice_set([[1, 2], [2, 3]])) == ({}, {})


def test_any_rule_of_captions_has_a_line() -> None:
    lines = rule_lines(
        choice_set([[1, 2], [3, 2]]),
        "longer",
        lambda captions: np.array([float(len(c)) for c in captions], dtype=np.float32),
    )
    assert lines["valse"]["longer"]["micro"] == 50


def test_word_order_only() -> None:
    same = [("A red dog, a cat.", "a cat a red dog"), ("dog's ball", "Ball dogs")]
    other = [("a red dog a cat", "a red dog a dog"), ("a dog", "a a dog"), ("red", "reds")]
    own, wrong = zip(*same, *other, strict=True)
    assert order_only(list(own), list(wrong)).tolist() == [True, True, False, False, False]


# ---- examples, coverage ------------------------------------------------------------------------------------------


def jpeg(seed: int, side: int = 600) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((side, side // 2), 40 + seed).convert("RGB").save(file, "JPEG")
    return file.getvalue()


def test_the_same_few_items_of_each_split_for_everyone() -> None:
    names, splits = [f"key{number}" for number in range(100)], ["ab"[number % 2] for number in range(100)]
    rows = chosen_rows(names, splits)
    assert len(rows) == 2 * EXAMPLES_PER_SPLIT == len(set(rows))
    assert [splits[row] for row in rows] == ["a"] * EXAMPLES_PER_SPLIT + ["b"] * EXAMPLES_PER_SPLIT
    backwards = chosen_rows(names[::-1], splits[::-1])
    assert {names[row] for row in rows} == {names[::-1][row] for row in backwards}
    assert sorted(rows)[:12] != list(range(12))


class Told(ConstantEncoder):
    """Text features that favour the wrong captions by the digit in them."""

    def encode_texts(self, texts: list[str]) -> torch.Tensor:
        angle = torch.tensor([float(text.split()[1]) for text in texts])
        return torch.stack([torch.cos(angle), torch.sin(angle)], dim=1)

    def encode_images(self, images: list[bytes]) -> torch.Tensor:
        return torch.tensor([[1.0, 0.0]]).repeat(len(images), 1)


def test_examples_show_the_hardest_wrong_caption_and_have_thumbnails(tmp_path: Path) -> None:
    item_set = ChoiceSet(
        name="valse", keys=["k", "l"], splits=["a", "b"], images=[jpeg(1), jpeg(2)],
        options=[["true 0.5", "wrong 1.0", "wrong 0.2", "wrong 0.9"], ["true 0.1", "wrong 0.7", "wrong 0.4"]],
    )  # fmt: skip
    (result,) = evaluate(Told(), [item_set], method="m", seed=0, step=0, checkpoint="c", budget={}, config={})
    first, second = result.examples
    assert (first.key, first.split, first.caption, first.other) == ("k", "a", "true 0.5", "wrong 0.2")
    assert (first.score, first.other_score) == pytest.approx((np.cos(0.5), np.cos(0.2)), abs=1e-6)
    assert (second.other, second.image) == ("wrong 0.4", picture_digest(item_set.images[1]))
    assert result.decisions["micro"] == "01"
    write_thumbnails(result.examples, [item_set], tmp_path)
    names = {path.name for path in (tmp_path / "thumbnails").iterdir()}
    assert names == {f"{example.image}.jpg" for example in result.examples}
    for path in (tmp_path / "thumbnails").iterdir():
        assert Image.open(path).size == (256, 128) and Image.open(path).format == "JPEG"


def test_left_out_items_stand_in_the_result_or_forbid_it() -> None:
    item_set = ChoiceSet(
        name="valse", keys=["k", "l", "m"], splits=["a"] * 3, images=[b"1", b"2", b"3"],
        options=[["true 0.5", "wrong 1.0"]] * 3, left_out={"image file missing": 1},
    )  # fmt: skip
    given = {"method": "m", "seed": 0, "step": 0, "checkpoint": "c", "budget": {}, "config": {}}
    with pytest.raises(
        UserError, match=r"valse: 1 of 4 items cannot be measured \(image file missing: 1\).*--min-coverage 75"
    ):
        evaluate(Told(), [item_set], **given)  # type: ignore[arg-type]
    (result,) = evaluate(Told(), [item_set], min_coverage=75, **given)  # type: ignore[arg-type]
    assert {name: result.items[name] for name in ("n", "listed", "image file missing")} == {
        "n": 3,
        "listed": 4,
        "image file missing": 1,
    }


def test_the_probe_loses_ties() -> None:
    """The same words on both sides get the same score."""
    item_set = ChoiceSet(
        name="valse", keys=keys(20), splits=["a"] * 20, images=pictures(20),
        options=[[f"noun{row} here", f"Noun{row}, here."] for row in range(20)],
    )  # fmt: skip
    assert probe_lines(item_set)["valse"]["text-only probe"] == {"micro": 0.0, "a": 0.0}
