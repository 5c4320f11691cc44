"""Convert readings to entries of the stream, and check them by the worker's rules before they are sent."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from numbers import Real
from typing import Any, cast

import numpy as np

from tidecast.errors import BadReading
from tidecast.wire import RESERVED, Fields
from tidecast.wire.known import parse_known
from tidecast.wire.numbers import numbers_of
from tidecast.wire.parsing import (
    NEEDS_A_LOOK,
    check_size,
    check_time_elsewhere,
    parse_reading,
    series_of,
    time_elsewhere,
    times_of,
)

Values = float | Mapping[str, float | str]  # text must be a decimal number
Time = int | datetime | str  # epoch milliseconds, an aware datetime or ISO-8601 with an offset
NewReading = tuple[str, Values] | tuple[str, Values, Time | None]
_NUMERIC = "biuf"  # the kinds of NumPy's types that are numbers: bool, integers, floats
_RESERVED = frozenset(name.encode() for name in RESERVED)
_ANY_ID = "0-0"  # Redis chooses the entry's id later


def entry_of(series: str, values: Values, ts: Time | None, *, now_ms: int, most_bytes: int) -> Fields:
    """Return the fields of a reading as they are sent.

    Args:
        series: the series' name.
        values: the value, or a number for each feature.
        ts: the reading's time; None: Redis' clock when it arrives.
        now_ms: the present, in epoch milliseconds.
        most_bytes: how large a reading may be, the setting `series.max_entry_bytes`.

    Raises:
        BadReading: the worker would refuse the reading; the message is the one of its dead letter.
    """
    fields = _fields(series, values, ts)
    _check(fields, now_ms, most_bytes)
    return fields


def known_entry_of(series: str, values: Values, ts: Time, known_at: Time | None, *, most_bytes: int) -> Fields:
    """Return the fields of values that are known ahead, as they are sent.

    Args:
        series: a series, or a pattern such as `shop-*`.
        values: a number for each field; a plain number is the field `value`.
        ts: the time that the values are for.
        known_at: since when they are known; None: since their entry.
        most_bytes: how large an entry may be.

    Raises:
        BadReading: the worker would refuse the entry; the message is the one of its dead letter.
    """
    fields = _fields(series, values, ts)
    if known_at is not None:
        fields[b"known_at"] = _time(known_at)
    parse_known(fields, most_bytes)
    return fields


def entries_of(readings: Iterable[NewReading], start: int, *, now_ms: int, most_bytes: int) -> list[Fields]:
    """Return the fields of many readings as `entry_of` returns those of one, in a third of the time.

    Args:
        readings: the readings to send.
        start: the number of the first reading, for messages.
        now_ms: the present, in epoch milliseconds.
        most_bytes: how large a reading may be.

    Raises:
        BadReading: the worker would refuse a reading; the message has the number of the first such reading.
    """
    entries: list[Fields] = []
    try:
        for reading in readings:
            entries.append(_fields(*_parts(reading)))  # noqa: PERF401 - the length numbers a bad reading
    except BadReading as exc:
        raise _numbered(exc, start + len(entries)) from exc
    if not _are_plain(entries, now_ms, most_bytes):
        for index, fields in enumerate(entries, start):
            try:
                _check(fields, now_ms, most_bytes)
            except BadReading as exc:
                raise _numbered(exc, index) from exc
    return entries


def _fields(series: Any, values: Any, ts: Any = None) -> dict[bytes, bytes]:
    """Return a reading's fields; only values that cannot be encoded are refused here."""
    fields = {b"series": _name(series)}
    if ts is not None:
        fields[b"ts"] = _time(ts)
    if not isinstance(values, Mapping):
        fields[b"value"] = _number("value", values)
        return fields
    for name, value in values.items():
        fields[_field(name)] = _number(name, value)
    return fields


def _check(fields: Fields, now_ms: int, most_bytes: int) -> None:
    """Check a reading as a worker would, if its model read all of the fields."""
    check_size(fields, most_bytes)
    series = series_of(fields)
    features = _features(fields)
    if not features:
        raise BadReading("no_value", f"the reading of {series!r} has no number: send a value")
    if b"ts" not in fields:
        check_time_elsewhere(features, ())
    parse_reading(_ANY_ID, fields, series, tuple(name.decode() for name in features), now_ms)


