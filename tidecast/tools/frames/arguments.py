"""Check the arguments of the functions that return frames, before any work."""

import re
import time
from collections.abc import Iterable
from datetime import UTC, date, datetime
from numbers import Integral
from pathlib import Path
from typing import Any, cast

import numpy as np

from tidecast.durations import has_units, seconds_of
from tidecast.errors import BadReading, SettingsError
from tidecast.wire.parsing import parse_time

Time = (
    str | datetime | int
)  # ISO-8601, a datetime, epoch milliseconds or how long ago, such as 7d; without an offset UTC
ANY_TIME = 10**15  # later than every time, since a bound may be in the future
_ISO = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d)?)?")
_FORMS = "give ISO-8601, a datetime, epoch milliseconds, or how long ago it is, such as 7d"


def series_names(series: Any) -> frozenset[str] | None:
    """Return the names of the selected series; None: all series.

    Raises:
        SettingsError: an item is not a name, or the list is empty.
    """
    if series is None:
        return None
    names = texts("series", series, "names of series")
    if not names:
        raise SettingsError("series is empty: name at least one, or leave it out for all")
    return frozenset(names)


def column(argument: str, name: Any) -> str | None:
    """Return the name of a column; None if it is left out.

    Raises:
        SettingsError: it is not a name.
    """
    if name is None or (isinstance(name, str) and name.strip()):
        return name
    raise SettingsError(f"{argument} is {name!r}: give the name of a column")


def columns(argument: str, names: Any) -> tuple[str, ...]:
    """Return the names of columns; the argument may be a single string.

    Raises:
        SettingsError: an item is not a name.
    """
    return texts(argument, names, "names of columns, or ('all',) for every one with numbers")


def folder(argument: str, path: Any) -> Path | None:
    """Return a folder's path; None if it is left out.

    Raises:
        SettingsError: it is not a path.
    """
    if path is None:
        return None
    if isinstance(path, str | Path) and str(path):
        return Path(path)
    raise SettingsError(f"{argument} is {path!r}: give the path of a directory")


def texts(argument: str, given: Any, wanted: str) -> tuple[str, ...]:
    """Return strings as a tuple; the argument may be a single string.

    Raises:
        SettingsError: an item is not a string, or is blank.
    """
    many = (given,) if isinstance(given, str) else given
    items = tuple(many) if isinstance(many, Iterable) else (many,)
    if not all(isinstance(item, str) and item.strip() for item in items):
        raise SettingsError(f"{argument} is {given!r}: give {wanted}")
    return items


def bounds_ms(start: Any, end: Any) -> tuple[int | None, int | None]:
    """Return the inclusive start and the exclusive end in epoch milliseconds; None: unbounded.

    Raises:
        SettingsError: one of them is not a time, or the start is after the end.
    """
    first = None if start is None else moment_ms("start", start)
    last = None if end is None else moment_ms("end", end)
    if first is not None and last is not None and first > last:
        raise SettingsError(f"start {start!r} is later than end {end!r}: exchange them")
    return first, last


def moment_ms(argument: str, bound: Any) -> int:
    """Return a time in epoch milliseconds; without an offset it is UTC.

    Raises:
        SettingsError: it is not a time.
    """
    try:
        if isinstance(bound, Integral) and bound is not True and bound is not False:
            return parse_time(str(int(bound)).encode(), ANY_TIME)
        if isinstance(bound, str) and has_units(bound):
            return time.time_ns() // 1_000_000 - round(1000 * seconds_of(bound, argument))
        moment = _moment(bound)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return round(aware.timestamp() * 1000)
    except BadReading as exc:
        raise SettingsError(f"{argument}: {exc}") from exc
    except (ValueError, TypeError, AttributeError, OverflowError) as exc:
        raise SettingsError(f"{argument} {bound!r} is not a time: {_FORMS}") from exc


def _moment(bound: Any) -> datetime:
    """Return a datetime for ISO-8601 text, for a date or for an object that is like a datetime."""
    if isinstance(bound, np.datetime64):
        bound = str(bound)
    if isinstance(bound, str):
        if not _ISO.fullmatch(bound):
            raise ValueError(bound)
        return datetime.fromisoformat(bound)
    if isinstance(bound, date) and not isinstance(bound, datetime):
        return datetime(bound.year, bound.month, bound.day)
    return cast("datetime", bound)
