"""COCO's captions JSON with its folder of images (https://cocodataset.org/#format-data, image captioning)."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tripletclip.data.columns import captions_mode
from tripletclip.data.index import first_line
from tripletclip.data.pairs import Chunk, Pair
from tripletclip.data.rows import ImageIntake, numbered, pairs_of_image, unique_keys
from tripletclip.data.spec import FIRST, Spec, existing_file, images_folder, max_side_of, shown
from tripletclip.errors import UserError

KEYS = {
    "images": "folder of the images; 'none' for captions alone (must be given)",
    "captions": "'first' (default): a pair an image; 'all': a pair a caption",
    "max_side": "shrink images to this longer side, pixels",
}

Entry = tuple[str, str | None, tuple[str | None, ...]]
"""Image id, file name, captions."""


@dataclass(frozen=True, kw_only=True)
class CocoSource:
    """The images of the file in its order; the file is held whole (the largest, train2017, has 92 MB)."""

    title: str
    entries: tuple[Entry, ...]
    intake: ImageIntake
    mode: str

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """Chunks of ``rows`` images, fewer with ``captions=all``, so that a chunk has about ``rows`` pairs."""
        chunk: list[Entry] = []
        pairs = 0
        for entry in self.entries:
            chunk.append(entry)
            pairs += 1 if self.mode == FIRST else max(len(entry[2]), 1)
            if pairs >= rows:
                yield CocoChunk(entries=tuple(chunk), intake=self.intake, mode=self.mode)
                chunk, pairs = [], 0
        if chunk:
            yield CocoChunk(entries=tuple(chunk), intake=self.intake, mode=self.mode)


@dataclass(frozen=True, kw_only=True)
class CocoChunk:
    """Some images with their captions."""

    entries: tuple[Entry, ...]
    intake: ImageIntake
    mode: str

    def read(self) -> Iterator[Pair]:
        """Their pairs; keys are the image ids, with ``-0``, ``-1``... where each caption is a pair."""
        return unique_keys(itertools.chain.from_iterable(map(self._pairs, self.entries)))

    def _pairs(self, entry: Entry) -> Iterator[Pair]:
        number, name, captions = entry
        keys = numbered(number, len(captions), self.mode)
        return pairs_of_image(keys, captions, lambda: self.intake.take(name), self.mode)


def open_coco(spec: Spec) -> CocoSource:
    """The source of ``coco:FILE.json,images=FOLDER``."""
    path = existing_file(spec.path)
    if "images" not in spec.options:
        raise UserError(f"'{spec.text}' does not say where the images are; add ,images=FOLDER or ,images=none")
    return CocoSource(
        title=f"coco: {shown(spec.path)}",
        entries=tuple(_entries(path)),
        intake=ImageIntake(base=images_folder(spec, path.parent), max_side=max_side_of(spec)),
        mode=captions_mode(spec) or FIRST,
    )


def _entries(path: Path) -> list[Entry]:
    """Images in the order of the file, then captions whose image it does not list (their file is missing)."""
    content = _loaded(path)
    names: dict[Any, Any] = {_field(image, "id", path): _field(image, "file_name", path) for image in content["images"]}
    captions: dict[Any, list[Any]] = {number: [] for number in names}
    for annotation in content["annotations"]:
        captions.setdefault(_field(annotation, "image_id", path), []).append(_field(annotation, "caption", path))
    return [
        (
            str(number),
            name if isinstance(name := names.get(number), str) else None,
            tuple(text if isinstance(text, str) else None for text in texts),
        )
        for number, texts in captions.items()
    ]


def _loaded(path: Path) -> dict[str, list[Any]]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {path}: {first_line(error)}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON: {first_line(error)}") from error
    if not isinstance(content, dict) or not all(
        isinstance(content.get(name), list) for name in ("images", "annotations")
    ):
        raise UserError(f"{path} is no COCO captions file: it needs the lists 'images' and 'annotations'")
    return content


def _field(record: Any, name: str, path: Path) -> Any:
    if not isinstance(record, dict) or name not in record or isinstance(record[name], (list, dict)):
        what = "annotation" if name in ("image_id", "caption") else "image"
        hint = "; use captions_*.json, not instances_*.json" if name == "caption" else ""
        raise UserError(f"an {what} of {path} has no '{name}'{hint}")
    return record[name]
