"""Conversion of a caller's frame to histories: finds the columns or index levels of the id, the time and the target.

The rows then pass through the file reader, so that a frame is read as strictly as `tidecast train` reads a file.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from tidecast.errors import HistoryError
from tidecast.files.history import Histories, histories_of
from tidecast.files.layout import DEFAULT_TARGET, ROW_NUMBER, SERIES, TIME, Selection
from tidecast.files.parquet import column_of
from tidecast.files.parts import OR_NAME_IT
from tidecast.files.refusal import Refusal
from tidecast.files.tables import Table, plain_name
from trainer.data import frame_cells as cells
from trainer.data.foreign_frames import pandas_frame
from trainer.data.frame_columns import TARGET, features_of, find, is_value, series_of, target_of, time_of

_SOURCE = "the frame"  # its name in messages


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
    table, loose = _with_index_columns(_with_plain_names(_new_frame(frame)))
    if not len(table):
        raise HistoryError("the frame has no row: give it a row for each reading")
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


def _new_frame(frame: Any) -> pd.DataFrame:
    """Return a caller's object as a pandas frame of its own."""
    converted = pandas_frame(frame)
    return converted.to_frame(TARGET[0]) if isinstance(converted, pd.Series) else converted.copy(deep=False)


def _with_plain_names(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with text as column names.

    Raises:
        HistoryError: the columns have several levels, or two columns have the same name.
    """
    if frame.columns.nlevels > 1:
        raise HistoryError("the columns of the frame have several levels: give each column a single name")
    frame.columns = pd.Index([plain_name(str(name)) for name in frame.columns], dtype=object)
    keys = frame.columns.str.casefold()
    if keys.has_duplicates:
        first = frame.columns[int(keys.duplicated().argmax())]
        raise HistoryError(f"the frame has the column {first!r} twice: rename or drop one")
    return frame


def _with_index_columns(frame: pd.DataFrame) -> tuple[pd.DataFrame, frozenset[str]]:
    """Move index levels that may hold ids or times to columns.

    Returns:
        The frame with a plain index, and the names of the new columns whose meaning is not known.

    Raises:
        HistoryError: a level and a column have the same meaning and differ, or the ids are spread over several levels.
    """
    index = frame.index
    names = _level_names(index, find(list(frame.columns), SERIES) is not None)
    frame = frame.reset_index(drop=True)
    for number, name in reversed(names.items()):
        level = pd.Series(index.get_level_values(number), index=frame.index, name=name)
        is_unnamed_time = name == TIME[0] and index.names[number] is None
        twin = find(list(frame.columns), TIME if is_unnamed_time else (name,))
        if twin is None:
            frame.insert(0, name, level)
        elif not level.astype(object).equals(frame[twin].astype(object)):
            raise HistoryError(f"the index and the column {twin!r} differ, and both may be {name!r}: drop one of them")
    known = {*SERIES, ROW_NUMBER, *TIME, *TARGET}
    return frame, frozenset(name for name in names.values() if name.casefold() not in known)


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
    try:
        arrays = pa.Table.from_pandas(frame, preserve_index=False)
        columns = [column_of(array) for array in arrays.columns]
    except (pa.ArrowException, ValueError) as exc:
        raise HistoryError(f"the frame cannot be read: {exc}") from exc
    table = Table(_SOURCE, "frame", dict(zip(arrays.column_names, columns, strict=True)), np.arange(1, 1 + len(frame)))
    try:
        read = histories_of([table], Selection(target, tuple(features)))
    except HistoryError as exc:
        raise HistoryError(_without_options(str(exc))) from exc
    refused = tuple(Refusal(refusal.series, _without_options(refusal.reason)) for refusal in read.refused)
    return replace(read, refused=refused, notes=tuple(map(_without_options, read.notes)))


def _without_options(sentence: str) -> str:
    """Return a message of the file reader without the options of the command line."""
    return sentence.partition(OR_NAME_IT)[0]


def _level_names(index: pd.Index, has_series: bool) -> dict[int, str]:
    """Return column names for the index levels, by position; a level that only numbers the rows is left out."""
    levels = list(index.levels) if isinstance(index, pd.MultiIndex) else [index]
    names = ["" if name is None else plain_name(str(name)) for name in index.names]
    has_series = has_series or find(names, SERIES) is not None
    times = [i for i, level in enumerate(levels) if cells.is_time(level) or names[i].casefold() in TIME]
    labels = [i for i, level in enumerate(levels) if i not in times and cells.is_text(level)]
    if times and len(labels) > 1 and not has_series:
        listing = " and ".join(repr(names[i] or f"level {i}") for i in labels)
        raise HistoryError(f"the index has the levels {listing} beside the times: join them into one level 'unique_id'")
    named = {i: name for i, name in enumerate(names) if name}
    named |= {i: TIME[0] for i in times if not names[i]}
    if times and labels and not has_series:
        named[labels[0]] = SERIES[0]
    if len(levels) > 1 or labels:
        named |= {i: f"level {i} of the index" for i in range(len(levels)) if i not in named}
    return dict(sorted(named.items()))
