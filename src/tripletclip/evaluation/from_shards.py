"""Benchmarks as folders of shards: pairs with a split column, retrieval, classes with ``classes.json``.

A folder's images are held in memory as they stand in its tar files.
"""

import json
from pathlib import Path

from tripletclip.data.shards import Shards
from tripletclip.data.triplet import IMAGE, NEG_CAPTION, NEG_IMAGE
from tripletclip.errors import UserError, unknown_name
from tripletclip.evaluation.sets import BenchmarkSet, ClassSet, PairSet, RetrievalSet

CLASSES_FILE = "classes.json"
"""Beside the shards of a classification set: ``{"classes": [...], "templates": ["a photo of a {}", ...]}``."""
HELD_OUT = "heldout"


def benchmark_set(folder: Path) -> BenchmarkSet:
    """The benchmark that a folder of shards holds; ``…-heldout`` names its held-out part."""
    shards = Shards(folder)
    if (folder / CLASSES_FILE).exists():
        return class_set(shards, "")
    name = HELD_OUT if folder.name.endswith(f"-{HELD_OUT}") else ""
    return pair_set(shards, name) if shards.has(NEG_CAPTION) else retrieval_set(shards, name)


def pair_set(shards: Shards, name: str) -> PairSet:
    """Every accepted triplet of ``shards``; column ``split`` names its category. Without negative images no groups."""
    if not shards.has(NEG_CAPTION):
        raise UserError(f"{shards.folder} has rows without {NEG_CAPTION}; a pair benchmark needs one in every row")
    rows = range(len(shards))
    return PairSet(
        name=name,
        keys=list(shards.keys),
        splits=[str(split or "") for split in shards.column("split")],
        images=[shards.read(row, IMAGE) for row in rows],
        captions=[shards.caption(row) for row in rows],
        neg_captions=[shards.neg_caption(row) for row in rows],
        neg_images=[shards.read(row, NEG_IMAGE) for row in rows] if shards.has(NEG_IMAGE) else None,
    )


def retrieval_set(shards: Shards, name: str) -> RetrievalSet:
    """The positives of ``shards``. Rows with the same image bytes are one image with several captions."""
    rows = range(len(shards))
    pairs = list(dict.fromkeys((shards.read(row, IMAGE), shards.caption(row)) for row in rows))
    index_of = {image: index for index, image in enumerate(dict.fromkeys(image for image, _ in pairs))}
    return RetrievalSet(
        name=name,
        images=list(index_of),
        captions=[caption for _, caption in pairs],
        image_of_caption=[index_of[image] for image, _ in pairs],
    )


def class_set(shards: Shards, name: str) -> ClassSet:
    """The images of ``shards``; column ``label`` holds a class's name or its index in ``classes.json``."""
    class_names, templates = _read_classes(Path(shards.folder) / CLASSES_FILE)
    return ClassSet(
        name=name,
        images=[shards.read(row, IMAGE) for row in range(len(shards))],
        labels=[_label(label, class_names) for label in shards.column("label")],
        class_names=class_names,
        templates=templates,
    )


def _read_classes(path: Path) -> tuple[list[str], list[str]]:
    try:
        raw = json.loads(path.read_text("utf8"))
        lists = raw["classes"], raw["templates"]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; a classification set needs it") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f'{path} must hold {{"classes": [...], "templates": [...]}} ({error!r})') from error
    if not all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in lists):
        raise UserError(f"{path}: 'classes' and 'templates' must be lists of strings")
    return lists


def _label(label: str | int | float | None, class_names: list[str]) -> int:
    if isinstance(label, int):
        return label
    if label not in class_names:
        raise unknown_name("class label", str(label), class_names)
    return class_names.index(str(label))
