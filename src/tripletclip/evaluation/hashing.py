"""The hash of a benchmark's data."""

import hashlib
from collections.abc import Iterable, Sequence

from tripletclip.evaluation.pictures import Picture, picture_digest

Value = str | Picture | Sequence[str]


def column_digest(columns: Iterable[Sequence[Value]]) -> str:
    """Hash of the hashes of all values, so that no two ways to cut the same bytes are alike."""
    outer = hashlib.sha256()
    for column in columns:
        outer.update(_digest_of_many(column))
    return outer.hexdigest()


def _digest_of_many(values: Sequence[Value]) -> bytes:
    inner = hashlib.sha256()
    for value in values:
        inner.update(_digest(value))
    return inner.digest()


def _digest(value: Value) -> bytes:
    if isinstance(value, str):
        return hashlib.sha256(value.encode("utf8")).digest()
    if isinstance(value, list | tuple):
        return _digest_of_many(value)
    assert not isinstance(value, Sequence) or isinstance(value, bytes)
    return bytes.fromhex(picture_digest(value))
