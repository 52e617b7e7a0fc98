"""Write shards that are whole or absent, and read any row of them by its number.

A shard is ``NNNNN.tar`` + ``NNNNN.parquet`` + ``NNNNN.json``. The JSON comes last and means: finished.
"""

import contextlib
import hashlib
import io
import json
import os
import re
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tripletclip.data.foreign import foreign_indices
from tripletclip.data.index import (
    CORE_COLUMNS,
    FORMAT_NAME,
    KEY,
    PLACE_COLUMNS,
    REASON,
    STATUS,
    ShardIndex,
    ShardPaths,
    Value,
    first_line,
    index_table,
    length_column,
    member_places,
    offset_column,
    read_index,
    shard_paths,
)
from tripletclip.data.selection import read_selection, select_rows
from tripletclip.data.triplet import (
    ACCEPTED,
    CAPTION,
    FAILED,
    FORMAT_VERSION,
    IMAGE,
    MEMBER_SUFFIX,
    NEG_CAPTION,
    NEG_IMAGE,
    REJECTED,
    ROLES,
    STATUSES,
    Triplet,
)
from tripletclip.errors import UserError, unknown_name
from tripletclip.files import write_atomic

SAFE_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")
"""No dot (webdataset ends the key there), no path; 80 characters fit a plain tar header with every suffix."""

OPEN_TARS = 256
"""Tars kept open at once by a reader: far below the usual limit of 1,024 files a process."""


# ---- writing -------------------------------------------------------------------------------------------------------


def write_shard(folder: Path, number: int, rows: Iterable[Triplet], *, overwrite: bool = False) -> dict[str, int]:
    """Write ``rows`` as shard ``number`` and return how many were accepted, rejected and failed, and for which reason.

    The same rows give the same tar, byte for byte. After any error or Ctrl-C no file of this call is left.
    Raises :class:`UserError` if the shard is finished already (unless ``overwrite``), for unsafe or repeated keys,
    for text that is not Unicode, for extra columns with reserved names or mixed types, and if the disk refuses.
    """
    paths = shard_paths(folder, number)
    if paths.stats.exists() and not overwrite:
        raise UserError(f"{paths.stats} exists: the shard is finished; pass overwrite=True to replace it")
    with _staged(paths.tar) as tar, _staged(paths.parquet) as parquet:
        records = _write_tar(tar.file, rows, paths.tar)
        table = index_table(records)
        with _refusals_of_disk(paths.parquet):
            pq.write_table(table, parquet.file)
        statuses = Counter(row[STATUS] for row in records)
        reasons = {
            status: dict(sorted(Counter(str(row[REASON]) for row in records if row[STATUS] == status).items()))
            for status in (REJECTED, FAILED)
        }
        counts = {status: statuses[status] for status in STATUSES} | reasons[REJECTED] | reasons[FAILED]
        stats = {
            "format": FORMAT_NAME,
            "version": FORMAT_VERSION,
            "count": len(records),
            **{status: statuses[status] for status in STATUSES},
            "reasons": reasons[REJECTED],
            "failures": reasons[FAILED],
            "tar_bytes": tar.file.tell(),
        }
        _publish(paths, tar, parquet, stats)
    return counts


def finished_shards(folder: Path) -> list[int]:
    """The numbers of the shards whose done-marker exists, ascending; none if the folder does not exist."""
    return sorted(int(path.stem) for path in folder.glob("*.json") if re.fullmatch(r"\d{5,}", path.stem))


def required_shards(folder: Path) -> list[int]:
    """:func:`finished_shards`, or a :class:`UserError` where there is none."""
    numbers = finished_shards(folder)
    if not numbers:
        raise UserError(f"{folder} has no finished shard (NNNNN.tar, .parquet and .json); give the folder that has")
    return numbers


def _write_tar(file: IO[bytes], rows: Iterable[Triplet], path: Path) -> list[dict[str, Value]]:
    """Stream the members of the accepted rows into ``file`` and return an index record for every row."""
    records: list[dict[str, Value]] = []
    seen: set[str] = set()
    # Without close() on error: closing would write an end-of-archive block that looks like success.
    tar = tarfile.TarFile(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT)
    for row in rows:
        members = _checked_members(row)
        if row.key in seen:
            raise UserError(f"key '{row.key}' comes twice in {path.name}; make the keys unique")
        seen.add(row.key)
        record: dict[str, Value] = {
            KEY: row.key,
            CAPTION: row.caption,
            NEG_CAPTION: row.neg_caption,
            STATUS: row.status,
            REASON: row.reason,
        }
        for role, content in members.items():
            header = tarfile.TarInfo(f"{row.key}.{MEMBER_SUFFIX[role]}")  # mtime 0, owner 0, no names: same bytes again
            header.size = len(content)
            record[offset_column(role)] = tar.offset + tarfile.BLOCKSIZE
            record[length_column(role)] = len(content)
            with _refusals_of_disk(path):
                tar.addfile(header, io.BytesIO(content))
        records.append(record | dict(row.extra))
    with _refusals_of_disk(path):
        tar.close()
    return records


