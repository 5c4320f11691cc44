"""Determine the layout of a table: the columns of series names, times, target and features.

Long form has a column of series names, or contains one series that is named after its file. Wide form has a time
column and then one column for each series. A table is read in wide form under three conditions. It has several numeric
columns, but no column of names. None of its columns is called `value`. The user named neither a target nor features.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tidecast.errors import HistoryError
from tidecast.files.columns import Column, Kind
from tidecast.files.folders import FolderName
from tidecast.files.tables import Table, plain_name
from tidecast.files.text import Text, why_no_number
from tidecast.suggestions import did_you_mean
from tidecast.wire import RESERVED

SERIES = ("unique_id", "series", "name")
ROW_NUMBER = "id"  # names the series, unless all its values differ: then it numbers the rows
TIME = ("ds", "timestamp", "ts", "datetime", "time", "date")
LIBRARY_TARGET = "y"  # the target of a table with `unique_id` or `ds`
DEFAULT_TARGET = "value"
OTHER_DELIMITERS = re.compile(r"[|:\s]+")  # that a file may have, but which are not read
COMMA_NUMBER = re.compile(r"[+-]?\d+,\d+")
TARGET = (DEFAULT_TARGET, LIBRARY_TARGET)
ALL = "all"
NONE = "none"

_SAMPLE = 1000  # cells that decide whether a text column contains numbers
_STAMPED = 10  # cells that decide whether an unnamed first column contains times


@dataclass(frozen=True, slots=True)
class Selection:
    """The columns that a user named, and the defaults without them."""

    target: str | None = None
    features: tuple[str, ...] = ()  # or ("all",), ("none",)
    series: str | None = None  # the column with the names of the series
    likely_target: str = DEFAULT_TARGET  # the setting `series.target`: the target of a table that has such a column
    all_by_default: bool = False  # whether every numeric column is a feature if no features are named


@dataclass(frozen=True, slots=True)
class TableLayout:
    """The columns of one table by their meaning."""

    time: str
    series: str | None  # None: one series named after the file, or wide form
    values: tuple[str, ...]  # the target first; in wide form one column for each series
    wide: bool
    features: tuple[str, ...]  # the names of `values` in the history; in wide form those of each series
    notes: tuple[str, ...] = ()

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns to forecast."""
        return self.values if self.wide else self.values[:1]


def layout_of(table: Table, selection: Selection) -> TableLayout:
    """Determine the meaning of each column of a table.

    Raises:
        HistoryError: the table has no time or no value column, or a named column is missing.
    """
    time = _time(table)
    series = _series(table, time, selection.series)
    rest = _others(table, time, series)
    numeric = [name for name in rest if _is_value(name) and _is_numeric(table.columns[name])]
    if _is_wide(selection, series, numeric):
        _check_commas(table, rest, numeric)
        note = f"{len(numeric)} columns read as one series each; a target would make one series of them"
        return TableLayout(time, None, tuple(numeric), True, (DEFAULT_TARGET,), (note, *_unused(rest, numeric)))
    target, called, notes = _target(table, selection, rest, numeric, _is_of_a_library(time, series))
    features = _features(table, selection, target, rest, numeric)
    if called in features:  # a feature called `value` beside the target `y`
        called = target
    used = (target, *features)
    _check_fields(table, (called, *features))
    return TableLayout(time, series, used, False, (called, *features), (*notes, *_unused(rest, used)))


def fields_of(
    table: Table, selection: Selection, others: Sequence[str] = (), *, may_lack_series: bool = False
) -> TableLayout:
    """Return the layout of a table in which every column of numbers is a field.

    Args:
        table: the table.
        selection: the named columns; a target and features are the only fields then.
        others: the names of columns that are not fields.
        may_lack_series: whether the named column of the series' names may be missing.

    Raises:
        HistoryError: the table has no time column or no column of numbers, or lacks a named column.
    """
    columns = {name: column for name, column in table.columns.items() if name.casefold() not in others}
    rest = replace(table, columns=columns)
    time = _time(rest)
    named = selection.series
    if named is not None and may_lack_series and _find(list(rest.columns), (plain_name(named).casefold(),)) is None:
        named = None
    series = _series(rest, time, named)
    names = _others(rest, time, series)
    numeric = [name for name in names if _is_value(name) and _is_numeric(rest.columns[name])]
    if not numeric:
        raise HistoryError(f"{table.source} has no column of numbers among {_listed(table.columns)}: add one")
    _check_commas(table, names, numeric)
    chosen = (selection.target,) if selection.target is not None else ()
    if not (_are(selection.features, ALL) or _are(selection.features, NONE)):
        chosen = (*chosen, *selection.features)
    fields = tuple(dict.fromkeys(_asked(table, "field", name, numeric) for name in chosen)) or tuple(numeric)
    return TableLayout(time, series, fields, False, fields, _unused(names, fields))


