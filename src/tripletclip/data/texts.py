"""Several captions for a row: which columns hold them, and which ones a visit gets.

LaCLIP (Fan et al. 2023, arXiv 2305.20088) draws the caption of a pair anew at every visit, from the original and its
rewrites; NegCLIP has several negative captions for a pair, one of each kind of edit.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import pyarrow as pa

from tripletclip.data.shards import Shards
from tripletclip.data.triplet import CAPTION, NEG_CAPTION
from tripletclip.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """The texts of one kind that rows have to choose from. ``extra`` holds the columns that are not captions proper."""

    shards: Shards
    columns: tuple[str, ...]
    extra: dict[str, pa.Array]

    def of(self, row: int) -> list[str]:
        """The texts of a row, in the order of the columns, each once. Raises :class:`UserError` if there is none."""
        texts: list[str] = []
        for name in self.columns:
            if name == CAPTION:
                texts.append(self.shards.caption(row))
            elif name == NEG_CAPTION:
                texts.append(self.shards.neg_caption(row))
            else:
                texts += texts_of(self.extra[name][row].as_py())
        if not texts:
            raise UserError(
                f"'{self.shards.key(row)}' in {self.shards.folder} has no text in {' or '.join(self.columns)}; "
                f"add a column in which every row has one, or leave the row out by a selection"
            )
        return list(dict.fromkeys(texts))


def candidates(shards: Shards, columns: Sequence[str]) -> Candidates:
    """The texts of ``columns``: ``caption``, ``neg_caption``, or columns of text, of lists, or of lists as JSON.

    Raises :class:`UserError` for a column that is not there or holds something else, and for no column at all.
    """
    if not columns:
        raise UserError(f"no column of captions is named; give one such as '{CAPTION}'")
    extra = {}
    for name in columns:
        if name in (CAPTION, NEG_CAPTION):
            continue
        values = pa.array(shards.column(name))
        kind = values.type
        if pa.types.is_list(kind):
            kind = kind.value_type
        if not (pa.types.is_string(kind) or pa.types.is_null(kind)):
            raise UserError(f"column '{name}' of {shards.folder} holds {values.type}; captions are text or lists of it")
        extra[name] = values
    return Candidates(shards=shards, columns=tuple(columns), extra=extra)


def texts_of(value: Any) -> list[str]:
    """The texts in a cell: none, one, those of a list, or those of a list written as JSON.

    >>> texts_of('["a dog", "a cat"]'), texts_of("a dog"), texts_of(None), texts_of(["a dog", None])
    (['a dog', 'a cat'], ['a dog'], [], ['a dog'])
    """
    if value is None:
        return []
    if isinstance(value, list):
        return [text for text in value if text]
    if value.startswith("["):
        try:
            listed = json.loads(value)
        except ValueError:
            listed = None
        if isinstance(listed, list) and all(isinstance(text, str) for text in listed):
            return [text for text in listed if text]
    return [value] if value else []


def choose_one(texts: list[str], bits: int) -> str:
    """One of ``texts``, each as likely."""
    return texts[bits % len(texts)]


def choose_several(texts: list[str], count: int, bits: int) -> list[str]:
    """``count`` different ones of ``texts`` in random order; where there are fewer, all of them again and again."""
    if count == 1:
        return [choose_one(texts, bits)]
    shuffled = Random(bits).sample(texts, len(texts))
    return [shuffled[place % len(shuffled)] for place in range(count)]
