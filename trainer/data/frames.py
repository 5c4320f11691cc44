"""Conversion of a caller's frame to histories: finds the columns or index levels of the id, the time and the target.

The rows then pass through the file reader, so that a frame is read as strictly as `tidecast train` reads a file.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from tidecast.files.history import Histories, histories_of
from tidecast.files.layout import DEFAULT_TARGET, ROW_NUMBER, SERIES, TIME, Selection
from tidecast.files.refusal import Refusal
from trainer.data import frame_cells as cells
from trainer.data.frame_columns import TARGET, features_of, find, is_value, series_of, target_of, time_of
from trainer.data.frame_table import columns_of, table_of, without_command_options, without_options


def read_frame(
    frame: Any,
    target: str | None,
    features: Sequence[str],
    likely_target: str = DEFAULT_TARGET,
    series_column: str | None = None,
    time_column: str | None = None,
) -> Histories:
    """Read a frame as `tidecast train` reads a file with these rows.

    Args:
        frame: a frame of pandas, polars or Arrow, or a pandas Series; see `pandas_frame`.
        target: the column to forecast; None: `y`, `value`, or the only one with numbers.
        features: further columns; `("all",)`: every further column with numbers.
        likely_target: the setting `series.target`, which is the target of a frame that has such a column.
        series_column: the column with the names of the series; None: `unique_id` or `series`, if it exists.
        time_column: the column with the times; None: `ds`, another usual name, or the only one with times.

    Raises:
        HistoryError: the frame cannot be read, or its target is not clear.
    """
    table, loose = columns_of(frame)
    time = time_of(table, time_column)
    series = series_of(table, time, series_column)
    rest = [name for name in table.columns if name not in (time, series)]
    numeric = [name for name in rest if name not in loose and is_value(name) and cells.holds_numbers(table[name])]
    if target is None and likely_target != DEFAULT_TARGET and find(rest, (likely_target,)):
        target = likely_target
    chosen = target_of(table, rest, numeric, target)
    others = features_of(table, rest, numeric, chosen, features)
    # A default target `y` or `value` is renamed as in files, unless a feature is called `value`.
    is_default = target is None and find(TARGET, (chosen,)) is not None and find(others, (DEFAULT_TARGET,)) is None
    columns = dict(_columns(table, time, series, chosen, others))
    return _read(pd.DataFrame(columns), None if is_default else chosen, others)


def _columns(
    table: pd.DataFrame, time: str, series: str | None, target: str, features: Sequence[str]
) -> Iterator[tuple[str, pd.Series]]:
    """Yield the columns for the file reader, under names that lead it to the same choices."""
    if series is not None:
        yield SERIES[0], cells.names(table[series])
    yield (time if find([time], TIME) else TIME[0]), cells.times(time, table[time])
    for name in (target, *features):
        yield name, cells.numbers(name, table[name])
    known = {*TIME, *SERIES, ROW_NUMBER, *TARGET}
    for name in table.columns:
        if name not in (time, series, target, *features) and name.casefold() not in known:
            yield name, cells.other(table[name])  # it may distinguish rows of the same time


def _read(frame: pd.DataFrame, target: str | None, features: Sequence[str]) -> Histories:
    table = table_of(frame)
    with without_command_options():
        read = histories_of([table], Selection(target, tuple(features)))
    refused = tuple(Refusal(refusal.series, without_options(refusal.reason)) for refusal in read.refused)
    return replace(read, refused=refused, notes=tuple(map(without_options, read.notes)))
