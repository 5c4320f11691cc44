"""How a forecast is scored when its reading arrives, how the next is blended, and whether the series has changed.

Compiled, by the rules of `models/experts.py`: a batch brings a thousand readings, each with ten experts, and for
arrays of ten NumPy takes some forty times as long, nearly all of it in calling itself. What is remembered of a series
lies in one record, which the loop reaches by its address: whatever is stored is what is computed with.
"""

import math
from dataclasses import dataclass

import numpy as np

from tidecast.models.experts import EXPERTS, FORGETTING, HALF_LIVES, LSTM, NAIVE, SHARPNESS
from tidecast.models.outlier_guard import ALERT, FARTHEST, REGRET, REGRET_MOST, SHOCK
from tidecast.models.time_grid import Float
from tidecast.online.kernels.forward import Int64, compiled_exactly, part_exactly
from tidecast.online.kernels.pointers import carray, floats_at

# Intervals; `tidecast/online/intervals.py` says by which rule.
RATE = 0.2  # how far one reading moves the logarithm of the half-width
MEMORY = 0.02  # the weight of the newest error in the mean error
LEAST = 0.01  # of the mean error: a half-width that fell below would take long to come back
WIDTH_IN_ERRORS = 2.0  # about how many mean errors a 90 % half-width is (2.06 for a normal distribution)
MOST_MEANS = 5.0  # mean errors: an error counts no more than that in the mean, whatever its size
FIRST_WIDENING = 3.0  # what one known error is worth as a half-width, cautiously
FEW = 2.5  # errors with a size: no more of them, such as a spike makes, widen an interval without width
DOUBTFUL = 3  # errors at the beginning, which may be those of a spike
FIRST_ERRORS = 8  # by then the largest that came after them limits the half-width
MOST_SCORE = 1e9  # half-widths: no anomaly score is larger, not even that of an error where the interval has no width
JUST_OUTSIDE = 1.0 + float(np.finfo(np.float64).eps)  # the least score above 1

# Drift: when it is told. `tidecast/online/drift.py` says why, `docs/drift.md` what was measured.
ERRORS_ROSE, LEVEL_MOVED, SEASON_CHANGED, SAY_LOST, NOTHING = range(5)
WARM_UP = 48  # readings that tell what is usual before anything can be unusual
SILENCE = 100  # readings after an alarm
USUAL = 1000.0  # readings over which a running mean goes at most
CUT = 5.0  # means: a value counts no more than that
ERRORS_ALLOWED, ERRORS_MOST = 1.0, 60.0  # in means of the absolute error
LEVEL_ALLOWED, LEVEL_MOST = 1.0, 45.0  # in means of the distance from a season before
SEASON_ALLOWED, SEASON_MOST = 1.0, 24.0  # in means of what is left of it
FOLLOWING = 0.3  # how far the mean that is taken from it moves with each reading
FOLLOWED_MOST = 3.0  # means of what is left: an outlier moves it no further than that
SEASON_TELLS = 0.7  # of the spread: readings a season apart must be nearer to each other than that
JUMP_ALLOWED = 1.0  # in means of the absolute error
JUMP_MOST, JUMP_LEAST = 15.0, 1.5  # the errors of a jump must add up to more: in those means, and in spreads
FAR_MOST, FAR_LEAST = 4.0, 3.0  # or to these: what is so many spreads need not be so many errors
JUMP_AWAY, JUMP_KEPT = 0.7, 0.1  # spreads from the usual level; of the jump, on its side of the level before
JUMP_STAYS = 66  # for how many readings beyond the first; one that came back counts against it
JUMP_RETURNS = 12  # as so many that stayed
BEFORE = 0.1  # how far the level before a jump moves with each reading
JUMP_STOOD = 7  # such readings, after which it is the level's change, not the season's
SAY_ALLOWED, SAY_MOST = 0.1, 30.0  # in shares of the blend
TOO_LARGE = 1e150  # sizes below it have finite sums and quotients

