"""Decide whether a reading is an anomaly; `docs/anomalies.md` explains the rule and has the measurements.

A reading is seen in four ways: by its distance from the usual level, by the distance of the recent level from it, by
the error of its forecast, and by the recent mean of these errors. Each way has a limit that about 2 % of the readings
exceed, and the mean excess over it. Excesses of a calm series are about exponential ("peaks over threshold", Pickands
1975; online as by Siffer et al., KDD 2017), so these two numbers give the rarity of a reading: how many readings it
takes until one as far is due. It is kept as its decimal logarithm.

The constants were chosen in the middle of a flat optimum: of 96 settings around them all score between 53 and 69 on
the open series of the Numenta Anomaly Benchmark.
"""

import math
from typing import Any

import numpy as np

from tidecast.arrays import Float
from tidecast.online.kernels.decorators import part_exactly
from tidecast.online.kernels.detection.watch_facts import BEGINS, ENDS
from tidecast.online.kernels.pointers import record_at
from tidecast.settings import AnomalyRule

DISTANCE, LEVEL, ERROR, MEAN_ERROR = range(4)  # the ways of seeing a reading
RULE = np.dtype(
    (
        np.record,
        [
            ("rarity", np.float64),  # of an anomaly, at least
            ("readings", np.float64),  # in which a calm series has one anomaly: 10 to the power of the rarity
            ("direction", np.float64),  # 1: above; -1: below; 0: both
            ("min_deviation", np.float64),
            ("min_duration", np.float64),
            ("cool_down", np.float64),
        ],
    )
)
DIRECTIONS = {"above": 1.0, "below": -1.0, "both": 0.0}
rule_at = record_at(RULE)

USUAL = 0.005  # weight of the newest reading in the usual level
RECENT = 0.3  # weight of the newest reading in the recent level, and of the newest error in the recent mean
FARTHEST = 10.0  # mean excesses beyond the limit: a reading or error farther away counts as this far in these means

BEYOND = 0.02  # share of the readings beyond the limit
LIMIT_RATE = 0.01  # relative step of the limit for a reading, in the long run
LIMIT_START = 10.0  # divided by the number of readings: the step at first
EXCESS_MEMORY = 0.01  # weight of the newest excess in the mean
EXCESS_PRIOR = 10.0  # excesses that the first guess of the mean counts as
FIRST_EXCESS = 0.2  # limits: the first guess, between the means of normal (.15) and exponential (.26) noise
LEAST_EXCESS = 0.15  # limits: that of normal noise; of series with few different values the mean would become almost 0
MOST_EXCESS = 3.0  # mean excesses: a larger one counts as this many in the mean
WARM_UP = 50.0  # readings that are never anomalies
LOG_BEYOND = -math.log10(BEYOND)  # the rarity of a reading at the limit
LOG_10 = math.log(10.0)

RAISED = 0.15  # by so much an anomaly raises the rarity of the next one
FADING = 4.0  # times as fast as calm series alarm: their few false anomalies hardly raise it
ORDINARY = 10.0  # readings without an unusual error after which a new one begins an anomaly even in the cool-down
SLIGHTLY = 2.2  # the rarity of an error that is not ordinary
SAME_JUMP = 0.15  # of the jump that recurs: sizes within count as the same
STAYED = 0.5  # of the jump: a reading that is nearer to the forecast before it is back
OFTEN = 2.0  # jumps of the same size, discounted over as many readings as the threshold: such a jump is not rare
OTHER_JUMP = 0.5  # a jump of another size cancels so many
CALM = 10.0  # readings that end an anomaly
CALMER = 1.0  # the rarity of each of them is lower than that of an anomaly by so much
MOST_RARITY = 9.0
MOST_SEEN = 1e6  # readings that are counted
TOO_LARGE = 1e30  # sizes below it have finite excesses as 32-bit numbers


def rule_numbers(rule: AnomalyRule) -> Float:
    """Return the numbers of a `RULE`."""
    return np.array(
        [
            math.log10(rule.threshold),
            rule.threshold,
            DIRECTIONS[rule.direction],
            rule.min_deviation,
            rule.min_duration,
            rule.cool_down,
        ]
    )


@part_exactly
def detect_anomaly(anomaly: Any, rule: Any, y: float, yhat: float, known: bool) -> int:
    """Update the numbers of a series with a reading; return BEGINS if it is an anomaly, and ENDS if one ends.

    Args:
        anomaly: the series' `ANOMALY`, all zero at first; its `rarity` becomes that of the reading.
        rule: a `RULE`.
        y: the reading.
        yhat: the forecast for it; NaN without one.
        known: whether the series usually stands still, and has stood at such a level; it begins no anomaly.
    """
    if not abs(y) < TOO_LARGE:
        return 0
    anomaly.seen = min(anomaly.seen + 1.0, MOST_SEEN)
    _see_level(anomaly, rule, y)
    error_rarity = _see_error(anomaly, rule, y - yhat) if abs(y - yhat) < TOO_LARGE else 0.0
    least = rule.rarity + anomaly.raised
    unusual = anomaly.rarity >= least and not known
    wrong = error_rarity >= SLIGHTLY
    fresh = error_rarity >= least and anomaly.restless == 0
    anomaly.restless = ORDINARY if wrong else max(0.0, anomaly.restless - 1.0)
    anomaly.lasted = anomaly.lasted + 1.0 if unusual else 0.0
    ready = anomaly.cooling == 0 or fresh
    if _jumps_as_often(anomaly, rule, y, yhat, wrong and ready and anomaly.lasted == 1.0):
        anomaly.lasted = 0.0
        anomaly.cooling = rule.cool_down
        ready = False
    begins = anomaly.lasted >= rule.min_duration and ready
    if begins:
        anomaly.raised += RAISED
        anomaly.cooling = rule.cool_down
    else:
        anomaly.raised = max(0.0, anomaly.raised - FADING * RAISED / rule.readings)
        anomaly.cooling = max(0.0, anomaly.cooling - 1.0)
    return _phase(anomaly, begins, anomaly.rarity < rule.rarity - CALMER)


