"""Detect that the level of a series jumps: a surprising reading, after which the readings stay away from the level.

A random walk has no level. So a series that is like one must jump farther than it wanders, and stay for longer.
"""

import math
from typing import Any

from tidecast.online.kernels.decorators import part_exactly
from tidecast.online.kernels.detection.anomalies import LEVEL
from tidecast.online.kernels.detection.running_mean import CUT, USUAL, running_mean
from tidecast.online.kernels.detection.standstills import FLAT, ONE_WAY
from tidecast.online.kernels.detection.watch_facts import JUMPED, USUAL_JUMP

LONG_GAP = 8.0  # mean steps
STEP_MEMORY = 1 / 16  # weight of the newest step in the mean step
WARM_UP = 48.0  # readings before a jump counts
NEWEST = 0.1  # weight of the newest reading in the level
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
RESTS = 0.5  # of its readings: a series that has stood still for longer is not a counter yet
UNUSUAL_JUMP = 3.0  # usual jumps: a larger one is reported even then


@part_exactly
def watch_level(watch: Any, anomaly: Any, y: float, ts: float, error: float, facts: Any) -> int:
    """Follow the level with a reading; return JUMPED or USUAL_JUMP if the reading shows that it has jumped.

    Args:
        watch: the series' `WATCH`.
        anomaly: its `ANOMALY`, after the reading.
        y: the reading.
        ts: its time, epoch milliseconds.
        error: the error of its forecast; NaN without one.
        facts: the `FACTS` of the reading.
    """
    _follow_step(watch, y, ts - watch.ts)
    distance = y - watch.level
    watch.jumps -= FORGOTTEN * watch.jumps
    watch.same_level = max(0.0, watch.same_level - 1)
    if not abs(error) < math.inf:
        return 0
    n = min(watch.seen + 1, USUAL)
    _add_error(watch, error, y - watch.value, n)
    if watch.jump != 0:
        return _add_to_jump(watch, distance, facts)
    if watch.seen > WARM_UP and anomaly.surprise >= SURPRISING and _is_jump(watch, anomaly, distance):
        watch.jump = distance
        watch.jump_ts = ts
        watch.jump_sum = distance
        watch.stayed = 1.0
        return 0
    most = CUT * watch.away if watch.away > 0 else abs(distance)
    watch.away = running_mean(watch.away, abs(distance), n)
    watch.level += NEWEST * max(-most, min(most, distance))
    return 0


@part_exactly
def _follow_step(watch: Any, y: float, step: float) -> None:
    """Update the mean step; begin at the reading after a long gap, as the level may be another one."""
    if watch.seen == 0 or step > LONG_GAP * watch.step > 0:
        watch.level = y
        _end_jump(watch)
    watch.step += STEP_MEMORY * (min(step, LONG_GAP * watch.step if watch.step > 0 else step) - watch.step)


@part_exactly
def _end_jump(watch: Any) -> None:
    watch.jump = 0.0
    watch.up = 0.0
    watch.down = 0.0


@part_exactly
def _add_error(watch: Any, error: float, change: float, n: float) -> None:
    """Add the error of the newest forecast to its mean and to the sums of signed errors, and the change to its mean."""
    mean = watch.error
    if watch.stuck != FLAT:  # a frozen value does not show how far the series usually moves
        watch.error = running_mean(mean, abs(error), n)
        watch.move = running_mean(watch.move, abs(change), n)
    if mean > 0:
        most = 4 * UNEXPECTED
        watch.up = min(most, max(0.0, watch.up + error / mean - ALLOWED))
        watch.down = min(most, max(0.0, watch.down - error / mean - ALLOWED))


@part_exactly
def _is_jump(watch: Any, anomaly: Any, distance: float) -> bool:
    """Return whether a distance from the level is unexpected, and large beside the usual distances."""
    errors = watch.up if distance > 0 else watch.down
    least = FAR * watch.away
    if wanders(watch):
        least = max(least, WANDERED * anomaly.limits[LEVEL]) if watch.seen > KNOWN else math.inf
    return bool(errors > UNEXPECTED and abs(distance) > least)


@part_exactly
def wanders(watch: Any) -> bool:
    """Return whether the last value is nearly as good a forecast as the published one, as on a random walk."""
    return bool(watch.error > WALK * watch.move)


@part_exactly
def _add_to_jump(watch: Any, distance: float, facts: Any) -> int:
    """Count a reading after a jump: once enough of them have stayed, move the level; forget a jump that came back."""
    if distance / watch.jump > NEAR:
        watch.stayed += 1
        watch.jump_sum += distance
    else:
        kept = max(0.0, watch.stayed - RETURNS)
        watch.jump_sum *= kept / watch.stayed
        watch.stayed = kept
    size = abs(watch.jump) / watch.away if watch.away > 0 else MOST_STAYS
    needed = WALK_STAYS if wanders(watch) else max(LEAST_STAYS, min(MOST_STAYS, STAYS / size))
    if 0 < watch.stayed < needed:
        return 0
    if watch.stayed <= 0:
        _end_jump(watch)
        return 0
    return JUMPED if confirm_jump(watch, facts) else USUAL_JUMP


@part_exactly
def confirm_jump(watch: Any, facts: Any) -> bool:
    """Move the level by the jump that readings have shown; return whether it does not often change as much."""
    jump = watch.jump_sum / watch.stayed
    facts.level_since = watch.jump_ts
    facts.old_level = watch.level
    watch.level += jump
    facts.new_level = watch.level
    _end_jump(watch)
    return count_jump(watch, abs(jump))


@part_exactly
def count_jump(watch: Any, size: float) -> bool:
    """Count a lasting jump; return whether the level of the series does not often change as much.

    A counter, whose changes are almost all upwards, has no level: its resets are usual. A series that falls is not left
    out: a sudden loss from a tank matters more than its first two refills.
    """
    larger = watch.same_level == 0 or size > watch.usual_jump
    unusual = larger and (watch.jumps < MOST_JUMPS or size > UNUSUAL_JUMP * watch.usual_jump)
    watch.same_level = SAME_LEVEL
    watch.usual_jump = size if watch.jumps < 0.5 else (watch.usual_jump + size) / 2
    watch.jumps += 1
    rests = watch.longest_run > RESTS * watch.seen
    return bool(unusual and (rests or watch.rising < 1 - ONE_WAY))
