"""VALSE: eleven instruments, each a JSON of id to caption, foil, image file and annotators' votes.

Format and the rule for valid items (two of three annotators chose the caption and not the foil):
https://github.com/Heidelberg-NLP/VALSE/blob/2152d90d4aecd11f7f74cf03420abcb63efff9c5/README.md#data-instructions
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tripletclip.errors import UserError
from tripletclip.evaluation.published.benchmark import TRAIN2014, VAL2014, VAL2017, Benchmark
from tripletclip.evaluation.published.files import (
    Wanted,
    either,
    gather,
    int_of,
    place,
    places,
    read_json,
    record_of,
    text_of,
)
from tripletclip.evaluation.sets import BenchmarkSet, ChoiceSet

INSTRUMENTS = (
    "existence",
    "plurals",
    "counting-hard",
    "counting-small-quant",
    "counting-adversarial",
    "relations",
    "action-replacement",
    "actant-swap",
    "coreference-standard",
    "coreference-hard",
    "foil-it",
)
FOLDER = "{valse,valse/data,VALSE/data}"
LEAST_VOTES = 2

_VISUAL7W = "{valse/images/visual7w,valse/visual7w/images,visual7w/images}"
_SWIG = "{valse/images/SWiG,valse/actions/images_512,SWiG/images_512,swig/images_512}"
_VISDIAL = "{valse/images/VisDial_v1.0,valse/coref/release_v18/test_images,visdial/VisualDialog_val2018}"
_VISDIAL_2014 = "valse/coref/release_too_many_is_this_in_color/images"
IMAGES: Mapping[str, tuple[str, ...]] = {
    "visual7w": (_VISUAL7W,),
    "coco2017": (VAL2017, "valse/images/coco2017"),
    "coco_2017": (VAL2017, "valse/images/coco2017"),
    "SWiG": (_SWIG,),
    "VisDial_v1.0": (_VISDIAL, _VISDIAL_2014, TRAIN2014, VAL2014),
    "FOIL dataset": (VAL2014,),
}
"""Where the images of each ``dataset`` field lie; every folder that is there is looked in."""


@dataclass(frozen=True, kw_only=True)
class _Item:
    key: str
    instrument: str
    dataset: str
    image_file: str
    caption: str
    foil: str


def read(root: Path) -> list[BenchmarkSet]:
    """The valid items of all instruments, which are the splits; keys are ``INSTRUMENT-ID``."""
    items = [item for name in INSTRUMENTS for item in _items(place(root, f"{FOLDER}/{name}.json"), name)]
    folders = {dataset: _folders(root, dataset) for dataset in {item.dataset for item in items}}
    got = gather(
        items,
        lambda item: [Wanted(folders=folders[item.dataset], name=item.image_file)],
        place(root, f"{FOLDER}/{INSTRUMENTS[0]}.json").parent,
    )
    return [
        ChoiceSet(
            name="valse",
            keys=[item.key for item in got.items],
            splits=[item.instrument for item in got.items],
            images=got.column(),
            options=[[item.caption, item.foil] for item in got.items],
            left_out=got.left_out,
        )
    ]


def _folders(root: Path, dataset: str) -> tuple[Path, ...]:
    there = [folder for pattern in IMAGES[dataset] for folder in places(root, pattern)]
    return tuple(there) or (root / "valse" / "images" / dataset,)


def _items(path: Path, instrument: str) -> list[_Item]:
    items = []
    for number, record in record_of(read_json(path), path).items():
        where = f"item '{number}' of {path}"
        if _votes(record, where) < LEAST_VOTES:
            continue
        dataset = text_of(record, "dataset", where)
        if dataset not in IMAGES:
            raise UserError(f"{where} has images of '{dataset}'; known are {', '.join(sorted(IMAGES))}")
        items.append(
            _Item(
                key=f"{instrument}-{number}",
                instrument=instrument,
                dataset=dataset,
                image_file=text_of(record, "image_file", where),
                caption=text_of(record, "caption", where),
                foil=text_of(record, "foil", where),
            )
        )
    return items


def _votes(record: dict[str, Any], where: str) -> int:
    """How many annotators chose the caption and not the foil."""
    votes = record.get("mturk")
    if not isinstance(votes, dict):
        raise UserError(f"{where} has no annotators' votes ('mturk'); take the files of the official repository")
    return int_of(votes, "caption", where)


BENCHMARKS: tuple[Benchmark, ...] = (
    Benchmark(
        name="valse",
        title="VALSE",
        tests="caption against foil: existence, plurality, counting, relations, actions, coreference, nouns",
        family="valse",
        files=(
            *(f"{FOLDER}/{name}.json" for name in INSTRUMENTS),
            *(_VISUAL7W, _SWIG, _VISDIAL, VAL2017, VAL2014, either(TRAIN2014, _VISDIAL_2014)),
        ),
        source="https://github.com/Heidelberg-NLP/VALSE/tree/2152d90d4aecd11f7f74cf03420abcb63efff9c5/data "
        "with images of Visual7W, SWiG, VisDial v1.0 and COCO",
        licence="MIT; images under the licences of their data sets",
        read=read,
    ),
)
