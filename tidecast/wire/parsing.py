"""Parse entries of `readings` strictly; an error names the problem in a sentence.

Entries are handled as bytes: one undecodable entry must not make a whole read fail.
"""

import math
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import cast

import numpy as np

from tidecast.date_numbers import date_in
from tidecast.durations import DAY_MS
from tidecast.errors import BadReading
from tidecast.moments import utc_text
from tidecast.wire import Fields, Reading, partition_of
from tidecast.wire.numbers import FORM, LONGEST, number_of, usual_numbers

MAX_NAME_BYTES = 256
MAX_TIME_BYTES = 64
AHEAD_MS = DAY_MS  # how far a reading's `ts` may be ahead of the worker's clock
ID_AHEAD_MS = 60_000  # an entry id further ahead of the worker's clock is not used as a time
MAX_TIME_DIGITS = 15  # of epoch milliseconds; a double holds them exactly
NEEDS_A_LOOK = -(10**15)  # in place of a time; an epoch has at most 15 digits

_EPOCH = re.compile(rb"-?\d{1,15}")
_DIGITS = b"0123456789,"  # the characters of comma-separated times from 1970 on
# One form of ISO-8601: parsers of more forms accept any character between the date and the time.
_MOMENT = re.compile(
    rb"\d{4}-\d\d-\d\d[T ](?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?"
    rb"(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)?"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# Epochs of the years 2001 to 2128 in another unit, of a form that epoch milliseconds do not have.
_OTHER_UNITS = (
    (re.compile(rb"[1-4]\d{9}\.\d+"), "seconds"),
    (re.compile(rb"[1-4]\d{15}"), "microseconds"),
    (re.compile(rb"[1-4]\d{18}"), "nanoseconds"),
)
# An epoch in seconds of the years 2001 to 2128, read as milliseconds, falls in early 1970.
_LOOKS_LIKE_SECONDS = range(1_000_000_000, 5_000_000_000)
# Such as 202403 and 20240301. Smaller numbers may be times that a program counts from 0.
_MAY_BE_A_DATE = range(100_000, 1_000_000_000)
_FIRST_SPELLED = 10**13  # a date to the second has 14 digits, more than an epoch of these centuries
# Field names for a time in other programs, in lower case and without the characters of `_PUNCTUATION`.
_NAMES_OF_A_TIME = frozenset(
    b"ts tsms timestamp timestampms time timems date datetime ds epoch epochms unixtime eventtime".split()
)
_PUNCTUATION = b" _-.@"
_WITH_COMMAS = re.compile(rb"[-+]?[\d.]*,[\d.,]*")  # such as 1,5 and 1.234,5 and 1,234.5
_NAMES_SHOWN = 5  # field names in the message on a missing field
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # the first column of a CSV file may begin with it


def check_partition(series: str, partition: int, partitions: int) -> None:
    """Check that a series belongs to the partition of its reading.

    Raises:
        BadReading: the series belongs to another partition, which holds its window and state.
    """
    if partitions > 1 and (its := partition_of(series, partitions)) != partition:
        raise BadReading(
            "wrong_partition",
            f"series {quoted(series.encode())} belongs to partition {its}, not {partition}: push it there, "
            f"its number is crc32(series) % {partitions}",
        )


def check_size(fields: Fields, most: int) -> None:
    """Check that an entry is not larger than a reading may be.

    Raises:
        BadReading: the names and values together have more than `most` bytes.
    """
    size = sum(map(len, fields)) + sum(map(len, fields.values()))
    if size > most:
        raise BadReading(
            "too_large", f"the reading has {size} bytes: send at most {most}, or raise series.max_entry_bytes"
        )


def series_of(fields: Fields) -> str:
    """Return the series of an entry.

    Raises:
        BadReading: the name is missing, too long, not UTF-8 or holds control characters.
    """
    raw = fields.get(b"series", b"")
    if not raw:
        raise BadReading("no_series", f"field 'series' is missing or empty{_sent(fields)}: send the name of the series")
    if len(raw) > MAX_NAME_BYTES:
        raise BadReading("bad_series", f"the series name has {len(raw)} bytes: use at most {MAX_NAME_BYTES}")
    try:
        name = raw.decode()
    except UnicodeDecodeError as exc:
        raise BadReading("bad_series", f"the series name {quoted(raw)} is not UTF-8: encode it as UTF-8") from exc
    if _CONTROL.search(name):
        raise BadReading("bad_series", f"the series name {quoted(raw)} holds control characters: remove them")
    return name


def parse_reading(entry_id: str, fields: Fields, series: str, features: tuple[str, ...], now_ms: int) -> Reading:
    """Parse an entry of a known series; the first feature is the target and must be present.

    Raises:
        BadReading: the target is missing, a number or the time is invalid, or the time is in another field than `ts`.
    """
    target, *others = (feature.encode() for feature in features)
    if target not in fields:
        raise BadReading("no_value", f"field {features[0]!r} is missing{_sent(fields)}: send it with a number")
    values = [parse_number(target, fields[target])]
    values += [parse_number(name, fields[name]) if name in fields else math.nan for name in others]
    if b"ts" in fields:
        return Reading(entry_id, series, parse_time(fields[b"ts"], now_ms), tuple(values))
    check_time_elsewhere(fields, features)
    return Reading(entry_id, series, arrival_ms(entry_id, now_ms), tuple(values), has_ts=False)


def check_time_elsewhere(names: Iterable[bytes], features: tuple[str, ...]) -> None:
    """Check that a reading without `ts` does not hold its time in another field.

    Raises:
        BadReading: the name of a field is a usual name for a time.
    """
    if name := time_elsewhere(names, features):
        raise BadReading("bad_ts", f"the reading has no 'ts', but a field {quoted(name)}: send its time as 'ts'")


def time_elsewhere(names: Iterable[bytes], features: tuple[str, ...]) -> bytes | None:
    """Return the field whose name is a usual one for a time, in a reading without `ts`; None without such a field.

    Such a reading would silently get the time of its arrival. A feature may have any name.
    """
    for name in names:
        plain = name.removeprefix(_BYTE_ORDER_MARK).lower().translate(None, _PUNCTUATION)
        if plain in _NAMES_OF_A_TIME and name not in {feature.encode() for feature in features}:
            return name
    return None


def arrival_ms(entry_id: str, now_ms: int) -> int:
    """Return the time of a reading that was sent without one, which is the time in its entry id.

    An id may be far ahead, because Redis' clock once was or because a producer chose the id; all later ids are then
    ahead too. Such an id is not a time, and the reading gets `now_ms`.
    """
    ms = int(entry_id.partition("-")[0])
    return ms if ms <= now_ms + ID_AHEAD_MS else now_ms


def times_of(times: Sequence[bytes], now_ms: int) -> list[int]:
    """Parse the times of many readings as `parse_time` does, many times as fast.

    Returns:
        Epoch milliseconds, `NEEDS_A_LOOK` where `parse_time` must decide.
    """
    joined = b",".join(times)
    if not joined.translate(None, _DIGITS) and max(map(len, times)) <= MAX_TIME_DIGITS:
        numbers = usual_numbers(joined, len(times))
        if numbers is not None and numbers.min() >= _LOOKS_LIKE_SECONDS.stop and numbers.max() <= now_ms + AHEAD_MS:
            return cast("list[int]", numbers.astype(np.int64).tolist())
    one_by_one = (int(raw) if _EPOCH.fullmatch(raw) else NEEDS_A_LOOK for raw in times)
    return [NEEDS_A_LOOK if ts > now_ms + AHEAD_MS or _is_no_epoch(ts) else ts for ts in one_by_one]


def _is_no_epoch(ts: int) -> bool:
    """Return whether a bare number looks like seconds or a date; longer dates lie ahead or may be epochs."""
    return ts in _LOOKS_LIKE_SECONDS or (ts in _MAY_BE_A_DATE and date_in(ts) is not None)


def parse_number(name: bytes, raw: bytes) -> float:
    """Parse a number as `number_of` does.

    Raises:
        BadReading: the text is not a number, or the number does not fit into a float32.
    """
    value = number_of(raw)
    if not math.isnan(value):
        return value
    if len(raw) > LONGEST:
        why = f", {len(raw)} bytes: send a number of at most {LONGEST}"
    elif FORM.fullmatch(raw):
        why = ", beyond 3.4e38: rescale it"
    elif _WITH_COMMAS.fullmatch(raw):
        why = ", with a comma: send a point for decimals and nothing between thousands"
    else:
        why = ": send a finite decimal number such as 42.1"
    raise BadReading("bad_value", f"field {quoted(name)} is {quoted(raw)}{why}")


def parse_time(raw: bytes, now_ms: int) -> int:
    """Parse a time given as epoch milliseconds or ISO-8601 with an offset; return epoch milliseconds.

    The form of ISO-8601 is that of RFC 3339: `2024-03-01T12:00:00Z`, with `T` or one space, with or without seconds and
    their fraction, with `Z` or an offset such as `+01:00`.

    Raises:
        BadReading: the text is neither, has no offset, or lies more than a day ahead of `now_ms`.
    """
    is_epoch = bool(_EPOCH.fullmatch(raw))
    ts = _epoch_ms(raw) if is_epoch else _iso_ms(raw)
    if ts > now_ms + AHEAD_MS:
        shown = f"{quoted(raw)} ({utc_text(ts)})" if is_epoch else quoted(raw)
        raise BadReading("future_ts", f"ts {shown} is over a day ahead of the worker's clock: check the sender's clock")
    return ts


def _epoch_ms(raw: bytes) -> int:
    ts = int(raw)
    if ts in _LOOKS_LIKE_SECONDS:  # only a bare number can have the wrong unit
        raise BadReading("bad_ts", f"ts {quoted(raw)} looks like seconds: send milliseconds")
    if (ts in _MAY_BE_A_DATE or ts >= _FIRST_SPELLED) and (likely := date_in(ts)):
        moment = likely if "T" in likely else f"{likely}T00:00"
        raise BadReading("bad_ts", f"ts {quoted(raw)} looks like a date: send epoch milliseconds or {moment}Z")
    return ts


def _iso_ms(raw: bytes) -> int:
    form = _MOMENT.fullmatch(raw) if len(raw) <= MAX_TIME_BYTES else None
    try:
        moment = datetime.fromisoformat(raw.decode()) if form else None
    except ValueError:  # a day that is not in the calendar
        moment = None
    if form is None or moment is None:
        if unit := other_unit(raw):
            raise BadReading("bad_ts", f"ts {quoted(raw)} looks like {unit}: send milliseconds")
        raise BadReading(
            "bad_ts",
            f"ts {quoted(raw)} is not a time: send epoch milliseconds or ISO-8601 with an offset, "
            "such as 2024-03-01T12:00:00Z",
        )
    if moment.tzinfo is None:
        raise BadReading("bad_ts", f"ts {quoted(raw)} has no offset: append Z or +01:00, or send epoch milliseconds")
    return round(moment.timestamp() * 1000)


def _sent(fields: Fields) -> str:
    """Return the names of the fields that a reading has, for a message on one that it lacks."""
    names = [quoted(name) for name in fields if name != b"series"]
    more = ", …" if len(names) > _NAMES_SHOWN else ""
    return f" (sent: {', '.join(names[:_NAMES_SHOWN])}{more})" if names else ""


def other_unit(raw: bytes) -> str | None:
    """Return the unit of an epoch that is certainly not in milliseconds; None for any other text."""
    return next((unit for form, unit in _OTHER_UNITS if form.fullmatch(raw)), None)


def quoted(raw: bytes) -> str:
    """Return bytes as printable text for a message, cut to 40 bytes."""
    text = raw[:40].decode("utf-8", "backslashreplace")
    return repr(text) + ("…" if len(raw) > 40 else "")
