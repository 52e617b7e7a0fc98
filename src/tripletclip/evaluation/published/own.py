"""The user's own benchmark: a JSONL file whose fields say what it is, or a folder of images with ``classes.json``.

=================  =====================================================================  ==================
fields of a line   meaning                                                                becomes
=================  =====================================================================  ==================
neg_caption        ``image, caption, neg_caption``                                        PairSet
neg_image          ``image, caption, neg_image, neg_caption``                             GroupSet
options            ``image, options``: the true caption first                             ChoiceSet
label              ``image, label``; ``classes.json`` beside the file                     ClassSet
captions           ``image, captions`` (a list) or ``image, caption``                     RetrievalSet
=================  =====================================================================  ==================

``key`` and ``split`` may be given. Images are paths relative to the file's folder. Every line is of the same kind.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tripletclip.errors import UserError
from tripletclip.evaluation.published.files import (
    Gathered,
    Wanted,
    gather,
    read_json,
    read_json_lines,
    refuse_repeats,
    text_of,
    texts_of,
)
from tripletclip.evaluation.published.imagenet import CLASSES_FILE, read_folder
from tripletclip.evaluation.sets import BenchmarkSet, ChoiceSet, ClassSet, GroupSet, PairSet, RetrievalSet

Line = dict[str, Any]
WHERE, KEY, SPLIT = "where", "key", "split"
_ONE_SPLIT = "all"
"""The split of items that name none; its metric equals the whole."""

KINDS: Mapping[str, frozenset[str]] = {
    "groups": frozenset({"image", "caption", "neg_image", "neg_caption"}),
    "pairs": frozenset({"image", "caption", "neg_caption"}),
    "choices": frozenset({"image", "options"}),
    "classification": frozenset({"image", "label"}),
    "retrieval": frozenset({"image", "captions"}),
    "retrieval of one caption": frozenset({"image", "caption"}),
}
"""Fields that a kind needs; the first kind whose fields a line has is the line's."""

_OPTIONAL = frozenset({KEY, SPLIT})


def read_own(path: Path) -> list[BenchmarkSet]:
    """The set in a ``.jsonl`` file or in a folder of images; its name is the file's without ``.jsonl``.

    :class:`UserError` names the first line that is not of the first line's kind, that lacks a field, or whose key came
    before.
    """
    if path.is_dir():
        return [read_folder(path, path.name)]
    lines = read_json_lines(path)
    if not lines:
        raise UserError(f'{path} has no line; write an object such as {{"image": ..., "caption": ...}} a line')
    kind = _kind(lines[0][1], f"line {lines[0][0]} of {path}")
    for number, record in lines:
        found = _kind(record, f"line {number} of {path}")
        if found != kind:
            raise UserError(f"line {number} of {path} is of the kind '{found}', the first line '{kind}'; use two files")
    items = [{KEY: f"{number}", SPLIT: _ONE_SPLIT} | _plain(record, number, path) for number, record in lines]
    refuse_repeats([item[KEY] for item in items], path)
    return [_READERS[kind](path.stem, items, path)]


def _kind(record: Line, where: str) -> str:
    for kind, fields in KINDS.items():
        if fields <= record.keys():
            unknown = sorted(record.keys() - fields - _OPTIONAL)
            if unknown:
                raise UserError(
                    f"{where} has the field '{unknown[0]}', which '{kind}' does not know; drop or rename it"
                )
            return kind
    known = "; ".join(f"{kind}: {', '.join(sorted(fields))}" for kind, fields in KINDS.items())
    raise UserError(
        f"{where} has the fields {', '.join(sorted(record)) or '(none)'}; a line needs those of one kind ({known})"
    )


def _plain(record: Line, number: int, path: Path) -> Line:
    where = f"line {number} of {path}"
    for name in _OPTIONAL & record.keys():
        if not isinstance(record[name], str | int) or isinstance(record[name], bool) or record[name] == "":
            raise UserError(f"{where}: '{name}' must be a text or a whole number")
    return record | {name: str(record[name]) for name in _OPTIONAL & record.keys()} | {WHERE: where}


