"""Read values that are known ahead from a frame, as strictly as from a file."""

from typing import Any

import pandas as pd

from tidecast.errors import HistoryError
from tidecast.files.known import KNOWN_AT, check_no_target, known_rows
from tidecast.files.layout import TableLayout
from tidecast.files.tables import Table
from tidecast.models.known.values import KnownValues
from tidecast.suggestions import listed
from trainer.data import frame_cells as cells
from trainer.data.frame_columns import TARGET, find, series_of, time_of
from trainer.data.frame_table import THE_FRAME, columns_of, table_of, without_command_options

_FUTURE = "the frame of known values"


def read_known(
    frame: Any,
    history: Any = None,
    series_column: str | None = None,
    time_column: str | None = None,
    target: str | None = None,
) -> KnownValues:
    """Read the values of a frame: a row for each time, a column for each field.

    Args:
        frame: a frame of pandas, polars or Arrow. `unique_id` holds series or patterns; without it the values are for
            all series. `known_at` holds the moments since which the values are known; without it, or in an empty cell,
            a value counts as known before any reading. All other columns are fields.
        history: the frame of the readings; its columns of the same names give values for times that `frame` lacks.
        series_column: the column with the names of the series; None: `unique_id` or `series`, if it exists.
        time_column: the column with the times; None: `ds`, another usual name, or the only one with times.
        target: the column of `history` to forecast; None: `y` or `value`.

    Raises:
        HistoryError: the frame cannot be read, or a field is the target.
    """
    values = KnownValues()
    given = columns_of(frame, _FUTURE)[0]
    time, series, fields = _layout(given, series_column, time_column)
    if not fields:
        raise HistoryError(f"{_FUTURE} has no column of numbers among {listed(list(given.columns))}: add one")
    with without_command_options():
        if history is not None:
            readings = columns_of(history)[0]
            target = target or find(list(readings.columns), TARGET) or ""
            check_no_target(_FUTURE, fields, (target.casefold(),))
            own_time, own_series, _ = _layout(readings, series_column, time_column)
            shared = [name for name in fields if name in readings.columns]
            if shared:
                table, layout = _table(readings, own_time, own_series, shared, THE_FRAME)
                known_rows(table, layout, None).add_to(values)
        table, layout = _table(given, time, series, fields, _FUTURE)
        known_rows(table, layout, None).add_to(values)
    return values


def _layout(
    frame: pd.DataFrame, series_column: str | None, time_column: str | None
) -> tuple[str, str | None, list[str]]:
    """Return the columns of the times and of the series, and those that hold numbers; a named one may be missing."""
    rest = frame.drop(columns=[name for name in frame.columns if name.casefold() == KNOWN_AT])
    names = list(rest.columns)
    time = time_of(rest, time_column if time_column and find(names, (time_column,)) else None)
    series = series_of(rest, time, series_column if series_column and find(names, (series_column,)) else None)
    fields = [name for name in names if name not in (time, series) and cells.holds_numbers(rest[name])]
    return time, series, fields


def _table(
    frame: pd.DataFrame, time: str, series: str | None, fields: list[str], called: str
) -> tuple[Table, TableLayout]:
    """Return the columns of a frame in the types that the file reader accepts."""
    columns = {}
    for name in frame.columns:
        if name == time or name.casefold() == KNOWN_AT:
            columns[name] = cells.times(name, frame[name])
        elif name == series:
            columns[name] = cells.names(frame[name])
        else:
            columns[name] = cells.numbers(name, frame[name]) if name in fields else cells.other(frame[name])
    return table_of(pd.DataFrame(columns), called), TableLayout(time, series, tuple(fields), False, tuple(fields))
