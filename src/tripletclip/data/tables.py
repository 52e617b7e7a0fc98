"""CSV, TSV and Parquet files with a caption column and a column of image paths or bytes.

Files are read once from end to end to find where chunks begin (a byte in a CSV, a row in a Parquet file), and again
from there, so memory does not grow with the rows.
"""

import csv
import glob
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from tripletclip.data.columns import (
    Columns,
    Record,
    captions_mode,
    check_types,
    columns_of,
    pairs_of_records,
    records_of_table,
    same_image,
)
from tripletclip.data.index import first_line
from tripletclip.data.pairs import Chunk, Pair
from tripletclip.data.rows import ImageIntake, Text, unique_keys
from tripletclip.data.spec import Spec, existing_file, images_folder, max_side_of, shown
from tripletclip.errors import UserError

KEYS = {
    "image": "column of image paths or bytes (image)",
    "caption": "column of captions (caption)",
    "key": "column of keys (rows are numbered)",
    "images": "folder that image paths are relative to (the file's own); 'none' for captions alone",
    "captions": "'first' or 'all', where rows that follow each other name one image, or captions are lists",
    "max_side": "shrink images to this longer side, pixels",
}

_LINE = 2**20
_BATCH = 64


class Table(Protocol):
    """One file; a place is where a row begins, in the file's own measure."""

    @property
    def start(self) -> int:
        """The place of the first row."""
        ...

    def records(self, place: int, number: int) -> Iterator[tuple[int, Record]]:
        """From ``place`` on, each row and the place after it; rows are numbered from ``number``."""
        ...

    def outline(self, number: int) -> Iterator[tuple[int, Record]]:
        """As ``records`` from the start, with no more read than is needed to cut the file into chunks."""
        ...


@dataclass(frozen=True, kw_only=True)
class TableSource:
    """One or more files of the same columns, their rows numbered through."""

    title: str
    tables: tuple[Table, ...]
    intake: ImageIntake
    mode: str | None

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """Chunks of ``rows`` rows, of more where the captions of an image would be torn apart."""
        number = 0
        for table in self.tables:
            place, start, last = table.start, number, None
            after = place
            for after_row, record in table.outline(number):
                joined = self.mode is not None and last is not None and same_image(last.image, record.image)
                if number - start >= rows and not joined:
                    yield self._chunk(table, place, start, number - start)
                    place, start = after, number
                after, last, number = after_row, record, number + 1
            if number > start:
                yield self._chunk(table, place, start, number - start)

    def _chunk(self, table: Table, place: int, number: int, rows: int) -> "TableChunk":
        return TableChunk(table=table, place=place, number=number, rows=rows, intake=self.intake, mode=self.mode)


@dataclass(frozen=True, kw_only=True)
class TableChunk:
    """``rows`` rows of a file from ``place`` on."""

    table: Table
    place: int
    number: int
    rows: int
    intake: ImageIntake
    mode: str | None

    def read(self) -> Iterator[Pair]:
        """Their pairs."""
        records = itertools.islice(self.table.records(self.place, self.number), self.rows)
        return unique_keys(pairs_of_records((record for _, record in records), self.intake, self.mode))


# ---- CSV and TSV ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class CsvTable:
    """A CSV file with a header; places are bytes. Cells may hold quoted line ends and text that is not UTF-8."""

    path: Path
    columns: Columns
    delimiter: str
    header: tuple[str, ...]
    start: int

    def records(self, place: int, number: int) -> Iterator[tuple[int, Record]]:
        """Rows from byte ``place`` on; the problem of one that is none: ``row: broken``, ``row: too few columns``."""
        image, caption = self._at(self.columns.image), self._at(self.columns.caption)
        key = self._at(self.columns.key)
        with self.path.open("rb") as file:
            file.seek(place)
            for cells in csv_rows(file, self.delimiter):
                problem = "row: broken" if cells is None else ""
                if cells is not None and len(cells) < len(self.header):
                    problem = "row: too few columns"
                row = cells if cells is not None and not problem else None
                captions: tuple[Text, ...] = (row[caption],) if row is not None and caption is not None else (None,)
                yield (
                    file.tell(),
                    Record(
                        number=number,
                        key=row[key] if row is not None and key is not None else None,
                        image=row[image] if row is not None and image is not None else None,
                        captions=captions,
                        problem=problem,
                    ),
                )
                number += 1

    def outline(self, number: int) -> Iterator[tuple[int, Record]]:
        """All rows."""
        return self.records(self.start, number)

    def _at(self, column: str | None) -> int | None:
        return None if column is None else self.header.index(column)


def csv_rows(file: IO[bytes], delimiter: str) -> Iterator[list[str] | None]:
    """The rows from where the file stands, ``None`` for one that cannot be parsed; blank lines are no rows.

    The parser takes a line only when it needs one, so after each row the file stands at its end.
    """
    # A line without end would be one allocation as large as the file; the parser refuses its pieces.
    lines = iter(lambda: file.readline(_LINE).decode("utf-8", "surrogateescape"), "")
    parser = csv.reader(lines, delimiter=delimiter)
    while True:
        try:
            cells = next(parser)
        except StopIteration:
            return
        except csv.Error:
            yield None
            continue
        if cells:
            yield cells


