"""What an audit looks at: captions with their negatives, from shards or from the files of a benchmark.

An item is a true caption and its hard negative. Items stream; only a sample of them is ever held.
"""

import ast
import csv
import heapq
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from tripletclip.data.index import KEY, STATUS, first_line, read_index
from tripletclip.data.selection import read_selection, select_rows
from tripletclip.data.shards import required_shards
from tripletclip.data.triplet import ACCEPTED, CAPTION, NEG_CAPTION
from tripletclip.errors import UserError
from tripletclip.negatives.contract import CATEGORY, seed_of

LONGEST_FIELD = 1_000_000
"""Characters of a field of a TSV file; more is a broken file, not a list of captions."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """A caption and its hard negative; ``category`` is the kind of edit, empty where nobody knows."""

    key: str
    caption: str
    neg_caption: str
    category: str = ""


def items_from_shards(folder: Path, keep: Path | None = None) -> Iterator[Item]:
    """The accepted rows that have a negative caption, shard by shard; of them those that the selection ``keep`` names.

    Raises :class:`UserError` for broken shards and selections.
    """
    kept = None if keep is None else read_selection(keep)
    for number in required_shards(folder):
        table = read_index(folder, number).table
        table = table.filter(pc.and_(pc.equal(table[STATUS], ACCEPTED), pc.is_valid(table[NEG_CAPTION])))
        if kept is not None:
            table = table.filter(select_rows(table[KEY], kept))
        categories = table[CATEGORY] if CATEGORY in table.column_names else pa.array([""] * table.num_rows)
        columns = [table[name].to_pylist() for name in (KEY, CAPTION, NEG_CAPTION)]
        for key, caption, neg_caption, category in zip(*columns, categories.to_pylist(), strict=True):
            yield Item(key=key, caption=caption, neg_caption=neg_caption, category=str(category or ""))


def items_from_sugarcrepe(path: Path) -> Iterator[Item]:
    """The items of one of SugarCrepe's files, ``{number: {caption, negative_caption, filename}}``.

    The category is the file's name, such as ``swap_att``. https://github.com/RAIVNLab/sugar-crepe
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {first_line(error)}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is no SugarCrepe file: it holds no object of items")
    for number, entry in content.items():
        fields = entry if isinstance(entry, dict) else {}
        caption, negative = fields.get("caption"), fields.get("negative_caption")
        if not isinstance(caption, str) or not isinstance(negative, str):
            raise UserError(f"{path}: item '{number}' lacks 'caption' or 'negative_caption'; mend or remove it")
        yield Item(key=f"{path.stem}-{number}", caption=caption, neg_caption=negative, category=path.stem)


def items_from_negclip(path: Path) -> Iterator[Item]:
    """NegCLIP's TSV (``title, filepath, neg_caption list, neg_image list``): each row with its first negative.

    Rows without a negative are left out, as NegCLIP's own trainer does.
    https://github.com/mertyg/vision-language-models-are-bows
    """
    limit = csv.field_size_limit(LONGEST_FIELD)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t")
            missing = {"title", "neg_caption"} - set(rows.fieldnames or ())
            if missing:
                raise UserError(f"{path} lacks the column '{min(missing)}'; it has {', '.join(rows.fieldnames or ())}")
            for number, row in enumerate(rows):
                negatives = _listed(row["neg_caption"] or "[]", f"{path}, row {number}")
                if negatives:
                    yield Item(key=f"{number:09d}", caption=row["title"], neg_caption=negatives[0])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read {path}: {first_line(error)}") from error
    finally:
        csv.field_size_limit(limit)


def _listed(text: str, place: str) -> list[str]:
    """A Python list of strings as NegCLIP writes it; literals only, nothing is run."""
    try:
        values = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise UserError(f"{place}: neg_caption is no list of captions; mend or remove the row") from error
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise UserError(f"{place}: neg_caption is no list of captions; mend or remove the row")
    return values


def sample_items(items: Iterable[Item], size: int, seed: int = 0) -> list[Item]:
    """At most ``size`` items: those whose keys have the smallest hashes, in that order.

    The choice depends on the keys alone, not on the order of the items or of the shards.
    """
    chosen = heapq.nsmallest(size, ((seed_of(item.key, "sample", seed), item.key, item) for item in items), key=_rank)
    return [item for _, _, item in chosen]


def _rank(entry: tuple[int, str, Item]) -> tuple[int, str]:
    return entry[:2]
