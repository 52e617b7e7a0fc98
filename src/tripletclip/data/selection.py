"""A selection is a parquet file of the keys to keep: choosing rows never rewrites a tar.

The file has the column ``key`` and, in its metadata, how it was made. Whatever takes a folder of shards takes a
selection beside it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tripletclip.data.index import KEY, first_line
from tripletclip.errors import UserError
from tripletclip.files import write_atomic

ABOUT = b"tripletclip_selection"
"""Name of the metadata entry, JSON."""

ROWS_A_GROUP = 1 << 20


def write_selection(path: Path, keys: pa.Array | pa.ChunkedArray, about: Mapping[str, Any]) -> None:
    """Write the keys to keep and how they were chosen, atomically; 13 million keys take about 0.2 GB meanwhile.

    ``about`` is JSON-able: expression, model, counts of dropped rows by reason. Raises :class:`UserError` if a key
    comes twice, if none is left, or if the disk refuses.
    """
    keys = keys.cast(pa.string())
    if len(keys) == 0:
        raise UserError(f"no row is left for {path}: {json.dumps(dict(about))[:300]}; loosen the filter")
    if keys.null_count or pc.count_distinct(keys).as_py() != len(keys):
        raise UserError(f"keys for {path} are missing or come twice; make the keys unique across shards")
    table = pa.table({KEY: keys}).replace_schema_metadata({ABOUT: json.dumps(dict(about), sort_keys=True)})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=ROWS_A_GROUP)
    write_atomic(path, sink.getvalue().to_pybytes())


def read_selection(path: Path) -> pa.ChunkedArray:
    """The keys to keep, strings in the order in which they were written. Any parquet with a column ``key`` will do.

    Raises :class:`UserError` for a file that is missing, no parquet, without the column or without a key.
    """
    with _opened(path) as file:
        names = file.schema_arrow.names
        if KEY not in names:
            raise UserError(f"{path} has no column '{KEY}' but {', '.join(names)}; give a selection of keys")
        try:
            keys = file.read(columns=[KEY])[KEY].cast(pa.string())
        except (OSError, pa.ArrowException) as error:
            raise UserError(f"cannot read {path}: {first_line(error)}") from error
    if len(keys) == 0:
        raise UserError(f"{path} keeps no row; loosen the filter that made it")
    return keys


def selection_about(path: Path) -> dict[str, Any]:
    """How a selection was made; empty for a parquet file of somebody else's."""
    with _opened(path) as file:
        metadata = file.schema_arrow.metadata or {}
    about: dict[str, Any] = json.loads(metadata[ABOUT]) if ABOUT in metadata else {}
    return about


def select_rows(keys_of_rows: pa.Array | pa.ChunkedArray, kept: pa.Array | pa.ChunkedArray) -> pa.Array:
    """For each row whether it is kept, boolean without nulls.

    Every call hashes all of ``kept``: call it once for all rows, not once a shard, where ``kept`` is large.
    """
    value_set = kept.combine_chunks() if isinstance(kept, pa.ChunkedArray) else kept
    mask = pc.is_in(keys_of_rows, value_set=value_set)
    return mask.combine_chunks() if isinstance(mask, pa.ChunkedArray) else mask


def _opened(path: Path) -> pq.ParquetFile:
    if not path.is_file():
        raise UserError(f"{path} is no file; give a selection written by 'tripletclip triplets screen'")
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path} is truncated or no parquet file: {first_line(error)}") from error
