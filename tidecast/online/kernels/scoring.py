"""Score a forecast when its reading arrives, blend the next forecast, and detect changes of the series.

The loops are compiled; `models/experts.py` has their constants. A batch has a thousand readings, each with ten experts,
and for arrays of ten NumPy takes some forty times as long, nearly all of it call overhead.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Float, Int64
from tidecast.models.experts import CHANGED_READINGS, EXPERTS, HALF_LIVES, LSTM, NAIVE, PRETRAINED, PROVEN
from tidecast.online.kernels.blend import blend, largest, learn
from tidecast.online.kernels.decorators import compiled_exactly, part_exactly
from tidecast.online.kernels.detection.anomalies import rule_at
from tidecast.online.kernels.detection.drift_sums import (
    JUMP_STAYS,
    LEVEL_MOVED,
    MODEL_DEGRADED,
    NOTHING,
    begin_drift,
    clear_drift,
    detect_drift,
    drift_at,
)
from tidecast.online.kernels.detection.level_jumps import confirm_jump, count_jump, wanders
from tidecast.online.kernels.detection.noise import forget, noise_ends
from tidecast.online.kernels.detection.slow_changes import jump_slowly
from tidecast.online.kernels.detection.standstills import is_counter, onwards
from tidecast.online.kernels.detection.watch_facts import FACTS, JUMPED, SLOWLY, USUAL_JUMP
from tidecast.online.kernels.detection.watching import watch_reading
from tidecast.online.kernels.guard import farthest, guarded_forecast, watch
from tidecast.online.kernels.interval_widths import anomaly_score, begin, publish_width, track
from tidecast.online.kernels.pointers import address_of, carray, floats_at
from tidecast.online.kernels.readings import Readings
from tidecast.online.kernels.series_record import (
    RECORD_SIZE,
    TRACKER_SIZE,
    new_record,
    series_record_at,
    tracker_at,
    trackers_of,
)
from tidecast.online.kernels.series_rows import SeriesRows, series_rows
from tidecast.wire.state_format import NUMBER, RECORD, place_in

_DRIFT_AT = NUMBER * place_in(RECORD, "drift")  # bytes
FAST = len(HALF_LIVES) - 1  # the record with the shortest half-life
_SEASONAL, _LONG_SEASONAL = EXPERTS.index("seasonal_naive"), EXPERTS.index("long_seasonal_naive")


class BatchScores(NamedTuple):
    """The scores of a batch's pending forecasts, and its next forecasts; NaN: not known.

    Attributes:
        yhat: `(n,)`, the next forecasts.
        error: `(n,)`, reading less forecast.
        score: `(n,)`, see `anomaly_score`; NaN without a pending interval.
        half_widths: `(n, levels)`.
        weights: `(n, experts)`, of the experts in the forecast.
        leader: `(n,)`, the expert with the largest weight.
        new_model: `(n,)`, whether the model forecasts for the first time.
        drift: `(n,)`, the kind of drift that the reading has revealed, or NOTHING.
        statistic: `(n,)`, that kind's sum in thresholds.
        watched: `(n,)`, the bits of `watch_facts.py`; with BEGINS the reading is an anomaly.
        facts: `(n,)` of `FACTS`, the times and levels of these events.
        due: `(n,)`, when the series counts as silent, epoch milliseconds; 0: it is not watched.
    """

    yhat: Float
    error: Float
    score: Float
    half_widths: Float
    weights: Float
    leader: Int64
    new_model: Int64
    drift: Int64
    statistic: Float
    watched: Int64
    facts: NDArray[Any]
    due: Float


def score_batch(
    series: SeriesRows, readings: Readings, answers: Float, levels: Float, bounds: tuple[float, float]
) -> BatchScores:
    """Score the pending forecasts, update every expert's errors, and blend the next forecasts.

    Args:
        series: `(n,)` of each reading, which may occur many times. A model that forecasts for the first time begins
            with its own errors.
        readings: as their windows completed them.
        answers: `(n, experts)`, the next forecasts.
        levels: `(levels,)` of the intervals.
        bounds: the lowest and the highest possible forecast.
    """
    n, experts = answers.shape
    scores = BatchScores(
        yhat=np.empty(n),
        error=np.empty(n),
        score=np.empty(n),
        half_widths=np.empty((n, len(levels))),
        weights=np.empty((n, experts)),
        leader=np.empty(n, np.int64),
        new_model=np.empty(n, np.int64),
        drift=np.empty(n, np.int64),
        statistic=np.empty(n),
        watched=np.zeros(n, np.int64),
        facts=np.empty(n, FACTS),
        due=np.empty(n),
    )
    _score_batch(series, readings, answers, levels, bounds, scores)
    return scores


def warm() -> None:
    """Compile the loops of a batch, or load them from the cache."""
    zeros = np.zeros(1, np.int64)
    record = new_record(1)
    errors = np.ones((len(HALF_LIVES), len(EXPERTS)))
    series = series_rows(1, record=address_of(record), version=1, first_errors=address_of(errors), half_width=1.0)
    readings = Readings.of(zeros, zeros, zeros)
    score_batch(series, readings, np.ones((1, len(EXPERTS))), np.ones(1), (-1.0, 1.0))


def warm_trackers() -> None:
    """Compile the loops of one interval, or load them from the cache."""
    tracker = trackers_of(new_record(1))
    track(tracker.ctypes.data, 1.0, 0.9, False)
    begin(tracker.ctypes.data, 1.0)


@compiled_exactly
def _score_batch(
    series: SeriesRows,
    readings: Readings,
    answers: Float,
    levels: Float,
    bounds: tuple[float, float],
    scores: BatchScores,
) -> None:
    for i in range(len(series)):
        its = series[i]
        at = its.record
        record = series_record_at(at)
        y = readings.y[i]
        error = y - record.pending_forecast
        scores.error[i] = error
        scores.score[i] = anomaly_score(y, record.pending_forecast, tracker_at(at + RECORD_SIZE).pending, bounds)
        if its.rule != 0:
            scores.watched[i] = watch_reading(record, readings, i, rule_at(its.rule), scores.facts[i])
            scores.due[i] = record.watch.due
        new_model = its.version != 0 and record.last_version != its.version
        learned = its.version != 0 and readings.ts[i] <= its.trained_until
        judged = not new_model and not learned
        if new_model:
            _begin_model(record, its, len(levels))
        elif judged and not math.isnan(error) and readings.doubted[i] <= 1:  # a run of gross errors counts as one
            _track(record, at, y, error, levels)
        if not readings.doubted[i]:
            _learn(record, y, readings.moves[i], judged, its.version != 0)
        forecast, lstm_weight = _blended(record, answers[i], readings.moves[i], scores.weights[i])
        scores.new_model[i] = new_model
        scores.drift[i] = NOTHING
        if judged and readings.missing[i] == 0 and not math.isnan(error):  # over a gap, the error shows no drift
            seasonal = _seasonal(record, readings.seasons[i])
            scores.drift[i] = detect_drift(at + _DRIFT_AT, y, error, seasonal, lstm_weight, wanders(record.watch))
        _join_level(at, record, scores, i, learned)
        record.pending_forecast = min(max(forecast, bounds[0]), bounds[1])
        _copy(record.answers, answers[i])
        _publish(record, at, i, scores)


@part_exactly
def _blended(record: Any, answers: Float, usual: float, weights: Float) -> tuple[float, float]:
    """Return the next forecast, and the weight of the own LSTM in the blend; write the weights in the forecast.

    The guard, which may change the weights, and the direction of a counter limit the blend.
    """
    blended = blend(record.errors, record.evidence, answers, weights)
    lstm_weight = float(weights[LSTM])
    guarded = guarded_forecast(record.guard, answers[NAIVE], blended, usual, weights)
    return onwards(record.watch, answers[NAIVE], guarded), lstm_weight


@part_exactly
def _publish(record: Any, at: int, i: int, scores: BatchScores) -> None:
    """Write the next forecast, the expert that leads it, and the half-widths of its intervals."""
    scores.yhat[i] = record.pending_forecast
    scores.leader[i] = largest(scores.weights[i])
    for level in range(scores.half_widths.shape[1]):
        scores.half_widths[i, level] = publish_width(tracker_at(at + RECORD_SIZE + level * TRACKER_SIZE))


@part_exactly
def _track(record: Any, at: int, y: float, error: float, levels: Float) -> None:
    """Move the half-widths of all levels by an error."""
    still = y == record.answers[NAIVE]
    for level in range(len(levels)):
        track(at + RECORD_SIZE + level * TRACKER_SIZE, error, levels[level], still)


@part_exactly
def _seasonal(record: Any, seasons: Int64) -> tuple[float, float]:
    """Return the forecasts of two seasons, that of the shorter one first; NaN for a counter, which repeats no level."""
    if is_counter(record.watch):
        return math.nan, math.nan
    first = float(record.answers[_SEASONAL])
    second = float(record.answers[_LONG_SEASONAL])
    return (second, first) if 0 < seasons[1] < seasons[0] else (first, second)


@part_exactly
def _begin_model(record: Any, its: Any, levels: int) -> None:
    """Replace the numbers of the former model by the first ones of a new model; experts without a model keep theirs.

    Args:
        record: of the series.
        its: the row of the series.
        levels: the number of intervals.
    """
    at = its.record
    record.last_version = its.version
    if _has_changed(record.drift):
        begin_drift(at + _DRIFT_AT)
    else:
        clear_drift(at + _DRIFT_AT)
    record.watch.degraded = 0.0
    errors = record.errors
    records, experts = errors.shape
    first = carray(floats_at(its.first_errors), (records, experts))
    for expert in range(experts):
        is_known = math.isfinite(first[0, expert])
        if is_known or expert < PRETRAINED:
            for half_life in range(records):
                errors[half_life, expert] = first[half_life, expert]
            record.evidence[expert] = PROVEN if is_known else 0
    for level in range(levels):
        begin(at + RECORD_SIZE + level * TRACKER_SIZE, its.half_width if level == 0 else 0.0)


@part_exactly
def _join_level(at: int, record: Any, scores: BatchScores, i: int, learned: bool) -> None:
    """Report a change of level once, whether the watch or the drift has detected it; set the degraded condition.

    A model that has learned from the reading knows the new level, so it is not reported.
    """
    drift = drift_at(at + _DRIFT_AT)
    scores.statistic[i] = drift.statistic
    if learned:
        scores.watched[i] &= ~(JUMPED | SLOWLY)
    if scores.watched[i] & (JUMPED | USUAL_JUMP):
        begin_drift(at + _DRIFT_AT)
        scores.drift[i] = LEVEL_MOVED if scores.watched[i] & JUMPED else NOTHING
        scores.statistic[i] = 1.0
        scores.watched[i] &= ~USUAL_JUMP
    elif scores.watched[i] & SLOWLY:
        scores.drift[i] = LEVEL_MOVED
        scores.statistic[i] = 1.0
    elif scores.drift[i] == LEVEL_MOVED:
        if not _confirm_level(record, drift, scores.facts[i]):
            scores.drift[i] = NOTHING
    elif scores.drift[i] == MODEL_DEGRADED:
        record.watch.degraded = 1.0


@part_exactly
def _confirm_level(record: Any, drift: Any, facts: Any) -> bool:
    """Confirm a change of level that the drift has detected; return whether the series does not often change as much.

    If the watch has seen the same jump, its mean of the readings since is the new level, and it does not report it too.
    """
    watch = record.watch
    if watch.jump != 0 and watch.stayed > 0:
        unusual = confirm_jump(watch, facts)
    else:
        unusual = count_jump(watch, abs(drift.jump))
        facts.level_since = np.nan
        facts.old_level = drift.near
        facts.new_level = drift.near + drift.jump
    jump_slowly(record.slow, facts.new_level - facts.old_level, JUMP_STAYS)
    return unusual


@part_exactly
def _has_changed(drift: Any) -> bool:
    """Return whether the series has changed not long ago: the test of drift is quiet only after a change."""
    return bool(drift.quiet > 0 and drift.seen < CHANGED_READINGS)


@part_exactly
def _learn(record: Any, y: float, usual: float, judged: bool, trained: bool) -> None:
    """Update the experts' errors and the guard with a reading; only the guard learns from one that does not judge."""
    if judged:
        if noise_ends(record.noise, abs(record.answers[NAIVE] - y), record.errors[FAST, NAIVE]):
            forget(record.errors, record.evidence)
        learn(record.errors, record.evidence, record.answers, y, farthest(usual), _has_changed(record.drift))
    blended = record.guard.blended if judged else np.nan
    watch(record.guard, record.answers[NAIVE], blended, y, usual, trained)


@part_exactly
def _copy(into: Float, source: Float) -> None:
    """Copy all numbers; for `into[:] = source` numba would also compile an error message, which takes seconds."""
    for i in range(len(source)):
        into[i] = source[i]
