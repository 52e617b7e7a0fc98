"""Tars of image-text data, streamed: webdataset, img2dataset, the TripletCLIP authors' shards and our own.

A tar is read from front to back, once, never extracted: member names are only text here. One tar is one chunk.
"""

import gzip
import posixpath
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from tripletclip.data.foreign import ROLE_OF_SUFFIX
from tripletclip.data.index import first_line
from tripletclip.data.intake import MAX_IMAGE_BYTES
from tripletclip.data.pairs import Chunk, Pair
from tripletclip.data.rows import (
    MAX_CAPTION_BYTES,
    ImageIntake,
    make_pair,
    safe_key,
    unique_keys,
    with_negatives,
)
from tripletclip.data.spec import Spec, chosen, existing_file, is_url, max_side_of, shown
from tripletclip.data.tar_names import check_url, opened, stem_of, tar_paths
from tripletclip.data.transforms import ImageError
from tripletclip.data.triplet import CAPTION, IMAGE, NEG_CAPTION, NEG_IMAGE
from tripletclip.errors import UserError

KEYS = {
    "max_side": "shrink images to this longer side, pixels",
    "prefix": "'tar' puts the tar's name before each key, for tars whose keys repeat; 'none' (default)",
}

_TAIL = 4 * tarfile.RECORDSIZE
_LIMIT = {
    IMAGE: MAX_IMAGE_BYTES,
    NEG_IMAGE: MAX_IMAGE_BYTES,
    CAPTION: MAX_CAPTION_BYTES,
    NEG_CAPTION: MAX_CAPTION_BYTES,
}
_ROLES = ROLE_OF_SUFFIX | {"gif": IMAGE, "bmp": IMAGE}


@dataclass(frozen=True, kw_only=True)
class TarSource:
    """Tars named by a file, a folder, a glob or brace pattern, or a URL."""

    path: str
    title: str
    max_side: int | None
    prefix: bool

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """One chunk a tar in the order of the pattern or of the names, whatever ``rows`` says."""
        for path in tar_paths(self.path):
            prefix = f"{stem_of(path)}-" if self.prefix else ""
            yield TarChunk(path=path, max_side=self.max_side, prefix=prefix)


@dataclass(frozen=True, kw_only=True)
class TarChunk:
    """One tar."""

    path: str
    max_side: int | None
    prefix: str = ""

    def read(self) -> Iterator[Pair]:
        """A pair a key, from members that follow each other. A broken tar ends in a row whose problem is the tar's.

        Problems: those of captions and images (also ``neg_image:``, ``neg_caption:``), ``duplicate key``,
        ``tar: truncated``, ``tar: corrupt``, ``tar: not a tar``. Raises :class:`UserError` only if the file or the
        network refuses: its rows are not bad, they have not been seen.
        """
        return unique_keys(self._pairs())

    def _pairs(self) -> Iterator[Pair]:
        walk = _Walk(self.path)
        whole: set[str] = set()
        for row in walk.rows():
            roles = row.contents.keys() | row.oversized
            if walk.fault and not roles >= whole | {IMAGE, CAPTION}:
                continue  # the cut went through this row; the row of the tar's fault stands for it
            whole = roles
            yield self._pair(row)
        if walk.fault:
            key = safe_key(f"{stem_of(self.path)}-{walk.fault.replace(' ', '-')}")
            yield Pair(key=key, caption="", problem=f"tar: {walk.fault}")

    def _pair(self, row: "_Row") -> Pair:
        intake = ImageIntake(base=Path(), max_side=self.max_side)

        def image(role: str) -> bytes | None:
            if role in row.oversized:
                raise ImageError("too large")
            return intake.take(row.contents.get(role))

        def negative() -> bytes | None:
            return image(NEG_IMAGE) if NEG_IMAGE in row.contents or NEG_IMAGE in row.oversized else None

        pair = make_pair(
            key=safe_key(self.prefix + row.key), caption=row.contents.get(CAPTION), image=lambda: image(IMAGE)
        )
        return with_negatives(pair, row.contents.get(NEG_CAPTION), negative)


