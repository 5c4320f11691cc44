"""Detect a value that has not changed for much longer than ever before, and know how the value of a series changes.

A set point stands still for long, a counter only rises or only falls. Both are as they should be.
"""

from typing import Any

import numpy as np

from tidecast.online.kernels.decorators import part_exactly
from tidecast.online.kernels.detection.running_mean import USUAL
from tidecast.online.kernels.detection.watch_facts import STUCK, UNSTUCK

STILL, FLAT = 1.0, 2.0  # `stuck` of a series whose value does not change, or hardly
PAUSES = 3.0  # a value is stuck after so many of the longest pauses
LEAST_RUN = 5.0  # readings without a change, at least
CHANGING = 0.2  # share of readings that change the value: a series with fewer is not watched
ONE_WAY = 0.02  # a series with a smaller share of changes upwards, or downwards, is a counter
VARIED = 100.0  # readings before a value can be stuck
COUNTED = 2000.0  # the same of a counter: a day by the minute, in which its machine may have rested


@part_exactly
def watch_standstill(watch: Any, y: float, ts: float, facts: Any) -> int:
    """Count a reading that repeats the value, or begin a new one; return STUCK or UNSTUCK if the reading shows it."""
    if y != watch.value:
        return _begin_value(watch, y, ts, facts)
    watch.run += 1
    if watch.stuck:
        return 0
    if watch.run <= watch.longest_run:
        watch.changing -= watch.changing / min(watch.seen + 1, USUAL)
    if _may_be_stuck(watch, y) and watch.run > max(LEAST_RUN, PAUSES * watch.longest_run):
        watch.stuck = STILL
        facts.stuck_since = watch.changed_ts
        facts.stuck_within = 0.0
        return STUCK
    return 0


@part_exactly
def _may_be_stuck(watch: Any, y: float) -> bool:
    """Return whether a value that does not change may be a fault.

    The value 0 and the ends of the range where the series has paused before are not faults: a machine is off, a valve
    is closed. A counter may rest for a night, so it must be known for longer.
    """
    ends = y == 0.0 or np.float32(y) == watch.lowest or np.float32(y) == watch.highest
    least = COUNTED if is_counter(watch) else VARIED
    return bool(not ends and watch.seen >= least and watch.changing > CHANGING)


@part_exactly
def _begin_value(watch: Any, y: float, ts: float, facts: Any) -> int:
    """Begin a new value; a pause while the value was stuck counts for no more than would raise the next alarm."""
    events = 0
    if watch.seen == 0:
        watch.lowest = watch.highest = y
    elif watch.run > 0 and not watch.stuck:
        watch.lowest = min(watch.lowest, np.float32(watch.value))
        watch.highest = max(watch.highest, np.float32(watch.value))
    longest = max(watch.longest_run, 1.0)
    if watch.stuck == STILL:
        events = UNSTUCK
        facts.stuck_since = watch.changed_ts
        facts.stuck_within = 0.0
        watch.stuck = 0.0
        watch.run = min(watch.run, PAUSES * longest)
    watch.longest_run = max(longest, watch.run)
    n = min(watch.seen + 1, USUAL)
    watch.changing += (1 - watch.changing) / n
    is_first = watch.run >= watch.seen - 1  # the series may have stood still for long before
    changes = 1.0 if is_first else max(1.0, n * watch.changing)
    watch.rising += ((1.0 if y > watch.value else 0.0) - watch.rising) / changes
    watch.run = 0.0
    watch.changed_ts = ts
    return events


@part_exactly
def has_stood_at(watch: Any, y: float) -> bool:
    """Return whether the series usually stands still, and a reading lies within the values at which it has stood."""
    known = watch.lowest <= np.float32(y) <= watch.highest or y == watch.value
    return bool(watch.changing <= CHANGING and known)


@part_exactly
def varies(watch: Any) -> bool:
    """Return whether the value changes often, upwards and downwards: the series is not a set point or a counter."""
    often = watch.seen >= VARIED and watch.changing > CHANGING
    return bool(often and not is_counter(watch))


@part_exactly
def is_counter(watch: Any) -> bool:
    """Return whether the series only rises or only falls, but for its resets."""
    return bool(watch.seen >= VARIED and not ONE_WAY < watch.rising < 1 - ONE_WAY)


@part_exactly
def onwards(watch: Any, last: float, forecast: float) -> float:
    """Return the forecast, or the last value if the forecast of a counter turns back."""
    back = forecast < last if watch.rising > 0.5 else forecast > last
    return last if back and is_counter(watch) else forecast