# The numbers of a record that tell of drift, by their place among them.
SEEN = 0  # readings
QUIET = 1  # until that many
ERROR, RISEN = 2, 3  # mean |error|; its sum
CENTER, SPREAD = 4, 5  # mean reading; mean distance from it
UP, DOWN, STAYED = 6, 7, 8  # sums of the signed errors; how many readings stayed away since they told of a jump
PAIRS, APART, LEVEL = 9, 10, 11  # readings with one a season before; their mean distance; its sum
SHIFT, SHAPE, SEASON = 12, 13, 14  # the drifting mean of that distance, signed; mean of what is left; its sum
SAY, LOST = 15, 16  # mean share of the own LSTM; sum of what it has lost
TOLD = 17  # the last alarm's sum, in thresholds
NEAR, JUMP = 18, 19  # the level of late, or before a jump; the jump that the errors last told of, signed
DRIFT_NUMBERS = 20

# The numbers of a record that are its guard's, by their place among them.
BLENDED = 0  # what the experts say of the next reading, believed or not
ALERTED, REGRETTED = 1, 2  # as in `Guard`
GUARD_NUMBERS = 3

# A record's numbers: the standing forecast, the model that was heard last, the experts' standing answers, their
# errors record by record, the guard, what tells of drift, and a tracker for each level.
STANDING, HEARD, ANSWERS = range(3)
ERRORS = ANSWERS + len(EXPERTS)
GUARD = ERRORS + len(HALF_LIVES) * len(EXPERTS)
DRIFT = GUARD + GUARD_NUMBERS
TRACKERS = DRIFT + DRIFT_NUMBERS
TRACKER = 4
STOOD, SETTLED, HALF, MEAN = range(
    TRACKER
)  # the half-width that stands, on how many errors it rests, it, the mean error
SHOCK_AT, FARTHEST_AT, ALERT_AT, REGRET_AT, REGRET_MOST_AT = range(5)  # the guard's limits, by their place
Limits = tuple[float, float, float, float, float]
_RATES = FORGETTING[:, 0].copy()
_SEASONAL = EXPERTS.index("seasonal_naive")
_LARGEST = float(np.finfo(np.float64).max)


def new_record(levels: int) -> Float:
    """The record of a series of which nothing is known."""
    record = np.full(TRACKERS + TRACKER * levels, np.nan)
    record[HEARD] = 0
    record[GUARD + ALERTED : TRACKERS] = 0
    for level in range(levels):
        record[TRACKERS + TRACKER * level + 1 : TRACKERS + TRACKER * (level + 1)] = 0
    return record


@dataclass(frozen=True, slots=True)
class Champions:
    """What the models of a batch's series begin with.

    Attributes:
        version: `(n,)`, 0 where a series has no model.
        errors: `(n,)` addresses of `(records, experts)`.
        half_width: `(n,)`.
        trained_until: `(n,)` epoch milliseconds: what a model has learned from says nothing of it.
    """

    version: Int64
    errors: Int64
    half_width: Float
    trained_until: Int64


@dataclass(frozen=True, slots=True)
class Scores:
    """What a batch's readings made of the forecasts that stood for them, and of the next ones; NaN: not known.

    Attributes:
        yhat: `(n,)`.
        error: `(n,)`, reading less forecast.
        score: `(n,)`, see `anomaly_score`; NaN where no interval stood.
        half_widths: `(n, levels)`.
        says: `(n, experts)`, their shares in the forecast.
        leader: `(n,)`, the expert with the largest.
        begun: `(n,)`, whether the model answers for the first time.
        drift: `(n,)`, the kind that the reading told of; NOTHING: none.
        statistic: `(n,)`, that kind's sum in thresholds.
    """

    yhat: Float
    error: Float
    score: Float
    half_widths: Float
    says: Float
    leader: Int64
    begun: Int64
    drift: Int64
    statistic: Float


