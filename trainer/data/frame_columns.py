"""The meaning of a frame's columns: its times, the names of its series, the target and the features."""

from collections.abc import Sequence

import pandas as pd

from tidecast.errors import HistoryError
from tidecast.files.layout import ALL, DEFAULT_TARGET, LIBRARY_TARGET, NONE, ROW_NUMBER, SERIES, TIME
from tidecast.files.tables import plain_name
from tidecast.suggestions import did_you_mean, listed
from trainer.data import frame_cells as cells

TARGET = (LIBRARY_TARGET, DEFAULT_TARGET)  # the first that exists is the target


def time_of(table: pd.DataFrame, name: str | None = None) -> str:
    """Return the name of the time column; `name` is the requested one.

    Raises:
        HistoryError: the requested column is missing, no column qualifies, or several do.
    """
    names = list(table.columns)
    if name is not None:
        return _asked(table, names, "time", name)
    if find(names, ("date",)) and find(names, ("time",)) and not find(names, TIME[:4]):
        raise HistoryError("the frame has both 'date' and 'time': join them into one column 'ds'")
    if (known := find(names, TIME)) is not None:
        return known
    typed = [name for name in names if cells.is_time(table[name])]
    if len(typed) > 1:
        raise HistoryError(f"several columns hold times ({listed(typed)}): call the right one 'ds'")
    if typed:
        return typed[0]
    if names and cells.looks_like_times(table[names[0]]):
        return names[0]
    raise HistoryError(f"the frame has no time column among {listed(names)}: call the one that holds them 'ds'")


def series_of(table: pd.DataFrame, time: str, name: str | None = None) -> str | None:
    """Return the name of the column with the series' names, or the requested one; None if the frame is one series.

    Raises:
        HistoryError: the requested column is missing.
    """
    names = [column for column in table.columns if column != time]
    if name is not None:
        return _asked(table, names, "series", name)
    if (known := find(names, SERIES)) is not None:
        return known
    perhaps = find(names, (ROW_NUMBER,))
    if perhaps is None:
        return None
    repeated = table[perhaps].astype(object).map(str).duplicated().any()
    return perhaps if repeated or len(table) == 1 else None


def target_of(table: pd.DataFrame, rest: Sequence[str], numeric: Sequence[str], target: str | None) -> str:
    """Return the name of the column to forecast.

    Raises:
        HistoryError: the requested column is missing, no column qualifies, or several do.
    """
    if target is not None:
        return _asked(table, rest, "target", target)
    if (known := find(rest, TARGET)) is not None:
        return known
    if len(numeric) == 1:
        return numeric[0]
    if numeric:
        raise HistoryError(
            f"several columns hold numbers ({listed(numeric)}) and none is called 'y': name one as target; "
            "if each is a series, bring them into rows with melt"
        )
    raise HistoryError(f"no column holds numbers among {listed(rest)}: call the one to forecast 'y'")


def features_of(
    table: pd.DataFrame, rest: Sequence[str], numeric: Sequence[str], target: str, features: Sequence[str]
) -> tuple[str, ...]:
    """Return the names of the further columns to train on.

    Raises:
        HistoryError: a requested column is missing.
    """
    words = [name.strip().casefold() for name in features]
    if words == [NONE] and find(rest, (NONE,)) is None:
        return ()
    if words == [ALL] and find(rest, (ALL,)) is None:
        # Only one of `y` and `value` is the target; the other is not a feature unless it is named.
        taken = (target, *(TARGET if target.casefold() in TARGET else ()))
        return tuple(name for name in numeric if name not in taken and name.casefold() not in taken)
    asked = dict.fromkeys(_asked(table, rest, "feature", name) for name in features)
    return tuple(name for name in asked if name != target)


def is_value(name: str) -> bool:
    """Return whether a column may be used as a value without being named by the caller."""
    return name.casefold() not in (*SERIES, ROW_NUMBER, *TIME)


def find(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """Return the first of the wanted names that exists, ignoring case; None if none does."""
    by_key = {name.casefold(): name for name in names}
    return next((by_key[key.casefold()] for key in wanted if key.casefold() in by_key), None)


def _asked(table: pd.DataFrame, rest: Sequence[str], what: str, name: str) -> str:
    known = find(rest, (plain_name(name),))
    if known is not None:
        return known
    if find(list(table.columns), (plain_name(name),)):
        raise HistoryError(f"the {what} {name!r} is the frame's column of times or ids: name another")
    raise HistoryError(f"the frame has no column for the {what} {name!r}: {did_you_mean(name, rest)}")
