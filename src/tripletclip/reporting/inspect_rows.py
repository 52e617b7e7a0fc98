"""One row of a shard as the inspect page shows it: pictures, marked captions, scores, provenance, verdict."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from tripletclip.data.index import CORE_COLUMNS, KEY, REASON, STATUS
from tripletclip.data.one_shard import OneShard
from tripletclip.data.transforms import ImageError
from tripletclip.data.triplet import CAPTION, IMAGE, NEG_CAPTION, NEG_IMAGE
from tripletclip.negatives.contract import (
    ATTEMPTS,
    CATEGORY,
    IMAGE_SEED,
    OTHER_CAPTIONS,
    PAINTER,
    PAINTER_MODEL,
    PROMPT_HASH,
    SEED,
    WRITER,
    WRITER_MODEL,
)
from tripletclip.reporting.gallery import data_uri, marked_words
from tripletclip.reporting.html import legible
from tripletclip.reporting.thumbnails import thumbnail

SCORE_HEADS = ("caption", "neg. caption", "neg. image")
SCORE_LINES = (
    ("image", ("s_xy", "s_xny", "s_xnx")),
    ("neg. image", ("s_nxy", "s_nxny", "")),
    ("caption", ("", "s_yny", "")),
)
"""The six cosines as a table: what a line names against what a column names; each pair stands once."""

WRITER_TITLES = {WRITER: "written by", WRITER_MODEL: "", PROMPT_HASH: "prompt", SEED: "seed"}
PAINTER_TITLES = {PAINTER: "painted by", PAINTER_MODEL: "", IMAGE_SEED: "seed"}
LONGEST_CAPTION, LONGEST_VALUE, HASH_SHOWN = 600, 300, 12

_SCORES = {name for _, names in SCORE_LINES for name in names}
_PLACED = {*_SCORES, *WRITER_TITLES, *PAINTER_TITLES, ATTEMPTS, OTHER_CAPTIONS, CATEGORY}


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A thumbnail as a data URI, or the ``problem`` why it does not decode; neither where there is no image."""

    uri: str = ""
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What the template shows; texts are as they were, escaping is the template's, except in the marked captions."""

    key: str
    shard: str
    status: str
    reason: str
    category: str
    image: Picture
    neg_image: Picture
    alt: str
    neg_alt: str
    caption: Markup
    neg_caption: Markup | None
    scores: Sequence[tuple[str, Sequence[str]]]
    provenance: Sequence[Sequence[tuple[str, str]]]
    other: Sequence[tuple[str, str]]
    attempts: Sequence[str]
    other_captions: Sequence[str]
    search: str

    @property
    def has_pictures(self) -> bool:
        """Whether there is a picture to show or a reason why it cannot be shown."""
        return any(picture.uri or picture.problem for picture in (self.image, self.neg_image))


def make_row(shard: OneShard, place: int, columns: Mapping[str, Any], side: int) -> Row:
    """Row ``place`` of ``shard``; ``columns`` are the further columns to show, by name, and any score."""
    record = {name: shard.table[name][place].as_py() for name in (KEY, STATUS, REASON, CAPTION, NEG_CAPTION)}
    caption, neg_caption = (legible(record[name] or "", LONGEST_CAPTION) for name in (CAPTION, NEG_CAPTION))
    marked = marked_words(caption, neg_caption)
    written = record[NEG_CAPTION] is not None
    known = {name: value for name, value in columns.items() if value is not None}
    plain = [name for name in known if name not in _PLACED]
    category = str(known.get(CATEGORY, ""))
    makers = [known.get(name) for name in (WRITER, WRITER_MODEL, PROMPT_HASH, PAINTER, PAINTER_MODEL)]
    searched = (record[KEY], caption, neg_caption, record[REASON], category, *makers)
    return Row(
        key=record[KEY],
        shard=shard.tar.stem,
        status=record[STATUS],
        reason=legible(record[REASON] or "", LONGEST_VALUE),
        category=category,
        image=_picture(shard, place, IMAGE, side),
        neg_image=_picture(shard, place, NEG_IMAGE, side),
        alt=caption,
        neg_alt=neg_caption,
        caption=marked[0] if written else Markup.escape(caption),
        neg_caption=marked[1] if written else None,
        scores=_score_lines(known),
        provenance=[line for titles in (WRITER_TITLES, PAINTER_TITLES) if (line := _named(known, titles))],
        other=[(name, _text(known[name])) for name in plain],
        attempts=_listed(known.get(ATTEMPTS)),
        other_captions=_listed(known.get(OTHER_CAPTIONS)),
        search=" ".join(str(part) for part in searched if part).lower(),
    )


def further_columns(names: Sequence[str]) -> list[str]:
    """The columns that a row shows besides its key, captions, status, reason and places in the tar."""
    return [name for name in names if name not in CORE_COLUMNS]


def _picture(shard: OneShard, place: int, role: str, side: int) -> Picture:
    if not shard.has(place, role):
        return Picture()
    try:
        return Picture(uri=data_uri(thumbnail(shard.read(place, role), side)))
    except ImageError as error:
        return Picture(problem=error.reason)


def _score_lines(known: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Lines of ``SCORE_LINES`` as text; a line without any score is left out."""
    lines = []
    for title, names in SCORE_LINES:
        if any(name in known for name in names):
            lines.append((title, [_text(known[name]) if name in known else "" for name in names]))
    return lines


def _named(known: Mapping[str, Any], titles: Mapping[str, str]) -> list[tuple[str, str]]:
    short = {PROMPT_HASH: HASH_SHOWN}
    return [(title, _text(known[name])[: short.get(name)]) for name, title in titles.items() if name in known]


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if math.isfinite(value) else "none"
    return legible(str(value), LONGEST_VALUE)


def _listed(value: object) -> list[str]:
    """The items of a column that holds a JSON list; anything else is one item, as it is."""
    if value is None or value == "":
        return []
    try:
        items = json.loads(str(value))
    except ValueError:
        items = [value]
    return [legible(str(item), LONGEST_VALUE) for item in (items if isinstance(items, list) else [value])]
