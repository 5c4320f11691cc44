"""Score a forecast when its reading arrives, blend the next forecast, and detect changes of the series.

The loops are compiled; `models/experts.py` has their constants. A batch has a thousand readings, each with ten experts,
and for arrays of ten NumPy takes some forty times as long, nearly all of it call overhead. The memory of a series is
one record, which the loop reaches by its address: the stored numbers are the ones used in the computation.
"""

import math
from dataclasses import dataclass

import numpy as np

from tidecast.arrays import Float, Int64
from tidecast.models.experts import EXPERTS, FORGETTING, HALF_LIVES, LSTM, NAIVE, SHARPNESS
from tidecast.online.kernels.decorators import compiled_exactly, part_exactly
from tidecast.online.kernels.pointers import carray, floats_at
from tidecast.online.outlier_guard import ALERT, FARTHEST, REGRET, REGRET_MOST, SHOCK

# Intervals; `tidecast/online/intervals.py` explains the rule.
RATE = 0.2  # how far one reading moves the logarithm of the half-width
MEMORY = 0.02  # the weight of the newest error in the mean error
LEAST = 0.01  # of the mean error: a smaller half-width would take long to recover
WIDTH_IN_ERRORS = 2.0  # about how many mean errors a 90 % half-width is (2.06 for a normal distribution)
MOST_MEANS = 5.0  # mean errors: a larger error counts as this many in the mean
FIRST_WIDENING = 3.0  # half-width per first known error, a cautious choice
FEW = 2.5  # nonzero errors: a spike makes as many, so they do not widen an interval of width zero
DOUBTFUL = 3  # first errors, which may belong to a spike
FIRST_ERRORS = 8  # after these, the largest error since the doubtful ones limits the half-width
MOST_SCORE = 1e9  # half-widths: the largest anomaly score, used even for an interval of width zero
JUST_OUTSIDE = 1.0 + float(np.finfo(np.float64).eps)  # the least score above 1

# Thresholds of drift. `tidecast/online/drift.py` explains the test, `docs/drift.md` has the measurements.
ERRORS_ROSE, LEVEL_MOVED, SEASON_CHANGED, SAY_LOST, NOTHING = range(5)
WARM_UP = 48  # readings for learning the usual values before the first alarm
SILENCE = 100  # readings without another alarm after an alarm
USUAL = 1000.0  # readings in a running mean at most
CUT = 5.0  # means: a larger value counts as this many
ERRORS_ALLOWED, ERRORS_MOST = 1.0, 60.0  # in means of the absolute error
LEVEL_ALLOWED, LEVEL_MOST = 1.0, 45.0  # in means of the distance from the reading a season before
SEASON_ALLOWED, SEASON_MOST = 1.0, 24.0  # in means of the rest: that distance less its drifting mean
FOLLOWING = 0.3  # weight of the newest distance in the drifting mean
FOLLOWED_MOST = 3.0  # means of the rest: an outlier moves the drifting mean by no more
SEASON_TELLS = 0.7  # of the spread: there is a season if readings a season apart are nearer to each other
JUMP_ALLOWED = 1.0  # in means of the absolute error
JUMP_MOST, JUMP_LEAST = 15.0, 1.5  # the errors of a jump must add up to more, in those means and in spreads
FAR_MOST, FAR_LEAST = 4.0, 3.0  # or to these: with more spreads, fewer means are enough
# A reading stays at the new level under two conditions: it is so many spreads away from the usual level; and it is so
# much of the jump away from the level before, on the side of the jump.
JUMP_AWAY, JUMP_KEPT = 0.7, 0.1
JUMP_STAYS = 66  # readings beyond the first that must stay at the new level
JUMP_RETURNS = 12  # a reading back at the old level cancels this many at the new one
BEFORE = 0.1  # weight of the newest reading in the level before a jump
JUMP_STOOD = 7  # after so many readings at the new level, the change is one of the level, not of the season
SAY_ALLOWED, SAY_MOST = 0.1, 30.0  # in shares of the blend
TOO_LARGE = 1e150  # sizes below it have finite sums and quotients

