"""How a forecast is scored when its reading arrives, how the next is blended, and how wide its interval must be.

Compiled, by the rules of `tidecast/experts.py`: a batch brings a thousand readings, each with ten experts, and for
arrays of ten NumPy takes some forty times as long, nearly all of it in calling itself. What is remembered of a series
lies in one record, which the loop reaches by its address: whatever is stored is what is computed with.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from tidecast.experts import EXPERTS, FORGETTING, HALF_LIVES, NAIVE, SHARPNESS
from tidecast.windows import Float
from worker.kernel import Int64, compiled_exactly
from worker.memory import carray, floats_at

RATE = 0.2  # how far one reading moves the logarithm of the half-width
MEMORY = 0.02  # the weight of the newest error in the mean error
LEAST = 0.01  # of the mean error: a half-width that fell below would take long to come back
WIDTH_IN_ERRORS = 2.0  # about how many mean errors a 90 % half-width is (2.06 for a normal distribution)
FIRST_WIDENING = 3.0  # what one known error is worth as a half-width, cautiously

# A record's numbers: the standing forecast, the model that was heard last, the experts' standing answers, their
# errors record by record, and a tracker for each level.
STANDING, HEARD, ANSWERS = range(3)
ERRORS = ANSWERS + len(EXPERTS)
TRACKERS = ERRORS + len(HALF_LIVES) * len(EXPERTS)
TRACKER = 4  # numbers: the half-width that stands, how many errors were settled, the half-width, the mean error
_RATES = FORGETTING[:, 0].copy()
_LARGEST = float(np.finfo(np.float64).max)


def new_record(levels: int) -> Float:
    """The record of a series of which nothing is known."""
    record = np.full(TRACKERS + TRACKER * levels, np.nan)
    record[HEARD] = 0
    for level in range(levels):
        record[TRACKERS + TRACKER * level + 1 : TRACKERS + TRACKER * (level + 1)] = 0
    return record


class Tracker:
    """Half the width of an interval that covers a share `level` of the readings, in four numbers.

    Quantile tracking of Angelopoulos, Candes & Tibshirani, "Conformal PID control" (2023), on the logarithm of the
    half-width: a miss widens the interval by `RATE * level`, a hit narrows it by `RATE * (1 - level)`, so that in the
    long run a share `level` is covered whatever the errors' distribution does. On a logarithm the pace needs no unit.

    Measured on 207 real series of 200 readings or more: 99 % had between .87 and .93 coverage at a level of .9; the
    same rule on the half-width itself, in steps of a tenth of the mean error, managed 82 %.

    Args:
        errors: how many forecasts were settled.
        half_width: in the series' unit.
        mean_error: exponentially weighted mean of the absolute errors.
        standing: the half-width of the forecast that the next reading will settle; None: it had none.
    """

    def __init__(
        self, errors: int = 0, half_width: float = 0.0, mean_error: float = 0.0, standing: float | None = None
    ) -> None:
        self.numbers: Float = np.array([math.nan if standing is None else standing, errors, half_width, mean_error])

    @classmethod
    def on(cls, numbers: Float) -> Self:
        """Show the tracker that lies in these numbers, `(TRACKER,)`."""
        tracker = cls()
        tracker.numbers = numbers
        return tracker

    @property
    def standing(self) -> float | None:
        """The half-width of the forecast that the next reading will settle; None: it had none."""
        return None if math.isnan(self.numbers[0]) else float(self.numbers[0])

    @property
    def errors(self) -> int:
        """How many forecasts were settled."""
        return int(self.numbers[1])

    @property
    def half_width(self) -> float:
        """In the series' unit."""
        return float(self.numbers[2])

    @property
    def mean_error(self) -> float:
        """Exponentially weighted mean of the absolute errors."""
        return float(self.numbers[3])

    @property
    def known(self) -> float | None:
        """The half-width, None before anything is known of the errors."""
        return self.half_width if self.errors or self.half_width else None

    def settle(self, error: float, level: float) -> None:
        """Learn from the error of a forecast that has met its reading."""
        _track(self.numbers, error, level)

    def begin(self, half_width: float) -> None:
        """Start anew from the errors on a model's held-out tail: what another model's errors were is no guide."""
        _begin(self.numbers, half_width)


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
        score: `(n,)`, |error| in half-widths of the first level: above 1 the reading lay outside its interval.
        half_widths: `(n, levels)`.
        says: `(n, experts)`, their shares in the forecast.
        leader: `(n,)`, the expert with the largest.
        begun: `(n,)`, whether the model answers for the first time.
    """

    yhat: Float
    error: Float
    score: Float
    half_widths: Float
    says: Float
    leader: Int64
    begun: Int64


def settle(
    records: Int64,
    ts: Int64,
    y: Float,
    answers: Float,
    champions: Champions,
    levels: Float,
    bounds: tuple[float, float],
) -> Scores:
    """Score what stood, let every expert's record learn from it, and blend the next forecasts.

    Args:
        records: `(n,)` addresses; a record may stand here many times.
        ts: `(n,)` epoch milliseconds.
        y: `(n,)`, the readings.
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
    )
    _settle(
        (records, ts, y, answers),
        (champions.version, champions.errors, champions.half_width, champions.trained_until),
        levels,
        bounds,
        (_RATES, SHARPNESS, NAIVE),
        (ANSWERS, ERRORS, TRACKERS),
        (scores.yhat, scores.error, scores.score, scores.half_widths, scores.says, scores.leader, scores.begun),
    )
    return scores


