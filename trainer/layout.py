"""What a table's columns mean: which one names the series, which is the time, the target, a feature.

Long form has a column of series names, or holds one series named after its file. Wide form has a time column and
then one column for each series; so is read what has no column of names, several numeric columns, none of them
called `value`, and no `target` or `features` asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tidecast.errors import HistoryError
from trainer import columns
from trainer.tables import Table

SERIES = ("series", "unique_id")
PERHAPS_SERIES = ("id", "name")  # unless no two rows share one: then it numbers the rows
TIME = ("timestamp", "ds", "ts", "datetime", "time", "date")
TARGET = ("value", "y")
DEFAULT_TARGET = "value"
ALL = "all"

_SAMPLE = 1000  # cells that decide whether a text column holds numbers
_STAMPED = 10  # cells that decide whether an unnamed first column holds times


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of one table by what they mean."""

    time: str
    series: str | None  # None: one series named after the file, or wide form
    values: tuple[str, ...]  # the target first; in wide form one column for each series
    wide: bool
    features: tuple[str, ...]  # what `values` are called in the history; in wide form of each series
    notes: tuple[str, ...] = ()


def layout_of(table: Table, target: str | None, features: Sequence[str]) -> Layout:
    """Decide what each column of a table means.

    Raises:
        HistoryError: the table has no time or no value column, or not the one asked for.
    """
    time = _time(table)
    series = _series(table, time)
    rest = [name for name in table.columns if name not in (time, series)]
    countable = [name for name in rest if name and name.casefold() not in PERHAPS_SERIES]
    numeric = [name for name in countable if _is_numeric(table.columns[name])]
    if series is None and target is None and not features and len(numeric) > 1 and _find(numeric, TARGET) is None:
        note = f"{len(numeric)} columns read as one series each; a target would make one series of them"
        return Layout(time, None, tuple(numeric), True, (DEFAULT_TARGET,), (note, *_unused(rest, numeric)))
    chosen, called, notes = _target(table, target, rest, numeric)
    others = _features(table, features, chosen, rest, numeric)
    used = (chosen, *others)
    return Layout(time, series, used, False, (called, *others), (*notes, *_unused(rest, used)))


def _find(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    by_key = {name.casefold(): name for name in names}
    return next((by_key[key] for key in wanted if key in by_key), None)


def _time(table: Table) -> str:
    names = list(table.columns)
    if _find(names, ("date",)) and _find(names, ("time",)) and not _find(names, TIME[:4]):
        raise HistoryError(f"{table.source} has both 'date' and 'time': join them into one column 'timestamp'")
    if found := _find(names, TIME):
        return found
    if columns.looks_like_data(names):
        raise HistoryError(f"row 1 of {table.source} looks like data: begin the file with column names")
    if _is_stamped(table.columns[names[0]]):
        return names[0]
    if found := next((name for name in names if columns.is_time(table.columns[name])), None):
        return found
    raise HistoryError(
        f"{table.source} has no time column among {_listed(names)}: call one 'timestamp' (or {', '.join(TIME[1:])})"
    )


def _series(table: Table, time: str) -> str | None:
    names = [name for name in table.columns if name != time]
    if found := _find(names, SERIES):
        return found
    perhaps = _find(names, PERHAPS_SERIES)
    if perhaps is None:
        return None
    cells = table.columns[perhaps]
    return perhaps if len(cells.unique()) < len(cells) or len(cells) == 1 else None


def _target(
    table: Table, target: str | None, rest: Sequence[str], numeric: Sequence[str]
) -> tuple[str, str, tuple[str, ...]]:
    if target is not None:
        chosen = _asked(table, "target", target, rest)
        return chosen, chosen, ()
    if chosen := _find(rest, TARGET) or "":
        return chosen, DEFAULT_TARGET, ()
    if not numeric:
        raise HistoryError(
            f"{table.source} has no value column among {_listed(table.columns)}: call the numbers 'value' "
            "or name their column as target"
        )
    notes = (f"target {numeric[-1]!r}, the last of {len(numeric)} numeric columns",) if len(numeric) > 1 else ()
    return numeric[-1], numeric[-1], notes


def _features(
    table: Table, features: Sequence[str], target: str, rest: Sequence[str], numeric: Sequence[str]
) -> tuple[str, ...]:
    if [name.strip().casefold() for name in features] == [ALL]:
        return tuple(name for name in numeric if name != target)
    asked = [_asked(table, "feature", name, rest) for name in features]
    for name in asked:
        if name != target and name not in numeric:
            raise HistoryError(f"feature {name!r} of {table.source} holds text, not numbers: leave it out or encode it")
    return tuple(name for name in dict.fromkeys(asked) if name != target)


def _asked(table: Table, what: str, name: str, rest: Sequence[str]) -> str:
    found = _find(rest, (name.strip().casefold(),))
    if found is None:
        raise HistoryError(f"{table.source} has no column for the {what} {name!r}: it has {_listed(rest)}")
    return found


def _is_numeric(column: Any) -> bool:
    if not columns.is_text(column):
        return columns.is_number(column)
    head = column.slice(0, _SAMPLE)
    filled = ~columns.missing(head)
    if not filled.any():
        head, filled = column, ~columns.missing(column)
    return bool(2 * np.count_nonzero(columns.numbers(head).bad) <= np.count_nonzero(filled))


def _is_stamped(column: Any) -> bool:
    if not columns.is_text(column):
        return False
    times = columns.times(column.slice(0, _STAMPED))
    return times.kind in (columns.Kind.LOCAL, columns.Kind.OFFSET) and not times.bad.all()


def _unused(rest: Sequence[str], used: Sequence[str]) -> tuple[str, ...]:
    taken = set(used)
    left = [name or "without a name" for name in rest if name not in taken]
    return (f"not used: column{'s' if len(left) > 1 else ''} {', '.join(left)}",) if left else ()


def _listed(names: Sequence[str] | dict[str, Any]) -> str:
    shown = [repr(name[:40]) for name in list(names)[:8]]
    return ", ".join(shown) + (", …" if len(names) > len(shown) else "") if shown else "no other column"