# The places of a record's drift numbers, from DRIFT on.
SEEN = 0  # readings
QUIET = 1  # no alarm until that many readings
ERROR, RISEN = 2, 3  # mean |error|; its sum
CENTER, SPREAD = 4, 5  # mean reading; mean distance from it
UP, DOWN, STAYED = 6, 7, 8  # sums of the signed errors; readings that stayed away since these detected a jump
PAIRS, APART, LEVEL = 9, 10, 11  # readings with a known reading a season before; their mean distance; its sum
SHIFT, SHAPE, SEASON = 12, 13, 14  # the drifting mean of that distance, signed; mean of |distance less it|; its sum
SAY, LOST = 15, 16  # mean share of the own LSTM; sum of its losses
TOLD = 17  # the last alarm's sum, in thresholds
NEAR, JUMP = 18, 19  # the recent level, or the one before a jump; the last detected jump, signed
DRIFT_NUMBERS = 20

# The places of a record's guard numbers, from GUARD on.
BLENDED = 0  # the blended forecast of the next reading, used or not
ALERTED, REGRETTED = 1, 2  # as in `Guard`
GUARD_NUMBERS = 3

# A record's numbers: the pending forecast, the version that forecast last, the experts' pending forecasts, their
# errors record by record, the guard, the drift numbers, and a tracker for each level.
STANDING, HEARD, ANSWERS = range(3)
ERRORS = ANSWERS + len(EXPERTS)
GUARD = ERRORS + len(HALF_LIVES) * len(EXPERTS)
DRIFT = GUARD + GUARD_NUMBERS
TRACKERS = DRIFT + DRIFT_NUMBERS
TRACKER = 4
# The standing half-width, the number of errors behind the half-width, the half-width, the mean error.
STOOD, SETTLED, HALF, MEAN = range(TRACKER)
SHOCK_AT, FARTHEST_AT, ALERT_AT, REGRET_AT, REGRET_MOST_AT = range(5)  # the places of the guard's limits
Limits = tuple[float, float, float, float, float]
_RATES = FORGETTING[:, 0].copy()
_SEASONAL = EXPERTS.index("seasonal_naive")
_LARGEST = float(np.finfo(np.float64).max)


def new_record(levels: int) -> Float:
    """Return the record of a new series."""
    record = np.full(TRACKERS + TRACKER * levels, np.nan)
    record[HEARD] = 0
    record[GUARD + ALERTED : TRACKERS] = 0
    for level in range(levels):
        record[TRACKERS + TRACKER * level + 1 : TRACKERS + TRACKER * (level + 1)] = 0
    return record


@dataclass(frozen=True, slots=True)
class Champions:
    """The first errors and half-widths of the models of a batch's series.

    Attributes:
        version: `(n,)`, 0 where a series has no model.
        errors: `(n,)` addresses of `(records, experts)`.
        half_width: `(n,)`.
        trained_until: `(n,)` epoch milliseconds: a model is not judged by readings up to then.
    """

    version: Int64
    errors: Int64
    half_width: Float
    trained_until: Int64


@dataclass(frozen=True, slots=True)
class BatchScores:
    """The scores of a batch's pending forecasts, and its next forecasts; NaN: not known.

    Attributes:
        yhat: `(n,)`, the next forecasts.
        error: `(n,)`, reading less forecast.
        score: `(n,)`, see `anomaly_score`; NaN without a standing interval.
        half_widths: `(n, levels)`.
        says: `(n, experts)`, their shares in the forecast.
        leader: `(n,)`, the expert with the largest share.
        begun: `(n,)`, whether the model forecasts for the first time.
        drift: `(n,)`, the kind of drift that the reading has revealed, or NOTHING.
        statistic: `(n,)`, that kind's sum in thresholds.
    """

    yhat: Float
    error: Float
    score: Float
    half_widths: Float
    weights: Float
    leader: Int64
    begun: Int64
    drift: Int64
    statistic: Float


@dataclass(frozen=True, slots=True)
class Readings:
    """A batch's readings, as their series' windows accepted them.

    Attributes:
        ts: `(n,)` epoch milliseconds.
        y: `(n,)`.
        skipped: `(n,)`, not 0 where steps were missing before the reading: drift detection ignores errors over a gap.
        doubted: `(n,)`, how many readings in a row, this one last, are doubted: no record learns from them.
        moves: `(n,)` the usual largest move, 0 where it is not known.
    """

    ts: Int64
    y: Float
    skipped: Int64
    doubted: Int64
    moves: Float


