"""Read Parquet files as columns, with pyarrow from the extra `train`."""

from typing import Any

import numpy as np

from tidecast.errors import HistoryError
from tidecast.files.columns import Column
from tidecast.files.text import Text
from tidecast.files.typed import Foreign, Numeric, Stamps

MAGIC = b"PAR1"
_MS_PER_UNIT = {"s": 1000, "ms": 1}
_UNITS_PER_MS = {"us": 1000, "ns": 1_000_000}


def read_parquet(source: str, data: bytes) -> tuple[tuple[str, ...], list[Column]]:
    """Read a Parquet file; return the columns' names and the columns.

    Raises:
        HistoryError: the file is damaged, or pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError as exc:
        raise HistoryError(
            f"{source} is Parquet, which needs pyarrow: `pip install 'tidecast[train]'` brings it, or save it as CSV"
        ) from exc
    try:
        with pyarrow.parquet.ParquetFile(pa.BufferReader(data)) as file:
            table = file.read()
        table.validate(full=True)
        order = _with_index_first(table.schema)
        return tuple(table.column_names[i] for i in order), [column_of(table.column(i)) for i in order]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as exc:
        why = str(exc).partition("\n")[0][:200]
        raise HistoryError(f"{source} is a damaged Parquet file ({why}): write or copy it again") from exc


def _with_index_first(schema: Any) -> list[int]:
    """Return the places of the columns, with those of a frame's index first, as CSV has them."""
    index = (schema.pandas_metadata or {}).get("index_columns", ())
    return sorted(range(len(schema)), key=lambda i: schema.field(i).name not in index)


def column_of(array: Any) -> Column:
    """Convert an Arrow array to a column."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(array.type):
        array = pc.cast(array, array.type.value_type)
    kind = array.type
    if pa.types.is_null(kind):
        return Text([""] * len(array))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return Text(pc.fill_null(array, "").to_pylist())
    missing = np.array(pc.is_null(array, nan_is_null=True).to_pylist(), np.bool_)
    if pa.types.is_decimal(kind):
        array = pc.cast(pc.cast(array, pa.string()), pa.float64())  # the direct way rounds 3.3 to another double
    if pa.types.is_boolean(kind):
        array = pc.cast(array, pa.int8())
    if pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
        return Numeric(pc.fill_null(array, 0).to_numpy(), missing, str(kind))
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _stamps(array, missing)
    return Foreign(len(array), str(kind))


def _stamps(array: Any, missing: Any) -> Stamps:
    import pyarrow as pa
    import pyarrow.compute as pc

    type_name = str(array.type)
    if pa.types.is_date(array.type):
        array = pc.cast(array, pa.timestamp("s"))
    unit = array.type.unit
    ticks = pc.fill_null(pc.cast(array, pa.int64()), 0).to_numpy()
    per_ms = _UNITS_PER_MS.get(unit, 1)
    ms = ticks // per_ms * _MS_PER_UNIT.get(unit, 1)
    below = ticks % per_ms * (1_000_000 // per_ms)
    return Stamps(ms, below, missing, has_offset=array.type.tz is not None, type_name=type_name)