def _checked_members(row: Triplet) -> dict[str, bytes]:
    """Role to bytes for the tar; empty unless accepted. Everything that a shard cannot hold is refused here."""
    if not SAFE_KEY.fullmatch(row.key):
        raise UserError(f"key {row.key!r} is unsafe; use 1 to 80 letters, digits, '_' and '-', first a letter or digit")
    if row.reason in STATUSES:
        raise UserError(f"'{row.key}' has the reason '{row.reason}', which is a status; say why it was {row.status}")
    reserved = sorted(set(row.extra) & set(CORE_COLUMNS))
    if reserved:
        raise UserError(f"extra column '{reserved[0]}' of '{row.key}' is reserved; give it another name")
    members = {}
    for role, text in ((CAPTION, row.caption), (NEG_CAPTION, row.neg_caption)):
        try:
            members[role] = None if text is None else text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise UserError(
                f"{role} of '{row.key}' has half a surrogate pair at character {error.start}; mend the text"
            ) from error
    contents = members | {IMAGE: row.image, NEG_IMAGE: row.neg_image}
    if row.status != ACCEPTED:
        return {}
    return {role: content for role in ROLES if (content := contents[role]) is not None}


@dataclass(frozen=True, kw_only=True)
class _Staged:
    """A file that is being written, and where."""

    path: Path
    file: IO[bytes]


