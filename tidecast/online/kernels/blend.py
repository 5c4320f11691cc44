"""The experts' errors, and the blend of their forecasts, with the constants of `models/experts.py`."""

import math

import numpy as np

from tidecast.arrays import Float
from tidecast.models.experts import FORGETTING, NAIVE, SHARPNESS
from tidecast.online.kernels.decorators import part_exactly

_RATES = FORGETTING[:, 0].copy()
_LARGEST = float(np.finfo(np.float64).max)


@part_exactly
def learn(errors: Float, answers: Float, actual: float, most: float) -> None:
    """Add the newest errors to the records by exponential smoothing, in place.

    An expert without a known error begins with this one; an expert without a forecast keeps its errors. An error counts
    as `most` at most.
    """
    for expert in range(len(answers)):
        newest = abs(answers[expert] - actual)
        if not math.isfinite(newest):
            continue
        newest = min(newest, most)
        for record in range(len(_RATES)):
            old = errors[record, expert]
            errors[record, expert] = old + _RATES[record] * (newest - old) if math.isfinite(old) else newest


@part_exactly
def blend(errors: Float, answers: Float, weights: Float) -> float:
    """Write the weights, `(experts,)`, and return the sum of the forecasts by weight.

    A weight is `exp(-SHARPNESS * (E / E_min - 1))` over the sum of all, where the worse of an expert's records counts.
    Only experts with a forecast and a known error get one; without any, the last value gets it all.
    """
    _write_excesses(errors, answers, weights)
    smallest = np.inf
    for excess in weights:
        smallest = smallest if math.isnan(excess) else min(smallest, excess)
    if smallest == np.inf:
        trust_last_value(weights)
        return float(answers[NAIVE])
    total = 0.0
    for expert in range(len(weights)):
        excess = weights[expert]
        weights[expert] = math.exp(-SHARPNESS * (excess - smallest)) if excess >= 0 else 0.0
        total += weights[expert]
    blended = 0.0
    for expert in range(len(weights)):
        weights[expert] /= total
        if weights[expert] > 0:
            blended += weights[expert] * answers[expert]
    return blended


@part_exactly
def _write_excesses(errors: Float, answers: Float, excesses: Float) -> None:
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
                # Beside an expert without any error the others get no weight.
                excesses[expert] = max(before, min(excess, _LARGEST))


@part_exactly
def trust_last_value(weights: Float) -> None:
    """Give the last value all the weight."""
    weights[:] = 0.0
    weights[NAIVE] = 1.0


@part_exactly
def largest(weights: Float) -> int:
    """Return the first expert with the largest weight."""
    leader = 0
    for expert in range(1, len(weights)):
        if weights[expert] > weights[leader]:
            leader = expert
    return leader
