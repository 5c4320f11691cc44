"""Sums that detect drift; `online/drift.py` explains the test, `docs/drift.md` has the measurements."""

import math
from typing import Any

from tidecast.online.kernels.decorators import part_exactly
from tidecast.online.kernels.detection.running_mean import CUT, USUAL, running_mean
from tidecast.online.kernels.pointers import carray, floats_at, record_at
from tidecast.wire.state_format import DRIFT, numbers_in

ERRORS_ROSE, LEVEL_MOVED, SEASON_CHANGED, MODEL_DEGRADED, NOTHING = range(5)
WARM_UP = 48  # readings for learning the usual values before the first alarm
SILENCE = 100  # readings without another alarm after an alarm
OFTEN = 2000  # readings: if the former silence ended fewer ago, the next one is twice as long
MOST_SILENCE = 3200
ERRORS_ALLOWED, ERRORS_MOST = 1.0, 120.0  # in means of the absolute error
LEVEL_ALLOWED, LEVEL_MOST = 1.0, 45.0  # in means of the distance from the reading a season before
SEASON_ALLOWED, SEASON_MOST = 1.0, 27.0  # in means of the rest: that distance less its drifting mean
FOLLOWING = 0.3  # weight of the newest distance in the drifting mean
FOLLOWED_MOST = 3.0  # means of the rest: an outlier moves the drifting mean by no more
SEASON_APART = 0.75  # of the spread: there is a season if readings a season apart are nearer to each other
JUMP_ALLOWED = 1.0  # in means of the absolute error
JUMP_MOST, JUMP_LEAST = 15.0, 1.5  # the errors of a jump must add up to more, in those means and in spreads
FAR_MOST, FAR_LEAST = 4.0, 3.0  # or to these: with more spreads, fewer means are enough
# A reading stays at the new level under two conditions: it is so many spreads away from the usual level; and it is so
# much of the jump away from the level before, on the side of the jump.
JUMP_AWAY, JUMP_KEPT = 0.7, 0.1
JUMP_WHOLE = 0.7  # so much of the jump away from the level before is enough: a jump may lead to the usual level
JUMP_STAYS = 56  # readings beyond the first that must stay at the new level
JUMP_RETURNS = 12  # a reading back at the old level cancels this many at the new one
BEFORE = 0.1  # weight of the newest reading in the level before a jump
JUMP_STOOD = 7  # after so many readings at the new level, the change is one of the level, not of the season
# With two seasons, an alarm from the distance of a season before is confirmed by the readings after it: by so many more
# that are close to the reading of the shorter season before and far from the other one than the reverse.
CONFIRMED = 8.0
CLOSE, APART = 1.5, 2.5  # in means of the distance
UNDECIDED = 72.0  # readings after which an alarm that is not confirmed is dropped
LOSS_ALLOWED, LOSS_MOST = 0.25, 30.0  # in weights of the blend
TOO_LARGE = 1e150  # sizes below it have finite sums and quotients
drift_at = record_at(DRIFT)
_NUMBERS = numbers_in(DRIFT)


