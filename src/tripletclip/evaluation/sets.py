"""The data of a benchmark, whole in memory as encoded images and strings, and how it is read from a shard folder.

A set's ``name`` tells parts of a benchmark apart: ``""`` is the main part, ``"heldout"`` gives ``sugarcrepe-heldout``.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tripletclip.data.shards import Shards
from tripletclip.data.triplet import IMAGE, NEG_CAPTION, NEG_IMAGE
from tripletclip.errors import UserError, unknown_name
from tripletclip.evaluation.pairs import AGGREGATES

CLASSES_FILE = "classes.json"
"""Beside the shards of a classification set: ``{"classes": [...], "templates": ["a photo of a {}", ...]}``."""


@dataclass(frozen=True, kw_only=True)
class PairSet:
    """Images with a true and a hard-negative caption, and, for group scores, the negative's own image. Lists of N."""

    name: str
    keys: list[str]
    splits: list[str]
    images: list[bytes]
    captions: list[str]
    neg_captions: list[str]
    neg_images: list[bytes] | None = None

    def __post_init__(self) -> None:
        columns: list[Sequence[object]] = [self.splits, self.images, self.captions, self.neg_captions]
        _check(self.name, self.keys, columns if self.neg_images is None else [*columns, self.neg_images])
        for split in set(self.splits):
            if not split or split in AGGREGATES:
                raise UserError(
                    f"pair set '{self.name}' has a split named '{split}'; give each item's a name of its own"
                )

    def digest(self) -> str:
        """SHA-256 of everything in the set, in order."""
        return _digest([self.keys, self.splits, self.images, self.captions, self.neg_captions, self.neg_images or []])


@dataclass(frozen=True, kw_only=True)
class RetrievalSet:
    """N images and M captions; ``image_of_caption`` [M] is the index of each caption's image, every image has one."""

    name: str
    images: list[bytes]
    captions: list[str]
    image_of_caption: list[int]

    def __post_init__(self) -> None:
        _check(self.name, self.captions, [self.image_of_caption])
        if set(self.image_of_caption) != set(range(len(self.images))):
            raise UserError(f"retrieval set '{self.name}': every image needs a caption, and every caption an image")

    def digest(self) -> str:
        """SHA-256 of everything in the set, in order."""
        return _digest([self.images, self.captions, map(str, self.image_of_caption)])


@dataclass(frozen=True, kw_only=True)
class ClassSet:
    """N images, the class index of each, K class names, and T prompt templates with one ``{}`` each."""

    name: str
    images: list[bytes]
    labels: list[int]
    class_names: list[str]
    templates: list[str]

    def __post_init__(self) -> None:
        _check(self.name, self.images, [self.labels])
        if len(set(self.class_names)) != len(self.class_names) or len(self.class_names) < 2:
            raise UserError(f"class set '{self.name}' needs at least two classes, each named once")
        if not set(self.labels) <= set(range(len(self.class_names))):
            raise UserError(f"class set '{self.name}' has labels outside 0..{len(self.class_names) - 1}")
        if not self.templates or any(template.count("{}") != 1 for template in self.templates):
            raise UserError(f"class set '{self.name}' needs prompt templates with one {{}} each")

    def prompts(self) -> list[str]:
        """Every class in every template, [K * T], the templates of a class side by side."""
        return [template.replace("{}", name) for name in self.class_names for template in self.templates]

    def digest(self) -> str:
        """SHA-256 of everything in the set, in order."""
        return _digest([self.images, map(str, self.labels), self.class_names, self.templates])


BenchmarkSet = PairSet | RetrievalSet | ClassSet


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


def _check(name: str, items: Sequence[object], columns: Iterable[Sequence[object]]) -> None:
    if name.startswith("-") or "/" in name:
        raise UserError(f"a set is named '{name}'; leave out dashes in front and slashes: '' or 'heldout'")
    if not items:
        raise UserError(f"the benchmark set '{name}' is empty; give it at least one item")
    if any(len(column) != len(items) for column in columns):
        raise UserError(f"the columns of the benchmark set '{name}' have different lengths; give one value per item")


def _digest(columns: Iterable[Iterable[str | bytes]]) -> str:
    """Hash of the hashes of all values, so that no two ways to cut the same bytes are alike."""
    outer = hashlib.sha256()
    for column in columns:
        inner = hashlib.sha256()
        for value in column:
            inner.update(hashlib.sha256(value.encode("utf8") if isinstance(value, str) else value).digest())
        outer.update(inner.digest())
    return outer.hexdigest()
