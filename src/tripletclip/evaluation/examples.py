"""A few items of each split with what a model saw in them; the same items for every model.

Shapes: N items.
"""

import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from tripletclip.data.transforms import decode_rgb
from tripletclip.evaluation.measuring import Seen
from tripletclip.evaluation.pictures import Picture, picture_bytes, picture_digest
from tripletclip.evaluation.sets import (
    BenchmarkSet,
    ChoiceSet,
    ClassSet,
    GroupSet,
    PairSet,
    ParaphraseSet,
    RetrievalSet,
)
from tripletclip.files import write_atomic
from tripletclip.reporting.results import Example

EXAMPLES_PER_SPLIT = 12
THUMBNAIL_SIDE = 256
"""Pixels of the longer side, at most."""
THUMBNAILS = "thumbnails"
"""The folder of thumbnails below that of the results."""


def chosen_rows(keys: Sequence[str], splits: Sequence[str]) -> list[int]:
    """Of each split the items whose keys have the smallest hashes, in that order; the splits by name."""
    by_split: dict[str, list[tuple[str, int]]] = {}
    for row, (key, split) in enumerate(zip(keys, splits, strict=True)):
        by_split.setdefault(split, []).append((hashlib.sha256(key.encode("utf8")).hexdigest(), row))
    return [row for split in sorted(by_split) for _, row in sorted(by_split[split])[:EXAMPLES_PER_SPLIT]]


def examples(item_set: BenchmarkSet, seen: Seen | None) -> tuple[Example, ...]:
    """Examples of a set of captions; none of other sets."""
    if seen is None or isinstance(item_set, RetrievalSet | ClassSet):
        return ()
    neg_images = _neg_images(item_set)
    return tuple(
        Example(
            key=item_set.keys[row],
            split=item_set.splits[row],
            image=picture_digest(item_set.images[row]),
            caption=seen.captions[row],
            other=seen.others[row],
            score=float(seen.scores.positive[row]),
            other_score=float(seen.scores.negative[row]),
            neg_image="" if neg_images is None else picture_digest(neg_images[row]),
        )
        for row in chosen_rows(item_set.keys, item_set.splits)
    )


def write_thumbnails(examples_of: Iterable[Example], sets: Sequence[BenchmarkSet], folder: Path) -> None:
    """A JPEG of every picture of the examples as ``thumbnails/DIGEST.jpg``; those that are there stay.

    Examples of benchmarks that are not among ``sets`` have theirs from when they were measured.
    """
    wanted = {digest for example in examples_of for digest in (example.image, example.neg_image)}
    wanted = {digest for digest in wanted if digest and not _thumbnail_path(folder, digest).exists()}
    for item_set in sets if wanted else ():
        for picture in item_set.pictures():
            digest = picture_digest(picture)
            if digest in wanted:
                write_atomic(_thumbnail_path(folder, digest), _thumbnail(picture))
                wanted.discard(digest)


def _thumbnail_path(folder: Path, digest: str) -> Path:
    return folder / THUMBNAILS / f"{digest}.jpg"


def _neg_images(item_set: PairSet | ChoiceSet | GroupSet | ParaphraseSet) -> list[Picture] | None:
    return item_set.neg_images if isinstance(item_set, PairSet | GroupSet) else None


def _thumbnail(picture: Picture) -> bytes:
    image = decode_rgb(picture_bytes(picture))
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()
