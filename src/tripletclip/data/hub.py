"""Hugging Face datasets: a ``save_to_disk`` folder, or a data set of the Hub by name (downloaded to its cache)."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tripletclip.data.columns import Columns as ColumnNames
from tripletclip.data.columns import captions_mode, check_types, columns_of, pairs_of_records, records_of_table
from tripletclip.data.index import first_line
from tripletclip.data.pairs import Chunk, Pair
from tripletclip.data.rows import ImageIntake, unique_keys
from tripletclip.data.spec import Spec, images_folder, max_side_of, shown
from tripletclip.errors import UserError, unknown_name
from tripletclip.extras import require

KEYS = {
    "image": "column of images: Image feature, bytes or paths (image)",
    "caption": "column of captions or lists of captions (caption)",
    "key": "column of keys (rows are numbered)",
    "split": "split, where there are several",
    "config": "configuration of a data set of the Hub",
    "images": "folder that image paths are relative to (the data set's own); 'none' for captions alone",
    "captions": "'first' or 'all', where captions are lists or rows that follow each other name one image",
    "max_side": "shrink images to this longer side, pixels",
}
DISK_MARKS = ("dataset_dict.json", "state.json")
_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Place:
    """Which rows: a saved folder or a name, configuration and split."""

    path: str
    config: str | None
    split: str | None

    def load(self) -> Any:
        """The data set as Arrow, its images not decoded; rows stay on disk."""
        import datasets

        try:
            if is_saved(Path(self.path)):
                found = datasets.load_from_disk(self.path)
            else:
                found = datasets.load_dataset(self.path, self.config)
        except (
            OSError,
            ValueError,
            ImportError,
            RuntimeError,
            LookupError,
            datasets.exceptions.DatasetsError,
        ) as error:
            raise UserError(
                f"cannot load the data set {self.path}: {first_line(error)}; give a save_to_disk folder or a name "
                f"of the Hugging Face Hub"
            ) from error
        return self._split_of(found).with_format("arrow")

    def _split_of(self, found: Any) -> Any:
        if not isinstance(found, dict):
            if self.split is not None and str(found.split) != self.split:
                raise UserError(f"{self.path} is one split, '{found.split}'; leave out split={self.split}")
            return found
        if self.split is None and len(found) > 1:
            raise UserError(f"{self.path} has several splits; add split={next(iter(found))} (of {', '.join(found)})")
        split = next(iter(found)) if self.split is None else self.split
        if split not in found:
            raise unknown_name(f"split of {self.path}", split, found)
        return found[split]


@dataclass(frozen=True, kw_only=True)
class HubSource:
    """The rows of one split."""

    title: str
    place: Place
    count: int
    columns: ColumnNames
    intake: ImageIntake
    mode: str | None

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """Chunks of ``rows`` rows; rows that repeat an image's path are joined inside a chunk only."""
        for start in range(0, self.count, rows):
            yield HubChunk(
                place=self.place,
                start=start,
                stop=min(start + rows, self.count),
                columns=self.columns,
                intake=self.intake,
                mode=self.mode,
            )


@dataclass(frozen=True, kw_only=True)
class HubChunk:
    """Rows ``start`` to ``stop``."""

    place: Place
    start: int
    stop: int
    columns: ColumnNames
    intake: ImageIntake
    mode: str | None

    def read(self) -> Iterator[Pair]:
        """Their pairs."""
        rows = self.place.load()
        records = (
            record
            for start in range(self.start, self.stop, _BATCH)
            for record in records_of_table(rows[start : min(start + _BATCH, self.stop)], self.columns, start)
        )
        return unique_keys(pairs_of_records(records, self.intake, self.mode))


def is_saved(path: Path) -> bool:
    """Whether ``path`` is a folder written by ``save_to_disk``."""
    return any((path / name).is_file() for name in DISK_MARKS)


def open_hub(spec: Spec) -> HubSource:
    """The source of ``hf:PATH_OR_NAME``."""
    require("hf", "the source 'hf'", "datasets")
    path = os.path.expanduser(spec.path)
    if Path(path).is_dir() and not is_saved(Path(path)):
        raise UserError(f"{path} is no folder of save_to_disk; give one, or the files in it as parquet: or csv:")
    place = Place(path=path, config=spec.options.get("config"), split=spec.options.get("split"))
    rows = place.load()
    base = images_folder(spec, Path(path) if Path(path).is_dir() else Path())
    columns = columns_of(spec, rows.column_names, path, images=base is not None)
    check_types(rows.features.arrow_schema, columns, path)
    return HubSource(
        title=f"hf: {shown(spec.path) if Path(path).is_dir() else spec.path}",
        place=place,
        count=len(rows),
        columns=columns,
        intake=ImageIntake(base=base, max_side=max_side_of(spec)),
        mode=captions_mode(spec),
    )
