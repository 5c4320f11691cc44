"""Conversion of a caller's frame columns, of any type, to the types that the file reader accepts."""

from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from tidecast.errors import HistoryError
from tidecast.wire.numbers import numbers_of

_SAMPLE = 10  # cells that decide whether an unnamed text column holds times
_SIMPLE_KINDS = "biufM"  # truth values, numbers and times
_SHORT_FLOATS = ("float16", "float32", "Float32", "float[pyarrow]", "halffloat[pyarrow]")
_ISO = r"\d{4}-\d\d-\d\d.*"


def plain(column: pd.Series) -> pd.Series:
    """Return categories, sparse values and periods as plain values; a period becomes its start time."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if isinstance(column.dtype, pd.SparseDtype):
        column = column.astype(column.dtype.subtype)
    if isinstance(column.dtype, pd.PeriodDtype):
        column = column.dt.to_timestamp()
    if isinstance(column.dtype, pd.ArrowDtype) and column.dtype.kind not in _SIMPLE_KINDS:
        column = column.astype(object)
    return column


def is_time(column: pd.Series | pd.Index) -> bool:
    """Return whether a column, or a level of an index, holds only times."""
    has_type = types.is_datetime64_any_dtype(column.dtype) or isinstance(column.dtype, pd.PeriodDtype)
    return has_type or types.infer_dtype(column, skipna=True) in ("datetime", "date", "datetime64", "period")


def is_text(column: pd.Series | pd.Index) -> bool:
    """Return whether a column, or a level of an index, holds only text."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.dtype.categories
    return types.infer_dtype(column, skipna=True) == "string"


def looks_like_times(column: pd.Series) -> bool:
    """Return whether a text column begins with times in ISO-8601."""
    filled = plain(column).dropna().head(_SAMPLE)
    return bool(len(filled) and is_text(filled) and filled.astype(str).str.fullmatch(_ISO).all())


def holds_numbers(column: pd.Series) -> bool:
    """Return whether at least half of a column's filled cells are numbers, as numbers or as text."""
    column = plain(column)
    if column.isna().all():
        return False
    if _is_numeric(column):
        return True
    if not _is_written(column):
        return False
    cells = _each(column, _number_text).dropna()
    values = numbers_of([cell.strip().encode(errors="replace") for cell in cells])
    return bool(2 * np.count_nonzero(~np.isnan(values)) >= len(cells))


def numbers(name: str, column: pd.Series) -> pd.Series:
    """Return a column of numbers; True is 1. Text stays text: the file reader checks it.

    Raises:
        HistoryError: the column's type is not numeric.
    """
    column = plain(column)
    if _is_numeric(column):
        return pd.Series(column.to_numpy(np.float64, na_value=np.nan), column.index)
    if _is_written(column):
        return _each(column, _number_text)
    raise HistoryError(f"column {name!r} of the frame holds {column.dtype}, not numbers: convert it")


def times(name: str, column: pd.Series) -> pd.Series:
    """Return a column of times, numbers or text; the file reader checks numbers and text.

    Raises:
        HistoryError: the column's type cannot hold times.
    """
    column = plain(column)
    if types.is_datetime64_any_dtype(column.dtype):
        return column
    if types.is_signed_integer_dtype(column.dtype):
        return column.astype("Int64")  # a message quotes its digits
    if str(column.dtype) in _SHORT_FLOATS:
        return column  # the file reader refuses rounded times
    if _is_numeric(column) and not types.is_bool_dtype(column.dtype):
        return numbers(name, column)
    if _is_written(column):
        return _each(column, _time_text)
    raise HistoryError(f"column {name!r} of the frame holds {column.dtype}, not times: write ISO-8601 or epochs")


def names(column: pd.Series) -> pd.Series:
    """Return a column of names; a whole number is written without a decimal point."""
    return _each(plain(column), _name_text)


def other(column: pd.Series) -> pd.Series:
    """Return a column of unknown meaning: numbers and times as they are, any other value as text."""
    column = plain(column)
    if _is_numeric(column) or types.is_datetime64_any_dtype(column.dtype):
        return column
    return _each(column, str)


def _is_numeric(column: pd.Series) -> bool:
    is_number = types.is_numeric_dtype(column.dtype) or types.is_bool_dtype(column.dtype)
    return is_number and not types.is_complex_dtype(column.dtype)


def _is_written(column: pd.Series) -> bool:
    """Return whether the cells of a column are text or objects that can be written as text."""
    return types.is_object_dtype(column.dtype) or types.is_string_dtype(column.dtype)


def _each(column: pd.Series, write: Callable[[Any], str]) -> pd.Series:
    if isinstance(column.dtype, pd.StringDtype):
        return column
    missing = column.isna().tolist()
    cells = [None if gone else write(cell) for cell, gone in zip(column.tolist(), missing, strict=True)]
    return pd.Series(cells, column.index, dtype=object)


def _number_text(cell: Any) -> str:
    return str(float(cell)) if isinstance(cell, bool | np.bool_) else str(cell)


def _time_text(cell: Any) -> str:
    return cell.isoformat() if isinstance(cell, date) else str(cell)


def _name_text(cell: Any) -> str:
    if isinstance(cell, bytes):
        return cell.decode(errors="backslashreplace")
    whole = isinstance(cell, float | np.floating) and float(cell).is_integer()
    return str(int(cell)) if whole else str(cell)