def settle(
    records: Int64,
    readings: Readings,
    answers: Float,
    champions: Champions,
    levels: Float,
    bounds: tuple[float, float],
) -> BatchScores:
    """Score the pending forecasts, update every expert's record, and blend the next forecasts.

    Args:
        records: `(n,)` addresses; a record may occur many times.
        readings: a reading of each record's series.
        answers: `(n, experts)`, their next forecasts.
        champions: the present models; a model that forecasts for the first time begins with its own errors.
        levels: `(levels,)` of the intervals.
        bounds: the lowest and the highest possible forecast.
    """
    n, kinds = answers.shape
    scores = BatchScores(
        np.empty(n),
        np.empty(n),
        np.empty(n),
        np.empty((n, len(levels))),
        np.empty((n, kinds)),
        np.empty(n, np.int64),
        np.empty(n, np.int64),
        np.empty(n, np.int64),
        np.empty(n),
    )
    _settle(
        (records, readings.ts, readings.skipped, readings.doubted),
        (readings.y, readings.moves, answers),
        (champions.version, champions.errors, champions.half_width, champions.trained_until),
        levels,
        bounds,
        (_RATES, SHARPNESS, NAIVE, _SEASONAL, LSTM),
        (ANSWERS, ERRORS, GUARD, DRIFT, TRACKERS),
        (SHOCK, FARTHEST, ALERT, REGRET, REGRET_MOST),
        (scores.yhat, scores.error, scores.score, scores.half_widths, scores.weights),
        (scores.leader, scores.begun, scores.drift, scores.statistic),
    )
    return scores


def warm() -> None:
    """Compile the loops of a batch, or load them from the cache."""
    zeros = np.zeros(1, np.int64)
    number = np.ones(1)
    record = new_record(1)
    errors = np.ones((len(HALF_LIVES), len(EXPERTS)))
    champions = Champions(zeros + 1, zeros + errors.ctypes.data, number, zeros)
    readings = Readings(zeros, number, zeros, zeros, number)
    settle(zeros + record.ctypes.data, readings, np.ones((1, len(EXPERTS))), champions, number, (-1.0, 1.0))


def warm_trackers() -> None:
    """Compile the loops of one interval, or load them from the cache."""
    tracker = new_record(1)[TRACKERS:]
    track(tracker, 1.0, 0.9)
    begin(tracker, 1.0)


@compiled_exactly
def _settle(
    readings: tuple[Int64, Int64, Int64, Int64],
    values: tuple[Float, Float, Float],
    champions: tuple[Int64, Int64, Float, Int64],
    levels: Float,
    bounds: tuple[float, float],
    rule: tuple[Float, float, int, int, int],
    places: tuple[int, int, int, int, int],
    limits: Limits,
    forecasts_out: tuple[Float, Float, Float, Float, Float],
    changes_out: tuple[Int64, Int64, Int64, Float],
) -> None:
    records, ts, skipped, doubted = readings
    y, moves, answers = values
    versions, begin_with, begin_wide, trained_until = champions
    rates, sharpness, naive, seasonal, lstm = rule
    answers_at, errors_at, guard_at, drift_at, trackers_at = places
    yhats, all_errors, scores, half_widths, shares = forecasts_out
    leaders, begun, drifts, statistics = changes_out
    kinds = answers.shape[1]
    count = len(levels)
    for i in range(len(records)):
        at = records[i]
        record = carray(floats_at(at), (trackers_at + TRACKER * count,))
        standing = carray(floats_at(at + 8 * answers_at), (kinds,))
        errors = carray(floats_at(at + 8 * errors_at), (len(rates), kinds))
        guard = carray(floats_at(at + 8 * guard_at), (GUARD_NUMBERS,))
        drift = carray(floats_at(at + 8 * drift_at), (DRIFT_NUMBERS,))
        trackers = carray(floats_at(at + 8 * trackers_at), (count, TRACKER))
        error = y[i] - record[STANDING]
        all_errors[i] = error
        scores[i] = anomaly_score(y[i], record[STANDING], trackers[0, STOOD], bounds)
        begun[i] = versions[i] != 0 and record[HEARD] != versions[i]
        taught = not begun[i] and (versions[i] == 0 or ts[i] > trained_until[i])
        if begun[i]:
            record[HEARD] = versions[i]
            drift[:] = 0.0
            _copy(errors.reshape(errors.size), carray(floats_at(begin_with[i]), (errors.size,)))
            for level in range(count):
                begin(trackers[level], begin_wide[i] if level == 0 else 0.0)
        elif taught and not math.isnan(error) and doubted[i] <= 1:  # a run of gross errors counts as one error
            for level in range(count):
                track(trackers[level], error, levels[level])
        if not doubted[i]:
            if taught:
                learn(errors, standing, y[i], rates, farthest(moves[i], limits))
            watch(guard, standing[naive], guard[BLENDED] if taught else np.nan, y[i], moves[i], limits)
        blended = blend(errors, answers[i], shares[i], sharpness, naive)
        network = shares[i, lstm]  # taken before the guard may change the shares
        believed = answer(guard, answers[i, naive], blended, moves[i], shares[i], limits, naive)
        yhat = min(max(believed, bounds[0]), bounds[1])
        drifts[i] = NOTHING
        if taught and not skipped[i] and not math.isnan(error):
            drifts[i] = look(drift, y[i], error, standing[seasonal], network)
        statistics[i] = drift[TOLD]
        _copy(standing, answers[i])
        record[STANDING] = yhats[i] = yhat
        leaders[i] = _largest(shares[i])
        for level in range(count):
            tracker = trackers[level]
            tracker[STOOD] = tracker[HALF] if tracker[SETTLED] > 0 or tracker[HALF] != 0.0 else np.nan
            half_widths[i, level] = tracker[STOOD]


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


