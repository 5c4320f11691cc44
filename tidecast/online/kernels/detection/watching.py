"""Watch a series: its anomalies, a value that does not change, a new level, and the rhythm of its arrivals."""

import math
from typing import Any

import numpy as np

from tidecast.arrays import Float
from tidecast.online.kernels.decorators import part_exactly
from tidecast.online.kernels.detection.anomalies import BEGINS, ENDS, detect_anomaly
from tidecast.online.kernels.detection.anomalies import LEVEL as LEVEL_WAY
from tidecast.online.kernels.detection.slow_changes import follow_slowly, former_level, jump_slowly, slow_change

STUCK, UNSTUCK, SILENT, BACK, LEVEL = 8, 16, 32, 64, 128  # bits, beside those of an anomaly
USUAL_JUMP = 256  # a bit too, but not an event: the level has changed as it often does
SLOWLY = 512  # the level has changed slowly
ANOMALY_SINCE, STUCK_SINCE, SILENT_SINCE, DUE, LEVEL_SINCE, OLD_LEVEL, NEW_LEVEL, RARITY = range(8)
FACTS = 8  # numbers of the events of a reading
USUAL = 1000.0  # readings in a running mean at most

PAUSES = 3.0  # a value is stuck after so many of the longest pauses
LEAST_RUN = 5.0  # readings without a change, at least
CHANGING = 0.2  # share of readings that change the value: a series with fewer is not watched
ONE_WAY = 0.02  # a series with a smaller share of changes upwards, or downwards, is a counter
VARIED = 100.0  # readings before a value can be stuck
COUNTED = 2000.0  # the same of a counter: a day by the minute, in which its machine may have rested

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

LONG_GAP = 8.0  # mean steps
STEP_MEMORY = 1 / 16  # weight of the newest step in the mean step
WARM_UP = 48.0  # readings before a jump counts
NEWEST = 0.1  # weight of the newest reading in the level
CUT = 5.0  # means: a larger size counts as this many
ALLOWED = 1.0  # means of the errors
UNEXPECTED = 8.0  # means of the errors that a jump must add up to
FAR = 5.0  # means of the distance from the level that a jump must have
SURPRISING = 4.5  # the rarity of the reading with which a jump begins
WALK = 0.9  # of the mean change: a series with larger errors wanders as a random walk does, which has no level
WANDERED = 1.2  # times the usual largest distance of the recent from the usual level: such a series must jump farther
KNOWN = 1000.0  # readings after which that distance is known
WALK_STAYS = 50.0  # readings that must stay after a jump of such a series
NEAR = 0.5  # of the jump: a reading stays if it has moved as far
RETURNS = 3.0  # a reading that came back cancels this many that stayed
STAYS, LEAST_STAYS, MOST_STAYS = 60.0, 6.0, 66.0  # readings that must stay, times the jump's size in means
FORGOTTEN = 1 / 5000  # of the number of jumps, with each reading
MOST_JUMPS = 1.5  # a series with more is one that jumps
SAME_LEVEL = 100.0  # readings after a change of level in which only a larger one is reported
UNUSUAL_JUMP = 3.0  # usual jumps: a larger one is reported even then


@part_exactly
def watch_reading(record: Any, readings: Any, i: int, rule: Any, facts: Float) -> int:
    """Update the watch of a series with reading `i` of a batch; return the bits of the events.

    Args:
        record: the series' `RECORD`, before its pending forecast is replaced.
        readings: of the batch.
        i: the place of the reading.
        rule: the `RULE` of its anomalies.
        facts: `(FACTS,)`, receives the reading's rarity, and the times and levels of the events that occurred.
    """
    watch = record.watch
    y = readings.y[i]
    ts = float(readings.ts[i])
    events = _watch_arrival(watch, ts, float(readings.arrived[i]), facts)
    anomaly = detect_anomaly(record.anomaly, rule, y, record.pending_forecast, _has_stood_at(watch, y))
    facts[RARITY] = record.anomaly.rarity
    if anomaly & ENDS:
        facts[ANOMALY_SINCE] = watch.anomaly_ts
        watch.anomaly_ts = 0.0
    if anomaly & BEGINS:
        watch.anomaly_ts = ts
    if not readings.doubted[i]:
        events |= _watch_changes(watch, y, ts, facts)
        level = _watch_level(watch, record.anomaly, y, y - record.pending_forecast, ts, facts)
        events |= level | _watch_slowly(watch, record.slow, y, _above(readings.profiles[i]), level, facts)
        watch.seen += 1
        watch.value = y
    watch.ts = ts
    return events | anomaly