@dataclass(frozen=True, slots=True)
class Readings:
    """A batch's readings, as they took their place in their series' windows.

    Attributes:
        ts: `(n,)` epoch milliseconds.
        y: `(n,)`.
        skipped: `(n,)`, not 0 where steps were missing before the reading: an error over a gap tells of no drift.
        doubted: `(n,)`, how many readings in a row, this one last, are not believed: no record learns from them.
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
) -> Scores:
    """Score what stood, let every expert's record learn from it, and blend the next forecasts.

    Args:
        records: `(n,)` addresses; a record may stand here many times.
        readings: of the series that the records belong to.
        answers: `(n, experts)`, what they say of the next.
        champions: a model that answers for the first time begins with its own errors.
        levels: `(levels,)` of the intervals.
        bounds: no forecast leaves them.
    """
    n, kinds = answers.shape
    scores = Scores(
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
        (scores.yhat, scores.error, scores.score, scores.half_widths, scores.says),
        (scores.leader, scores.begun, scores.drift, scores.statistic),
    )
    return scores


def warm() -> None:
    """Compile what a batch needs, or load it."""
    one, number = np.zeros(1, np.int64), np.ones(1)
    record, errors = new_record(1), np.ones((len(HALF_LIVES), len(EXPERTS)))
    champions = Champions(one + 1, one + errors.ctypes.data, number, one)
    readings = Readings(one, number, one, one, number)
    settle(one + record.ctypes.data, readings, np.ones((1, len(EXPERTS))), champions, number, (-1.0, 1.0))


def warm_trackers() -> None:
    """Compile what one interval needs, or load it."""
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
    said: tuple[Float, Float, Float, Float, Float],
    noted: tuple[Int64, Int64, Int64, Float],
) -> None:  # pragma: no cover - compiled
    records, ts, skipped, doubted = readings
    y, moves, answers = values
    versions, begin_with, begin_wide, trained_until = champions
    rates, sharpness, naive, seasonal, lstm = rule
    answers_at, errors_at, guard_at, drift_at, trackers_at = places
    yhats, all_errors, scores, half_widths, says = said
    leaders, begun, drifts, statistics = noted
    kinds, count = answers.shape[1], len(levels)
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
        elif taught and not math.isnan(error) and doubted[i] <= 1:  # a run of gross errors counts as one
            for level in range(count):
                track(trackers[level], error, levels[level])
        if not doubted[i]:
            if taught:
                learn(errors, standing, y[i], rates, farthest(moves[i], limits))
            watch(guard, standing[naive], guard[BLENDED] if taught else np.nan, y[i], moves[i], limits)
        blended = blend(errors, answers[i], says[i], sharpness, naive)
        network = says[i, lstm]  # whether it is believed or not
        believed = answer(guard, answers[i, naive], blended, moves[i], says[i], limits, naive)
        yhat = min(max(believed, bounds[0]), bounds[1])
        drifts[i] = NOTHING
        if taught and not skipped[i] and not math.isnan(error):
            drifts[i] = look(drift, y[i], error, standing[seasonal], network)
        statistics[i] = drift[TOLD]
        _copy(standing, answers[i])
        record[STANDING] = yhats[i] = yhat
        leaders[i] = _largest(says[i])
        for level in range(count):
            tracker = trackers[level]
            tracker[STOOD] = tracker[HALF] if tracker[SETTLED] > 0 or tracker[HALF] != 0.0 else np.nan
            half_widths[i, level] = tracker[STOOD]


@part_exactly
def anomaly_score(
    y: float, yhat: float, half_width: float, bounds: tuple[float, float]
) -> float:  # pragma: no cover - compiled
    """Return |error| in half-widths, at most `MOST_SCORE`; NaN where no forecast or no interval stood.

    It is above 1 exactly where the reading lies outside the interval as published: rounded, and cut by the bounds.
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
def _copy(into: Float, source: Float) -> None:  # pragma: no cover - compiled
    """Copy all numbers: for `into[:] = source` numba also compiles, for seconds, an error message about shapes."""
    for i in range(len(source)):
        into[i] = source[i]


@part_exactly
def _largest(shares: Float) -> int:  # pragma: no cover - compiled
    found = 0
    for expert in range(1, len(shares)):
        if shares[expert] > shares[found]:
            found = expert
    return found


@compiled_exactly
def track(tracker: Float, error: float, level: float) -> None:  # pragma: no cover - compiled
    """Learn from an error, in place."""
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
def _seldom(tracker: Float, size: float, level: float) -> bool:  # pragma: no cover - compiled
    """Whether an interval without width may stay so: few errors had a size, and not the very first."""
    weight = max(MEMORY, 1 / tracker[SETTLED])
    tracker[MEAN] += weight * (size - tracker[MEAN])
    few = tracker[MEAN] <= max(1 - level, FEW * weight) * size
    return bool(size == 0.0 or (tracker[SETTLED] > 1 and few))