def _others(table: Table, *known: str | None) -> list[str]:
    """Return the columns of the file itself whose meaning is not known yet."""
    return [name for name, column in table.columns.items() if name not in known and not isinstance(column, FolderName)]


def _is_wide(selection: Selection, series: str | None, numeric: Sequence[str]) -> bool:
    named = series or selection.target or (selection.features and not _are(selection.features, NONE))
    aliases = (*TARGET, selection.likely_target.casefold())
    return not named and len(numeric) > 1 and _find(numeric, aliases) is None


def _is_of_a_library(time: str, series: str | None) -> bool:
    """Return whether the table is in the form of forecasting libraries: `unique_id, ds, y`."""
    return time.casefold() == TIME[0] or (series is not None and series.casefold() == SERIES[0])


def _find(names: Sequence[str], aliases: Sequence[str]) -> str | None:
    by_key = {name.casefold(): name for name in names}
    return next((by_key[key] for key in aliases if key in by_key), None)


def _time(table: Table) -> str:
    names = _others(table)
    if _find(names, ("date",)) and _find(names, ("time",)) and not _find(names, TIME[:4]):
        raise HistoryError(f"{table.source} has both 'date' and 'time': join them into one column 'timestamp'")
    if name := _find(names, TIME):
        return name
    if _looks_like_data(names):
        raise HistoryError(f"row 1 of {table.source} looks like data: begin the file with column names")
    if _is_stamped(table.columns[names[0]]):
        return names[0]
    stamps = (name for name in names if table.columns[name].holds_times and not table.columns[name].holds_numbers)
    if name := next(stamps, None):
        return name
    if len(names) == 1 and {part.casefold() for part in OTHER_DELIMITERS.split(names[0])} & set(TIME):
        raise HistoryError(
            f"{table.source} has one column, {names[0]!r}: separate columns by commas, semicolons or tabs"
        )
    raise HistoryError(
        f"{table.source} has no time column among {_listed(names)}: call one 'timestamp' (or {', '.join(TIME)})"
    )


def _looks_like_data(cells: Sequence[str]) -> bool:
    """Return whether a header looks like a row of data: it contains a time, or its first cell is a number."""
    kinds = Text(cells).moments().kinds
    return bool(np.isin(kinds, (Kind.LOCAL, Kind.OFFSET)).any() or kinds[0] != Kind.NONE)


def _series(table: Table, time: str, asked: str | None) -> str | None:
    names = [name for name in table.columns if name != time]
    if asked is not None:
        return _asked(table, "series column", asked, names)
    if name := _find(names, SERIES):
        return name
    perhaps = _find(names, (ROW_NUMBER,))
    if perhaps is None or not table.columns[perhaps].holds_names:
        return perhaps
    cells = table.columns[perhaps].names()
    return perhaps if len(set(cells)) < len(cells) or len(cells) == 1 else None


def _target(
    table: Table, selection: Selection, rest: Sequence[str], numeric: Sequence[str], is_of_a_library: bool
) -> tuple[str, str, tuple[str, ...]]:
    """Choose the target; return its column, its name in the history, and notes."""
    if selection.target is not None:
        target = _asked(table, "target", selection.target, rest)
        return target, target, ()
    if selection.likely_target != DEFAULT_TARGET and (likely := _find(rest, (selection.likely_target.casefold(),))):
        return likely, likely, ()
    named = [name for name in (_find(rest, (alias,)) for alias in TARGET) if name]
    if len(named) > 1 and not is_of_a_library:
        raise HistoryError(f"{table.source} has both {named[0]!r} and {named[1]!r}: name the one to forecast as target")
    if named:
        return named[-1], DEFAULT_TARGET, ()
    if not numeric:
        raise HistoryError(f"{table.source} {_why_no_target(table, rest)}")
    _check_commas(table, rest, numeric)
    notes = (f"target {numeric[-1]!r}, the last of {len(numeric)} numeric columns",) if len(numeric) > 1 else ()
    return numeric[-1], numeric[-1], notes


