"""NegCLIP's TSV: captions with rule-made negative captions and mined real negatives.

Columns ``title, filepath, neg_caption, neg_image``: the last two are Python lists, of captions and of row indices
(https://github.com/mertyg/vision-language-models-are-bows at main, ``csv_data``).
"""

import ast
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from tripletclip.data.pairs import Chunk, Pair
from tripletclip.data.rows import ImageIntake, make_pair, unique_keys, with_negatives
from tripletclip.data.spec import NONE, Spec, chosen, existing_file, images_folder, max_side_of, shown
from tripletclip.data.tables import csv_header, csv_rows
from tripletclip.errors import UserError

KEYS = {
    "images": "folder that 'filepath' is relative to (the file's own); 'none' for captions alone",
    "negatives": "'rules' (default): the first rule-made caption; 'mined': caption and image of the mined row; 'none'",
    "max_side": "shrink images to this longer side, pixels",
}
HEADER = ("title", "filepath", "neg_caption", "neg_image")

RULES, MINED = "rules", "mined"
MAX_LIST = 20_000
"""Characters of a list; the longest of NegCLIP's own file has a few hundred."""


class Row(NamedTuple):
    """A row as it stands in the file."""

    title: str
    path: str
    captions: str
    rows: str


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A row with the negatives chosen for it."""

    number: int
    title: str
    path: str
    neg_title: str | None = None
    neg_path: str | None = None
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class NegclipSource:
    """The rows of the file, which is held whole: mined negatives point anywhere in it (COCO train: 110 MB)."""

    title: str
    rows: tuple[Row, ...]
    negatives: str
    intake: ImageIntake

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """Chunks of ``rows`` rows."""
        for start in range(0, len(self.rows), rows):
            entries = tuple(
                choose_negative(self.rows, number, self.negatives)
                for number in range(start, min(start + rows, len(self.rows)))
            )
            yield NegclipChunk(entries=entries, negatives=self.negatives, intake=self.intake)


@dataclass(frozen=True, kw_only=True)
class NegclipChunk:
    """Some rows with their negatives."""

    entries: tuple[Entry, ...]
    negatives: str
    intake: ImageIntake

    def read(self) -> Iterator[Pair]:
        """Their pairs, keys are row numbers. The column ``writer`` says where the negative comes from.

        Problems beside those of captions and images: ``negative: none listed``, ``negative: broken list``,
        ``negative: no such row``.
        """
        return unique_keys(self._pair(entry) for entry in self.entries)

    def _pair(self, entry: Entry) -> Pair:
        neg_path = entry.neg_path
        pair = make_pair(
            key=f"{entry.number:09d}",
            caption=entry.title,
            image=lambda: self.intake.take(entry.path),
            extra={} if self.negatives == NONE else {"writer": f"negclip-{self.negatives}"},
        )
        if entry.problem and not pair.problem:
            return replace(pair, image=None, problem=entry.problem)
        return with_negatives(
            pair, entry.neg_title, lambda: self.intake.take(neg_path) if neg_path is not None else None
        )


def choose_negative(rows: Sequence[Row], number: int, negatives: str) -> Entry:
    """Row ``number`` with its first rule-made caption, or caption and image of the first mined row that is another."""
    row = rows[number]
    plain = Entry(number=number, title=row.title, path=row.path)
    if negatives == NONE:
        return plain
    values = parse_list(row.captions if negatives == RULES else row.rows, str if negatives == RULES else int)
    if not values:
        return replace(plain, problem="negative: broken list" if values is None else "negative: none listed")
    if negatives == RULES:
        return replace(plain, neg_title=str(values[0]))
    mined = (rows[int(value)] for value in values if 0 <= int(value) < len(rows))
    other = next((candidate for candidate in mined if candidate.path != row.path), None)
    if other is None:
        return replace(plain, problem="negative: no such row")
    return replace(plain, neg_title=other.title, neg_path=other.path)


def parse_list(text: str, kind: type[str] | type[int]) -> list[str] | list[int] | None:
    """A Python list of ``kind`` written out, or ``None`` if ``text`` is something else. Nothing is evaluated.

    >>> parse_list("['a', 'b']", str)
    ['a', 'b']
    """
    if len(text) > MAX_LIST:
        return None
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, list) and all(type(item) is kind for item in value) else None


def open_negclip(spec: Spec) -> NegclipSource:
    """The source of ``negclip:FILE.tsv,images=FOLDER``."""
    path = existing_file(spec.path)
    header, _ = csv_header(path, "\t")
    missing = [name for name in HEADER if name not in header]
    if missing:
        raise UserError(f"{path} is no NegCLIP file: it lacks the column '{missing[0]}'. Columns: {', '.join(header)}")
    return NegclipSource(
        title=f"negclip: {shown(spec.path)}",
        rows=tuple(_rows(path, header)),
        negatives=chosen(spec, "negatives", (RULES, MINED, NONE)) or RULES,
        intake=ImageIntake(base=images_folder(spec, path.parent), max_side=max_side_of(spec)),
    )


def _rows(path: Path, header: Sequence[str]) -> Iterator[Row]:
    """The rows; one that is broken stays as an empty one, because mined negatives count rows."""
    places = [header.index(name) for name in HEADER]
    with path.open("rb") as file:
        for cells in itertools.islice(csv_rows(file, "\t"), 1, None):
            whole = cells is not None and len(cells) >= len(header)
            yield Row(*(cells[place] for place in places)) if cells is not None and whole else Row("", "", "", "")