@contextlib.contextmanager
def _staged(target: Path) -> Iterator[_Staged]:
    """A temporary file beside ``target``, gone at the end unless it was renamed."""
    with _refusals_of_disk(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    file = os.fdopen(handle, "wb")
    try:
        yield _Staged(path=Path(temporary), file=file)
    finally:
        with contextlib.suppress(OSError):  # a full disk refuses the last bytes again; it has been reported already
            file.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


@contextlib.contextmanager
def _refusals_of_disk(path: Path) -> Iterator[None]:
    """Only around our own writes: an ``OSError`` of the rows' source must not be blamed on the output."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {path}: {first_line(error)}; free space or choose another folder") from error


def _publish(paths: ShardPaths, tar: _Staged, parquet: _Staged, stats: dict[str, Any]) -> None:
    """Rename the finished files into place, the done-marker last; an old shard is unmarked before it is replaced."""
    with _refusals_of_disk(paths.stats):
        for staged in (tar, parquet):
            staged.file.flush()
            os.fsync(staged.file.fileno())
            os.chmod(staged.path, 0o644)
        paths.stats.unlink(missing_ok=True)
    try:
        with _refusals_of_disk(paths.stats):
            os.replace(tar.path, paths.tar)
            os.replace(parquet.path, paths.parquet)
        write_atomic(paths.stats, (json.dumps(stats, indent=2) + "\n").encode())
    except BaseException:
        paths.tar.unlink(missing_ok=True)
        paths.parquet.unlink(missing_ok=True)
        raise


# ---- reading -------------------------------------------------------------------------------------------------------


class Shards:
    """All finished shards of a folder as one sequence of accepted rows, read in any order.

    Rows are numbered by shard, then by their order in it. Safe to fork and to pickle; not for threads.
    With ``foreign=True``, shards of img2dataset and of the TripletCLIP authors are indexed by scanning their tars.
    ``keep`` is a selection (a parquet of keys): other rows are not there; choosing never rewrites a tar.
    Raises :class:`UserError` for a folder without accepted rows and for any shard that is unfinished, truncated,
    foreign or of another format version, and for a key that comes twice.
    """

    def __init__(self, folder: Path, *, foreign: bool = False, keep: Path | None = None) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise UserError(f"{self.folder} is not a folder; give the folder that holds the shards")
        indices = foreign_indices(self.folder) if foreign else _own_indices(self.folder)
        table = _joined(indices, self.folder)
        self._tars = [index.tar for index in indices]
        self._open_tars: dict[int, IO[bytes]] = {}
        accepted = pc.equal(table[STATUS], ACCEPTED)
        reasons = table.filter(pc.invert(accepted))[REASON]
        self._rejected = {str(count["values"]): int(count["counts"]) for count in reasons.value_counts().to_pylist()}
        sizes = [index.table.num_rows for index in indices]
        wanted = accepted if keep is None else pc.and_(accepted, select_rows(table[KEY], read_selection(keep)))
        self._tar_of_row = np.repeat(np.arange(len(indices)), sizes)[wanted.to_numpy()]
        table = table.filter(wanted)
        self._places = {role: member_places(table, role) for role in ROLES}
        self._table = table.drop_columns(list(PLACE_COLUMNS))
        if len(self) == 0:
            kept = f" that {keep} keeps" if keep else ""
            raise UserError(f"{self.folder} has no accepted row{kept}; rejected: {self._rejected or 'none'}")

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @property
    def keys(self) -> list[str]:
        """Keys of the accepted rows."""
        keys: list[str] = self._table[KEY].to_pylist()
        return keys

    def key(self, index: int) -> str:
        """Key of one accepted row."""
        return str(self._table[KEY][index].as_py())

    def column(self, name: str) -> list[Value]:
        """A column of the parquet over the accepted rows; ``None`` where a row has no value."""
        if name not in self._table.column_names:
            raise unknown_name("column", name, self._table.column_names)
        values: list[Value] = self._table[name].to_pylist()
        return values

    def caption(self, index: int) -> str:
        """Caption of an accepted row."""
        return str(self._table[CAPTION][index].as_py())

    def neg_caption(self, index: int) -> str:
        """Negative caption of an accepted row; :class:`UserError` if it has none."""
        text = self._table[NEG_CAPTION][index].as_py()
        if text is None:
            raise UserError(f"'{self.key(index)}' in {self.folder} has no {NEG_CAPTION}; make the negatives first")
        return str(text)

    def has(self, role: str) -> bool:
        """Whether every accepted row has a member for ``role``."""
        return bool((self._place(role)[0] >= 0).all())

    def rejected(self) -> dict[str, int]:
        """Reason to number of the rows that are not accepted."""
        return dict(self._rejected)

    def read(self, index: int, role: str) -> bytes:
        """The bytes of a member as they lie in the tar: an encoded image, or a caption in UTF-8."""
        offsets, lengths = self._place(role)
        offset, length = int(offsets[index]), int(lengths[index])
        if offset < 0:
            raise UserError(f"'{self.key(index)}' in {self.folder} has no {role}; make the negatives first")
        number = int(self._tar_of_row[index])
        try:
            content = os.pread(self._open(number).fileno(), length, offset)
        except OSError as error:
            raise UserError(f"cannot read {self._tars[number]}: {first_line(error)}") from error
        if len(content) != length:
            raise UserError(f"{self._tars[number]} was truncated while it was read; write the shard again")
        return content

    def digest(self) -> str:
        """SHA-256 over keys, captions and the lengths of all members, in order: another one means other data."""
        found = hashlib.sha256()
        for name in (KEY, CAPTION):
            found.update("\0".join(map(str, self.column(name))).encode())
        for role in ROLES:
            found.update(self._place(role)[1].tobytes())
        return found.hexdigest()

    def _place(self, role: str) -> tuple[np.ndarray[Any, np.dtype[np.int64]], ...]:
        if role not in ROLES:
            raise unknown_name("role", role, ROLES)
        return self._places[role]

    def _open(self, number: int) -> IO[bytes]:
        """The tar's file. A forked process may share it: ``pread`` does not move a position."""
        if number not in self._open_tars:
            if len(self._open_tars) >= OPEN_TARS:
                self._open_tars.pop(next(iter(self._open_tars))).close()
            self._open_tars[number] = self._tars[number].open("rb", buffering=0)
        return self._open_tars[number]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open_tars": {}}


def _own_indices(folder: Path) -> list[ShardIndex]:
    numbers = finished_shards(folder)
    finished = {shard_paths(folder, number).tar for number in numbers}
    unfinished = sorted(path for path in folder.glob("[0-9]*.tar") if path not in finished)
    if unfinished:
        raise UserError(
            f"{unfinished[0]} has no {unfinished[0].stem}.json beside it: the shard is not finished or of "
            f"another tool; write it again, remove it, or open with Shards(folder, foreign=True)"
        )
    return [read_index(folder, number) for number in required_shards(folder)]


def _joined(indices: list[ShardIndex], folder: Path) -> pa.Table:
    """One table of all rows. Refuses keys that come twice and columns whose type differs between shards."""
    try:
        table = pa.concat_tables([index.table for index in indices], promote_options="permissive")
    except pa.ArrowException as error:
        raise UserError(f"shards of {folder} differ in the type of a column: {first_line(error)}") from error
    if pc.count_distinct(table[KEY]).as_py() != table.num_rows:
        counts = table[KEY].value_counts()
        twice = counts.filter(pc.greater(counts.field("counts"), 1))[0]["values"].as_py()
        raise UserError(f"key '{twice}' comes more than once in {folder}; make the keys unique across shards")
    return table