def _why_no_target(table: Table, rest: Sequence[str]) -> str:
    """Return the reason why no column holds numbers: one may hold them in a form that is not read."""
    for name in rest:
        column = table.columns[name]
        filled = np.flatnonzero(~column.missing())
        first = column.text(int(filled[0])).strip() if column.is_text and len(filled) else ""
        if any(character.isdigit() for character in first):
            return f"has no column of numbers: {name[:40]!r} begins with {first[:40]!r}, which {why_no_number(first)}"
    return (
        f"has no value column among {_listed(table.columns)}: call the numbers 'value' or name their column as target"
    )


def _check_commas(table: Table, names: Sequence[str], numeric: Sequence[str]) -> None:
    """Refuse a table in which a column of decimal commas would be left out while other columns are read."""
    for name in names:
        if name in numeric or not table.columns[name].is_text:
            continue
        head = table.columns[name].take(np.arange(min(_SAMPLE, len(table))))
        first = head.text(int(np.argmax(head.numbers().bad))).strip()
        if COMMA_NUMBER.fullmatch(first):
            raise HistoryError(
                f"column {name[:40]!r} of {table.source} has numbers such as {first[:40]!r}: write a point for "
                "decimals, or remove the column"
            )


def _features(
    table: Table, selection: Selection, target: str, rest: Sequence[str], numeric: Sequence[str]
) -> tuple[str, ...]:
    if _are(selection.features, NONE):
        return ()
    if _are(selection.features, ALL) or (selection.all_by_default and not selection.features):
        # Of `y` and `value` only one is the target; the other becomes a feature only if the user names it.
        others = [_find(numeric, (alias,)) for alias in TARGET] if target.casefold() in TARGET else []
        taken = (target, *others)
        return tuple(name for name in numeric if name not in taken and _is_field(name))
    asked = [_asked(table, "feature", name, rest) for name in selection.features]
    for name in asked:
        if name != target and not _is_numeric(table.columns[name]):
            kind = table.columns[name].type_name
            raise HistoryError(
                f"feature {name!r} of {table.source} holds {kind}, not numbers: encode it or leave it out"
            )
    return tuple(name for name in dict.fromkeys(asked) if name != target)


def _are(features: Sequence[str], word: str) -> bool:
    return [name.strip().casefold() for name in features] == [word]


def _asked(table: Table, what: str, name: str, names: Sequence[str]) -> str:
    column = _find(names, (plain_name(name).casefold(),))
    if column is None:
        remedy = did_you_mean(name, names) if names else "it has no other column"
        raise HistoryError(f"{table.source} has no column for the {what} {name!r}: {remedy}")
    return column


def _is_value(name: str) -> bool:
    """Return whether a column can be a value without being selected: it has a name that times and series never have."""
    return bool(name) and name.casefold() not in (*SERIES, ROW_NUMBER, *TIME)


def _is_field(name: str) -> bool:
    """Return whether a reading can have a field of this name."""
    return name.isprintable() and name not in RESERVED


def _check_fields(table: Table, names: Sequence[str]) -> None:
    for name in names:
        if not _is_field(name):
            raise HistoryError(f"column {name!r} of {table.source} cannot be a field of a reading: rename it")


def _is_numeric(column: Column) -> bool:
    if not column.is_text:
        return column.holds_numbers
    head = column.take(np.arange(min(_SAMPLE, len(column))))
    filled = ~head.missing()
    if not filled.any():
        head = column
        filled = ~column.missing()
    return bool(2 * np.count_nonzero(head.numbers().bad) <= np.count_nonzero(filled))


def _is_stamped(column: Column) -> bool:
    if not column.is_text:
        return False
    times = column.take(np.arange(min(_STAMPED, len(column)))).times()
    return times.kind in (Kind.LOCAL, Kind.OFFSET) and not times.bad.all()


def _unused(rest: Sequence[str], used: Sequence[str]) -> tuple[str, ...]:
    taken = set(used)
    left = [name or "without a name" for name in rest if name not in taken]
    return (f"not used: column{'s' if len(left) > 1 else ''} {', '.join(left)}",) if left else ()


def _listed(names: Iterable[str]) -> str:
    quoted = [repr(name[:40]) for name in names]
    return ", ".join(quoted[:8]) + (", …" if len(quoted) > 8 else "") if quoted else "no other column"
