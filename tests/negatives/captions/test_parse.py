"""Strict parsing: every way in which models wrap a caption, and every one in which they give none."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tripletclip.negatives.captions.parse import parse_answer
from tripletclip.negatives.captions.prompts import FEW_SHOT, PAPER
from tripletclip.negatives.contract import Rejected, Written

CAPTION = "A dog to the left of the cat."
GOOD = "A dog behind the cat."


@pytest.mark.parametrize(
    "raw",
    [
        GOOD,
        f"  {GOOD}\n\n",
        f"Output: {GOOD}",
        f"output: Output: {GOOD}",
        f"**Output:** {GOOD}",
        f"Sure! {GOOD}",
        f"Okay.\n{GOOD}",
        f"Sure, here is the updated description:\n\n{GOOD}",
        f"Here's a modified version of the caption: {GOOD}",
        f"The updated description is: {GOOD}",
        f"Updated description:\n{GOOD}",
        f'"{GOOD}"',
        f"“{GOOD}”",
        f"'{GOOD}'",
        f"`{GOOD}`",
        f"```\n{GOOD}\n```",
        f"**{GOOD}**",
        "A dog **behind** the cat.",
        f"- {GOOD}",
        f"• {GOOD}",
        f"1. {GOOD}",
        f"1) {GOOD}",
        f"# {GOOD}",
        f"{GOOD}\n\nNote: I changed the relation.",
        f"{GOOD}\n(I changed left to behind.)",
        f"{GOOD}\n\nLet me know if you want another one!",
        f"{GOOD}\nInput: A man.\nOutput: A woman.",
        f"{GOOD} Input: A man. Output: A woman.",
        f"{PAPER.fill(CAPTION)} {GOOD}",
        PAPER.fill(CAPTION).replace(". ", ".\n") + f"\n{GOOD}",
        f"Input: {CAPTION} Output: {GOOD}",
        f"Input: {CAPTION}\nOutput: {GOOD}\n\nInput: {CAPTION}\nOutput: A dog.",
        f"<think>left, so\nbehind</think>\n{GOOD}",
        f"{GOOD}<|im_end|>",
        f"{GOOD}</s>",
        f"[/INST] {GOOD}",
        "A\u00a0dog\tbehind \u200b the\x00cat.",
        f"{GOOD}\r\n",
    ],
)
def test_the_caption_is_found_in_its_wrapping(raw: str) -> None:
    assert parse_answer(raw, PAPER, caption=CAPTION) == Written(caption=GOOD)


@pytest.mark.parametrize(
    "caption",
    [
        "2 dogs behind the cat",
        "A cat's bed and a dog's bowl",
        "'Stop' sign next to a 'Go' sign",
        "Man in a suit: a portrait",
        "A great white shark",
        "Surely a man's best friend",
        "A note on the table",
        "Input device next to a screen",
        "Zwei Hunde, ein Käfig – 東京",
        "The new red car next to the old one",
        "Note paper on a desk",
    ],
)
def test_unusual_captions_are_left_alone(caption: str) -> None:
    assert parse_answer(caption, PAPER, caption=CAPTION) == Written(caption=caption)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("<|im_end|>", "empty"),
        ("...", "empty"),
        ('""', "empty"),
        (PAPER.fill(CAPTION), "prompt echo"),
        ("Input: A dog to the left", "prompt echo"),
        ("Output:", "chatter"),
        (f"{GOOD} Output: another", "prompt echo"),
        ("I'm sorry, but I cannot help with that.", "refusal"),
        ("I can’t see the image.", "refusal"),
        ("As an AI, I have no eyes.", "refusal"),
        ("Please provide the caption.", "refusal"),
        ("Sure! I'm unable to do that.", "refusal"),
        ("Sure, here is a new one", "chatter"),
        ("Here is the updated description:", "chatter"),
        (
            "The description of the given image should change slightly, so I changed the original description.",
            "chatter",
        ),
        (f"1. {GOOD}\n2. A dog on the cat.", "several alternatives"),
        (f"- {GOOD}\n- A dog on the cat.", "several alternatives"),
        ("1. A dog. 2. A cat.", "several alternatives"),
        (f"{GOOD} OR A dog on the cat.", "several alternatives"),
        (f"Option 1: {GOOD}\nOption 2: A dog.", "several alternatives"),
        (f"{GOOD}\nA dog on the cat.", "several lines"),
        ('{"output": "A dog"}', "markup"),
        ("A dog <b>behind</b> the cat", "markup"),
        ("A [dog] behind the cat", "markup"),
        ("A dog | a cat", "markup"),
        ("<think>Let me see, the dog", "cut off"),
    ],
)
def test_what_is_no_single_plain_caption_is_turned_down(raw: str, reason: str) -> None:
    assert parse_answer(raw, PAPER, caption=CAPTION) == Rejected(reason=reason)


def test_an_answer_without_end_counts_only_if_the_caption_had_ended() -> None:
    assert parse_answer(GOOD, PAPER, caption=CAPTION, cut_off=True) == Rejected(reason="cut off")
    for more in ("\nInput: A man in a", "\n\nNote: I chan"):
        assert parse_answer(GOOD + more, FEW_SHOT, caption=CAPTION, cut_off=True) == Written(caption=GOOD)


@given(
    raw=st.text(max_size=80)
    | st.lists(st.sampled_from(["Input:", "Output:", "Sure", "\n", "1. ", '"', "a dog", "!"])).map("".join)
)
@settings(max_examples=60, deadline=None)
def test_whatever_is_said_the_result_is_one_clean_line_or_a_short_reason(raw: str) -> None:
    answer = parse_answer(raw, PAPER, caption=CAPTION)
    if isinstance(answer, Rejected):
        assert 0 < len(answer.reason) <= 20
        return
    text = answer.caption
    assert text and text == " ".join(text.split()) and "\n" not in text
    assert "Input:" not in text and "Output:" not in text
    assert parse_answer(text, PAPER, caption=CAPTION) == answer


def test_a_huge_answer_is_not_slow() -> None:
    for piece in ("a ", "Input: ", "1. x\n", "*", "Sure ", "(", '"', "here is "):
        parse_answer(piece * 30_000, PAPER, caption=CAPTION)