@part_exactly
def _begin_cautiously(tracker: Float, size: float) -> None:  # pragma: no cover - compiled
    """Limit the half-width by the largest of the first errors that are not doubtful."""
    tracker[MEAN] = size if tracker[SETTLED] <= DOUBTFUL + 1 else max(tracker[MEAN], size)
    if tracker[SETTLED] == FIRST_ERRORS:
        tracker[HALF] = min(tracker[HALF], FIRST_WIDENING * tracker[MEAN])
        tracker[MEAN] = tracker[HALF] / WIDTH_IN_ERRORS


@compiled_exactly
def begin(tracker: Float, half_width: float) -> None:  # pragma: no cover - compiled
    """Forget the errors, in place; a model's half-width is known from more than a few."""
    tracker[SETTLED] = FIRST_ERRORS if half_width > 0 else 0.0
    tracker[HALF] = half_width
    tracker[MEAN] = half_width / WIDTH_IN_ERRORS


@part_exactly
def learn(
    errors: Float, answers: Float, actual: float, rates: Float, most: float
) -> None:  # pragma: no cover - compiled
    """`experts.learn` in place."""
    for expert in range(len(answers)):
        newest = abs(answers[expert] - actual)
        if not math.isfinite(newest):
            continue
        newest = min(newest, most)
        for record in range(len(rates)):
            old = errors[record, expert]
            errors[record, expert] = old + rates[record] * (newest - old) if math.isfinite(old) else newest


@part_exactly
def _excesses(errors: Float, answers: Float, found: Float) -> None:  # pragma: no cover - compiled
    """How much worse than the best each expert is, by the worse of its records; NaN: it has no say."""
    records, count = errors.shape
    found[:] = np.nan
    for record in range(records):
        least = np.inf
        for expert in range(count):
            if math.isfinite(answers[expert]) and math.isfinite(errors[0, expert]):
                least = min(least, errors[record, expert])
        for expert in range(count):
            mine = errors[record, expert]
            if math.isfinite(answers[expert]) and math.isfinite(errors[0, expert]):
                excess = 0.0 if mine == least else mine / least - 1
                before = 0.0 if record == 0 else found[expert]
                # Beside an expert without any error the others are silent.
                found[expert] = max(before, min(excess, _LARGEST))


@part_exactly
def blend(
    errors: Float, answers: Float, says: Float, sharpness: float, naive: int
) -> float:  # pragma: no cover - compiled
    """Write `experts.shares` into `says`, `(experts,)`, and return `experts.blend`."""
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
    found = 0.0
    for expert in range(len(says)):
        says[expert] /= total
        if says[expert] > 0:
            found += says[expert] * answers[expert]
    return found


@part_exactly
def farthest(usual: float, limits: Limits) -> float:  # pragma: no cover - compiled
    """`guard.farthest`."""
    return float(limits[FARTHEST_AT] * usual) if usual > 0 else np.inf


@part_exactly
def answer(
    guard: Float, last: float, blended: float, usual: float, says: Float, limits: Limits, naive: int
) -> float:  # pragma: no cover - compiled
    """`Guard.answer`, in place: the shares are the last value's alone where nobody else is believed."""
    guard[BLENDED] = blended
    if guard[ALERTED] > 0 and guard[REGRETTED] > limits[REGRET_AT]:
        says[:] = 0.0
        says[naive] = 1.0
        return last
    away, most = blended - last, farthest(usual, limits)
    return last + math.copysign(most, away) if abs(away) > most else blended


@part_exactly
def watch(
    guard: Float, last: float, blended: float, actual: float, usual: float, limits: Limits
) -> None:  # pragma: no cover - compiled
    """`Guard.learn`, in place."""
    move, lost = abs(last - actual), abs(blended - actual)
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
def look(record: Float, y: float, error: float, seasonal: float, say: float) -> int:  # pragma: no cover - compiled
    """Add a reading to what tells of drift, in place; returns the kind that it tells of, its sum then in TOLD.

    Args:
        record: `(DRIFT_NUMBERS,)`.
        y: the reading.
        error: of the forecast that stood for it.
        seasonal: what stood for it of the reading a season before; NaN: nothing.
        say: the share of the own LSTM now.
    """
    if not (abs(y) < TOO_LARGE and abs(error) < TOO_LARGE):
        return NOTHING
    record[SEEN] += 1
    n = min(record[SEEN], USUAL)
    _add_error(record, y, error, n)
    apart = y - seasonal
    if abs(apart) < TOO_LARGE:  # not where the expert said nothing
        _add_distance(record, apart)
    record[SAY] += (say - record[SAY]) / n
    record[LOST] = max(0.0, record[LOST] + record[SAY] - say - SAY_ALLOWED)
    if record[SEEN] <= max(WARM_UP, record[QUIET]):
        for place in (RISEN, UP, DOWN, STAYED, LEVEL, SEASON, LOST):
            record[place] = 0.0
        return NOTHING
    told = _told(record)
    if told != NOTHING:
        sums = (record[RISEN] / ERRORS_MOST, _level(record), record[SEASON] / SEASON_MOST, record[LOST] / SAY_MOST)
        record[:] = 0.0
        record[QUIET], record[TOLD] = SILENCE, sums[told]
    return told


