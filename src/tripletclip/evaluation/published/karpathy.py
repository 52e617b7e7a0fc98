"""Retrieval on COCO, Flickr30k and Flickr8k, from whichever form of the caption files a user has.

``dataset_coco.json``            Karpathy's file: ``images`` with ``split``, ``filename``, ``sentences``
``coco_test_karpathy.json``      COCO's own form (``images``, ``annotations``), as clip_benchmark reads it
``coco_karpathy_test.json``      BLIP's form: a list of ``image`` and ``caption`` (a list)
``flickr30k_test_karpathy.txt``  CSV with the columns ``image`` and ``caption``, as clip_benchmark reads it

Every caption of an image counts, as in clip_benchmark, whose builder keeps all 25,010 of COCO's test split:
https://github.com/mehdidc/retrieval_annotations/blob/12638bfc616dcf988154e853b6c3a811e1ef7cbb/build_coco_splits.py
"""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from tripletclip.errors import UserError
from tripletclip.evaluation.published.benchmark import VAL2014, VAL2017, Benchmark
from tripletclip.evaluation.published.files import (
    Gathered,
    Wanted,
    gather,
    place,
    places,
    read_json,
    read_text,
    records,
    text_of,
    texts_of,
)
from tripletclip.evaluation.sets import BenchmarkSet, RetrievalSet

COCO = "coco/{,annotations/}{dataset_coco.json,coco_test_karpathy.json,coco_karpathy_test.json}"
COCO_2017 = "coco/{annotations/captions_val2017.json,captions_val2017.json}"
FLICKR30K = "flickr30k/{,annotations/}{dataset_flickr30k.json,flickr30k_test_karpathy.txt,flickr30k_test.json}"
FLICKR30K_IMAGES = "flickr30k/{flickr30k-images,flickr30k_images,images,Images,.}"
FLICKR8K = "flickr8k/{,annotations/}{dataset_flickr8k.json,flickr8k_test_karpathy.txt}"
FLICKR8K_IMAGES = "flickr8k/{Flicker8k_Dataset,Images,images,.}"
TEST = "test"


@dataclass(frozen=True, kw_only=True)
class Captioned:
    """An image of the test split by its file name, and its captions."""

    name: str
    captions: tuple[str, ...]


def read(root: Path, name: str, annotations: str, images: str) -> list[BenchmarkSet]:
    """The test split that ``annotations`` lists, with images from the folders of the pattern ``images``."""
    got = captioned_images(root, annotations, images)
    return [retrieval_set(name, got)]


def retrieval_set(name: str, got: Gathered[Captioned]) -> RetrievalSet:
    """The images with all their captions; ``left_out`` counts captions."""
    return RetrievalSet(
        name=name,
        images=got.column(),
        captions=[caption for item in got.items for caption in item.captions],
        image_of_caption=[place_ for place_, item in enumerate(got.items) for _ in item.captions],
        left_out=got.left_out,
    )


def captioned_images(root: Path, annotations: str, images: str) -> Gathered[Captioned]:
    """The images of the test split and their files; ``left_out`` counts captions."""
    path = place(root, annotations)
    place(root, images)
    folders = tuple(places(root, images))
    listed = captioned(path)
    return gather(
        listed, lambda item: [Wanted(folders=folders, name=item.name)], path, weight=lambda item: len(item.captions)
    )


def captioned(path: Path) -> list[Captioned]:
    """The images of the test split in the order of the file, in any of the forms above."""
    pairs = list(_csv_pairs(path) if path.suffix == ".txt" else _json_pairs(path))
    captions: dict[str, list[str]] = {}
    for name, caption in pairs:
        captions.setdefault(PurePosixPath(name).name, []).append(caption)
    if not captions:
        raise UserError(f"{path} has no image of the split '{TEST}'; download it again")
    return [Captioned(name=name, captions=tuple(texts)) for name, texts in captions.items()]


def _json_pairs(path: Path) -> Iterable[tuple[str, str]]:
    content = read_json(path)
    if isinstance(content, list):
        return _blip(records(content, path), path)
    if isinstance(content, dict) and isinstance(content.get("images"), list):
        images = records(content["images"], path)
        if isinstance(content.get("annotations"), list):
            return _coco(images, records(content["annotations"], path), path)
        return _karpathy(images, path)
    raise UserError(f"{path} is neither a Karpathy split nor a COCO captions file; download it again")


