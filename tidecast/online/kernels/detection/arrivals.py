"""Learn the rhythm in which the readings of a series arrive, and when it counts as silent."""

from typing import Any

from tidecast.online.kernels.decorators import part_exactly
from tidecast.online.kernels.detection.watch_facts import BACK, SILENT

LIVE = 0.3  # a reading is live if it came after so much of the time between the readings, at least
FEWEST_LIVE = 4.0  # live readings before a series is watched
MOST_LIVE = 64.0  # that are counted
IN_BULK = 1 / 64  # each reading that was not live cancels so many
GAP_MEMORY = 1 / 16  # weight of the newest gap in the mean gap
GAP_FADES = 1 / 256  # of the longest gap, with each reading
SILENT_GAPS = 2.5  # mean gaps without a reading
MORE_GAPS = 10.0  # divided by the live readings: further gaps while few are known
LONGEST_GAPS = 1.75  # longest gaps without a reading
LEAST_SILENCE = 2000.0  # milliseconds
SHORT_SILENCE = 2.0  # times the time until a series counts as silent: a longer one counts as this long in the mean gap
SILENCE_FORGETS = 0.5  # of the live readings with each silence: if several follow, the rhythm has changed


@part_exactly
def watch_arrival(watch: Any, ts: float, arrived: float, facts: Any) -> int:
    """Learn from a reading's arrival; return BACK if it ends a silence, and SILENT if nothing has reported that yet.

    Args:
        watch: the series' `WATCH`; its `due` becomes the time after which the series counts as silent.
        ts: the time of the reading, epoch milliseconds.
        arrived: when it arrived.
        facts: the `FACTS` of the reading.
    """
    events = 0
    gap = arrived - watch.arrived
    is_live = gap >= LIVE * (ts - watch.ts)
    if watch.silent or 0 < watch.due < arrived:
        events = BACK if watch.silent else SILENT | BACK
        facts.silent_since = watch.arrived
        facts.due = watch.due
        watch.silent = 0.0
        _learn_silence(watch, gap, is_live)
    elif is_live and watch.arrived > 0:
        watch.gap += max(GAP_MEMORY, 1 / (watch.on_time + 1)) * (gap - watch.gap)
        watch.longest_gap = max(gap, watch.longest_gap * (1 - GAP_FADES))
        watch.on_time = min(watch.on_time + 1, MOST_LIVE)
    else:
        watch.on_time = max(0.0, watch.on_time - IN_BULK)
    watch.arrived = arrived
    watch.due = 0.0
    if watch.on_time >= FEWEST_LIVE:
        usual = (SILENT_GAPS + MORE_GAPS / watch.on_time) * watch.gap
        watch.due = arrived + max(usual, LONGEST_GAPS * watch.longest_gap, LEAST_SILENCE)
    return events


@part_exactly
def _learn_silence(watch: Any, gap: float, is_live: bool) -> None:
    """Learn from the gap that a silence has made."""
    short = SHORT_SILENCE * (watch.due - watch.arrived)
    if gap < short:  # a few lost readings, which may be usual
        watch.longest_gap = max(gap, watch.longest_gap)
    if is_live:  # one silence moves the mean gap a little, each one that soon follows moves it more
        watch.on_time = max(FEWEST_LIVE, SILENCE_FORGETS * watch.on_time)
        watch.gap += (min(gap, short) - watch.gap) / (watch.on_time + 1)
