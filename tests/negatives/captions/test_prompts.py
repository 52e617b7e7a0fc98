"""Prompts: the paper's to the letter, files of one's own, and a hash that knows every character."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tripletclip.errors import UserError
from tripletclip.negatives.captions.checks import CheckSettings, check
from tripletclip.negatives.captions.prompts import BUILT_IN, FEW_SHOT, PAPER, REWRITE, Example, load_prompt
from tripletclip.negatives.contract import Request, Written

FACTS = Path(__file__).parents[4] / "shared" / "paper-facts.md"


@pytest.mark.skipif(not FACTS.exists(), reason="needs shared/paper-facts.md")
def test_the_default_is_the_papers_prompt_word_for_word() -> None:
    facts = FACTS.read_text()
    quoted = facts[facts.index("> You are given") : facts.index("Official shard layout")]
    assert PAPER.text == " ".join(quoted.replace(">", " ").split())


def test_the_papers_examples_stand_in_its_text() -> None:
    for example in PAPER.examples:
        assert f"Input: {example.input} Output: {example.output}" in PAPER.text
    assert len(PAPER.examples) == PAPER.text.count("Input:") - 1


@given(caption=st.text(max_size=40))
@settings(max_examples=30, deadline=None)
def test_a_caption_goes_in_as_it_is(caption: str) -> None:
    for prompt in BUILT_IN.values():
        assert prompt.fill(caption) == prompt.prefix + caption + prompt.suffix


def test_braces_in_the_caption_are_not_a_second_place() -> None:
    assert "Input: a {} and {caption} Output:" in PAPER.fill("a {} and {caption}")


def test_the_few_shot_examples_are_negatives_that_pass_the_checks() -> None:
    assert len(FEW_SHOT.examples) == 7
    for example in FEW_SHOT.examples:
        request = Request(key="k", caption=example.input, seed=0)
        assert check(Written(caption=example.output), request, None, CheckSettings(min_overlap=0.5)) == ""
    assert [prompt.keeps_meaning for prompt in (PAPER, FEW_SHOT, REWRITE)] == [False, False, True]


def test_the_hash_changes_with_every_text_that_is_sent_and_with_nothing_else(tmp_path: Path) -> None:
    hashes = {prompt.hash for prompt in BUILT_IN.values()}
    assert len(hashes) == 3 and all(re.fullmatch("[0-9a-f]{64}", found) for found in hashes)
    assert replace(PAPER, text=PAPER.text + " ").hash != PAPER.hash
    assert replace(PAPER, stop=("\n",)).hash != PAPER.hash
    assert replace(PAPER, name="other", text=PAPER.text.replace("{}", "{caption}")).hash == PAPER.hash
    (tmp_path / "own.txt").write_text(PAPER.text)
    assert load_prompt(str(tmp_path / "own.txt")).hash == PAPER.hash


def test_a_text_file_keeps_its_words_and_its_examples_are_known(tmp_path: Path) -> None:
    path = tmp_path / "own.txt"
    path.write_text(
        "Change é.\nInput: A cat.\nOutput: A dog.\n\nInput: Two cups\nOutput: Six cups\nInput: {caption}\nOutput:\n"
    )
    prompt = load_prompt(str(path))
    assert prompt.fill("X") == path.read_text().strip("\n").replace("{caption}", "X")
    assert prompt.examples == (Example(input="A cat.", output="A dog."), Example(input="Two cups", output="Six cups"))
    path.write_text(PAPER.text)
    assert load_prompt(str(path)).examples == PAPER.examples


def test_a_json_file_becomes_instruction_examples_and_place(tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    fields = {"instruction": "Rewrite.", "examples": [{"input": "A", "output": "B"}], "keeps_meaning": True}
    path.write_text(json.dumps(fields))
    prompt = load_prompt(str(path))
    assert prompt.fill("C") == "Rewrite.\n\nInput: A\nOutput: B\n\nInput: C\nOutput:"
    assert prompt.keeps_meaning and prompt.stop == ("\nInput:",)
    assert prompt.examples == (Example(input="A", output="B"),)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"no place", "0 places"),
        ("a.txt", b"{} and {caption}", "2 places"),
        ("a.txt", b"\xff\xfe{}", "cannot read"),
        ("a.json", b"{", "not JSON"),
        ("a.json", b"[]", "'instruction'"),
        ("a.json", b'{"instruction": "x", "exmples": []}', "did you mean 'examples'"),
        ("a.json", b'{"instruction": "x {}"}', "put at the end"),
        ("a.json", b'{"instruction": "x", "keeps_meaning": 1}', "true or false"),
        ("a.json", b'{"instruction": "x", "examples": {}}', "not a list"),
        ("a.json", b'{"instruction": "x", "examples": [{"input": "a"}]}', "example 1 .*exactly"),
        ("a.json", b'{"instruction": "x", "examples": [{"input": "a", "output": " "}]}', "example 1 .*empty"),
        ("a.json", b'{"instruction": "x", "examples": [{"input": "a", "output": "{}"}]}', "example 1 .*place"),
    ],
)
def test_a_bad_file_is_one_line_that_names_it(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        load_prompt(str(tmp_path / name))
    assert name in str(error.value) and "\n" not in str(error.value)


def test_an_unknown_prompt_names_the_nearest_and_a_missing_file_itself(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'few-shot'"):
        load_prompt("fewshot")
    with pytest.raises(UserError, match=r"there is no prompt file .*none\.txt"):
        load_prompt(str(tmp_path / "none.txt"))