def _karpathy(images: list[dict[str, Any]], path: Path) -> Iterator[tuple[str, str]]:
    for number, image in enumerate(images):
        where = f"image {number} of {path}"
        if text_of(image, "split", where) != TEST:
            continue
        for sentence in records(image.get("sentences"), path):
            yield text_of(image, "filename", where), text_of(sentence, "raw", where)


def _coco(images: list[dict[str, Any]], annotations: list[dict[str, Any]], path: Path) -> Iterator[tuple[str, str]]:
    captions: dict[Any, list[str]] = {}
    for number, annotation in enumerate(annotations):
        caption = text_of(annotation, "caption", f"annotation {number} of {path} (captions_*.json is needed)")
        captions.setdefault(annotation.get("image_id"), []).append(caption)
    for number, image in enumerate(images):
        name = text_of(image, "file_name", f"image {number} of {path}")
        yield from ((name, caption) for caption in captions.get(image.get("id"), []))


def _blip(images: list[dict[str, Any]], path: Path) -> Iterator[tuple[str, str]]:
    for number, image in enumerate(images):
        where = f"image {number} of {path}"
        yield from ((text_of(image, "image", where), caption) for caption in texts_of(image, "caption", where))


def _csv_pairs(path: Path) -> Iterator[tuple[str, str]]:
    rows = csv.DictReader(io.StringIO(read_text(path)))
    if not {"image", "caption"} <= set(rows.fieldnames or ()):
        raise UserError(f"{path} needs the columns 'image' and 'caption'; it has {', '.join(rows.fieldnames or ())}")
    for row in rows:
        where = f"line {rows.line_num} of {path}"
        yield text_of(row, "image", where), text_of(row, "caption", where)


_KARPATHY = "https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip"

BENCHMARKS: tuple[Benchmark, ...] = (
    Benchmark(
        name="retrieval-coco",
        title="MSCOCO retrieval (Karpathy test, 5,000 images)",
        tests="the image's captions among all captions, and the caption's image among all images",
        family="retrieval",
        files=(COCO, VAL2014),
        source=f"{_KARPATHY} with http://images.cocodataset.org/zips/val2014.zip",
        licence="captions CC BY 4.0; photos by their owners on Flickr",
        read=partial(read, name="coco", annotations=COCO, images=VAL2014),
    ),
    Benchmark(
        name="retrieval-coco-val2017",
        title="MSCOCO val2017 retrieval (5,000 images)",
        tests="as retrieval-coco, on the images and captions of the 2017 validation split",
        family="retrieval",
        files=(COCO_2017, VAL2017),
        source="http://images.cocodataset.org/annotations/annotations_trainval2017.zip "
        "with http://images.cocodataset.org/zips/val2017.zip",
        licence="captions CC BY 4.0; photos by their owners on Flickr",
        read=partial(read, name="coco-val2017", annotations=COCO_2017, images=VAL2017),
    ),
    Benchmark(
        name="retrieval-flickr30k",
        title="Flickr30k retrieval (Karpathy test, 1,000 images)",
        tests="the image's captions among all captions, and the caption's image among all images",
        family="retrieval",
        files=(FLICKR30K, FLICKR30K_IMAGES),
        source=f"{_KARPATHY} with the images of https://shannon.cs.illinois.edu/DenotationGraph/",
        licence="research and education only; photos by their owners on Flickr",
        read=partial(read, name="flickr30k", annotations=FLICKR30K, images=FLICKR30K_IMAGES),
    ),
    Benchmark(
        name="retrieval-flickr8k",
        title="Flickr8k retrieval (Karpathy test, 1,000 images)",
        tests="the image's captions among all captions, and the caption's image among all images",
        family="retrieval",
        files=(FLICKR8K, FLICKR8K_IMAGES),
        source=f"{_KARPATHY} with the images of Flickr8k",
        licence="research and education only; photos by their owners on Flickr",
        read=partial(read, name="flickr8k", annotations=FLICKR8K, images=FLICKR8K_IMAGES),
    ),
)
