"""The record of a series: its pending forecasts, its errors and the numbers of its guard, its drift and its intervals.

`wire/state_format.py` names the numbers. The compiled loops reach them by the record's address, and the stored numbers
are the ones used in the computation.
"""

from typing import Any

import numpy as np

from tidecast.arrays import Float
from tidecast.online.kernels.pointers import record_at
from tidecast.wire.state_format import (
    NUMBER,
    ONLINE,
    RECORD,
    TRACKER,
    numbers_in,
    pending_numbers,
    place_in,
    record_numbers,
)

RECORD_SIZE, TRACKER_SIZE = RECORD.itemsize, TRACKER.itemsize  # bytes
series_record_at = record_at(RECORD)
tracker_at = record_at(TRACKER)
ONLINE_AT = NUMBER * place_in(RECORD, "online")  # bytes from the begin of a record
_OWN = numbers_in(RECORD)


def new_record(levels: int, further: int = 0) -> Float:
    """Return the numbers of a new series' record, `(record_numbers(levels, further),)`."""
    numbers = np.full(record_numbers(levels, further), np.nan)
    record = named(numbers)
    record.last_version = 0
    record.guard.alert = 0
    record.guard.regret = 0
    record.drift.fill(0)
    record.watch.fill(0)
    record.watch.value = np.nan
    record.slow.fill(0)
    record.anomaly.fill(0)
    record.errors[:] = np.nan
    record.evidence[:] = 0
    record.noise.fill(0)
    record.unused[:] = 0
    first = ONLINE_AT // NUMBER
    numbers[first : first + numbers_in(ONLINE)] = 0
    numbers[first + place_in(ONLINE, "newest")] = np.nan
    trackers_of(numbers, levels)[:, 1:] = 0
    if further:
        ahead = numbers[record_numbers(levels) :]
        ahead[0] = 0
        ahead[1 + pending_numbers(further) :] = 0
    return numbers


def named(numbers: Float) -> Any:
    """Return a view of a record's numbers with their names, without the trackers."""
    return numbers[:_OWN].view(RECORD)[0]


def trackers_of(numbers: Float, levels: int = 1) -> Float:
    """Return a view of the trackers of a record, `(levels, numbers of a tracker)`."""
    return numbers[_OWN : record_numbers(levels)].reshape(-1, numbers_in(TRACKER))
