"""The experts' errors, and the blend of their forecasts, with the constants of `models/experts.py`."""

import math

import numpy as np

from tidecast.arrays import Bytes, Float, Float32
from tidecast.models.experts import (
    EXPERTS,
    FIRST_READINGS,
    FORGETTING,
    MARGIN,
    MARGIN_READINGS,
    NAIVE,
    PRETRAINED,
    PRIOR_FADED,
    PRIOR_READINGS,
    PRIORS,
    PROVEN,
    SHARPNESS,
    SHARPNESS_READINGS,
)
from tidecast.online.kernels.decorators import part_exactly

_RATES = FORGETTING[:, 0].copy()
_ORDER = (NAIVE, PRETRAINED, *(i for i in range(len(EXPERTS)) if i not in (NAIVE, PRETRAINED)))
_PARENTS = tuple(EXPERTS.index(PRIORS.get(expert, ("naive", 1.0))[0]) for expert in EXPERTS)
_RATIOS = tuple(PRIORS.get(expert, ("naive", 1.0))[1] for expert in EXPERTS)
_LARGEST = float(np.finfo(np.float64).max)
_LARGEST_ERROR = float(np.finfo(np.float32).max)


@part_exactly
def learn(errors: Float32, evidence: Bytes, answers: Float, actual: float, most: float, changed: bool) -> None:
    """Add the newest errors to the records in place: means at first, then exponential smoothing.

    An expert without a known error begins with this one, or with the record of its parent, see `_inherit`: errors of
    calm readings alone would compare well with any longer record. An expert without a forecast keeps its errors. An
    error counts as `most` at most. A reading that every expert met exactly does not count as evidence. If the
    series has `changed`, both records forget as the short one.
    """
    _inherit(errors, evidence, answers, actual)
    informative = False
    for expert in range(len(answers)):
        newest = abs(answers[expert] - actual)
        informative = informative or (math.isfinite(newest) and newest > 0.0)
    for expert in range(len(answers)):
        newest = abs(answers[expert] - actual)
        if not math.isfinite(newest):
            continue
        newest = min(newest, most, _LARGEST_ERROR)
        is_first = not math.isfinite(errors[0, expert])
        if is_first or (informative and evidence[expert] < PROVEN):
            evidence[expert] = 1 if is_first else evidence[expert] + 1
        for record in range(len(_RATES)):
            old = errors[record, expert]
            rate = max(_RATES[-1 if changed else record], 1 / evidence[expert])
            errors[record, expert] = newest if is_first else old + rate * (newest - old)


@part_exactly
def _inherit(errors: Float32, evidence: Bytes, answers: Float, actual: float) -> None:
    """Let each expert that gets its first error begin with its parent's record, if that is long enough.

    The last value's record is not inherited: an expert that is far better would have to prove it for too long.
    """
    for expert in range(len(answers)):
        if math.isfinite(errors[0, expert]) or not math.isfinite(abs(answers[expert] - actual)):
            continue
        parent = _PARENTS[expert]
        if parent == NAIVE or not math.isfinite(errors[0, parent]) or evidence[parent] < PRIOR_FADED:
            continue
        evidence[expert] = evidence[parent]
        for record in range(len(_RATES)):
            errors[record, expert] = min(_RATIOS[expert] * errors[record, parent], _LARGEST_ERROR)


@part_exactly
def blend(errors: Float32, evidence: Bytes, answers: Float, weights: Float) -> float:
    """Write the weights, `(experts,)`, and return the sum of the forecasts by weight.

    A weight is `exp(-s * (E / E_min - 1))` over the sum of all. E is the error with the prior, by the worse of an
    expert's records. s is `SHARPNESS`, less at first. Only experts with a forecast get a weight. While the error of the
    last value is not known, the last value gets all of it.
    """
    _write_excesses(errors, evidence, answers, weights)
    sharpness = SHARPNESS * min(1.0, (FIRST_READINGS + evidence[NAIVE]) / SHARPNESS_READINGS)
    smallest = np.inf
    for excess in weights:
        smallest = smallest if math.isnan(excess) else min(smallest, excess)
    if smallest == np.inf:
        trust_last_value(weights)
        return float(answers[NAIVE])
    total = 0.0
    for expert in range(len(weights)):
        excess = weights[expert]
        weights[expert] = math.exp(-sharpness * (excess - smallest)) if excess >= 0 else 0.0
        total += weights[expert]
    blended = 0.0
    for expert in range(len(weights)):
        weights[expert] /= total
        if weights[expert] > 0:
            blended += weights[expert] * answers[expert]
    return blended


@part_exactly
def _write_excesses(errors: Float32, evidence: Bytes, answers: Float, excesses: Float) -> None:
    """Write how much worse than the best each expert is, by the worse of its records; NaN: it is left out.

    On a series that mostly stands still all records are small and alike, and one bold forecast would cost more than
    their differences. So the cost of its failure is added.
    """
    records, count = errors.shape
    excesses[:] = np.nan
    compared = np.empty(count)
    for record in range(records):
        _write_compared(errors[record], evidence, answers, compared)
        least = np.inf
        for expert in range(count):
            if math.isfinite(compared[expert]):
                least = min(least, compared[expert])
        for expert in range(count):
            mine = compared[expert]
            if math.isfinite(mine):
                excess = 0.0 if mine == least else mine / least - 1
                before = 0.0 if record == 0 else excesses[expert]
                # Beside an expert without any error the others get no weight.
                excesses[expert] = max(before, min(excess, _LARGEST))
    for expert in range(NAIVE + 1, count):
        if excesses[expert] >= 0:
            excesses[expert] = min(excesses[expert] + _cost_of_failure(errors[0], answers, expert), _LARGEST)


@part_exactly
def _cost_of_failure(errors: Float32, answers: Float, expert: int) -> float:
    """Return how much worse than the last value an expert's record would become if the series did not move now.

    Args:
        errors: `(experts,)`, the slow record.
        answers: `(experts,)`.
        expert: not the last value.
    """
    mine = np.float64(errors[expert])  # numba divides single precision in single precision
    last = np.float64(errors[NAIVE])
    move = abs(answers[expert] - answers[NAIVE])
    if not (math.isfinite(mine) and math.isfinite(move) and last > 0):  # NaN is not above 0
        return 0.0
    kept = 1 - _RATES[0]
    after = (kept * mine + _RATES[0] * move) / (kept * last)
    return max(0.0, float(after - max(1.0, mine / last)))


@part_exactly
def _write_compared(errors: Float32, evidence: Bytes, answers: Float, compared: Float) -> None:
    """Write the errors to compare the experts by, `(experts,)`, of one record with the prior; NaN: left out."""
    compared[:] = np.nan
    for expert in _ORDER:
        if not math.isfinite(answers[expert]):
            continue
        known = math.isfinite(errors[expert])
        prior = compared[_PARENTS[expert]]
        if not math.isfinite(prior):
            prior = compared[NAIVE]
        prior *= _RATIOS[expert]
        if known and (evidence[expert] >= PRIOR_FADED or not math.isfinite(prior)):
            compared[expert] = errors[expert]
        elif known:
            own = float(evidence[expert])
            weight = PRIOR_READINGS * (1 - own / PRIOR_FADED)
            compared[expert] = (own * errors[expert] + weight * prior) / (own + weight)
        else:
            compared[expert] = prior
    for expert in range(PRETRAINED, len(compared)):
        compared[expert] *= 1 + MARGIN * min(1.0, evidence[expert] / MARGIN_READINGS)


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