@part_exactly
def _told(record: Float) -> int:  # pragma: no cover - compiled
    """The kind of drift; of several, the one that says most precisely what has changed."""
    if _level(record) > 1:
        return LEVEL_MOVED
    if record[SEASON] > SEASON_MOST:
        return SEASON_CHANGED
    if record[RISEN] > ERRORS_MOST:
        return ERRORS_ROSE
    return SAY_LOST if record[LOST] > SAY_MOST else NOTHING


@part_exactly
def _level(record: Float) -> float:  # pragma: no cover - compiled
    """The largest of the numbers that tell of a level, in thresholds."""
    shape = record[SEASON] / SEASON_MOST if record[STAYED] > JUMP_STOOD else 0.0
    return float(max(record[STAYED] / JUMP_STAYS, record[LEVEL] / LEVEL_MOST, shape))


@part_exactly
def _add_error(record: Float, y: float, error: float, n: float) -> None:  # pragma: no cover - compiled
    size, spread = abs(error), record[SPREAD]
    record[ERROR] = _mean(record[ERROR], size, n)
    record[RISEN] = _sum(record[RISEN], size, record[ERROR], ERRORS_ALLOWED)
    if record[SEEN] == 1:
        record[CENTER] = record[NEAR] = y
    away = abs(y - record[CENTER])
    if record[STAYED] == 0:  # else what is usual would follow the readings that are judged by it
        record[CENTER] += (y - record[CENTER]) / n
        record[SPREAD] += (away - spread) / n
    mean = record[ERROR]
    if mean > 0:
        record[UP] = min(TOO_LARGE, max(0.0, record[UP] + error / mean - JUMP_ALLOWED))
        record[DOWN] = min(TOO_LARGE, max(0.0, record[DOWN] - error / mean - JUMP_ALLOWED))
    _add_jump(record, y, away, spread)


@part_exactly
def _add_jump(record: Float, y: float, away: float, spread: float) -> None:  # pragma: no cover - compiled
    """Count a reading that stayed where a jump has led, or one that came back."""
    errors = max(record[UP], record[DOWN])
    size = min(errors * record[ERROR], TOO_LARGE)  # the mean may have grown since
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
def _add_distance(record: Float, apart: float) -> None:  # pragma: no cover - compiled
    record[PAIRS] += 1
    n = min(record[PAIRS], USUAL)
    left, most = abs(apart - record[SHIFT]), FOLLOWED_MOST * record[SHAPE]
    record[SHIFT] += FOLLOWING * max(-most, min(most, apart - record[SHIFT]))
    record[APART] = _mean(record[APART], abs(apart), n)
    record[SHAPE] = _mean(record[SHAPE], left, n)
    if record[APART] < SEASON_TELLS * record[SPREAD]:
        record[LEVEL] = _sum(record[LEVEL], abs(apart), record[APART], LEVEL_ALLOWED)
        record[SEASON] = _sum(record[SEASON], left, record[SHAPE], SEASON_ALLOWED)


@part_exactly
def _mean(mean: float, size: float, n: float) -> float:  # pragma: no cover - compiled
    """The running mean with one more size, the n-th, cut where the mean is known."""
    return mean + (min(size, CUT * mean if mean > 0 else size) - mean) / n


@part_exactly
def _sum(found: float, size: float, mean: float, allowed: float) -> float:  # pragma: no cover - compiled
    """Page's sum with one more size, in means."""
    return max(0.0, found + min(size / mean, CUT) - 1 - allowed) if mean > 0 else found
