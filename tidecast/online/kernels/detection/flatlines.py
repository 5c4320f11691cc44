"""Detect a value that hardly changes for much longer than ever before: a frozen sensor with electrical noise.

A value without any change is a standstill, see `standstills.py`.
"""

from typing import Any

from tidecast.online.kernels.decorators import part_exactly
from tidecast.online.kernels.detection.standstills import CHANGING, FLAT, PAUSES
from tidecast.online.kernels.detection.watch_facts import STUCK, UNSTUCK

WITHIN = 0.5  # mean changes: a value that stays as near to the first of a run hardly changes
LEAST_RUN = 20  # changes within a run, at least
LONGER = 1.5  # times the longest run: one in which the value was stuck counts for no more
MOST_RUN = 65_535  # that are counted
FEWEST = 200.0  # readings before a value can be stuck
KNOWN_MS = 2 * 86_400_000.0  # time before a value can be stuck: a machine may rest at night


@part_exactly
def watch_flatline(watch: Any, y: float, ts: float, facts: Any) -> int:
    """Count a change that stays near the first value of its run, or begin a run; return STUCK or UNSTUCK if so."""
    if y == watch.value:
        return 0
    watch.strayed += y - watch.value
    within = WITHIN * watch.move
    if not abs(watch.strayed) <= within:
        return _begin_run(watch, ts, within, facts)
    watch.flat_run = min(watch.flat_run + 1, MOST_RUN)
    if watch.stuck or watch.flat_run <= max(LEAST_RUN, PAUSES * watch.longest_flat) or not _is_known(watch):
        return 0
    watch.stuck = FLAT
    _note_run(watch, ts, within, facts)
    return STUCK


@part_exactly
def _is_known(watch: Any) -> bool:
    """Return whether the series is known for long enough, and changes often: it is not a set point."""
    long = watch.seen >= FEWEST and watch.seen * watch.step >= KNOWN_MS
    return bool(long and watch.changing > CHANGING)


@part_exactly
def _begin_run(watch: Any, ts: float, within: float, facts: Any) -> int:
    """Begin a run; a machine that rests for longer than before is reported a few times, and a second fault is found."""
    events = 0
    run = watch.flat_run
    if watch.stuck == FLAT:
        events = UNSTUCK
        _note_run(watch, ts, within, facts)
        watch.stuck = 0.0
        run = min(run, round(LONGER * max(watch.longest_flat, LEAST_RUN / PAUSES)))
    watch.longest_flat = max(watch.longest_flat, run)
    watch.strayed = 0.0
    watch.flat_run = 0
    return events


@part_exactly
def _note_run(watch: Any, ts: float, within: float, facts: Any) -> None:
    """Write when the run began, by the mean time between readings, and how far its values may differ."""
    facts.stuck_since = ts - (watch.flat_run + 1) * watch.step
    facts.stuck_within = within