@part_exactly
def detect_drift(
    address: int, y: float, error: float, seasonal: tuple[float, float], weight: float, wanders: bool
) -> int:
    """Add a reading to the drift numbers at an address; return the detected kind, or NOTHING.

    Args:
        address: of a `DRIFT`; after an alarm its `statistic` is the kind's sum in thresholds, `near` is the old level,
            and `jump` the new one less the old one.
        y: the reading.
        error: the error of its forecast.
        seasonal: the readings one season before it, the shorter season first; NaN without that season.
        weight: the present weight of the own LSTM.
        wanders: whether the series is like a random walk.
    """
    drift = drift_at(address)
    if not (abs(y) < TOO_LARGE and abs(error) < TOO_LARGE):
        return NOTHING
    drift.seen += 1
    n = min(drift.seen, USUAL)
    _add_error(drift, y, error, n, wanders)
    short = y - seasonal[0]
    long = y - seasonal[1]
    distance = long if math.isnan(short) or abs(long) < abs(short) else short
    if abs(distance) < TOO_LARGE:  # false without a seasonal forecast
        _add_distance(drift, distance)
        _confirm(drift, abs(short), abs(long))
    drift.lstm_weight += (weight - drift.lstm_weight) / n
    drift.lost_weight = max(0.0, drift.lost_weight + drift.lstm_weight - weight - LOSS_ALLOWED)
    if drift.seen <= max(WARM_UP, drift.quiet):
        _clear_sums(drift)
        return NOTHING
    kind = _detected_kind(drift)
    if kind != NOTHING:
        statistic = _statistic(drift, kind)
        jumped = drift.stayed > 0
        old_level = drift.near if jumped else drift.center
        new_level = y if jumped else old_level + drift.shift
        often = drift.quiet > 0 and drift.seen < drift.quiet + OFTEN
        silence = min(2 * drift.quiet, MOST_SILENCE) if often else SILENCE
        begin_drift(address)
        drift.quiet = silence
        drift.statistic = statistic
        drift.near = old_level
        drift.jump = new_level - old_level
    return kind


@part_exactly
def begin_drift(address: int) -> None:
    """Start the drift numbers at an address again after a change; raise no alarm for a while, or the rest of one."""
    drift = drift_at(address)
    silence = max(SILENCE, drift.quiet - drift.seen)
    clear_drift(address)
    drift.quiet = silence


@part_exactly
def clear_drift(address: int) -> None:
    """Set the drift numbers at an address to zero."""
    numbers = carray(floats_at(address), (_NUMBERS,))
    for i in range(_NUMBERS):
        numbers[i] = 0.0


@part_exactly
def _clear_sums(drift: Any) -> None:
    drift.error_sum = 0.0
    drift.up = 0.0
    drift.down = 0.0
    drift.stayed = 0.0
    drift.lost_weight = 0.0
    _clear_distances(drift)


@part_exactly
def _clear_distances(drift: Any) -> None:
    drift.level_sum = 0.0
    drift.season_sum = 0.0
    drift.confirmed = 0.0
    drift.waited = 0.0


@part_exactly
def _statistic(drift: Any, kind: int) -> float:
    """Return the sum of a kind of drift, in thresholds."""
    if kind == ERRORS_ROSE:
        return float(drift.error_sum / ERRORS_MOST)
    if kind == MODEL_DEGRADED:
        return float(drift.lost_weight / LOSS_MOST)
    distances = _distance_statistic(drift)
    return max(distances, drift.stayed / JUMP_STAYS) if kind == LEVEL_MOVED else distances


@part_exactly
def _detected_kind(drift: Any) -> int:
    """Return the detected kind of drift; of several, the most specific one."""
    if drift.stayed > JUMP_STAYS:
        return LEVEL_MOVED
    if _distance_statistic(drift) > 1 and (drift.waited == 0 or drift.confirmed >= CONFIRMED):
        return LEVEL_MOVED if drift.level_sum > LEVEL_MOST or drift.stayed > JUMP_STOOD else SEASON_CHANGED
    if drift.error_sum > ERRORS_MOST:
        return ERRORS_ROSE
    return MODEL_DEGRADED if drift.lost_weight > LOSS_MOST else NOTHING


@part_exactly
def _distance_statistic(drift: Any) -> float:
    """Return the larger sum of the distance from a season before, in thresholds."""
    return float(max(drift.level_sum / LEVEL_MOST, drift.season_sum / SEASON_MOST))


