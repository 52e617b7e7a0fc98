"""What'sUp: which preposition fits a photo of two things, made for it or taken from COCO and Visual Genome.

Files, fields and the rules of pairs and sets:
https://github.com/amitakamath/whatsup_vlms/blob/7c1f2550eace32e7b8c77de5a792347c402960d1/dataset_zoo/aro_datasets.py
"""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from tripletclip.errors import UserError
from tripletclip.evaluation.published.benchmark import VAL2017, VISUAL_GENOME, Benchmark
from tripletclip.evaluation.published.files import (
    Gathered,
    Wanted,
    either,
    gather,
    place,
    places,
    read_json,
    records,
    text_of,
    texts_of,
)
from tripletclip.evaluation.sets import BenchmarkSet, ChoiceSet

FOLDER = "{whatsup,whatsup_vlms/data}"
AXES = {"left": "sides", "right": "sides", "on": "height", "under": "height", "in-front": "depth", "behind": "depth"}
"""Relation, as file names spell it, to the pair that it is half of."""

_OF_SET, _OF_PAIR = 4, 2


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A controlled photo: what lies how to what, by its file name, and its captions, the true one first."""

    name: str
    thing: str
    relation: str
    other: str
    options: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Question:
    key: str
    name: str
    relation: str
    options: tuple[str, str]


def read_photos(root: Path, name: str, annotations: str, images: str) -> list[BenchmarkSet]:
    """Splits are relations; ``pairs`` asks for both of left and right (on and under, ...), ``sets`` for all four."""
    path = place(root, annotations)
    place(root, images)
    folders = tuple(places(root, images))
    photos = [
        _photo(record, f"item {number} of {path}") for number, record in enumerate(records(read_json(path), path))
    ]
    got = gather(photos, lambda photo: [Wanted(folders=folders, name=photo.name)], path)
    return [
        ChoiceSet(
            name=name,
            keys=[PurePosixPath(photo.name).stem for photo in got.items],
            splits=[photo.relation for photo in got.items],
            images=got.column(),
            options=[list(photo.options) for photo in got.items],
            teams=_teams(got),
            left_out=got.left_out,
            headline="micro",
        )
    ]


def _teams(got: Gathered[Photo]) -> dict[str, list[str]]:
    """Team names of the items; "" where a photo is missing: what is left of its pair or set would be easier."""
    sets = [f"{photo.thing} {photo.other}" for photo in got.items]
    pairs = [f"{photo.thing} {photo.other} {AXES[photo.relation]}" for photo in got.items]
    teams = {}
    for metric, names, size in (("pairs", pairs, _OF_PAIR), ("sets", sets, _OF_SET)):
        sizes = Counter(names)
        whole = [name if sizes[name] == size else "" for name in names]
        if any(whole):
            teams[metric] = whole
    return teams


def _photo(record: dict[str, Any], where: str) -> Photo:
    """From names such as ``data/controlled_images/beer-bottle_left_of_armchair.jpeg``."""
    name = PurePosixPath(text_of(record, "image_path", where)).name
    words = PurePosixPath(name).stem.split("_")
    relation = words[1] if len(words) > 2 else ""
    if relation not in AXES:
        raise UserError(f"{where}: the name '{name}' has no relation after its first '_' ({', '.join(AXES)})")
    options = texts_of(record, "caption_options", where, least=2)
    return Photo(name=name, thing=words[0], relation=relation, other=words[-1], options=tuple(options))


def read_questions(root: Path, name: str, annotations: str, images: str, digits: int) -> list[BenchmarkSet]:
    """Lists of image id, caption, wrong caption; the split is the true caption's preposition."""
    path = place(root, annotations)
    place(root, images)
    folders = tuple(places(root, images))
    content = read_json(path)
    if not isinstance(content, list):
        raise UserError(f"{path} must be a list of [image id, caption, wrong caption]")
    questions = [_question(item, number, path, digits) for number, item in enumerate(content)]
    got = gather(questions, lambda question: [Wanted(folders=folders, name=question.name)], path)
    return [
        ChoiceSet(
            name=name,
            keys=[question.key for question in got.items],
            splits=[question.relation for question in got.items],
            images=got.column(),
            options=[list(question.options) for question in got.items],
            left_out=got.left_out,
            headline="micro",
        )
    ]


def _question(item: Any, number: int, path: Path, digits: int) -> _Question:
    if (
        not isinstance(item, list)
        or len(item) < 3
        or not all(isinstance(text, str) and text.strip() for text in item[1:3])
    ):
        raise UserError(f"item {number} of {path} is not [image id, caption, wrong caption]")
    image, caption, wrong = str(item[0]), item[1], item[2]
    return _Question(
        key=str(number), name=f"{image.zfill(digits)}.jpg", relation=relation_of(caption), options=(caption, wrong)
    )


def relation_of(caption: str) -> str:
    """The preposition of a caption such as "A photo of a cat on the left" or "... a cat to the left of a dog".

    >>> relation_of("A photo of a horse to the left of a person")
    'left'
    """
    for phrase, relation in (
        ("left of", "left"),
        ("right of", "right"),
        ("front of", "front"),
        ("behind", "behind"),
        ("above", "above"),
        ("below", "below"),
        ("on top of", "top"),
    ):
        if phrase in caption:
            return relation
    return caption.split()[-1].strip(".").lower()


_SOURCE = (
    "https://github.com/amitakamath/whatsup_vlms/blob/7c1f2550eace32e7b8c77de5a792347c402960d1/README.md "
    "(data on Google Drive)"
)
_CONTROLLED = {
    "a": ("controlled_images_dataset.json", "controlled_images", "photos of things on, under and beside furniture"),
    "b": ("controlled_clevr_dataset.json", "controlled_clevr", "photos of things before, behind and beside each other"),
}
_ASKED = {
    "coco-one": ("coco_qa_one_obj.json", either(VAL2017, "whatsup/val2017"), 12, "where one thing is in the image"),
    "coco-two": ("coco_qa_two_obj.json", either(VAL2017, "whatsup/val2017"), 12, "how two things lie"),
    "gqa-one": ("vg_qa_one_obj.json", either("whatsup/vg_images", VISUAL_GENOME), 0, "where one thing is in the image"),
    "gqa-two": ("vg_qa_two_obj.json", either("whatsup/vg_images", VISUAL_GENOME), 0, "how two things lie"),
}

BENCHMARKS: tuple[Benchmark, ...] = (
    *(
        Benchmark(
            name=f"whatsup-{part}",
            title=f"What'sUp {part.upper()}",
            tests=f"the right one of four prepositions: {tests}",
            family="whatsup",
            files=(f"{FOLDER}/{file}", f"{FOLDER}/{folder}"),
            source=_SOURCE,
            licence="MIT",
            read=partial(
                read_photos, name=f"whatsup-{part}", annotations=f"{FOLDER}/{file}", images=f"{FOLDER}/{folder}"
            ),
        )
        for part, (file, folder, tests) in _CONTROLLED.items()
    ),
    *(
        Benchmark(
            name=f"whatsup-{part}",
            title=f"What'sUp {part}",
            tests=f"the preposition against its opposite: {tests}",
            family="whatsup",
            files=(f"{FOLDER}/{file}", images),
            source=_SOURCE,
            licence="MIT; images of COCO and Visual Genome",
            read=partial(
                read_questions,
                name=f"whatsup-{part}",
                annotations=f"{FOLDER}/{file}",
                images=images,
                digits=digits,
            ),
        )
        for part, (file, images, digits, tests) in _ASKED.items()
    ),
)