@part_exactly
def _above(profiles: Float) -> float:
    """Return the distance of a reading from the profile of the first season that has one; NaN: none has."""
    first = float(profiles[0, 0] - profiles[0, 1])
    return first if math.isfinite(first) else float(profiles[1, 0] - profiles[1, 1])


@part_exactly
def _watch_arrival(watch: Any, ts: float, arrived: float, facts: Float) -> int:
    """Learn the rhythm of the arrivals, and set the time after which the series counts as silent.

    A reading that comes after that time reports the silence, unless it was reported without a reading.
    """
    events = 0
    gap = arrived - watch.arrived
    step = ts - watch.ts
    overdue = watch.silent == 0 and 0 < watch.due < arrived
    if watch.silent or overdue:
        events = SILENT | BACK if overdue else BACK
        facts[SILENT_SINCE] = watch.arrived
        facts[DUE] = watch.due
        watch.silent = 0.0
        short = SHORT_SILENCE * (facts[DUE] - watch.arrived)
        if gap < short:  # a few lost readings, which may be usual
            watch.longest_gap = max(gap, watch.longest_gap)
        if gap >= LIVE * step:  # one silence moves the mean gap a little, each one that soon follows moves it more
            watch.on_time = max(FEWEST_LIVE, SILENCE_FORGETS * watch.on_time)
            watch.gap += (min(gap, short) - watch.gap) / (watch.on_time + 1)
    elif watch.arrived > 0 and gap >= LIVE * step:
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
def _watch_changes(watch: Any, y: float, ts: float, facts: Float) -> int:
    """Detect a value that has not changed for much longer than ever before."""
    if y != watch.value:
        return _change(watch, y, ts, facts)
    watch.run += 1
    if watch.stuck:
        return 0
    if watch.run <= watch.longest_run:
        watch.changing -= watch.changing / min(watch.seen + 1, USUAL)
    if _may_be_stuck(watch, y) and watch.run > max(LEAST_RUN, PAUSES * watch.longest_run):
        watch.stuck = 1.0
        facts[STUCK_SINCE] = watch.changed_ts
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
def _varies(watch: Any) -> bool:
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


@part_exactly
def _has_stood_at(watch: Any, y: float) -> bool:
    """Return whether the series usually stands still, and a reading lies within the values at which it has stood."""
    known = watch.lowest <= np.float32(y) <= watch.highest or y == watch.value
    return bool(watch.changing <= CHANGING and known)


@part_exactly
def _change(watch: Any, y: float, ts: float, facts: Float) -> int:
    """Begin a new value; a pause while the value was stuck counts for no more than would raise the next alarm."""
    events = 0
    if watch.seen == 0:
        watch.lowest = watch.highest = y
    elif watch.run > 0 and not watch.stuck:
        watch.lowest = min(watch.lowest, np.float32(watch.value))
        watch.highest = max(watch.highest, np.float32(watch.value))
    longest = max(watch.longest_run, 1.0)
    if watch.stuck:
        events = UNSTUCK
        facts[STUCK_SINCE] = watch.changed_ts
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
def _watch_level(watch: Any, anomaly: Any, y: float, error: float, ts: float, facts: Float) -> int:
    """Detect a jump, beginning with a surprising reading, after which the readings stay away from the level before.

    A random walk has no level. So a series that is like one must jump farther than it wanders, and stay for longer.
    """
    gap = ts - watch.ts
    if watch.seen == 0 or gap > LONG_GAP * watch.step > 0:
        watch.level = y  # after a long gap the level may be another one
        watch.jump = 0.0
        watch.up = 0.0
        watch.down = 0.0
    watch.step += STEP_MEMORY * (min(gap, LONG_GAP * watch.step if watch.step > 0 else gap) - watch.step)
    distance = y - watch.level
    watch.jumps -= FORGOTTEN * watch.jumps
    watch.same_level = max(0.0, watch.same_level - 1)
    if not abs(error) < math.inf:
        return 0
    _add_error(watch, error, y - watch.value)
    if watch.jump != 0:
        return _add_to_jump(watch, distance, facts)
    if watch.seen > WARM_UP and anomaly.surprise >= SURPRISING and _is_jump(watch, anomaly, distance):
        watch.jump = distance
        watch.jump_ts = ts
        watch.jump_sum = distance
        watch.stayed = 1.0
        return 0
    n = min(watch.seen + 1, USUAL)
    away = watch.away
    most = CUT * away if away > 0 else abs(distance)
    watch.away += (min(abs(distance), most) - away) / n
    watch.level += NEWEST * max(-most, min(most, distance))
    return 0


