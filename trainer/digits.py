"""Columns of decimal texts as numbers, all rows at once, digit by digit: as `tidecast.parsing` reads them, sooner."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tidecast import parsing

MOST_BYTES = 24  # longer texts are left to the other way, and so are more than 15 digits: a double holds those exactly
MOST_DIGITS = 15
EARLIEST_MS = 5_000_000_000  # what is before may be seconds by mistake
_ZERO, _DOT, _MINUS = b"0.-"
_POWERS = 10.0 ** np.arange(MOST_DIGITS + 1)  # exact, and so the quotient is the double that is nearest

Int64 = NDArray[np.int64]
Float = NDArray[np.float64]


def numbers_of(column: Sequence[bytes], clock_ms: int) -> Float:
    """The numbers, as `parse_plain` reads them: NaN where one needs a closer look."""
    found = _digits(column)
    if found is None:
        return np.array(parsing.parse_plain(column, (b"0",), clock_ms)[0])
    whole, behind, minus, _ = found
    value: Float = whole / _POWERS[behind]
    return np.where(minus, -value, value)


def times_of(column: Sequence[bytes], clock_ms: int) -> Int64:
    """The times in epoch milliseconds, as `parse_plain` reads them: `NEEDS_A_LOOK` where one does."""
    found = _digits(column)
    if found is not None:
        whole, _, minus, dots = found
        if not (dots or minus.any() or whole.min() < EARLIEST_MS or whole.max() > clock_ms + parsing.AHEAD_MS):
            return whole
    return np.array(parsing.parse_plain((b"0",), column, clock_ms)[1], np.int64)


def _digits(column: Sequence[bytes]) -> tuple[Int64, Int64, NDArray[np.bool_], bool] | None:
    """Of each text its digits as one number, how many are behind the point, and whether there is a minus.

    Returns:
        Those, and whether any text has a point; None where one is not made of digits, at most a point and a minus.
    """
    sizes = list(map(len, column))
    if max(sizes) > MOST_BYTES:  # an array has room for the longest in each row
        return None
    text = np.array(column)
    width = text.dtype.itemsize
    by_place = np.ascontiguousarray(text.view(np.uint8).reshape(len(column), width).T)  # (places, rows)
    # NumPy pads with NUL, and so hides one that was sent.
    if np.count_nonzero(by_place) != sum(sizes):
        return None
    number = by_place - np.uint8(_ZERO)  # (places, rows); beyond 9 where it is no digit
    digit, dot = number <= 9, by_place == _DOT
    minus = by_place[0] == _MINUS
    count, dots = digit.sum(axis=0), dot.sum(axis=0)
    plain = np.count_nonzero(digit) + np.count_nonzero(dot) + np.count_nonzero(minus) == np.count_nonzero(by_place)
    if not plain or count.min() < 1 or count.max() > MOST_DIGITS or dots.max() > 1:
        return None
    whole = np.zeros(len(column), np.int64)
    behind = np.zeros(len(column), np.int64)
    after = np.zeros(len(column), np.bool_)
    for place in range(width):
        whole = np.where(digit[place], 10 * whole + number[place], whole)
        behind += after & digit[place]
        after |= dot[place]
    return whole, behind, minus, bool(dots.any())
