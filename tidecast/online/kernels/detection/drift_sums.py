"""Sums that detect drift; `online/drift.py` explains the test, `docs/drift.md` has the measurements."""

import math
from typing import Any

from tidecast.online.kernels.decorators import part_exactly
from tidecast.online.kernels.pointers import carray, floats_at, record_at
from tidecast.wire.state_format import DRIFT, numbers_in

ERRORS_ROSE, LEVEL_MOVED, SEASON_CHANGED, MODEL_DEGRADED, NOTHING = range(5)
WARM_UP = 48  # readings for learning the usual values before the first alarm
SILENCE = 100  # readings without another alarm after an alarm
USUAL = 1000.0  # readings in a running mean at most
CUT = 5.0  # means: a larger value counts as this many
ERRORS_ALLOWED, ERRORS_MOST = 1.0, 120.0  # in means of the absolute error
LEVEL_ALLOWED, LEVEL_MOST = 1.0, 45.0  # in means of the distance from the reading a season before
SEASON_ALLOWED, SEASON_MOST = 1.0, 27.0  # in means of the rest: that distance less its drifting mean
FOLLOWING = 0.3  # weight of the newest distance in the drifting mean
FOLLOWED_MOST = 3.0  # means of the rest: an outlier moves the drifting mean by no more
SEASON_APART = 0.7  # of the spread: there is a season if readings a season apart are nearer to each other
JUMP_ALLOWED = 1.0  # in means of the absolute error
JUMP_MOST, JUMP_LEAST = 15.0, 1.5  # the errors of a jump must add up to more, in those means and in spreads
FAR_MOST, FAR_LEAST = 4.0, 3.0  # or to these: with more spreads, fewer means are enough
# A reading stays at the new level under two conditions: it is so many spreads away from the usual level; and it is so
# much of the jump away from the level before, on the side of the jump.
JUMP_AWAY, JUMP_KEPT = 0.7, 0.1
JUMP_STAYS = 56  # readings beyond the first that must stay at the new level
JUMP_RETURNS = 12  # a reading back at the old level cancels this many at the new one
BEFORE = 0.1  # weight of the newest reading in the level before a jump
JUMP_STOOD = 7  # after so many readings at the new level, the change is one of the level, not of the season
LOSS_ALLOWED, LOSS_MOST = 0.1, 30.0  # in weights of the blend
TOO_LARGE = 1e150  # sizes below it have finite sums and quotients
drift_at = record_at(DRIFT)
_NUMBERS = numbers_in(DRIFT)


@part_exactly
def detect_drift(address: int, y: float, error: float, seasonal: float, weight: float) -> int:
    """Add a reading to the drift numbers at an address; return the detected kind, or NOTHING.

    Args:
        address: of a `DRIFT`; after an alarm its `statistic` is the kind's sum in thresholds, `near` is the old level,
            and `jump` the new one less the old one.
        y: the reading.
        error: the error of its forecast.
        seasonal: the reading a season before it, of two seasons the nearer one; NaN without a season.
        weight: the present weight of the own LSTM.
    """
    drift = drift_at(address)
    if not (abs(y) < TOO_LARGE and abs(error) < TOO_LARGE):
        return NOTHING
    drift.seen += 1
    n = min(drift.seen, USUAL)
    _add_error(drift, y, error, n)
    distance = y - seasonal
    if abs(distance) < TOO_LARGE:  # false without a seasonal forecast
        _add_distance(drift, distance)
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
        begin_drift(address)
        drift.statistic = statistic
        drift.near = old_level
        drift.jump = new_level - old_level
    return kind


@part_exactly
def begin_drift(address: int) -> None:
    """Start the drift numbers at an address again after an alarm, and raise no other alarm for a while."""
    clear_drift(address)
    drift_at(address).quiet = SILENCE


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
    drift.level_sum = 0.0
    drift.season_sum = 0.0
    drift.lost_weight = 0.0


@part_exactly
def _statistic(drift: Any, kind: int) -> float:
    """Return the sum of a kind of drift, in thresholds."""
    if kind == ERRORS_ROSE:
        return float(drift.error_sum / ERRORS_MOST)
    if kind == LEVEL_MOVED:
        return _level_statistic(drift)
    return float(drift.season_sum / SEASON_MOST if kind == SEASON_CHANGED else drift.lost_weight / LOSS_MOST)


@part_exactly
def _detected_kind(drift: Any) -> int:
    """Return the detected kind of drift; of several, the most specific one."""
    if _level_statistic(drift) > 1:
        return LEVEL_MOVED
    if drift.season_sum > SEASON_MOST:
        return SEASON_CHANGED
    if drift.error_sum > ERRORS_MOST:
        return ERRORS_ROSE
    return MODEL_DEGRADED if drift.lost_weight > LOSS_MOST else NOTHING


@part_exactly
def _level_statistic(drift: Any) -> float:
    """Return the largest statistic of a level change, in thresholds."""
    shape = drift.season_sum / SEASON_MOST if drift.stayed > JUMP_STOOD else 0.0
    return float(max(drift.stayed / JUMP_STAYS, drift.level_sum / LEVEL_MOST, shape))


@part_exactly
def _add_error(drift: Any, y: float, error: float, n: float) -> None:
    size = abs(error)
    spread = drift.spread
    drift.error = _running_mean(drift.error, size, n)
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
    _add_jump(drift, y, away, spread)


@part_exactly
def _add_jump(drift: Any, y: float, away: float, spread: float) -> None:
    """Count a reading that stayed at the level after a jump, or came back from it."""
    errors = max(drift.up, drift.down)
    size = min(errors * drift.error, TOO_LARGE)  # limited, as the mean may have grown since
    if drift.stayed == 0:
        jumped = errors > JUMP_MOST and size > JUMP_LEAST * spread
        drift.jump = 0.0
        if jumped or (errors > FAR_MOST and size > FAR_LEAST * spread):
            drift.jump = size if drift.up >= drift.down else -size
    kept = (y - drift.near) * math.copysign(1.0, drift.jump)
    if drift.jump != 0.0 and kept > JUMP_KEPT * abs(drift.jump) and away > JUMP_AWAY * spread:
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
    drift.distance = _running_mean(drift.distance, abs(distance), n)
    drift.rest = _running_mean(drift.rest, rest, n)
    if drift.distance < SEASON_APART * drift.spread:
        drift.level_sum = _page_sum(drift.level_sum, abs(distance), drift.distance, LEVEL_ALLOWED)
        drift.season_sum = _page_sum(drift.season_sum, rest, drift.rest, SEASON_ALLOWED)


@part_exactly
def _running_mean(mean: float, size: float, n: float) -> float:
    """Return the running mean with one more size, the n-th, which is cut once the mean is known."""
    return mean + (min(size, CUT * mean if mean > 0 else size) - mean) / n


@part_exactly
def _page_sum(total: float, size: float, mean: float, allowed: float) -> float:
    """Return Page's sum with one more size, in means."""
    return max(0.0, total + min(size / mean, CUT) - 1 - allowed) if mean > 0 else total