@part_exactly
def _add_error(drift: Any, y: float, error: float, n: float, wanders: bool) -> None:
    size = abs(error)
    spread = drift.spread
    drift.error = running_mean(drift.error, size, n)
    drift.error_sum = _page_sum(drift.error_sum, size, drift.error, ERRORS_ALLOWED)
    if drift.seen == 1:
        drift.center = drift.near = y
    away = abs(y - drift.center)
    if drift.stayed == 0:  # else the usual level would follow the readings that are compared with it
        drift.center += (y - drift.center) / n
        drift.spread += (away - spread) / n
    mean = drift.error
    if mean > 0:
        drift.up = min(TOO_LARGE, max(0.0, drift.up + error / mean - JUMP_ALLOWED))
        drift.down = min(TOO_LARGE, max(0.0, drift.down - error / mean - JUMP_ALLOWED))
    errors = max(drift.up, drift.down)
    if wanders:
        errors = min(errors, size / mean if mean > 0 else 0.0)  # a walk gets as far in many steps, and jumps in one
    _add_jump(drift, y, away, spread, errors)


@part_exactly
def _add_jump(drift: Any, y: float, away: float, spread: float, errors: float) -> None:
    """Count a reading that stayed at the level after a jump, or came back from it.

    Args:
        drift: the numbers.
        y: the reading.
        away: its distance from the usual level.
        spread: the mean of these distances before.
        errors: how far the newest errors lead, in means.
    """
    size = min(errors * drift.error, TOO_LARGE)  # limited, as the mean may have grown since
    if drift.stayed == 0:
        jumped = errors > JUMP_MOST and size > JUMP_LEAST * spread
        drift.jump = 0.0
        if jumped or (errors > FAR_MOST and size > FAR_LEAST * spread):
            drift.jump = size if drift.up >= drift.down else -size
    kept = (y - drift.near) * math.copysign(1.0, drift.jump)
    least = JUMP_KEPT if away > JUMP_AWAY * spread else JUMP_WHOLE
    if drift.jump != 0.0 and kept > least * abs(drift.jump):
        drift.stayed += 1
    else:
        drift.stayed = max(0.0, drift.stayed - JUMP_RETURNS)
    if drift.stayed == 0:
        drift.near += BEFORE * (y - drift.near)


@part_exactly
def _add_distance(drift: Any, distance: float) -> None:
    drift.pairs += 1
    n = min(drift.pairs, USUAL)
    rest = abs(distance - drift.shift)
    most = FOLLOWED_MOST * drift.rest
    drift.shift += FOLLOWING * max(-most, min(most, distance - drift.shift))
    drift.distance = running_mean(drift.distance, abs(distance), n)
    drift.rest = running_mean(drift.rest, rest, n)
    if drift.distance < SEASON_APART * drift.spread and drift.waited == 0:
        drift.level_sum = _page_sum(drift.level_sum, abs(distance), drift.distance, LEVEL_ALLOWED)
        drift.season_sum = _page_sum(drift.season_sum, rest, drift.rest, SEASON_ALLOWED)


@part_exactly
def _confirm(drift: Any, short: float, long: float) -> None:
    """Confirm an alarm from the distance if both seasons are known, or drop it.

    After a change the readings are soon like those of the shorter season before, and for long not like those of the
    longer one. After a holiday it is the reverse. A jump that has stood for some readings needs no confirmation.

    Args:
        drift: the numbers.
        short: the distance from the reading of the shorter season before.
        long: that of the longer one; NaN without that season.
    """
    if drift.waited == 0 and (_distance_statistic(drift) <= 1 or drift.stayed > JUMP_STOOD):
        return
    if not (short < TOO_LARGE and long < TOO_LARGE):
        return
    drift.waited += 1
    close = CLOSE * drift.distance
    apart = APART * drift.distance
    if short < close and long > apart:
        drift.confirmed += 1
    elif long < close and short > apart:
        drift.confirmed -= 1
    if drift.confirmed <= -CONFIRMED or drift.waited > UNDECIDED:
        _clear_distances(drift)


@part_exactly
def _page_sum(total: float, size: float, mean: float, allowed: float) -> float:
    """Return Page's sum with one more size, in means."""
    return max(0.0, total + min(size / mean, CUT) - 1 - allowed) if mean > 0 else total
