"""Accepted triplets in the layouts of others: parquet for Hugging Face ``datasets``, the TripletCLIP authors' tars.

One shard in, one file out, streamed. A file appears under its name when it is whole; ``.done/NNNNN.json`` then says
what is in it, and a later call leaves finished shards alone.
"""

import contextlib
import hashlib
import io
import json
import os
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tripletclip.data.index import CORE_COLUMNS, KEY, STATUS, first_line, shard_paths
from tripletclip.data.one_shard import OneShard, opened_shard, scores_of, scores_path
from tripletclip.data.selection import read_selection, select_rows
from tripletclip.data.shards import required_shards
from tripletclip.data.triplet import ACCEPTED, IMAGE, MEMBER_SUFFIX, NEG_IMAGE, ROLES
from tripletclip.errors import UserError, unknown_name
from tripletclip.files import write_atomic

NOT_KEPT = "not kept"
_IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_Rows = np.ndarray[Any, np.dtype[np.int64]]
_Write = Callable[[OneShard, pa.Table, _Rows, IO[bytes]], None]


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What came of an export: rows written, rows left out by reason, files with rows, shards that were done before."""

    written: int
    left_out: Mapping[str, int]
    files: int
    resumed: int


def export_parquet(
    folder: Path, out: Path, *, keep: Path | None = None, roles: Sequence[str] = ROLES, row_group: int = 100
) -> Exported:
    """Write ``OUT/train-NNNNN.parquet`` for every finished shard; ``datasets.load_dataset("parquet", …)`` reads them.

    Columns: ``key``, the ``roles`` (images as struct{bytes, path} that the file's ``huggingface`` metadata declares an
    Image), every further column of the records, and the scores that screening left beside the shards, which win over
    a record's column of the same name. Row groups have ``row_group`` rows, so that a reader needs little memory.

    Only accepted rows that have every one of ``roles``, and whose key is in ``keep`` (a parquet with the column
    ``key``) if that is given. Raises :class:`UserError` for folders without such a row and for ``out`` that holds
    another export.
    """
    if unknown := [role for role in roles if role not in ROLES]:
        raise unknown_name("role", unknown[0], ROLES)
    if row_group < 1:
        raise UserError(f"row_group is {row_group}; give at least 1")
    schema = _schema(folder, roles)

    def write(shard: OneShard, columns: pa.Table, rows: _Rows, file: IO[bytes]) -> None:
        with pq.ParquetWriter(file, schema) as writer:
            for start in range(0, len(rows), row_group):
                writer.write_table(_rows_table(shard, columns, rows[start : start + row_group], schema))

    plan = f"parquet {row_group} {schema.to_string(show_schema_metadata=True, truncate_metadata=False)}"
    return _export(folder, out, "train-{:05d}.parquet", write, roles=roles, keep=keep, plan=plan)


def export_official(folder: Path, out: Path, *, keep: Path | None = None) -> Exported:
    """Write ``OUT/shard-N.tar`` in the authors' layout: ``KEY.image``, ``.caption``, ``.neg_image``, ``.neg_caption``.

    Layout: https://github.com/tripletclip/TripletCLIP at abbf81c. Only accepted rows with all four, and in ``keep``
    if that is given. ``Shards(out, foreign=True)`` reads the result. Errors as in :func:`export_parquet`.
    """

    def write(shard: OneShard, columns: pa.Table, rows: _Rows, file: IO[bytes]) -> None:
        with tarfile.TarFile(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            keys = columns[KEY].take(pa.array(rows)).to_pylist()
            for row, key in zip(rows.tolist(), keys, strict=True):
                for role in ROLES:
                    content = shard.read(row, role)
                    header = tarfile.TarInfo(f"{key}.{role}")  # time and owner are 0: the same rows, the same bytes
                    header.size = len(content)
                    tar.addfile(header, io.BytesIO(content))

    return _export(folder, out, "shard-{}.tar", write, roles=ROLES, keep=keep, plan="official")


# ---- one shard after the other -------------------------------------------------------------------------------------


def _export(
    folder: Path, out: Path, name: str, write: _Write, *, roles: Sequence[str], keep: Path | None, plan: str
) -> Exported:
    if out.resolve() == folder.resolve():
        raise UserError(f"{out} holds the shards themselves; export to another folder")
    kept = None
    if keep is not None:
        kept = read_selection(keep).combine_chunks()
        with keep.open("rb") as file:
            plan += hashlib.file_digest(file, "sha256").hexdigest()
    totals: Counter[str] = Counter()
    written = files = resumed = 0
    for number in required_shards(folder):
        marker, target = out / ".done" / f"{number:05d}.json", out / name.format(number)
        source = _fingerprint(folder, number, plan)
        done = _done(marker, target, source)
        resumed += done is not None
        if done is None:
            done = _export_one(folder, number, target, write, roles, kept) | {"source": source}
            write_atomic(marker, (json.dumps(done, indent=2) + "\n").encode())
        written += done["written"]
        files += done["written"] > 0
        totals.update(done["left_out"])
    left_out = dict(sorted(totals.items()))
    if written == 0:
        shutil.rmtree(out / ".done")  # markers of empty files are all that there is
        with contextlib.suppress(OSError):
            out.rmdir()
        raise UserError(f"{folder} has no row to export: {left_out}; an exported row needs {', '.join(roles)}")
    return Exported(written=written, left_out=left_out, files=files, resumed=resumed)


def _export_one(
    folder: Path, number: int, target: Path, write: _Write, roles: Sequence[str], kept: pa.Array | None
) -> dict[str, Any]:
    """Write one file, unless it would be empty, and return what the done-marker says."""
    with opened_shard(folder, number) as shard:
        rows, left_out = _chosen(shard, roles, kept)
        if len(rows):
            scores = scores_of(folder, number, shard.table[KEY].combine_chunks())
            with _atomic_file(target) as file:
                write(shard, _with_scores(shard.table, scores), rows, file)
    return {"written": len(rows), "left_out": left_out, "bytes": target.stat().st_size if len(rows) else 0}


def _chosen(shard: OneShard, roles: Sequence[str], kept: pa.Array | None) -> tuple[_Rows, dict[str, int]]:
    """Numbers of the rows that go out, and how many of the others stay for which reason; the first reason counts."""
    status = np.array(shard.table[STATUS].to_pylist(), dtype=object)
    reasons = np.where(status == ACCEPTED, "", status)
    if kept is not None:
        inside = select_rows(shard.table[KEY], kept).to_numpy(zero_copy_only=False)
        reasons[(reasons == "") & ~inside] = NOT_KEPT
    for role in roles:
        reasons[(reasons == "") & (shard.places[role][0] < 0)] = f"no {role}"
    left_out = Counter(reasons[reasons != ""].tolist())
    return np.flatnonzero(reasons == ""), dict(sorted(left_out.items()))


def _fingerprint(folder: Path, number: int, plan: str) -> str:
    """What a file was made from: the plan, the shard's done-marker, the size of its records, its scores."""
    paths, digest = shard_paths(folder, number), hashlib.sha256(plan.encode())
    scores = scores_path(folder, number)
    try:
        digest.update(paths.stats.read_bytes())
        digest.update(str(paths.parquet.stat().st_size).encode())
        digest.update(scores.read_bytes() if scores.exists() else b"")
    except OSError as error:
        raise UserError(f"cannot read shard {number} of {folder}: {first_line(error)}") from error
    return digest.hexdigest()


