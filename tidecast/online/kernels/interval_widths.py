"""The half-widths of intervals that cover a share `level` of the readings, and the anomaly score.

The method is the quantile tracking of Angelopoulos, Candes & Tibshirani, "Conformal PID control" (2023), on the
logarithm of the half-width. A miss widens the interval by `RATE * level`, a hit narrows it by `RATE * (1 - level)`.
In the long run a share `level` is covered, whatever the errors' distribution does. On a logarithm the rate needs no
unit.

The sizes of errors hardly count: a spike widens the interval as much as any miss. The first errors of a series may
belong to a spike, so the largest of the fourth to the eighth limits the half-width. An interval of width zero gets
a width once more than a few errors were not zero.

Measured on 207 real series of 200 readings or more: at a level of .9, 99 % of them had a coverage between .87 and
.93. The same rule on the half-width itself, in steps of a tenth of the mean error, achieved that for 82 %.
"""

import math
from typing import Any

import numpy as np

from tidecast.online.kernels.decorators import compiled_exactly, part_exactly
from tidecast.online.kernels.series_record import tracker_at

RATE = 0.2  # how far one reading moves the logarithm of the half-width
MEMORY = 0.02  # the weight of the newest error in the mean error
PAUSED = 0.0002  # its weight if the series stood still: the mean error, and with it the width, must outlast a pause
LEAST = 0.01  # of the mean error: a smaller half-width would take long to recover
WIDTH_IN_ERRORS = 2.0  # about how many mean errors a 90 % half-width is (2.06 for a normal distribution)
MOST_MEANS = 5.0  # mean errors: a larger error counts as this many in the mean
FIRST_WIDENING = 3.0  # half-width per first known error, a cautious choice
FEW = 2.5  # nonzero errors: a spike makes as many, so they do not widen an interval of width zero
DOUBTFUL = 3  # first errors, which may belong to a spike
FIRST_ERRORS = 8  # after these, the largest error since the doubtful ones limits the half-width
MOST_SCORE = 1e9  # half-widths: the largest anomaly score, used even for an interval of width zero
JUST_OUTSIDE = 1.0 + float(np.finfo(np.float64).eps)  # the least score above 1


@part_exactly
def anomaly_score(y: float, yhat: float, half_width: float, bounds: tuple[float, float]) -> float:
    """Return |error| in half-widths, at most `MOST_SCORE`; NaN without a pending forecast or interval.

    It is above 1 exactly if the reading lies outside the interval as published, that is rounded and cut by the bounds.
    """
    if math.isnan(yhat) or math.isnan(half_width):
        return np.nan
    error = abs(y - yhat)
    score = 0.0 if error == 0.0 else MOST_SCORE
    if half_width > 0.0:
        score = min(error / half_width, MOST_SCORE)
    inside = max(yhat - half_width, bounds[0]) <= y <= min(yhat + half_width, bounds[1])
    return float(min(score, 1.0) if inside else max(score, JUST_OUTSIDE))


@compiled_exactly
def track(address: int, error: float, level: float, still: bool) -> None:
    """Update the tracker at an address with an error, in place; `still`: the reading equals the one before it."""
    tracker = tracker_at(address)
    size = abs(error)
    tracker.errors += 1
    if tracker.half_width == 0.0:
        if _stays_zero(tracker, size, level):
            return
        tracker.half_width = FIRST_WIDENING * size
        tracker.mean_error = size
    covered = 0.0 if size > tracker.half_width else 1.0
    tracker.half_width *= math.exp(RATE * (level - covered))
    if tracker.errors > FIRST_ERRORS:
        weight = PAUSED if still and size < tracker.mean_error else MEMORY
        tracker.mean_error += weight * (min(size, MOST_MEANS * tracker.mean_error) - tracker.mean_error)
        tracker.half_width = max(tracker.half_width, LEAST * tracker.mean_error)
    else:
        _begin_cautiously(tracker, size)


@part_exactly
def _stays_zero(tracker: Any, size: float, level: float) -> bool:
    """Return whether an interval keeps its width of zero: few errors were nonzero, and the very first was not."""
    weight = max(MEMORY, 1 / tracker.errors)
    tracker.mean_error += weight * (size - tracker.mean_error)
    few = tracker.mean_error <= max(1 - level, FEW * weight) * size
    return bool(size == 0.0 or (tracker.errors > 1 and few))


@part_exactly
def _begin_cautiously(tracker: Any, size: float) -> None:
    """Limit the half-width by the largest of the first errors that are not doubtful."""
    tracker.mean_error = size if tracker.errors <= DOUBTFUL + 1 else max(tracker.mean_error, size)
    if tracker.errors == FIRST_ERRORS:
        tracker.half_width = min(tracker.half_width, FIRST_WIDENING * tracker.mean_error)
        tracker.mean_error = tracker.half_width / WIDTH_IN_ERRORS


@compiled_exactly
def begin(address: int, half_width: float) -> None:
    """Reset the tracker at an address; a half-width that came with a model counts as several errors."""
    tracker = tracker_at(address)
    tracker.errors = FIRST_ERRORS if half_width > 0 else 0.0
    tracker.half_width = half_width
    tracker.mean_error = half_width / WIDTH_IN_ERRORS


@part_exactly
def publish_width(tracker: Any) -> float:
    """Return the half-width of the next forecast, and keep it as pending; NaN before any error is known."""
    tracker.pending = tracker.half_width if tracker.errors > 0 or tracker.half_width != 0.0 else np.nan
    return float(tracker.pending)