@part_exactly
def _copy(into: Float, source: Float) -> None:
    """Copy all numbers; for `into[:] = source` numba would also compile an error message, which takes seconds."""
    for i in range(len(source)):
        into[i] = source[i]


@part_exactly
def _largest(shares: Float) -> int:
    leader = 0
    for expert in range(1, len(shares)):
        if shares[expert] > shares[leader]:
            leader = expert
    return leader


@compiled_exactly
def track(tracker: Float, error: float, level: float) -> None:
    """Update a tracker with an error, in place."""
    size = abs(error)
    tracker[SETTLED] += 1
    if tracker[HALF] == 0.0:
        if _seldom(tracker, size, level):
            return
        tracker[HALF], tracker[MEAN] = FIRST_WIDENING * size, size
    covered = 0.0 if size > tracker[HALF] else 1.0
    tracker[HALF] *= math.exp(RATE * (level - covered))
    if tracker[SETTLED] > FIRST_ERRORS:
        tracker[MEAN] += MEMORY * (min(size, MOST_MEANS * tracker[MEAN]) - tracker[MEAN])
        tracker[HALF] = max(tracker[HALF], LEAST * tracker[MEAN])
    else:
        _begin_cautiously(tracker, size)


@part_exactly
def _seldom(tracker: Float, size: float, level: float) -> bool:
    """Return whether an interval keeps its width of zero: few errors were nonzero, and the very first was not."""
    weight = max(MEMORY, 1 / tracker[SETTLED])
    tracker[MEAN] += weight * (size - tracker[MEAN])
    few = tracker[MEAN] <= max(1 - level, FEW * weight) * size
    return bool(size == 0.0 or (tracker[SETTLED] > 1 and few))


@part_exactly
def _begin_cautiously(tracker: Float, size: float) -> None:
    """Limit the half-width by the largest of the first errors that are not doubtful."""
    tracker[MEAN] = size if tracker[SETTLED] <= DOUBTFUL + 1 else max(tracker[MEAN], size)
    if tracker[SETTLED] == FIRST_ERRORS:
        tracker[HALF] = min(tracker[HALF], FIRST_WIDENING * tracker[MEAN])
        tracker[MEAN] = tracker[HALF] / WIDTH_IN_ERRORS


@compiled_exactly
def begin(tracker: Float, half_width: float) -> None:
    """Reset a tracker to a half-width, in place; a half-width that came with a model counts as several errors."""
    tracker[SETTLED] = FIRST_ERRORS if half_width > 0 else 0.0
    tracker[HALF] = half_width
    tracker[MEAN] = half_width / WIDTH_IN_ERRORS


@part_exactly
def learn(errors: Float, answers: Float, actual: float, rates: Float, most: float) -> None:
    """Add the newest errors to the records by exponential smoothing, in place.

    An expert without a known error begins with this one; an expert without a forecast keeps its errors. An error counts
    as `most` at most.
    """
    for expert in range(len(answers)):
        newest = abs(answers[expert] - actual)
        if not math.isfinite(newest):
            continue
        newest = min(newest, most)
        for record in range(len(rates)):
            old = errors[record, expert]
            errors[record, expert] = old + rates[record] * (newest - old) if math.isfinite(old) else newest