def _gather(items: list[Line], path: Path, *fields: str, weight: Callable[[Line], int] = lambda _: 1) -> Gathered[Line]:
    def wanted(item: Line) -> list[Wanted]:
        return [Wanted(folders=(path.parent,), name=text_of(item, field, item[WHERE])) for field in fields]

    return gather(items, wanted, path, weight)


def _column(got: Gathered[Line], name: str) -> list[str]:
    return [text_of(item, name, item[WHERE]) for item in got.items]


def _pairs(name: str, items: list[Line], path: Path) -> BenchmarkSet:
    got = _gather(items, path, "image")
    return PairSet(
        name=name,
        keys=_column(got, KEY),
        splits=_column(got, SPLIT),
        images=got.column(),
        captions=_column(got, "caption"),
        neg_captions=_column(got, "neg_caption"),
        left_out=got.left_out,
        family="pairs",
    )


def _groups(name: str, items: list[Line], path: Path) -> BenchmarkSet:
    got = _gather(items, path, "image", "neg_image")
    return GroupSet(
        name=name,
        keys=_column(got, KEY),
        splits=_column(got, SPLIT),
        images=got.column(0),
        captions=_column(got, "caption"),
        neg_images=got.column(1),
        neg_captions=_column(got, "neg_caption"),
        left_out=got.left_out,
    )


def _choices(name: str, items: list[Line], path: Path) -> BenchmarkSet:
    got = _gather(items, path, "image")
    return ChoiceSet(
        name=name,
        keys=_column(got, KEY),
        splits=_column(got, SPLIT),
        images=got.column(),
        options=[texts_of(item, "options", item[WHERE], least=2) for item in got.items],
        left_out=got.left_out,
    )


def _retrieval(name: str, items: list[Line], path: Path) -> BenchmarkSet:
    """Lines with the same image file are one image; where ``captions`` is not there, ``caption`` is."""
    captions: dict[str, list[str]] = {}
    for item in items:
        texts = (
            texts_of(item, "captions", item[WHERE]) if "captions" in item else [text_of(item, "caption", item[WHERE])]
        )
        captions.setdefault(text_of(item, "image", item[WHERE]), []).extend(texts)
    merged: list[Line] = [{"image": image, "captions": texts, WHERE: str(path)} for image, texts in captions.items()]
    got = _gather(merged, path, "image", weight=lambda item: len(item["captions"]))
    return RetrievalSet(
        name=name,
        images=got.column(),
        captions=[caption for item in got.items for caption in item["captions"]],
        image_of_caption=[place for place, item in enumerate(got.items) for _ in item["captions"]],
        left_out=got.left_out,
    )


def _classification(name: str, items: list[Line], path: Path) -> BenchmarkSet:
    classes = path.parent / CLASSES_FILE
    content = read_json(classes)
    texts = {
        field: texts_of(content if isinstance(content, dict) else {}, field, str(classes))
        for field in ("classes", "templates")
    }
    got = _gather(items, path, "image")
    return ClassSet(
        name=name,
        images=got.column(),
        labels=[_label(item, texts["classes"]) for item in got.items],
        class_names=texts["classes"],
        templates=texts["templates"],
        left_out=got.left_out,
    )


def _label(item: Line, class_names: list[str]) -> int:
    label = item["label"]
    if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < len(class_names):
        return label
    if isinstance(label, str) and label in class_names:
        return class_names.index(label)
    raise UserError(f"{item[WHERE]} has the label {label!r}, which is neither a name nor a number of {CLASSES_FILE}")


_READERS: Mapping[str, Callable[[str, list[Line], Path], BenchmarkSet]] = {
    "groups": _groups,
    "pairs": _pairs,
    "choices": _choices,
    "classification": _classification,
    "retrieval": _retrieval,
    "retrieval of one caption": _retrieval,
}
