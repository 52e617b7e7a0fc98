"""SugarCrepe++: five lists of COCO val2017 images with two true captions and a hard negative of both.

Format: https://github.com/Sri-Harsha/scpp/tree/c083bbf039a5ca215acaf25e7ee736d2ea6f3864/data
"""

from dataclasses import dataclass
from pathlib import Path

from tripletclip.evaluation.published.benchmark import Benchmark
from tripletclip.evaluation.published.files import Wanted, gather, place, places, read_json, records, refuse_repeats
from tripletclip.evaluation.published.files import text_of as text
from tripletclip.evaluation.published.sugarcrepe import IMAGES
from tripletclip.evaluation.sets import BenchmarkSet, ParaphraseSet

SPLITS = ("replace_obj", "replace_att", "replace_rel", "swap_obj", "swap_att")
FOLDER = "{sugarcrepe_pp,sugarcrepe++,scpp/data}"


@dataclass(frozen=True, kw_only=True)
class _Item:
    key: str
    split: str
    filename: str
    caption: str
    paraphrase: str
    neg_caption: str


def read(root: Path) -> list[BenchmarkSet]:
    """The set of all five splits; keys are ``SPLIT-ID``."""
    items = [item for split in SPLITS for item in _items(place(root, f"{FOLDER}/{split}.json"), split)]
    place(root, IMAGES)
    folders = tuple(places(root, IMAGES))
    got = gather(items, lambda item: [Wanted(folders=folders, name=item.filename)], place(root, FOLDER))
    return [
        ParaphraseSet(
            name="sugarcrepe++",
            keys=[item.key for item in got.items],
            splits=[item.split for item in got.items],
            images=got.column(),
            captions=[item.caption for item in got.items],
            paraphrases=[item.paraphrase for item in got.items],
            neg_captions=[item.neg_caption for item in got.items],
            left_out=got.left_out,
        )
    ]


def _items(path: Path, split: str) -> list[_Item]:
    items = []
    for place_, record in enumerate(records(read_json(path), path)):
        where = f"item {place_} of {path}"
        items.append(
            _Item(
                key=f"{split}-{record.get('id', place_)}",
                split=split,
                filename=text(record, "filename", where),
                caption=text(record, "caption", where),
                paraphrase=text(record, "caption2", where),
                neg_caption=text(record, "negative_caption", where),
            )
        )
    refuse_repeats([item.key for item in items], path)
    return items


BENCHMARKS: tuple[Benchmark, ...] = (
    Benchmark(
        name="sugarcrepe++",
        title="SugarCrepe++",
        tests="two wordings of the truth against a hard negative, with the image and by text alone",
        family="sugarcrepe++",
        files=(*(f"{FOLDER}/{split}.json" for split in SPLITS), IMAGES),
        source="https://github.com/Sri-Harsha/scpp/tree/c083bbf039a5ca215acaf25e7ee736d2ea6f3864/data "
        "with http://images.cocodataset.org/zips/val2017.zip",
        licence="CC BY 4.0; photos by their owners on Flickr",
        read=read,
    ),
)
