"""`tidecast/experts.py` for one reading, compiled: the record that learns, the shares, and the forecast.

A batch brings a thousand readings, each with ten experts. For arrays of ten NumPy takes some forty times as long,
nearly all of it in calling itself: it was half of the worker's time.
"""

import math

import numpy as np

from tidecast.experts import FORGETTING, NAIVE, SHARPNESS
from tidecast.windows import Float
from worker.kernel import compiled_exactly

_RATES = FORGETTING[:, 0].copy()
_LARGEST = float(np.finfo(np.float64).max)


def settle(errors: Float, standing: Float, actual: float | None, answers: Float, says: Float) -> tuple[float, int]:
    """Learn from a reading by `experts.learn`, in place; then `experts.shares` and `experts.blend` for the next.

    Args:
        errors: `(records, experts)`.
        standing: `(experts,)`, what was answered before the reading.
        actual: the reading; None: nothing is learned.
        answers: `(experts,)`, for the next.
        says: `(experts,)`, their shares in it, written.

    Returns:
        The forecast, and which expert says most.
    """
    return _settle(errors, standing, math.nan if actual is None else actual, answers, says, _RATES, SHARPNESS, NAIVE)


def warm() -> None:
    """Compile, or fetch from the cache."""
    one = np.ones((len(_RATES), 1))
    settle(one, one[0], 0.0, one[0], np.empty(1))


@compiled_exactly
def _settle(
    errors: Float,
    standing: Float,
    actual: float,
    answers: Float,
    says: Float,
    rates: Float,
    sharpness: float,
    naive: int,
) -> tuple[float, int]:  # pragma: no cover - compiled
    if not math.isnan(actual):
        _learn(errors, standing, actual, rates)
    yhat = _blend(errors, answers, says, sharpness, naive)
    leader = 0
    for expert in range(1, len(says)):
        if says[expert] > says[leader]:
            leader = expert
    return yhat, leader


@compiled_exactly
def _learn(errors: Float, answers: Float, actual: float, rates: Float) -> None:  # pragma: no cover - compiled
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
def _blend(
    errors: Float, answers: Float, says: Float, sharpness: float, naive: int
) -> float:  # pragma: no cover - compiled
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