def _are_plain(entries: Sequence[Fields], now_ms: int, most_bytes: int) -> bool:
    """Return whether `_check` would certainly accept all of many readings; if not, check them one by one."""
    try:
        for name in {fields[b"series"] for fields in entries}:
            series_of({b"series": name})
        for fields in entries:
            check_size(fields, most_bytes)
    except BadReading:
        return False
    numbers: list[bytes] = []
    for fields in entries:
        features = _features(fields)
        if not features or (b"ts" not in fields and time_elsewhere(features, ())):
            return False
        numbers += [fields[name] for name in features]
    times = [fields[b"ts"] for fields in entries if b"ts" in fields]
    if np.isnan(numbers_of(numbers)).any():
        return False
    return not times or NEEDS_A_LOOK not in times_of(times, now_ms)


def _features(fields: Fields) -> list[bytes]:
    return [name for name in fields if name not in _RESERVED]


def _parts(reading: Any) -> tuple[Any, ...]:
    """Return the series, the values and, if given, the time of one of many readings."""
    if isinstance(reading, tuple | list) and len(reading) in (2, 3):
        return tuple(reading)
    raise BadReading(
        "bad_value", f"{_shown(reading)!r} is not a reading: give (series, values) or (series, values, ts)"
    )


def _numbered(exc: BadReading, index: int) -> BadReading:
    return BadReading(exc.reason, f"reading {index}: {exc}")


def _name(series: Any) -> bytes:
    if not isinstance(series, str):
        raise BadReading("bad_series", f"the series name is {_shown(series)}, which is not text: send a str")
    return series.encode("utf-8", "surrogatepass")  # the rule of the worker refuses a name that is not UTF-8


def _field(name: Any) -> bytes:
    if not isinstance(name, str) or not name:
        raise BadReading("bad_value", f"a feature is named {_shown(name)}: name it with a str that is not empty")
    if name in RESERVED:
        raise BadReading("bad_value", f"a feature is named {name!r}, which is a field of its own: rename it")
    try:
        return name.encode()
    except UnicodeEncodeError as exc:
        raise BadReading("bad_value", f"a feature is named {_shown(name)}, which is not UTF-8: rename it") from exc


def _number(name: str, value: Any) -> bytes:
    """Return a number as text; other objects are converted by `str`, and the worker's rule refuses the text."""
    if type(value) is float:
        return b"%r" % value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if _is_numeric(value):
        try:
            return b"%r" % float(value)
        except OverflowError as exc:
            raise BadReading("bad_value", f"field {name!r} is an integer beyond 3.4e38: rescale it") from exc
        except ValueError:  # a signalling NaN
            pass
    return _shown(value).encode("utf-8", "backslashreplace")


def _is_numeric(value: Any) -> bool:
    """Return whether a value is one number: Python's, NumPy's, a Decimal or a bool, but not an array."""
    dtype = getattr(value, "dtype", None)
    if dtype is not None:
        return getattr(dtype, "kind", "") in _NUMERIC and not getattr(value, "ndim", 1)
    return isinstance(value, Real | Decimal)


def _time(ts: Any) -> bytes:
    """Return a time as text; other objects are converted by `str`, and the worker's rule refuses the text."""
    if isinstance(ts, datetime) and ts == ts:  # NaT is a datetime too, but not equal to itself
        offset = ts.utcoffset()
        if offset and offset.seconds % 60:  # the local time of a zone before standard time
            ts = ts.astimezone(UTC)
        return cast("str", ts.isoformat()).encode()
    whole = ts if type(ts) is int else _whole(ts)
    text = _shown(ts if whole is None else whole)
    return text.encode("utf-8", "backslashreplace")


def _whole(ts: Any) -> int | None:
    """Return a number without a fraction as an integer; None for all other values."""
    is_bool = isinstance(ts, bool) or getattr(getattr(ts, "dtype", None), "kind", "") == "b"
    if is_bool or not _is_numeric(ts):
        return None
    try:
        whole = int(ts)
    except (ValueError, OverflowError):  # NaN, infinite
        return None
    return whole if whole == ts else None


def _shown(value: Any) -> str:
    """Return the text of any object, or its type if `str` fails, as for an integer of 5,000 digits."""
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"
