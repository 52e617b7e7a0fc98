"""Which words are replaced by which: a writer that has few ideas, or always the same one, shows here.

A hard negative made by the same replacement a thousand times teaches that word, not composition.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher

from tripletclip.screening.items import Item
from tripletclip.screening.text_probe import words

LONGEST_EDIT = 5
"""Words on either side of an edit that is listed; a longer one is a rewritten sentence, and only counted."""

Edit = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class EditsTable:
    """The commonest edits and how often items are not edited but reordered or rewritten.

    ``top``         (words of the caption, words of the negative, number of items); an empty side is an insertion or
                    a deletion; a reordered item is one edit, ``("red … blue", "blue … red")``
    ``different``   number of different listed edits
    ``reordered``   items whose negative has the same words in another order
    ``rewritten``   items with an edit longer than ``LONGEST_EDIT`` words
    """

    top: tuple[tuple[str, str, int], ...]
    different: int
    reordered: int
    rewritten: int


def edits_table(items: Iterable[Item], top: int) -> EditsTable:
    """Count the edits of ``items``; each edit counts once an item, ties are in alphabetical order."""
    counts: Counter[Edit] = Counter()
    reordered = rewritten = 0
    for item in items:
        before, after = words(item.caption), words(item.neg_caption)
        same_words = before != after and sorted(before) == sorted(after)
        reordered += same_words
        edits = {_swap(before, after)} if same_words else set(word_edits(before, after))
        long = {edit for edit in edits if max(_length(side) for side in edit) > LONGEST_EDIT}
        rewritten += bool(long)
        counts.update(edits - long)
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return EditsTable(
        top=tuple((before, after, count) for (before, after), count in ordered[:top]),
        different=len(counts),
        reordered=reordered,
        rewritten=rewritten,
    )


def word_edits(before: list[str], after: list[str]) -> list[Edit]:
    """The replaced, removed and added runs of words, in order.

    >>> word_edits("a red dog".split(), "a blue dog runs".split())
    [('red', 'blue'), ('', 'runs')]
    """
    before, after = without_common_ends(before, after)
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    return [
        (" ".join(before[a:b]), " ".join(after[c:d])) for tag, a, b, c, d in matcher.get_opcodes() if tag != "equal"
    ]


def _swap(before: list[str], after: list[str]) -> Edit:
    """The words that stand elsewhere in the reordered negative, in both orders.

    >>> _swap("a red cup on a blue mat".split(), "a blue cup on a red mat".split())
    ('red … blue', 'blue … red')
    """
    moved = [(one, other) for one, other in zip(before, after, strict=True) if one != other]
    first, second = (" … ".join(side) for side in zip(*moved, strict=True))
    return first, second


def _length(side: str) -> int:
    return sum(word != "…" for word in side.split())


def without_common_ends(before: list[str], after: list[str]) -> tuple[list[str], list[str]]:
    """What is left of both when the words that they begin and end with alike are taken off."""
    start = 0
    while start < min(len(before), len(after)) and before[start] == after[start]:
        start += 1
    end = 0
    while end < min(len(before), len(after)) - start and before[-1 - end] == after[-1 - end]:
        end += 1
    return before[start : len(before) - end], after[start : len(after) - end]
