"""Rows of tables as records, whatever file they come from, and records as pairs.

Arrow text is read as bytes and decoded cell by cell: one caption that is not UTF-8 costs its row, not the batch.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tripletclip.data.pairs import Pair
from tripletclip.data.rows import ImageIntake, Text, make_pair, numbered, pairs_of_image, safe_key
from tripletclip.data.spec import ALL, FIRST, Spec, chosen, column_of
from tripletclip.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Names of the columns to read; ``image`` is ``None`` for captions alone, ``key`` where rows are numbered."""

    caption: str
    image: str | None
    key: str | None

    def names(self) -> list[str]:
        """The columns, each once."""
        return [*dict.fromkeys(name for name in (self.key, self.image, self.caption) if name is not None)]


@dataclass(frozen=True, kw_only=True)
class Record:
    """A row of a table: ``image`` is a path or encoded bytes; ``number`` counts rows from 0 over all its files."""

    number: int
    key: str | None
    image: str | bytes | None
    captions: tuple[Text, ...]
    problem: str = ""


def columns_of(spec: Spec, present: Sequence[str], where: str, *, images: bool) -> Columns:
    """The columns that the options name, checked against those that are there.

    Without ``images`` the image column is read only to join an image's rows, where ``captions`` asks for it.
    """
    key = column_of(spec, "key", present, where) if "key" in spec.options else None
    joined = "captions" in spec.options and spec.options.get("image", "image") in present
    image = column_of(spec, "image", present, where) if images or joined else None
    return Columns(caption=column_of(spec, "caption", present, where), image=image, key=key)


def captions_mode(spec: Spec) -> str | None:
    """The option ``captions``: ``first``, ``all`` or ``None`` where it is not given."""
    return chosen(spec, "captions", (FIRST, ALL))


def pairs_of_records(records: Iterable[Record], intake: ImageIntake, mode: str | None) -> Iterator[Pair]:
    """The pairs of ``records``. With ``mode``, adjacent rows with the same image path are one image's captions."""
    for group in _groups(records, join=mode is not None):
        yield from _pairs_of_group(group, intake, mode)


def _pairs_of_group(group: list[Record], intake: ImageIntake, mode: str | None) -> Iterator[Pair]:
    first = group[0]
    captions = [caption for record in group for caption in record.captions]
    if first.problem:
        yield Pair(key=_key(first), caption="", problem=first.problem)
    elif len(captions) == 1 and len(group) == 1:
        yield make_pair(key=_key(first), caption=captions[0], image=lambda: intake.take(first.image))
    else:
        keys = _keys(group, len(captions), mode or FIRST)
        yield from pairs_of_image(keys, captions, lambda: intake.take(first.image), mode or FIRST)


def _groups(records: Iterable[Record], *, join: bool) -> Iterator[list[Record]]:
    group: list[Record] = []
    for record in records:
        if group and not (join and same_image(group[0].image, record.image)):
            yield group
            group = []
        group.append(record)
    if group:
        yield group


def same_image(one: str | bytes | None, other: str | bytes | None) -> bool:
    """Whether two rows name one image by its path."""
    return isinstance(one, str) and one == other and one != ""


def _keys(group: list[Record], captions: int, mode: str) -> list[str]:
    """A key for every caption (only the first counts where one pair is made): the rows' own if they differ."""
    own = [_key(record) for record in group]
    if mode == ALL and len(group) == captions and len(set(own)) == len(own):
        return own
    return numbered(own[0], captions, mode)


def _key(record: Record) -> str:
    return safe_key(record.key) if record.key else f"{record.number:09d}"


# ---- Arrow ---------------------------------------------------------------------------------------------------------


def check_types(schema: pa.Schema, columns: Columns, where: str) -> None:
    """Refuse column types that hold neither captions nor images."""
    kind = _plain(schema.field(columns.caption).type)
    if not (_is_text(kind) or (_is_list(kind) and _is_text(_plain(kind.value_type)))):
        raise UserError(f"column '{columns.caption}' of {where} is {kind}; captions must be text or lists of text")
    if columns.image is None:
        return
    kind = _plain(schema.field(columns.image).type)
    if not (_is_text(kind) or _is_binary(kind) or _is_image_record(kind)):
        raise UserError(
            f"column '{columns.image}' of {where} is {kind}; images must be paths, bytes or records of bytes and path"
        )


def _is_image_record(kind: pa.DataType) -> bool:
    """Whether ``kind`` is a record of ``bytes`` or ``path`` or both, as HF datasets stores images."""
    if not pa.types.is_struct(kind):
        return False
    inner = {kind.field(place).name: kind.field(place).type for place in range(kind.num_fields)}
    fits = {"bytes": _is_binary, "path": _is_text}
    known = [name for name in fits if name in inner]
    return bool(known) and all(fits[name](inner[name]) or pa.types.is_null(inner[name]) for name in known)


def records_of_table(table: pa.Table, columns: Columns, first_number: int) -> Iterator[Record]:
    """The records of an Arrow table whose types have been checked."""
    captions = _values(table[columns.caption])
    images = _values(table[columns.image]) if columns.image is not None else [None] * table.num_rows
    keys = _values(table[columns.key]) if columns.key is not None else [None] * table.num_rows
    paths = columns.image is not None and _is_text(_plain(table.schema.field(columns.image).type))
    for place, (key, image, caption) in enumerate(zip(keys, images, captions, strict=True)):
        yield Record(
            number=first_number + place,
            key=None if key is None else _path(key) if isinstance(key, bytes) else str(key),
            image=_image(image, is_path=paths),
            captions=tuple(caption) if isinstance(caption, list) else (caption,),
        )


def _image(value: Any, *, is_path: bool) -> str | bytes | None:
    if isinstance(value, dict):
        content, path = value.get("bytes"), value.get("path")
        return content if content is not None else _image(path, is_path=True)
    if isinstance(value, bytes):
        return _path(value) if is_path else value
    assert value is None, type(value)
    return None


def _path(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _values(column: pa.ChunkedArray) -> list[Any]:
    """Python values of a column in which all text is bytes."""
    values: list[Any] = column.cast(_undecoded(column.type)).to_pylist()
    return values


def _undecoded(kind: pa.DataType) -> pa.DataType:
    """The type with bytes in place of text, all the way down."""
    kind = _plain(kind)
    if _is_text(kind):
        return pa.large_binary() if pa.types.is_large_string(kind) else pa.binary()
    if _is_list(kind):
        inner = _undecoded(kind.value_type)
        return pa.large_list(inner) if pa.types.is_large_list(kind) else pa.list_(inner)
    if pa.types.is_struct(kind):
        fields = [kind.field(place) for place in range(kind.num_fields)]
        return pa.struct([pa.field(field.name, _undecoded(field.type)) for field in fields])
    return kind


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))