@part_exactly
def _jumps_as_often(anomaly: Any, rule: Any, y: float, yhat: float, unusual: bool) -> bool:
    """Return whether an unusual reading differs from its forecast by as much as others did after which it stayed.

    A machine that is switched on and off, a valve, or an angle that begins again at 0 moves so. A spike does not: the
    next reading is back, and the spike is not counted.
    """
    if anomaly.counted:
        anomaly.counted = 0.0
        if abs(y - anomaly.before) < STAYED * anomaly.jump:
            anomaly.jumps = max(0.0, anomaly.jumps - 1.0)
    anomaly.jumps -= anomaly.jumps / rule.readings
    size = abs(y - yhat)
    if not (unusual and size < TOO_LARGE):
        return False
    same = abs(size - anomaly.jump) <= SAME_JUMP * anomaly.jump
    often = same and anomaly.jumps >= OFTEN
    if same or anomaly.jumps < OTHER_JUMP:
        anomaly.jump = anomaly.jump + (size - anomaly.jump) / (anomaly.jumps + 1.0) if same else size
        anomaly.jumps = anomaly.jumps + 1.0 if same else 1.0
        anomaly.before = yhat
        anomaly.counted = 1.0
    else:
        anomaly.jumps -= OTHER_JUMP
    return bool(often)


@part_exactly
def _phase(anomaly: Any, begins: bool, calm: bool) -> int:
    """Return the bits of a reading, and count the calm readings that end an anomaly."""
    open_before = anomaly.until_end > 0
    if begins:
        anomaly.until_end = CALM
        return BEGINS | ENDS if open_before else BEGINS
    if not open_before:
        return 0
    anomaly.until_end = anomaly.until_end - 1.0 if calm else CALM
    return ENDS if anomaly.until_end == 0 else 0


@part_exactly
def _see_level(anomaly: Any, rule: Any, y: float) -> None:
    """See a reading by its distance from the usual level, and the recent level by its distance from it."""
    n = anomaly.seen
    if n == 1:
        anomaly.usual = y
    distance = y - anomaly.usual
    followed = _limited(anomaly, DISTANCE, distance)
    anomaly.rarity = 0.0
    anomaly.surprise = 0.0
    _see(anomaly, rule, DISTANCE, distance)
    move = max(USUAL, 1.0 / n) * followed
    anomaly.usual += move
    anomaly.recent += max(RECENT, 1.0 / n) * (followed - anomaly.recent) - move
    _see(anomaly, rule, LEVEL, anomaly.recent)


@part_exactly
def _see_error(anomaly: Any, rule: Any, error: float) -> float:
    """See a reading by the error of its forecast, and by the recent mean of the errors; return the error's rarity."""
    followed = _limited(anomaly, ERROR, error)
    rarity = _see(anomaly, rule, ERROR, error)
    anomaly.error += max(RECENT, 1.0 / anomaly.seen) * (followed - anomaly.error)
    _see(anomaly, rule, MEAN_ERROR, anomaly.error)
    return rarity


@part_exactly
def _limited(anomaly: Any, way: int, deviation: float) -> float:
    """Return a deviation for a mean: a gross error must not move it far."""
    limit = anomaly.limits[way]
    if limit == 0.0 or anomaly.seen <= WARM_UP:
        return deviation
    most = limit * (1.0 + FARTHEST * anomaly.excesses[way])
    return float(min(max(deviation, -most), most))


@part_exactly
def _see(anomaly: Any, rule: Any, way: int, deviation: float) -> float:
    """Return the rarity of a deviation, 0 if the rule ignores it; it raises the reading's, and the way learns it."""
    rarity = _learn_size(anomaly, way, abs(deviation))
    anomaly.surprise = max(anomaly.surprise, rarity)
    if deviation * rule.direction < 0 or abs(deviation) < rule.min_deviation:
        return 0.0
    anomaly.rarity = max(anomaly.rarity, rarity)
    return rarity


@part_exactly
def _learn_size(anomaly: Any, way: int, size: float) -> float:
    """Return the rarity of a size by the limit and the mean excess so far, and update these two."""
    n = anomaly.seen
    limit = anomaly.limits[way]
    if limit == 0.0:
        anomaly.limits[way] = size
        anomaly.excesses[way] = FIRST_EXCESS
        return math.log10(n) if size > 0.0 and n > WARM_UP else 0.0  # the first that is not 0 among so many
    step = max(LIMIT_RATE, min(1.0, LIMIT_START / n))
    if size <= limit:
        anomaly.limits[way] = limit * (1.0 - step * BEYOND)
        return 0.0
    excess = size / limit - 1.0
    mean = anomaly.excesses[way]
    anomaly.limits[way] = limit * (1.0 + step * (1.0 - BEYOND))
    anomaly.beyond[way] += 1.0
    weight = max(EXCESS_MEMORY, 1.0 / (anomaly.beyond[way] + EXCESS_PRIOR))
    anomaly.excesses[way] = max(LEAST_EXCESS, mean + weight * (min(excess, MOST_EXCESS * mean) - mean))
    return float(min(LOG_BEYOND + excess / mean / LOG_10, MOST_RARITY)) if n > WARM_UP else 0.0