def _done(marker: Path, target: Path, source: str) -> dict[str, Any] | None:
    """The done-marker of this very export; ``None`` if the shard is to be written."""
    if not marker.exists():
        return None
    try:
        done: dict[str, Any] = json.loads(marker.read_text(encoding="utf-8"))
        same, empty, size = done["source"] == source, done["written"] == 0, done["bytes"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{marker} cannot be read: {first_line(error)}; remove it to export the shard again") from error
    if empty and not same:
        return None  # nothing was written that could be mixed up
    if not same:
        raise UserError(
            f"{target} was exported from other rows or with other options; "
            f"remove {marker.parent.parent} or choose another folder"
        )
    return done if empty or (target.exists() and target.stat().st_size == size) else None


@contextmanager
def _atomic_file(target: Path) -> Iterator[IO[bytes]]:
    """A file that gets its name when it is whole. What a killed run left half-written is overwritten by the next."""
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    except OSError as error:
        raise UserError(f"cannot write {target}: {first_line(error)}; free space or choose another folder") from error
    finally:
        partial.unlink(missing_ok=True)


# ---- parquet columns -----------------------------------------------------------------------------------------------


def _schema(folder: Path, roles: Sequence[str]) -> pa.Schema:
    """One schema for all files: the roles, then the union of the shards' further columns and scores."""
    extra: dict[str, pa.DataType] = {}
    for number in required_shards(folder):
        for path in (shard_paths(folder, number).parquet, scores_path(folder, number)):
            if path.exists():
                _merge(extra, _read_schema(path), path)
    if clash := [name for name in ROLES if name in extra]:
        raise UserError(f"column '{clash[0]}' in the records of {folder} has the name of a role; rename it")
    images = {IMAGE, NEG_IMAGE}
    fields = [pa.field(KEY, pa.string())]
    fields += [pa.field(role, _IMAGE_TYPE if role in images else pa.string()) for role in roles]
    fields += [pa.field(name, pa.string() if pa.types.is_null(kind) else kind) for name, kind in extra.items()]
    features = {
        field.name: {"_type": "Image"} if field.name in images else {"dtype": _dtype(field), "_type": "Value"}
        for field in fields
    }
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def _read_schema(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path} is truncated or no parquet file: {first_line(error)}") from error


def _merge(extra: dict[str, pa.DataType], found: pa.Schema, path: Path) -> None:
    """Widen ``extra`` by the further columns of one file; null gives way to anything, int64 to double."""
    for field in found:
        if field.name in CORE_COLUMNS:
            continue
        known = pa.schema([pa.field(field.name, extra.get(field.name, pa.null()))])
        new = pa.schema([pa.field(field.name, field.type)])
        try:
            both = pa.unify_schemas([known, new], promote_options="permissive")
        except pa.ArrowException as error:
            raise UserError(
                f"column '{field.name}' of {path} is {field.type}, "
                f"in an earlier shard it was {extra[field.name]}; write one kind"
            ) from error
        extra[field.name] = both.field(0).type


def _dtype(field: pa.Field) -> str:
    """The name that Hugging Face gives an Arrow type."""
    return {"double": "float64", "float": "float32"}.get(str(field.type), str(field.type))


def _with_scores(table: pa.Table, scores: pa.Table | None) -> pa.Table:
    if scores is None:
        return table
    for name in scores.column_names:
        if name in table.column_names:
            table = table.drop_columns([name])
        table = table.append_column(name, scores[name])
    return table


def _rows_table(shard: OneShard, columns: pa.Table, rows: _Rows, schema: pa.Schema) -> pa.Table:
    """The rows with their images, in the columns of ``schema``; a column that this shard lacks is null."""
    some = columns.take(pa.array(rows))
    arrays = []
    for field in schema:
        if field.name in (IMAGE, NEG_IMAGE):
            keys = some[KEY].to_pylist()
            images = [
                {"bytes": shard.read(row, field.name), "path": f"{key}.{MEMBER_SUFFIX[field.name]}"}
                for row, key in zip(rows.tolist(), keys, strict=True)
            ]
            arrays.append(pa.array(images, _IMAGE_TYPE))
        elif field.name in some.column_names:
            arrays.append(some[field.name].cast(field.type).combine_chunks())
        else:
            arrays.append(pa.nulls(len(rows), field.type))
    return pa.Table.from_arrays(arrays, schema=schema)
