"""Winoground: ``examples.jsonl`` and a folder of PNGs, two images and two captions of the same words an example.

Format: https://huggingface.co/datasets/facebook/winoground (behind an agreement): fields ``id``, ``caption_0``,
``caption_1``, ``image_0`` and ``image_1`` (file names without ``.png``), ``tag``, ``secondary_tag``, ``collapsed_tag``.
"""

from pathlib import Path, PurePosixPath
from typing import Any

from tripletclip.errors import UserError
from tripletclip.evaluation.published.benchmark import Benchmark
from tripletclip.evaluation.published.files import (
    Wanted,
    gather,
    place,
    places,
    read_json_lines,
    refuse_repeats,
    text_of,
)
from tripletclip.evaluation.sets import BenchmarkSet, GroupSet

EXAMPLES = "winoground/{examples.jsonl,data/examples.jsonl,metadata.jsonl}"
IMAGES = "winoground/{images,data/images}"
TAGS = ("collapsed_tag", "tag")
"""The split is the first of these that an example has: Object, Relation or Both, as in the paper's tables."""


def read(root: Path) -> list[BenchmarkSet]:
    """The set of all examples; keys are their ids."""
    path = place(root, EXAMPLES)
    place(root, IMAGES)
    folders = tuple(places(root, IMAGES))
    examples = [record | {"where": f"line {number} of {path}"} for number, record in read_json_lines(path)]
    refuse_repeats([_key(example) for example in examples], path)

    def wanted(example: dict[str, Any]) -> list[Wanted]:
        names = [text_of(example, f"image_{side}", example["where"]) for side in (0, 1)]
        return [Wanted(folders=folders, name=_with_ending(name)) for name in names]

    got = gather(examples, wanted, path)
    captions = [[text_of(example, f"caption_{side}", example["where"]) for side in (0, 1)] for example in got.items]
    return [
        GroupSet(
            name="winoground",
            keys=[_key(example) for example in got.items],
            splits=[_tag(example) for example in got.items],
            images=got.column(0),
            captions=[pair[0] for pair in captions],
            neg_images=got.column(1),
            neg_captions=[pair[1] for pair in captions],
            left_out=got.left_out,
            headline="group",
        )
    ]


def _key(example: dict[str, Any]) -> str:
    if not isinstance(example.get("id"), int | str):
        raise UserError(f"{example['where']} has no 'id'")
    return str(example["id"])


def _tag(example: dict[str, Any]) -> str:
    return next((str(example[name]) for name in TAGS if example.get(name)), "untagged")


def _with_ending(name: str) -> str:
    return name if PurePosixPath(name).suffix.lower() in (".png", ".jpg", ".jpeg") else f"{name}.png"


BENCHMARKS: tuple[Benchmark, ...] = (
    Benchmark(
        name="winoground",
        title="Winoground",
        tests="two images and two captions of the same words in another order, each to be matched with its own",
        family="winoground",
        files=(EXAMPLES, IMAGES),
        source="https://huggingface.co/datasets/facebook/winoground (examples.jsonl and images.zip, after agreeing)",
        licence="research only; the agreement lies in its repository",
        read=read,
    ),
)
