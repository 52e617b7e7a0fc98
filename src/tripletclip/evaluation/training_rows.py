"""The rows of any training set, part by part: our shards, or a source such as ``coco:captions.json,images=train/``."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tripletclip.data.own import OwnChunk
from tripletclip.data.pairs import Chunk
from tripletclip.data.shards import finished_shards
from tripletclip.data.sources import open_source
from tripletclip.data.triplet import ACCEPTED
from tripletclip.evaluation.contamination import Part, TrainingRow

PART_ROWS = 1000


def training_parts(text: str) -> Iterator[Part]:
    """The parts of a folder of our shards, or of a source of docs/sources.md.

    Only rows that training would take are given: accepted ones, with negatives, whose source found no fault.
    Raises :class:`tripletclip.errors.UserError` for what is neither.
    """
    folder = Path(text)
    numbers = finished_shards(folder) if folder.is_dir() else []
    if numbers:
        for number in numbers:
            yield _OwnPart(chunk=OwnChunk(folder=folder, number=number))
        return
    source = open_source(text)
    for chunk in source.chunks(PART_ROWS):
        yield _SourcePart(chunk=chunk, coco=source.title.startswith("coco:"))


@dataclass(frozen=True, kw_only=True)
class _OwnPart:
    chunk: OwnChunk

    def __call__(self) -> Iterator[TrainingRow]:
        for row in self.chunk.rows():
            if row.status == ACCEPTED:
                yield TrainingRow(
                    key=row.key,
                    names=(row.key, *_texts(row.extra.values())),
                    captions=tuple(text for text in (row.caption, row.neg_caption) if text),
                    images=tuple(image for image in (row.image, row.neg_image) if image is not None),
                )


@dataclass(frozen=True, kw_only=True)
class _SourcePart:
    """``coco``: keys are COCO's image numbers without the zeros in front."""

    chunk: Chunk
    coco: bool

    def __call__(self) -> Iterator[TrainingRow]:
        for pair in self.chunk.read():
            if not pair.problem:
                number = pair.key.partition("-")[0]
                yield TrainingRow(
                    key=pair.key,
                    names=(number.zfill(12) if self.coco else pair.key, *_texts(pair.extra.values())),
                    captions=tuple(text for text in (pair.caption, pair.neg_caption, *pair.other_captions) if text),
                    images=tuple(image for image in (pair.image, pair.neg_image) if image is not None),
                )


def _texts(values: Iterable[object]) -> tuple[str, ...]:
    return tuple(value for value in values if isinstance(value, str))
