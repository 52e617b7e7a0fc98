"""CREPE: CSV files of a box of a Visual Genome image, a caption and a list of hard negatives.

Files and columns (``image_id``, ``x``, ``y``, ``width``, ``height``, ``caption`` and a Python list of negatives):
https://github.com/RAIVNLab/CREPE/blob/1fa81c425f442396fe304f170c8eb6dc0747c814/crepe_eval_utils.py and
https://github.com/RAIVNLab/CREPE/blob/1fa81c425f442396fe304f170c8eb6dc0747c814/crepe_compo_eval_open_clip.py
The measure is the official recall@1 of the caption among itself and its negatives.
"""

import ast
import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tripletclip.errors import UserError
from tripletclip.evaluation.pictures import Box
from tripletclip.evaluation.published.benchmark import VISUAL_GENOME, Benchmark
from tripletclip.evaluation.published.files import (
    Wanted,
    gather,
    int_of,
    place,
    places,
    read_text,
    text_of,
)
from tripletclip.evaluation.sets import BenchmarkSet, ChoiceSet

PRODUCTIVITY = "{crepe,CREPE/data}/prod_hard_negatives"
SYSTEMATICITY = "{crepe,CREPE/data}/syst_hard_negatives"
KINDS = {"productivity": ("atom", "swap", "negate"), "systematicity": ("atom", "comp", "combined")}
COMPLEXITIES = tuple(range(4, 13))
SEEN = ("seen_compounds", "unseen_compounds")
TRAINED_ON = ("cc12m", "yfcc", "laion")
NO_NEGATIVE = "no negative differs from the caption"


@dataclass(frozen=True, kw_only=True)
class _Item:
    key: str
    split: str
    image: str
    box: Box
    options: tuple[str, ...]


def read_productivity(root: Path) -> list[BenchmarkSet]:
    """A set a kind of negative; splits are the captions' complexities, 4 to 12."""
    sets: list[BenchmarkSet] = []
    for kind in KINDS["productivity"]:
        folder = place(root, f"{PRODUCTIVITY}/{kind}")
        names = {f"complexity_{n}": f"prod_vg_hard_negs_{kind}_complexity_{n}.csv" for n in COMPLEXITIES}
        sets.append(_set(f"crepe-productivity-{kind}", root, folder, names, "hard_negs"))
    return sets


def read_systematicity(root: Path) -> list[BenchmarkSet]:
    """A set a training data set and kind of negative, of those that are there; splits are seen and unseen compounds."""
    folder = place(root, SYSTEMATICITY)
    sets: list[BenchmarkSet] = []
    for data in TRAINED_ON:
        names = {split: f"syst_vg_hard_negs_{split}_in_{data}.csv" for split in SEEN}
        if all((folder / name).exists() for name in names.values()):
            for kind in KINDS["systematicity"]:
                name = f"crepe-systematicity-{data}-{kind}"
                sets.append(_set(name, root, folder, names, f"valid_hard_negs_{kind}"))
    if not sets:
        place(folder, f"syst_vg_hard_negs_{SEEN[0]}_in_{{{','.join(TRAINED_ON)}}}.csv")
        place(folder, f"syst_vg_hard_negs_{SEEN[1]}_in_{{{','.join(TRAINED_ON)}}}.csv")
        raise UserError(f"{folder} has no training data set with both {SEEN[0]} and {SEEN[1]}; download it again")
    return sets


def _set(name: str, root: Path, folder: Path, names: Mapping[str, str], column: str) -> ChoiceSet:
    items = [item for split, file in names.items() for item in _items(place(folder, file), split, column)]
    place(root, VISUAL_GENOME)
    folders = tuple(places(root, VISUAL_GENOME))
    usable = [item for item in items if len(item.options) > 1]
    got = gather(usable, lambda item: [Wanted(folders=folders, name=item.image, box=item.box)], folder)
    lost = len(items) - len(usable)
    return ChoiceSet(
        name=name,
        keys=[item.key for item in got.items],
        splits=[item.split for item in got.items],
        images=got.column(),
        options=[list(item.options) for item in got.items],
        left_out=got.left_out | ({NO_NEGATIVE: lost} if lost else {}),
    )


def _items(path: Path, split: str, column: str) -> Iterator[_Item]:
    csv.field_size_limit(2**24)
    rows = csv.DictReader(io.StringIO(read_text(path)))
    missing = {"image_id", "caption", "x", "y", "width", "height", column} - set(rows.fieldnames or ())
    if missing:
        raise UserError(f"{path} has no column {', '.join(sorted(missing))}; it has {', '.join(rows.fieldnames or ())}")
    for number, row in enumerate(rows):
        where = f"line {rows.line_num} of {path}"
        x, y, width, height = (int_of(row, side, where) for side in ("x", "y", "width", "height"))
        caption = text_of(row, "caption", where)
        yield _Item(
            key=f"{split}-{number}",
            split=split,
            image=f"{int_of(row, 'image_id', where)}.jpg",
            box=(x, y, width, height),
            options=tuple(dict.fromkeys([caption, *_negatives(row, column, where)])),
        )


def _negatives(row: dict[str, Any], column: str, where: str) -> list[str]:
    try:
        negatives = ast.literal_eval(text_of(row, column, where))
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise UserError(f"{where}: '{column}' is not a list of captions as Python writes it") from error
    if not isinstance(negatives, list | tuple) or not all(isinstance(text, str) for text in negatives):
        raise UserError(f"{where}: '{column}' is not a list of captions")
    return [text for text in negatives if text]


_SOURCE = (
    "https://github.com/RAIVNLab/CREPE/tree/1fa81c425f442396fe304f170c8eb6dc0747c814/data (unzipped), "
    "images of Visual Genome"
)

BENCHMARKS: tuple[Benchmark, ...] = (
    Benchmark(
        name="crepe-productivity",
        title="CREPE productivity",
        tests="captions of growing complexity against hard negatives: an atom changed, swapped or negated",
        family="crepe",
        files=(
            *(
                f"{PRODUCTIVITY}/{kind}/prod_vg_hard_negs_{kind}_complexity_{n}.csv"
                for kind in KINDS["productivity"]
                for n in COMPLEXITIES
            ),
            VISUAL_GENOME,
        ),
        source=_SOURCE,
        licence="none stated by the authors; captions and images of Visual Genome, CC BY 4.0",
        read=read_productivity,
    ),
    Benchmark(
        name="crepe-systematicity",
        title="CREPE systematicity",
        tests="captions of compounds seen and unseen in CC12M, YFCC15M or LAION-400M against hard negatives",
        family="crepe",
        files=(
            *(f"{SYSTEMATICITY}/syst_vg_hard_negs_{split}_in_{{{','.join(TRAINED_ON)}}}.csv" for split in SEEN),
            VISUAL_GENOME,
        ),
        source=_SOURCE,
        licence="none stated by the authors; captions and images of Visual Genome, CC BY 4.0",
        read=read_systematicity,
    ),
)