@part_exactly
def _excesses(errors: Float, answers: Float, excesses: Float) -> None:
    """Write how much worse than the best each expert is, by the worse of its records; NaN: it is left out."""
    records, count = errors.shape
    excesses[:] = np.nan
    for record in range(records):
        least = np.inf
        for expert in range(count):
            if math.isfinite(answers[expert]) and math.isfinite(errors[0, expert]):
                least = min(least, errors[record, expert])
        for expert in range(count):
            mine = errors[record, expert]
            if math.isfinite(answers[expert]) and math.isfinite(errors[0, expert]):
                excess = 0.0 if mine == least else mine / least - 1
                before = 0.0 if record == 0 else excesses[expert]
                # Beside an expert without any error the others get no share.
                excesses[expert] = max(before, min(excess, _LARGEST))


@part_exactly
def blend(errors: Float, answers: Float, says: Float, sharpness: float, naive: int) -> float:
    """Write the weights into `says`, `(experts,)`, and return the sum of the forecasts by weight.

    A weight is `exp(-sharpness * (E / E_min - 1))` over the sum of all, where the worse of an expert's records counts.
    Only experts with a forecast and a known error get one; without any, the last value gets it all.
    """
    _excesses(errors, answers, says)
    smallest = np.inf
    for excess in says:
        smallest = smallest if math.isnan(excess) else min(smallest, excess)
    if smallest == np.inf:
        says[:] = 0.0
        says[naive] = 1.0
        return float(answers[naive])
    total = 0.0
    for expert in range(len(says)):
        excess = says[expert]
        says[expert] = math.exp(-sharpness * (excess - smallest)) if excess >= 0 else 0.0
        total += says[expert]
    blended = 0.0
    for expert in range(len(says)):
        says[expert] /= total
        if says[expert] > 0:
            blended += says[expert] * answers[expert]
    return blended


@part_exactly
def farthest(usual: float, limits: Limits) -> float:
    """Return the limit of errors and distances; infinity while the usual move is not known."""
    return float(limits[FARTHEST_AT] * usual) if usual > 0 else np.inf


@part_exactly
def answer(guard: Float, last: float, blended: float, usual: float, says: Float, limits: Limits, naive: int) -> float:
    """Return the forecast: the blend within its limits, or the last value with all the weight while the blend loses."""
    guard[BLENDED] = blended
    if guard[ALERTED] > 0 and guard[REGRETTED] > limits[REGRET_AT]:
        says[:] = 0.0
        says[naive] = 1.0
        return last
    away = blended - last
    most = farthest(usual, limits)
    return last + math.copysign(most, away) if abs(away) > most else blended


@part_exactly
def watch(guard: Float, last: float, blended: float, actual: float, usual: float, limits: Limits) -> None:
    """Update the guard with a reading, in place.

    Args:
        guard: `(GUARD_NUMBERS,)`.
        last: the value before the reading; NaN: there was none, and the guard does not change.
        blended: the experts' forecast, used or not; NaN: they are not judged by this reading.
        actual: the reading, which must not be doubted.
        usual: the usual largest move.
        limits: the constants of `outlier_guard.py`.
    """
    move = abs(last - actual)
    lost = abs(blended - actual)
    if not math.isfinite(move):
        return
    shock = 0 < limits[SHOCK_AT] * usual < move
    guard[ALERTED] = limits[ALERT_AT] if shock else max(0.0, guard[ALERTED] - 1)
    worse = max(lost, move) if math.isfinite(lost) else 0.0
    balance = (lost - move) / worse if worse > 0 else 0.0
    most = limits[REGRET_MOST_AT]
    regret = min(max(0.0, guard[REGRETTED] + balance), most) if guard[ALERTED] > 0 else 0.0
    guard[REGRETTED] = most if shock else regret


@part_exactly
def look(record: Float, y: float, error: float, seasonal: float, say: float) -> int:
    """Add a reading to the drift numbers, in place; return the detected kind, with its sum in TOLD, or NOTHING.

    Args:
        record: `(DRIFT_NUMBERS,)`.
        y: the reading.
        error: the error of its forecast.
        seasonal: the seasonal forecast of it, which is the reading a season before; NaN without one.
        say: the share of the own LSTM now.
    """
    if not (abs(y) < TOO_LARGE and abs(error) < TOO_LARGE):
        return NOTHING
    record[SEEN] += 1
    n = min(record[SEEN], USUAL)
    _add_error(record, y, error, n)
    apart = y - seasonal
    if abs(apart) < TOO_LARGE:  # false without a seasonal forecast
        _add_distance(record, apart)
    record[SAY] += (say - record[SAY]) / n
    record[LOST] = max(0.0, record[LOST] + record[SAY] - say - SAY_ALLOWED)
    if record[SEEN] <= max(WARM_UP, record[QUIET]):
        for place in (RISEN, UP, DOWN, STAYED, LEVEL, SEASON, LOST):
            record[place] = 0.0
        return NOTHING
    kind = _told(record)
    if kind != NOTHING:
        sums = (record[RISEN] / ERRORS_MOST, _level(record), record[SEASON] / SEASON_MOST, record[LOST] / SAY_MOST)
        record[:] = 0.0
        record[QUIET], record[TOLD] = SILENCE, sums[kind]
    return kind


