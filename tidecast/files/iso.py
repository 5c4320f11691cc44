"""Parse many ISO-8601 times at once: cells of the same shape, which differ only in their digits, together."""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Bools, Int64
from tidecast.durations import DAY_MS, HOUR_MS
from tidecast.files.columns import Kind

Bytes = NDArray[np.uint8]

_DIGITS_TO_0 = bytes(ord("0") if ord("0") <= byte <= ord("9") else byte for byte in range(256))
# The shapes of ISO-8601 times, with every digit replaced by 0. The day and parts of the clock may be missing.
_FORM = re.compile(
    rb"(?P<year>0000)[-/](?P<month>00?)"
    rb"(?:[-/](?P<day>00?)"
    rb"(?:[T ](?P<hour>00?)(?::?(?P<minute>00)(?::?(?P<second>00)(?:[.,](?P<fraction>0{1,9}))?)?)?"
    rb"(?P<offset> ?(?:Z|UTC|[+-](?P<hours>00)(?::?(?P<minutes>00))?))?)?)?"
)
_SECOND_MS = 1000
_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class ShapeTimes:
    """Cells of one shape as times."""

    ms: Int64  # (rows,) epoch milliseconds; local times as if the clock showed UTC
    below: Int64  # (rows,) nanoseconds beyond the milliseconds
    good: Bools  # (rows,) True for valid times: `2024-02-30` is not valid


def shapes(joined: bytes) -> bytes:
    """Replace every digit by 0."""
    return joined.translate(_DIGITS_TO_0)


def kind_of(shape: bytes) -> Kind:
    """Return the kind of times of this shape; NONE if the shape is not ISO-8601."""
    form = _FORM.fullmatch(shape)
    if form is None:
        return Kind.NONE
    return Kind.OFFSET if form["offset"] else Kind.LOCAL


def read_shape(shape: bytes, cells: Bytes) -> ShapeTimes:
    """Parse cells of one shape.

    Args:
        shape: a shape whose `kind_of` is not NONE.
        cells: `(rows, at least len(shape))` characters.
    """
    form = _FORM.fullmatch(shape)
    if form is None:
        raise ValueError(f"{shape!r} is not a form of ISO-8601")
    parts = {name: number(cells, *form.span(name)) for name in form.groupdict() if name != "offset" and form[name]}
    zero = np.zeros(len(cells), np.int64)
    month = (parts["year"] - 1970) * 12 + parts["month"] - 1
    day = parts.get("day", zero + 1)
    first_day = _days(month)
    next_month = _days(month + 1)
    clock = [parts.get(name, zero) for name in ("hour", "minute", "second")]
    good = (parts["month"] >= 1) & (parts["month"] <= 12) & (day >= 1) & (first_day + day <= next_month)
    good &= (clock[0] < 24) & (clock[1] < 60) & (clock[2] < 60)
    ns = parts.get("fraction", zero) * 10 ** (9 - len(form["fraction"] or b""))
    ms = (first_day + day - 1) * DAY_MS + clock[0] * HOUR_MS + clock[1] * _MINUTE_MS + clock[2] * _SECOND_MS
    offset_ms = parts.get("hours", zero) * HOUR_MS + parts.get("minutes", zero) * _MINUTE_MS
    good &= (parts.get("hours", zero) < 24) & (parts.get("minutes", zero) < 60)
    sign = -1 if b"-" in (form["offset"] or b"") else 1
    return ShapeTimes(ms + ns // 1_000_000 - sign * offset_ms, ns % 1_000_000, good)


def matrix(joined: bytes, length: int, rows: Int64, count: int) -> Bytes:
    """Stack the chosen `rows`, all cells of the same length, as characters.

    Args:
        joined: all cells with line breaks between them.
        length: the length of the chosen cells.
        rows: the chosen cells.
        count: the number of all cells.

    Returns:
        `(rows, length + 1)`: the last character is the line break.
    """
    if len(rows) < count:
        cells = joined.split(b"\n")
        joined = b"\n".join([cells[row] for row in rows.tolist()])
    return np.frombuffer(joined + b"\n", np.uint8).reshape(len(rows), length + 1)


def number(cells: Bytes, start: int, end: int) -> Int64:
    """Parse the digits between two places of each cell."""
    result = np.zeros(len(cells), np.int64)
    for place in range(start, end):
        result = 10 * result + (cells[:, place] - ord("0"))
    return result


def _days(months: Int64) -> Int64:
    """Return the first day of each month; days and months count from 1970."""
    return months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
