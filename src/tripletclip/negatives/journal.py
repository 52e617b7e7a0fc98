"""Rows of a shard that is not finished yet: appended as they come, so that a killed run loses only those in flight.

A record is its length, its CRC-32 and its payload: a line of JSON, then the bytes of the negative image. A torn tail is
cut off when the journal is opened. The positive image is not kept: the source still has it.
"""

import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tripletclip.data.triplet import FAILED, Triplet
from tripletclip.errors import UserError

_HEAD = struct.Struct(">II")


class Journal:
    """The journal at ``path``; nothing is written before the first :meth:`append`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def rows(self) -> dict[str, Triplet]:
        """Key to row of everything that was finished, without positive images. Failed rows are left out: try again."""
        if not self._path.exists():
            return {}
        content = self._path.read_bytes()
        rows, whole = {}, 0
        for row, end in _records(content):
            rows[row.key] = row
            whole = end
        if whole < len(content):
            with self._path.open("r+b") as file:
                file.truncate(whole)
        return {key: row for key, row in rows.items() if row.status != FAILED}

    def append(self, rows: Sequence[Triplet]) -> None:
        """Add ``rows``; they survive the death of this process from here on."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write(b"".join(_record(row) for row in rows))
        except OSError as error:
            raise UserError(
                f"cannot write {self._path}: {error.strerror or error}; free space or choose another folder"
            ) from error

    def remove(self) -> None:
        """The shard is finished: the journal is not needed any more."""
        self._path.unlink(missing_ok=True)


def _record(row: Triplet) -> bytes:
    head = {
        "key": row.key,
        "caption": row.caption,
        "neg_caption": row.neg_caption,
        "status": row.status,
        "reason": row.reason,
        "extra": dict(row.extra),
        "painted": row.neg_image is not None,
    }
    payload = json.dumps(head).encode("ascii") + b"\n" + (row.neg_image or b"")
    return _HEAD.pack(len(payload), zlib.crc32(payload)) + payload


def _records(content: bytes) -> Iterator[tuple[Triplet, int]]:
    """Each whole record with the position after it; ends at the first that is torn."""
    at = 0
    while at + _HEAD.size <= len(content):
        length, check = _HEAD.unpack_from(content, at)
        payload = content[at + _HEAD.size : at + _HEAD.size + length]
        if len(payload) < length or zlib.crc32(payload) != check:
            return
        line, _, image = payload.partition(b"\n")
        head = json.loads(line)
        painted = head.pop("painted")
        at += _HEAD.size + length
        yield Triplet(**head, neg_image=image if painted else None), at


def with_image_of(row: Triplet, source: Triplet) -> Triplet:
    """``row`` as it left the stages, with the positive image that the source still has."""
    return replace(row, image=source.image)
