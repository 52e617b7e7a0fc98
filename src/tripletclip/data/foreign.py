"""Shards of other tools, indexed by a walk over the tar headers; nothing is extracted.

Known are plain img2dataset shards (``KEY.jpg``, ``KEY.txt``, ``KEY.json``), the authors' TripletCLIP shards
(``KEY.image``, ``KEY.caption``, ``KEY.neg_image``, ``KEY.neg_caption``) and our own without parquet and JSON.
"""

import os
import posixpath
import tarfile
from pathlib import Path

import pyarrow as pa

from tripletclip.data.index import (
    KEY,
    REASON,
    STATUS,
    ShardIndex,
    Value,
    first_line,
    index_table,
    length_column,
    offset_column,
)
from tripletclip.data.triplet import ACCEPTED, CAPTION, IMAGE, NEG_CAPTION, NEG_IMAGE, REJECTED
from tripletclip.errors import UserError

IMAGE_SUFFIXES = ("jpg", "jpeg", "png", "webp")
ROLE_OF_SUFFIX = (
    dict.fromkeys((*IMAGE_SUFFIXES, IMAGE), IMAGE)
    | dict.fromkeys(("txt", CAPTION), CAPTION)
    | dict.fromkeys((*(f"neg.{suffix}" for suffix in IMAGE_SUFFIXES), NEG_IMAGE), NEG_IMAGE)
    | dict.fromkeys(("neg.txt", NEG_CAPTION), NEG_CAPTION)
)
"""Tar member suffix (all after the first dot, lower case) to role; members with other suffixes are passed over."""


def foreign_indices(folder: Path) -> list[ShardIndex]:
    """The index of every ``*.tar`` in ``folder``, in the order of their names."""
    tars = sorted(path for path in folder.glob("*.tar") if not path.name.startswith("."))
    if not tars:
        raise UserError(f"{folder} has no *.tar file; give the folder that holds the shards")
    return [ShardIndex(tar=path, table=index_tar(path)) for path in tars]


def index_tar(path: Path) -> pa.Table:
    """The index table of a tar from its headers and captions; a row a key, in the order of the tar.

    A key without image or caption is a rejected row. Raises :class:`UserError` for a tar that is no tar, is truncated,
    or has two members of one role for a key.
    """
    records: dict[str, dict[str, Value]] = {}
    try:
        # "r:" means uncompressed: in a compressed tar, offsets would point nowhere.
        with tarfile.open(path, "r:") as tar, path.open("rb") as raw:
            for member in tar:
                key, role = _key_and_role(member)
                if role is None:
                    continue
                record = records.setdefault(key, {KEY: key})
                if offset_column(role) in record:
                    raise UserError(f"{path} has two members for '{role}' of key '{key}'; make the keys unique")
                record[offset_column(role)] = member.offset_data
                record[length_column(role)] = member.size
                if role in (CAPTION, NEG_CAPTION):
                    record[role] = _decode(os.pread(raw.fileno(), member.size, member.offset_data), member.name, path)
            _check_end(raw.fileno(), tar, path)
    except tarfile.TarError as error:
        raise UserError(f"{path} is truncated or no plain tar: {first_line(error)}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {first_line(error)}") from error
    return index_table([_judged(record) for record in records.values()])


def _key_and_role(member: tarfile.TarInfo) -> tuple[str, str | None]:
    """Split a member's name as webdataset does: the key ends at the first dot of the file's own name."""
    directory, name = posixpath.split(member.name)
    stem, _, suffix = name.partition(".")
    role = ROLE_OF_SUFFIX.get(suffix.lower()) if member.isfile() else None
    return posixpath.join(directory, stem), role


def _decode(text: bytes, name: str, path: Path) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: caption '{name}' is not UTF-8; write it as UTF-8") from error


def _check_end(handle: int, tar: tarfile.TarFile, path: Path) -> None:
    """tarfile takes a cut between two members, or inside the last one, for the end: ask for the closing zero block."""
    if os.pread(handle, tarfile.BLOCKSIZE, tar.offset) != bytes(tarfile.BLOCKSIZE):
        raise UserError(f"{path} is truncated: it has no end-of-archive block; fetch or write it again")


def _judged(record: dict[str, Value]) -> dict[str, Value]:
    missing = [role for role in (IMAGE, CAPTION) if offset_column(role) not in record]
    if not missing:
        return record | {STATUS: ACCEPTED, REASON: ""}
    return {CAPTION: "", **record, STATUS: REJECTED, REASON: f"no {missing[0]}"}
