"""Edits by hand, and the table's counts."""

import pytest
from made_items import item

from tripletclip.screening.edits_table import edits_table, word_edits


@pytest.mark.parametrize(
    ("before", "after", "edits"),
    [
        ("a red dog", "a blue dog", [("red", "blue")]),
        ("a dog", "a big dog", [("", "big")]),
        ("a big dog", "a dog", [("big", "")]),
        ("a dog on a mat", "two dogs on a rug", [("a dog", "two dogs"), ("mat", "rug")]),
        ("dog dog", "dog", [("dog", "")]),
        ("a dog", "a dog", []),
        ("", "a", [("", "a")]),
    ],
)
def test_word_edits(before: str, after: str, edits: list[tuple[str, str]]) -> None:
    assert word_edits(before.split(), after.split()) == edits


def test_the_commonest_come_first_and_ties_in_order() -> None:
    table = edits_table(
        [
            item("a red dog", "a blue dog."),
            item("The RED cat", "the blue cat"),
            item("a cup", "a mug"),
            item("a bed", "a cot"),
            item("red bed red cup", "blue bed blue cup"),
        ],
        top=2,
    )
    assert table.top == (("red", "blue", 3), ("bed", "cot", 1))
    assert (table.different, table.reordered, table.rewritten) == (3, 0, 0)


def test_reordered_and_rewritten_items_are_counted_apart() -> None:
    table = edits_table(
        [
            item("a red cup on a blue mat", "a blue cup on a red mat"),
            item("one two three four five six", "seven eight nine ten eleven twelve"),
            item("same words", "Same, words!"),
        ],
        top=9,
    )
    assert table.top == (("red … blue", "blue … red", 1),)
    assert (table.reordered, table.rewritten) == (1, 1)