@part_exactly
def _watch_slowly(watch: Any, slow: Any, y: float, above: float, level: int, facts: Float) -> int:
    """Detect a slow change of the level; begin at the new level if the reading has shown that it jumped."""
    follow_slowly(slow, y, above)
    if level:
        jump_slowly(slow, facts[NEW_LEVEL] - facts[OLD_LEVEL], watch.stayed)
    if level or watch.jump != 0 or not _varies(watch):
        return 0
    old = former_level(slow)
    change = slow_change(slow, watch.error)
    if change == 0.0:
        return 0
    facts[LEVEL_SINCE] = math.nan
    facts[OLD_LEVEL] = old
    facts[NEW_LEVEL] = old + change
    return SLOWLY


@part_exactly
def _is_jump(watch: Any, anomaly: Any, distance: float) -> bool:
    """Return whether a distance from the level is unexpected, and large beside the usual distances."""
    errors = watch.up if distance > 0 else watch.down
    least = FAR * watch.away
    if wanders(watch):
        least = max(least, WANDERED * anomaly.limits[LEVEL_WAY]) if watch.seen > KNOWN else math.inf
    return bool(errors > UNEXPECTED and abs(distance) > least)


@part_exactly
def wanders(watch: Any) -> bool:
    """Return whether the last value is nearly as good a forecast as the published one, as on a random walk."""
    return bool(watch.error > WALK * watch.move)


@part_exactly
def _add_error(watch: Any, error: float, change: float) -> None:
    """Add the error of the newest forecast to its mean and to the sums of signed errors, and the change to its mean."""
    mean = watch.error
    n = min(watch.seen + 1, USUAL)
    watch.error += (_cut(error, mean) - mean) / n
    watch.move += (_cut(change, watch.move) - watch.move) / n
    if mean > 0:
        most = 4 * UNEXPECTED
        watch.up = min(most, max(0.0, watch.up + error / mean - ALLOWED))
        watch.down = min(most, max(0.0, watch.down - error / mean - ALLOWED))


@part_exactly
def _cut(change: float, mean: float) -> float:
    """Return the size of a change, or `CUT` means if that is less."""
    return min(abs(change), CUT * mean) if mean > 0 else abs(change)


@part_exactly
def _add_to_jump(watch: Any, distance: float, facts: Float) -> int:
    """Count a reading after a jump; return LEVEL once enough of them have stayed."""
    if distance / watch.jump > NEAR:
        watch.stayed += 1
        watch.jump_sum += distance
    else:
        kept = max(0.0, watch.stayed - RETURNS)
        watch.jump_sum *= kept / watch.stayed
        watch.stayed = kept
    size = abs(watch.jump) / watch.away if watch.away > 0 else MOST_STAYS
    needed = WALK_STAYS if wanders(watch) else max(LEAST_STAYS, min(MOST_STAYS, STAYS / size))
    if watch.stayed <= 0 or watch.stayed >= needed:
        return _end_jump(watch, watch.stayed > 0, facts)
    return 0


@part_exactly
def _end_jump(watch: Any, lasts: bool, facts: Float) -> int:
    """Forget a jump that did not last, or move the level; return LEVEL, or USUAL_JUMP if it often jumps as far."""
    jump = watch.jump_sum / watch.stayed if lasts else 0.0
    watch.jump = 0.0
    watch.up = 0.0
    watch.down = 0.0
    if not lasts:
        return 0
    facts[LEVEL_SINCE] = watch.jump_ts
    facts[OLD_LEVEL] = watch.level
    watch.level += jump
    facts[NEW_LEVEL] = watch.level
    return LEVEL if is_unusual_jump(watch, abs(jump)) else USUAL_JUMP


@part_exactly
def is_unusual_jump(watch: Any, size: float) -> bool:
    """Count a lasting jump; return whether the level of the series does not often change as much.

    A counter, whose changes are almost all upwards, has no level: its resets are usual.
    """
    larger = watch.same_level == 0 or size > watch.usual_jump
    unusual = larger and (watch.jumps < MOST_JUMPS or size > UNUSUAL_JUMP * watch.usual_jump)
    watch.same_level = SAME_LEVEL
    watch.usual_jump = size if watch.jumps < 0.5 else (watch.usual_jump + size) / 2
    watch.jumps += 1
    return bool(unusual and watch.rising < 1 - ONE_WAY)
