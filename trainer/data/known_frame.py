"""Read values that are known ahead from a frame."""

from typing import Any

import numpy as np
import pandas as pd

from tidecast.arrays import Float, Int64
from tidecast.errors import HistoryError
from tidecast.files.layout import TIME
from tidecast.files.tables import plain_name
from tidecast.models.known.values import ALWAYS, KnownValues
from tidecast.suggestions import listed
from trainer.data import frame_cells as cells
from trainer.data.foreign_frames import pandas_frame
from trainer.data.frame_columns import find, series_of, time_of

KNOWN_AT = "known_at"  # the column with the moments since which values are known
ALL_SERIES = "*"


def read_known(
    frame: Any, history: Any = None, series_column: str | None = None, time_column: str | None = None
) -> KnownValues:
    """Read the values of a frame: a row for each time, a column for each field.

    Args:
        frame: a frame of pandas, polars or Arrow. `unique_id` holds series or patterns; without it the values are for
            all series. `known_at` holds the moments since which the values are known; without it, or in an empty cell,
            a value counts as known before any reading. All other columns are fields.
        history: the frame of the readings; its columns of the same names give values for times that `frame` lacks.
        series_column: the column with the names of the series; None: `unique_id` or `series`, if it exists.
        time_column: the column with the times; None: `ds`, another usual name, or the only one with times.

    Raises:
        HistoryError: the frame cannot be read.
    """
    values = KnownValues()
    table = _table(frame)
    time, series, fields = _layout(table, series_column, time_column)
    if not fields:
        raise HistoryError(f"the frame of known values has no column of numbers among {listed(list(table.columns))}")
    if history is not None:
        readings = _table(history)
        own_time, own_series, _ = _layout(readings, series_column, time_column)
        shared = [name for name in fields if name in readings.columns]
        _add(values, readings, own_time, own_series, shared)
    _add(values, table, time, series, fields)
    return values


def _table(frame: Any) -> pd.DataFrame:
    converted = pandas_frame(frame, "the frame of known values")
    table = converted.to_frame() if isinstance(converted, pd.Series) else converted
    if isinstance(table.index, pd.DatetimeIndex):
        table = table.reset_index(names=TIME[0])
    elif table.index.names != [None]:
        table = table.reset_index()
    return table.set_axis([plain_name(str(name)) for name in table.columns], axis=1).reset_index(drop=True)


def _layout(
    table: pd.DataFrame, series_column: str | None, time_column: str | None
) -> tuple[str, str | None, list[str]]:
    """Return the columns of the times and of the series, and those that hold numbers."""
    known_at = find(list(table.columns), (KNOWN_AT,))
    rest = table.drop(columns=[known_at] if known_at else [])
    time = time_of(rest, time_column if time_column is None or find(list(rest.columns), (time_column,)) else None)
    named = series_column if series_column and find(list(rest.columns), (series_column,)) else None
    series = series_of(rest, time, named)
    fields = [name for name in rest.columns if name not in (time, series) and cells.holds_numbers(rest[name])]
    return time, series, fields


def _add(values: KnownValues, table: pd.DataFrame, time: str, series: str | None, fields: list[str]) -> None:
    ts = _moments(table[time], time)
    known_at = find(list(table.columns), (KNOWN_AT,))
    moments = np.full(len(table), ALWAYS) if known_at is None else _moments(table[known_at], known_at, ALWAYS)
    sources = pd.Series(ALL_SERIES, table.index) if series is None else cells.names(table[series]).fillna(ALL_SERIES)
    for source, rows in sources.groupby(sources).groups.items():
        at = table.index.get_indexer(rows)
        for name in fields:
            numbers = _numbers(name, table[name].iloc[at])
            there = np.isfinite(numbers)
            values.add(str(source), name, ts[at][there], numbers[there], moments[at][there])


def _moments(column: pd.Series, name: str, missing: int | None = None) -> Int64:
    """Return a column of times in epoch milliseconds; without an offset they are in UTC."""
    try:
        plain = cells.times(name, column)
        given = plain if not pd.api.types.is_integer_dtype(plain.dtype) else pd.to_datetime(plain, unit="ms", utc=True)
        times = pd.to_datetime(given, utc=True)
    except (ValueError, TypeError, OverflowError) as exc:
        raise HistoryError(f"column {name!r} of the known values holds no times: write ISO-8601 ({exc})") from exc
    absent = times.isna().to_numpy()
    if absent.any() and missing is None:
        raise HistoryError(f"column {name!r} of the known values lacks {int(absent.sum())} times: add them")
    ms = times.dt.as_unit("ms").astype("int64").to_numpy()
    return np.where(absent, missing or 0, ms)


def _numbers(name: str, column: pd.Series) -> Float:
    try:
        numbers = pd.to_numeric(cells.numbers(name, column)).to_numpy(np.float64, na_value=np.nan)
    except ValueError as exc:
        raise HistoryError(f"column {name!r} of the known values holds text: {exc}") from exc
    if np.isinf(numbers).any():
        raise HistoryError(f"column {name!r} of the known values holds infinity: write finite numbers, or nothing")
    return numbers