@dataclass(kw_only=True)
class _Row:
    """The members of a key; ``oversized`` are images that were not read."""

    key: str
    contents: dict[str, bytes] = field(default_factory=dict)
    oversized: set[str] = field(default_factory=set)


class _Walk:
    """A walk over one tar; after ``rows`` is exhausted (and before its last row) ``fault`` says how it ended."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.fault = ""

    def rows(self) -> Iterator[_Row]:
        """Rows of adjacent members with one key; a role that comes again begins another row."""
        row: _Row | None = None
        for key, role, content in self._members():
            if row is None or row.key != key or role in row.contents or role in row.oversized:
                if row is not None:
                    yield row
                row = _Row(key=key)
            if content is None:
                row.oversized.add(role)
            else:
                row.contents[role] = content
        if row is not None:
            yield row

    def _members(self) -> Iterator[tuple[str, str, bytes | None]]:
        """Key, role and content of the members that have a role; ``None`` for an image that is too large."""
        tar: tarfile.TarFile | None = None
        try:
            with opened(self.path) as raw:
                stream = _Tailed(raw)
                tar = tarfile.open(fileobj=cast(IO[bytes], stream), mode="r|")  # noqa: SIM115 - the stream is closed
                while (member := tar.next()) is not None:
                    cast(Any, tar).members.clear()  # it would grow with the tar
                    key, role = key_and_role(member)
                    if role is not None:
                        yield key, role, _content(tar, member, role)
                self.fault = stream.fault_at(tar.offset)
        except UserError:
            raise
        except (
            EOFError,
            zlib.error,
            gzip.BadGzipFile,
            tarfile.TarError,
            ValueError,
            OverflowError,
            RecursionError,
        ) as error:
            self.fault = self._fault_of(error, started=tar is not None)
        except (OSError, ImportError) as error:
            raise UserError(f"cannot read {shown(self.path)}: {first_line(error)}; run again when it can be") from error

    @staticmethod
    def _fault_of(error: Exception, *, started: bool) -> str:
        text = str(error)
        if isinstance(error, EOFError) or "unexpected end" in text or "truncated" in text or "empty file" in text:
            return "truncated"
        return "corrupt" if started else "not a tar"


class _Tailed:
    """A stream that remembers the last bytes read, to see what the walk ended on."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._tail = b""
        self._read = 0

    def read(self, size: int) -> bytes:
        data = self._raw.read(size)
        self._read += len(data)
        self._tail = (self._tail + data)[-_TAIL:]
        return data

    def fault_at(self, offset: int) -> str:
        """tarfile takes a cut between members, and rubbish, for the end: a whole tar has a zero block there."""
        start = offset - (self._read - len(self._tail))
        block = self._tail[start : start + tarfile.BLOCKSIZE]
        if len(block) < tarfile.BLOCKSIZE:
            return "truncated"
        return "" if block == bytes(tarfile.BLOCKSIZE) else "corrupt"


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, role: str) -> bytes | None:
    """A member's bytes; of an overlong caption as much as shows that it is; ``None`` for an oversized image."""
    if member.size > _LIMIT[role] and role in (IMAGE, NEG_IMAGE):
        return None
    file = tar.extractfile(member)
    assert file is not None  # key_and_role lets regular files pass only
    return file.read(min(member.size, _LIMIT[role] + 1))


def key_and_role(member: tarfile.TarInfo) -> tuple[str, str | None]:
    """Split a member's name as webdataset does: the key ends at the first dot of the file's own name."""
    directory, name = posixpath.split(member.name)
    stem, _, suffix = name.partition(".")
    plain = member.isreg() and not member.issparse() and not name.startswith(".")
    return posixpath.join(directory, stem), _ROLES.get(suffix.lower()) if plain else None


def open_tars(spec: Spec) -> TarSource:
    """The source of ``tar:PATH``; :class:`UserError` where nothing matches or a local file is missing."""
    source = TarSource(
        path=spec.path,
        title=f"tar: {shown(spec.path)}",
        max_side=max_side_of(spec),
        prefix=chosen(spec, "prefix", ("tar", "none")) == "tar",
    )
    for number, path in enumerate(tar_paths(spec.path)):
        if not is_url(path):
            existing_file(path)
        elif number == 0:
            check_url(path)
    return source