@part_exactly
def _told(record: Float) -> int:
    """Return the detected kind of drift; of several, the most specific one."""
    if _level(record) > 1:
        return LEVEL_MOVED
    if record[SEASON] > SEASON_MOST:
        return SEASON_CHANGED
    if record[RISEN] > ERRORS_MOST:
        return ERRORS_ROSE
    return SAY_LOST if record[LOST] > SAY_MOST else NOTHING


@part_exactly
def _level(record: Float) -> float:
    """Return the largest statistic of a level change, in thresholds."""
    shape = record[SEASON] / SEASON_MOST if record[STAYED] > JUMP_STOOD else 0.0
    return float(max(record[STAYED] / JUMP_STAYS, record[LEVEL] / LEVEL_MOST, shape))


@part_exactly
def _add_error(record: Float, y: float, error: float, n: float) -> None:
    size = abs(error)
    spread = record[SPREAD]
    record[ERROR] = _mean(record[ERROR], size, n)
    record[RISEN] = _sum(record[RISEN], size, record[ERROR], ERRORS_ALLOWED)
    if record[SEEN] == 1:
        record[CENTER] = record[NEAR] = y
    away = abs(y - record[CENTER])
    if record[STAYED] == 0:  # else the usual level would follow the readings that are compared with it
        record[CENTER] += (y - record[CENTER]) / n
        record[SPREAD] += (away - spread) / n
    mean = record[ERROR]
    if mean > 0:
        record[UP] = min(TOO_LARGE, max(0.0, record[UP] + error / mean - JUMP_ALLOWED))
        record[DOWN] = min(TOO_LARGE, max(0.0, record[DOWN] - error / mean - JUMP_ALLOWED))
    _add_jump(record, y, away, spread)


@part_exactly
def _add_jump(record: Float, y: float, away: float, spread: float) -> None:
    """Count a reading that stayed at the level after a jump, or came back from it."""
    errors = max(record[UP], record[DOWN])
    size = min(errors * record[ERROR], TOO_LARGE)  # limited, as the mean may have grown since
    if record[STAYED] == 0:
        jumped = errors > JUMP_MOST and size > JUMP_LEAST * spread
        record[JUMP] = 0.0
        if jumped or (errors > FAR_MOST and size > FAR_LEAST * spread):
            record[JUMP] = size if record[UP] >= record[DOWN] else -size
    kept = (y - record[NEAR]) * math.copysign(1.0, record[JUMP])
    if record[JUMP] != 0.0 and kept > JUMP_KEPT * abs(record[JUMP]) and away > JUMP_AWAY * spread:
        record[STAYED] += 1
    else:
        record[STAYED] = max(0.0, record[STAYED] - JUMP_RETURNS)
    if record[STAYED] == 0:
        record[NEAR] += BEFORE * (y - record[NEAR])


@part_exactly
def _add_distance(record: Float, apart: float) -> None:
    record[PAIRS] += 1
    n = min(record[PAIRS], USUAL)
    left = abs(apart - record[SHIFT])
    most = FOLLOWED_MOST * record[SHAPE]
    record[SHIFT] += FOLLOWING * max(-most, min(most, apart - record[SHIFT]))
    record[APART] = _mean(record[APART], abs(apart), n)
    record[SHAPE] = _mean(record[SHAPE], left, n)
    if record[APART] < SEASON_TELLS * record[SPREAD]:
        record[LEVEL] = _sum(record[LEVEL], abs(apart), record[APART], LEVEL_ALLOWED)
        record[SEASON] = _sum(record[SEASON], left, record[SHAPE], SEASON_ALLOWED)


@part_exactly
def _mean(mean: float, size: float, n: float) -> float:
    """Return the running mean with one more size, the n-th, which is cut once the mean is known."""
    return mean + (min(size, CUT * mean if mean > 0 else size) - mean) / n


@part_exactly
def _sum(total: float, size: float, mean: float, allowed: float) -> float:
    """Return Page's sum with one more size, in means."""
    return max(0.0, total + min(size / mean, CUT) - 1 - allowed) if mean > 0 else total
