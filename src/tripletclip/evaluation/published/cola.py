"""Cola, multi-object matching: 210 lists of image link, caption, image link, caption.

Format: https://github.com/arijitray1993/COLA/blob/1fa52fba9cff4e6ffb7bfcf3550838748347273b/README.md#multi-objects-setting
"""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from tripletclip.errors import UserError
from tripletclip.evaluation.published.benchmark import VISUAL_GENOME, Benchmark
from tripletclip.evaluation.published.files import Wanted, either, gather, place, places, read_json
from tripletclip.evaluation.sets import BenchmarkSet, GroupSet

NAME = "COLA_multiobjects_matching_benchmark.json"
MATCHING = f"{{cola,COLA/data,cola/data}}/{NAME}"
IMAGES = either("cola/images", "cola/vg_gqa_images", VISUAL_GENOME)
_SPLIT = "multi_object"
_Four = tuple[str, str, str, str, str]
"""Number, link, caption, link, caption."""


def read(root: Path) -> list[BenchmarkSet]:
    """The set of all quadruples; keys are their numbers in the file. The image score is the official accuracy."""
    path = place(root, MATCHING)
    place(root, IMAGES)
    folders = tuple(places(root, IMAGES))

    def wanted(four: _Four) -> list[Wanted]:
        return [Wanted(folders=folders, name=_file_name(link)) for link in (four[1], four[3])]

    got = gather(_quadruples(path), wanted, path)
    return [
        GroupSet(
            name="cola",
            keys=[four[0] for four in got.items],
            splits=[_SPLIT] * len(got.items),
            images=got.column(0),
            captions=[four[2] for four in got.items],
            neg_images=got.column(1),
            neg_captions=[four[4] for four in got.items],
            left_out=got.left_out,
            headline="image",
        )
    ]


def _quadruples(path: Path) -> list[_Four]:
    content = read_json(path)
    if not isinstance(content, list):
        raise UserError(f"{path} must be a list of [link, caption, link, caption]")
    fours = []
    for number, four in enumerate(content):
        if not isinstance(four, list) or len(four) != 4 or not all(isinstance(text, str) and text for text in four):
            raise UserError(f"item {number} of {path} is not [link, caption, link, caption]")
        fours.append((str(number), four[0], four[1], four[2], four[3]))
    return fours


def _file_name(link: str) -> str:
    """The last part of a link: the images are kept under their Visual Genome names.

    >>> _file_name("https://cs-people.bu.edu/array/data/vg_gqa_images/2390970.jpg")
    '2390970.jpg'
    """
    return unquote(urlsplit(link).path).rpartition("/")[2]


BENCHMARKS: tuple[Benchmark, ...] = (
    Benchmark(
        name="cola",
        title="Cola (multi-object)",
        tests="two images with the same objects and swapped attributes: which image does each caption mean",
        family="cola",
        files=(MATCHING, IMAGES),
        source="https://github.com/arijitray1993/COLA/tree/1fa52fba9cff4e6ffb7bfcf3550838748347273b/data "
        "with the 218 linked images, or Visual Genome's",
        licence="MIT; images of Visual Genome, CC BY 4.0",
        read=read,
    ),
)
