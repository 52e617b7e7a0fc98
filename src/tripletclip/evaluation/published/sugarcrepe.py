"""SugarCrepe: seven files of COCO val2017 images with a caption and a hard negative, id to fields.

Format: https://github.com/RAIVNLab/sugar-crepe/blob/0047054b243992f0fad63d6f64f7544862daf846/main_eval.py
"""

from dataclasses import dataclass
from pathlib import Path

from tripletclip.evaluation.published.benchmark import Benchmark
from tripletclip.evaluation.published.files import Wanted, gather, place, places, read_json, record_of, text_of
from tripletclip.evaluation.sets import BenchmarkSet, PairSet

SPLITS = ("replace_obj", "replace_att", "replace_rel", "swap_obj", "swap_att", "add_obj", "add_att")
FOLDER = "{sugarcrepe,sugar_crepe,sugar-crepe/data}"
IMAGES = "{coco/val2017,coco/images/val2017,val2017,sugarcrepe/val2017,sugar_crepe/val2017}"


@dataclass(frozen=True, kw_only=True)
class _Pair:
    key: str
    split: str
    filename: str
    caption: str
    neg_caption: str


def read(root: Path) -> list[BenchmarkSet]:
    """The set of all seven splits; keys are ``SPLIT-ID``."""
    pairs = [pair for split in SPLITS for pair in _pairs(place(root, f"{FOLDER}/{split}.json"), split)]
    place(root, IMAGES)
    folders = tuple(places(root, IMAGES))
    got = gather(pairs, lambda pair: [Wanted(folders=folders, name=pair.filename)], place(root, FOLDER))
    return [
        PairSet(
            name="",
            keys=[pair.key for pair in got.items],
            splits=[pair.split for pair in got.items],
            images=got.column(),
            captions=[pair.caption for pair in got.items],
            neg_captions=[pair.neg_caption for pair in got.items],
            left_out=got.left_out,
        )
    ]


def _pairs(path: Path, split: str) -> list[_Pair]:
    pairs = []
    for number, record in record_of(read_json(path), path).items():
        where = f"item '{number}' of {path}"
        pairs.append(
            _Pair(
                key=f"{split}-{number}",
                split=split,
                filename=text_of(record, "filename", where),
                caption=text_of(record, "caption", where),
                neg_caption=text_of(record, "negative_caption", where),
            )
        )
    return pairs


BENCHMARKS: tuple[Benchmark, ...] = (
    Benchmark(
        name="sugarcrepe",
        title="SugarCrepe",
        tests="the caption against a hard negative: objects, attributes and relations replaced, swapped or added",
        family="sugarcrepe",
        files=(*(f"{FOLDER}/{split}.json" for split in SPLITS), IMAGES),
        source="https://github.com/RAIVNLab/sugar-crepe/tree/0047054b243992f0fad63d6f64f7544862daf846/data "
        "with http://images.cocodataset.org/zips/val2017.zip",
        licence="MIT; COCO captions CC BY 4.0, photos by their owners on Flickr",
        read=read,
    ),
)
