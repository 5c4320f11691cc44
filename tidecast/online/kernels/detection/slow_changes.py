"""Detect that a series moves slowly away from its level, as a bearing wears or a sensor loses its calibration.

The recent level is a mean of about 200 readings, the former one a mean of about 2,000 of those. Their distance swings
around 0: a swing lasts until its sign changes. A slow change has happened once the distance is twice the farthest swing
so far and clearly more than the usual error. Random walks and seasons swing too, and set the measure for themselves.

A long season hides a slow change, so the distance of the readings from its profile is seen in the same way.
"""

import math
from typing import Any

from tidecast.online.kernels.decorators import part_exactly

VALUE, SEASONLESS = range(2)  # the ways of seeing a reading: as it is, and by its distance from the profile of a season
RECENT = 0.005  # weight of the newest reading in the recent level
FORMER = 0.0005  # weight of the newest recent level in the former one
MOST_SEEN = 2000  # readings that are counted
WARM_UP = 1000  # readings before a change counts
FEWEST_SWINGS = 6  # before a change counts: slower series take longer to complete them
MOST_SWINGS = 100  # that are counted
FARTHER = 2.0  # times the farthest swing: the distance of a change
FADING = 0.02  # of the farthest swing with each further one
LEAST = 1.5  # mean errors: the distance of a change, at least
CALMER = 0.5  # times the farthest swing of the values: the distances from the profile count if theirs is shorter


@part_exactly
def follow_slowly(slow: Any, y: float, above: float) -> None:
    """Update the levels and the swings with a reading.

    Args:
        slow: the series' `SLOW`, all zero at first.
        y: the reading.
        above: its distance from the profile of a season; NaN without one.
    """
    _follow(slow, VALUE, y)
    if math.isfinite(above):
        _follow(slow, SEASONLESS, above)


@part_exactly
def slow_change(slow: Any, error: float) -> float:
    """Return by how much the level has slowly changed, and make the new level the former one; 0 if it has not.

    Args:
        slow: the series' `SLOW`.
        error: the mean |error| of its forecasts.
    """
    change = 0.0
    if _has_moved(slow, VALUE, error):
        change = slow.distance[VALUE]
    elif slow.farthest[SEASONLESS] < CALMER * slow.farthest[VALUE] and _has_moved(slow, SEASONLESS, error):
        change = slow.distance[SEASONLESS]
    if change != 0.0:
        for way in range(2):
            _end_swing(slow, way)
            slow.distance[way] = 0.0
    return float(change)


@part_exactly
def former_level(slow: Any) -> float:
    """Return the level from which a slow change begins."""
    return float(slow.recent[VALUE] - slow.distance[VALUE])


@part_exactly
def jump_slowly(slow: Any, jump: float, readings: float) -> None:
    """Begin at a new level after a jump, which so many readings have shown."""
    ahead = (1.0 - RECENT) ** readings
    for way in range(2):
        slow.recent[way] += jump * ahead
        _end_swing(slow, way)
        slow.distance[way] = 0.0


@part_exactly
def _follow(slow: Any, way: int, value: float) -> None:
    n = min(slow.seen[way] + 1, MOST_SEEN)
    slow.seen[way] = n
    before = slow.recent[way] if n > 1 else value
    slow.recent[way] = before + max(RECENT, 1.0 / n) * (value - before)
    distance = (1.0 - max(FORMER, 1.0 / n)) * (slow.distance[way] + slow.recent[way] - before)
    slow.distance[way] = distance
    if distance * slow.swing[way] < 0.0:
        slow.swings[way] = min(slow.swings[way] + 1, MOST_SWINGS)
        slow.farthest[way] *= 1.0 - FADING
        _end_swing(slow, way)
    if n * RECENT > 1.0 and abs(distance) > abs(slow.swing[way]):
        slow.swing[way] = distance


@part_exactly
def _end_swing(slow: Any, way: int) -> None:
    slow.farthest[way] = max(slow.farthest[way], abs(slow.swing[way]))
    slow.swing[way] = 0.0


@part_exactly
def _has_moved(slow: Any, way: int, error: float) -> bool:
    known = slow.seen[way] > WARM_UP and slow.swings[way] >= FEWEST_SWINGS
    return bool(known and abs(slow.distance[way]) > max(FARTHER * slow.farthest[way], LEAST * error))