def warm() -> None:
    """Compile, or fetch from the cache."""
    one, number = np.zeros(1, np.int64), np.ones(1)
    record, errors = new_record(1), np.ones((len(HALF_LIVES), len(EXPERTS)))
    champions = Champions(one + 1, one + errors.ctypes.data, number, one)
    settle(one + record.ctypes.data, one, number, np.ones((1, len(EXPERTS))), champions, number, (-1.0, 1.0))
    Tracker().settle(1.0, 0.9)
    Tracker().begin(1.0)


@compiled_exactly
def _settle(
    readings: tuple[Int64, Int64, Float, Float],
    champions: tuple[Int64, Int64, Float, Int64],
    levels: Float,
    bounds: tuple[float, float],
    rule: tuple[Float, float, int],
    places: tuple[int, int, int],
    found: tuple[Float, Float, Float, Float, Float, Int64, Int64],
) -> None:  # pragma: no cover - compiled
    records, ts, y, answers = readings
    versions, begin_with, begin_wide, trained_until = champions
    rates, sharpness, naive = rule
    answers_at, errors_at, trackers_at = places
    yhats, all_errors, scores, half_widths, says, leaders, begun = found
    kinds, count = answers.shape[1], len(levels)
    for i in range(len(records)):
        at = records[i]
        record = carray(floats_at(at), (trackers_at + TRACKER * count,))
        standing = carray(floats_at(at + 8 * answers_at), (kinds,))
        errors = carray(floats_at(at + 8 * errors_at), (len(rates), kinds))
        trackers = carray(floats_at(at + 8 * trackers_at), (count, TRACKER))
        error, known = y[i] - record[STANDING], trackers[0, 0]
        all_errors[i] = error
        scores[i] = abs(error) / known if known != 0.0 else np.nan
        begun[i] = versions[i] != 0 and record[HEARD] != versions[i]
        if begun[i]:
            record[HEARD] = versions[i]
            errors[:] = carray(floats_at(begin_with[i]), (len(rates), kinds))
            for level in range(count):
                _begin(trackers[level], begin_wide[i] if level == 0 else 0.0)
        elif versions[i] == 0 or ts[i] > trained_until[i]:
            learn(errors, standing, y[i], rates)
            if not math.isnan(error):
                for level in range(count):
                    _track(trackers[level], error, levels[level])
        yhat = min(max(blend(errors, answers[i], says[i], sharpness, naive), bounds[0]), bounds[1])
        leader = 0
        for expert in range(1, kinds):
            if says[i, expert] > says[i, leader]:
                leader = expert
        standing[:] = answers[i]
        record[STANDING] = yhats[i] = yhat
        leaders[i] = leader
        for level in range(count):
            tracker = trackers[level]
            tracker[0] = tracker[2] if tracker[1] > 0 or tracker[2] != 0.0 else np.nan
            half_widths[i, level] = tracker[0]


@compiled_exactly
def _track(tracker: Float, error: float, level: float) -> None:  # pragma: no cover - compiled
    size = abs(error)
    if tracker[2] == 0.0:
        tracker[2] = FIRST_WIDENING * size
        if tracker[3] == 0.0:
            tracker[3] = size
    tracker[3] += MEMORY * (size - tracker[3])
    covered = 0.0 if size > tracker[2] else 1.0
    tracker[2] = max(tracker[2] * math.exp(RATE * (level - covered)), LEAST * tracker[3])
    tracker[1] += 1


@compiled_exactly
def _begin(tracker: Float, half_width: float) -> None:  # pragma: no cover - compiled
    tracker[1], tracker[2], tracker[3] = 0.0, half_width, half_width / WIDTH_IN_ERRORS


@compiled_exactly
def learn(errors: Float, answers: Float, actual: float, rates: Float) -> None:  # pragma: no cover - compiled
    """`experts.learn` in place."""
    for expert in range(len(answers)):
        newest = abs(answers[expert] - actual)
        if not math.isfinite(newest):
            continue
        for record in range(len(rates)):
            old = errors[record, expert]
            errors[record, expert] = old + rates[record] * (newest - old) if math.isfinite(old) else newest


@compiled_exactly
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


@compiled_exactly
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
