"""Conversion of a caller's frame to a table of the file reader, which reads it as strictly as a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from tidecast.errors import HistoryError
from tidecast.files.layout import ROW_NUMBER, SERIES, TIME
from tidecast.files.parquet import column_of
from tidecast.files.parts import OR_NAME_IT
from tidecast.files.tables import Table, plain_name
from trainer.data import frame_cells as cells
from trainer.data.foreign_frames import pandas_frame
from trainer.data.frame_columns import TARGET, find

THE_FRAME = "the frame"  # its name in messages


def columns_of(frame: Any, called: str = THE_FRAME) -> tuple[pd.DataFrame, frozenset[str]]:
    """Return a caller's object as a frame of its own, with ids and times of the index as columns.

    Args:
        frame: a frame of pandas, polars or Arrow, or a pandas Series; see `pandas_frame`.
        called: its name in messages.

    Returns:
        The frame with a plain index, and the names of the columns from the index whose meaning is not known.

    Raises:
        HistoryError: the object is not a frame, has no row, or its columns or its index are not clear.
    """
    converted = pandas_frame(frame, called)
    own = converted.to_frame(TARGET[0]) if isinstance(converted, pd.Series) else converted.copy(deep=False)
    named, loose = _with_index_columns(_with_plain_names(own, called))
    if not len(named):
        raise HistoryError(f"{called} has no row: give it a row for each reading")
    return named, loose


def table_of(frame: pd.DataFrame, called: str = THE_FRAME) -> Table:
    """Return converted columns as a table; its rows are numbered from 1.

    Raises:
        HistoryError: a column holds text that is not Unicode, or values of several types.
    """
    try:
        arrays = pa.Table.from_pandas(frame, preserve_index=False)
        columns = [column_of(array) for array in arrays.columns]
    except (pa.ArrowException, ValueError) as exc:
        raise HistoryError(f"{called} cannot be read: {exc}") from exc
    return Table(called, "frame", dict(zip(arrays.column_names, columns, strict=True)), np.arange(1, 1 + len(frame)))


@contextmanager
def without_command_options() -> Iterator[None]:
    """Raise the errors of the file reader without the options of the command line."""
    try:
        yield
    except HistoryError as exc:
        raise HistoryError(without_options(str(exc))) from exc


def without_options(sentence: str) -> str:
    """Return a message of the file reader without the options of the command line."""
    return sentence.partition(OR_NAME_IT)[0]


def _with_plain_names(frame: pd.DataFrame, called: str) -> pd.DataFrame:
    """Return the frame with text as column names.

    Raises:
        HistoryError: the columns have several levels, or two columns have the same name.
    """
    if frame.columns.nlevels > 1:
        raise HistoryError(f"the columns of {called} have several levels: give each column a single name")
    frame.columns = pd.Index([plain_name(str(name)) for name in frame.columns], dtype=object)
    keys = frame.columns.str.casefold()
    if keys.has_duplicates:
        first = frame.columns[int(keys.duplicated().argmax())]
        raise HistoryError(f"{called} has the column {first!r} twice: rename or drop one")
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