def open_csv(spec: Spec) -> TableSource:
    """The source of ``csv:PATH``."""
    return _open_csv(spec, ",", "csv")


def open_tsv(spec: Spec) -> TableSource:
    """The source of ``tsv:PATH``."""
    return _open_csv(spec, "\t", "tsv")


def _open_csv(spec: Spec, delimiter: str, scheme: str) -> TableSource:
    path = existing_file(spec.path)
    header, start = csv_header(path, delimiter)
    base = images_folder(spec, path.parent)
    columns = columns_of(spec, header, str(path), images=base is not None)
    return TableSource(
        title=f"{scheme}: {shown(spec.path)}",
        tables=(CsvTable(path=path, columns=columns, delimiter=delimiter, header=header, start=start),),
        intake=ImageIntake(base=base, max_side=max_side_of(spec)),
        mode=captions_mode(spec),
    )


def csv_header(path: Path, delimiter: str) -> tuple[tuple[str, ...], int]:
    """The column names of a CSV file and the byte at which its rows begin."""
    try:
        with path.open("rb") as file:
            cells = next(csv_rows(file, delimiter), None)
            end = file.tell()
    except OSError as error:
        raise UserError(f"cannot read {path}: {first_line(error)}") from error
    if not cells:
        raise UserError(f"{path} has no header line; its first line must name the columns")
    return (cells[0].removeprefix("\ufeff").strip('"'), *cells[1:]), end


# ---- Parquet -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ParquetTable:
    """A Parquet file; places are row numbers. Row groups before the place are passed over unread."""

    path: Path
    columns: Columns
    grouped: bool
    start: int = 0

    def records(self, place: int, number: int) -> Iterator[tuple[int, Record]]:
        """Rows from ``place`` on."""
        return self._read(place, number, self.columns.names())

    def outline(self, number: int) -> Iterator[tuple[int, Record]]:
        """Rows with their image path where captions are grouped by it, and numbers alone otherwise."""
        if self.grouped and self.columns.image is not None:
            names = [self.columns.image]
            columns = Columns(caption=self.columns.image, image=self.columns.image, key=None)
            table = ParquetTable(path=self.path, columns=columns, grouped=True)
            yield from table._read(0, number, names)
            return
        with _parquet(self.path) as file:
            count = file.metadata.num_rows
        for place in range(count):
            yield place + 1, Record(number=number + place, key=None, image=None, captions=(None,))

    def _read(self, place: int, number: int, names: list[str]) -> Iterator[tuple[int, Record]]:
        try:
            with _parquet(self.path) as file:
                groups, first = _groups_from(file, place)
                for batch in file.iter_batches(batch_size=_BATCH, row_groups=groups, columns=names, use_threads=False):
                    skipped = min(max(place - first, 0), batch.num_rows)
                    first += batch.num_rows
                    table = pa.Table.from_batches([batch.slice(skipped)])
                    for record in records_of_table(table, self.columns, number):
                        place += 1
                        number += 1
                        yield place, record
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"cannot read {self.path}: {first_line(error)}") from error


def _groups_from(file: pq.ParquetFile, place: int) -> tuple[list[int], int]:
    """The row groups that hold ``place`` or come after it, and the first row of the first of them."""
    first = 0
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if first + rows > place:
            return list(range(group, file.num_row_groups)), first
        first += rows
    return [], first


def _parquet(path: Path) -> pq.ParquetFile:
    """The open file; buffered, so that a large row group is not loaded at once."""
    try:
        return pq.ParquetFile(path, buffer_size=2**20, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} is no Parquet file or is truncated: {first_line(error)}") from error


def open_parquet(spec: Spec) -> TableSource:
    """The source of ``parquet:PATH``; ``PATH`` is a file, a folder of ``*.parquet`` or a glob pattern."""
    paths = _parquet_paths(spec.path)
    base = images_folder(spec, paths[0].parent)
    tables: list[Table] = []
    for path in paths:
        with _parquet(path) as file:
            schema = file.schema_arrow
        columns = columns_of(spec, schema.names, str(path), images=base is not None)
        check_types(schema, columns, str(path))
        grouped = "captions" in spec.options and _holds_paths(schema, columns)
        tables.append(ParquetTable(path=path, columns=columns, grouped=grouped))
    return TableSource(
        title=f"parquet: {shown(spec.path)}",
        tables=tuple(tables),
        intake=ImageIntake(base=base, max_side=max_side_of(spec)),
        mode=captions_mode(spec),
    )


def _holds_paths(schema: pa.Schema, columns: Columns) -> bool:
    if columns.image is None:
        return False
    kind = schema.field(columns.image).type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _parquet_paths(text: str) -> list[Path]:
    path = Path(text).expanduser()
    if path.is_file():
        return [path]
    pattern = glob.escape(str(path)) + "/*.parquet" if path.is_dir() else str(path)
    found = sorted(Path(name) for name in glob.glob(pattern))
    return found or [existing_file(text)]
