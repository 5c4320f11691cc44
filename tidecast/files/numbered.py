"""Interpret numbers as times: epoch seconds or milliseconds, or a reason why they are neither."""

from typing import Any

import numpy as np

from tidecast.arrays import Float, Int64
from tidecast.date_numbers import why_no_epoch
from tidecast.files.columns import Kind, Moments

FIRST_SECOND = 1e9  # numbers from here (the year 2001) to the year 2128 are epoch seconds, as in the worker
END_SECOND = 5e9
COUNTER = 1500  # a column with a smaller minimum counts milliseconds from 1970 on; larger numbers may be years
SAMPLE = 1000  # numbers that decide whether a column contains dates
DATES = 0.9  # the smallest share of dates among them

TOO_LARGE = 1e16
NOISE_NS = 1000  # rounding error of epoch seconds in a double

FRACTION = "has a fraction, and times from about 0 on are milliseconds: write whole ones"
NEITHER = "is not a time: epoch seconds begin with 1000000000, in 2001; write ISO-8601 such as 2024-05-01T12:00:00Z"
FROM_0 = "the times are numbers from about 0 on: read as milliseconds since 1970-01-01"


def epochs(values: Float) -> Moments:
    """Interpret numbers as epochs; NaN stands for a missing number."""
    is_number = np.isfinite(values) & (np.abs(values) < TOO_LARGE)
    present = values[is_number]
    kinds = np.where(is_number, _kinds(values, present), Kind.NONE)
    exact = np.where(is_number, values, 0) * np.where(kinds == Kind.SECONDS, 1000, 1)
    ms: Int64 = np.rint(exact).astype(np.int64)
    below: Int64 = np.rint((exact - ms) * 1e6).astype(np.int64)
    below[np.abs(below) < NOISE_NS] = 0
    fault = _fault(present)
    if fault:
        row = int(np.flatnonzero(is_number)[fault[0]])
        return Moments(ms, below, kinds, (row, fault[1]))
    return Moments(ms, below, kinds, note=FROM_0 if _counts(present) else None)


def _kinds(values: Float, present: Float) -> Any:
    """Choose the unit: for the whole column if that is clear, otherwise for each number."""
    size = np.abs(present)
    if _counts(present) or not len(present) or present.min() <= -END_SECOND:
        return Kind.MILLISECONDS
    if size.min() >= COUNTER and FIRST_SECOND <= size.max() < END_SECOND:
        return Kind.SECONDS
    seconds = (values >= FIRST_SECOND) & (values < END_SECOND)
    return np.where(seconds, Kind.SECONDS, Kind.MILLISECONDS)


def _counts(present: Float) -> bool:
    """Return whether the numbers start at about 0; a single 0 among epochs is ignored."""
    size = np.abs(present)
    if not len(size) or size.min() >= COUNTER:
        return False
    others = size[size > size.min()]
    return not len(others) or bool(others.min() < FIRST_SECOND)


def _fault(present: Float) -> tuple[int, str] | None:
    """Return the index of a number and the reason why the numbers are not epochs; None if they may be."""
    if not len(present):
        return None
    stride = 1 + len(present) // SAMPLE
    reasons = [why_no_epoch(number) for number in present[::stride].tolist()]
    dates = [(stride * i, reason) for i, reason in enumerate(reasons) if reason]
    if len(dates) >= DATES * len(reasons):
        return dates[0]
    size = np.abs(present)
    fractions = present != np.rint(present)
    if fractions.any() and _counts(present):
        return int(np.argmax(fractions)), FRACTION
    if size.min() >= COUNTER and size.max() < FIRST_SECOND:
        return 0, NEITHER
    return None
