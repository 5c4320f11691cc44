"""Parts: the histories of a shard as a Parquet file with a row for each series."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tidecast.files.history import History
from trainer.runs.known_cells import KNOWN, known_cell, known_of_cell

SCHEMA = pa.schema(
    {
        "series": pa.string(),
        "features": pa.list_(pa.string()),
        "ts": pa.list_(pa.int64()),
        "values": pa.list_(pa.float64()),  # row by row
        "left_out": pa.list_(pa.int64()),
        "known": KNOWN,
    }
)


def encoded_part(histories: Sequence[History]) -> bytes:
    """Return histories, without their notes, as the content of a file; the same histories give the same bytes."""
    columns: dict[str, list[Any]] = {
        "series": [history.series for history in histories],
        "features": [list(history.features) for history in histories],
        "ts": [history.ts for history in histories],
        "values": [history.values.ravel() for history in histories],
        "left_out": [history.left_out for history in histories],
        "known": [known_cell(history.known) for history in histories],
    }
    file = io.BytesIO()
    pq.write_table(pa.table(columns, SCHEMA), file, compression="zstd")
    return file.getvalue()


def read_part(path: Path, start: int, stop: int) -> list[History]:
    """Return the histories of some rows of a file.

    Args:
        path: of the file.
        start: the first row.
        stop: the row behind the last one.
    """
    table = pq.read_table(path, memory_map=False).slice(start, stop - start)
    return [_history({name: table[name][row] for name in SCHEMA.names}) for row in range(table.num_rows)]


def _history(cells: dict[str, Any]) -> History:
    features = tuple(cells["features"].as_py())
    ts = _array(cells["ts"])
    values = _array(cells["values"]).reshape(len(ts), len(features))
    series = cells["series"].as_py()
    known = known_of_cell(series, cells["known"])
    return History(series, features, ts, values, left_out=_array(cells["left_out"]), known=known)


def _array(cell: Any) -> Any:
    """Return a list's numbers as an array that may be changed."""
    return np.array(cell.values)
