"""How experts are weighed, blended and guarded, written plainly."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from tidecast.arrays import Float
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
from tidecast.models.gross_errors import SMALLEST_MOVE
from tidecast.online.outlier_guard import ALERT, FARTHEST, REGRET, REGRET_MOST, SHOCK, UNTRAINED_SHOCK


def shares(errors: Float, answers: Float, evidence: Float | None = None) -> Float:
    """Return the share of each expert in the forecast, `exp(-s (E / E_min - 1))` divided by the sum over experts.

    Args:
        errors: `(records, experts)` discounted mean absolute errors, NaN while not known.
        answers: `(experts,)` present forecasts, NaN where an expert cannot forecast.
        evidence: `(experts,)` the readings behind the errors; None: enough for all.

    Returns:
        `(experts,)`, summing to 1. Only experts with a finite forecast get a share, if their error or a prior is known;
        without any, the last value gets it all.
    """
    readings = np.full(len(answers), PROVEN) if evidence is None else evidence
    compared = errors if evidence is None else np.array([with_prior(kind, evidence, answers) for kind in errors])
    known = np.isfinite(answers) & np.isfinite(compared[0])
    if not known.any():
        last_value: Float = np.eye(len(answers))[NAIVE]
        return last_value
    mine = compared[:, known]
    least = mine.min(axis=1, keepdims=True)
    weights = np.zeros(len(answers))
    sharpness = SHARPNESS * min(1.0, (FIRST_READINGS + readings[NAIVE]) / SHARPNESS_READINGS)
    # Beside an expert with hardly any error, or none, the others get no share.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        excess = np.where(mine == least, 0.0, mine / least - 1).max(axis=0)
        excess = excess + cost_of_failure(errors[0], answers)[known]
        excess = np.minimum(excess, np.finfo(np.float64).max)  # also if each has an error of 0 in only one record
        weights[known] = np.exp(-sharpness * (excess - excess.min()))
    shared: Float = weights / weights.sum()
    return shared


def cost_of_failure(errors: Float, answers: Float) -> Float:
    """Return how much worse than the last value each record would become if the series did not move, `(experts,)`.

    It is 0 for an expert without a record or a forecast.
    """
    last = errors[NAIVE]
    if not last > 0:
        return np.zeros(len(errors))
    rate = FORGETTING[0, 0]
    with np.errstate(invalid="ignore"):
        moves = np.abs(answers - answers[NAIVE])
    costs = ((1 - rate) * errors + rate * moves) / ((1 - rate) * last) - np.maximum(1, errors / last)
    return np.where(np.isfinite(moves) & (costs > 0), costs, 0.0)


def with_prior(errors: Float, evidence: Float, answers: Float) -> Float:
    """Return the errors of one record with the prior of experts of little evidence, `(experts,)`; NaN: left out."""
    compared: dict[str, float] = {}
    known = {name: float(error) for name, error in zip(EXPERTS, errors, strict=True) if math.isfinite(error)}
    for name in sorted(EXPERTS, key=lambda name: (name != EXPERTS[NAIVE], name != "pretrained")):
        place = EXPERTS.index(name)
        if not math.isfinite(answers[place]):
            continue
        parent, ratio = PRIORS.get(name, (EXPERTS[NAIVE], 1.0))
        prior = ratio * compared.get(parent, compared.get(EXPERTS[NAIVE], math.nan))
        own = float(evidence[place])
        weight = PRIOR_READINGS * max(0.0, 1 - own / PRIOR_FADED) if math.isfinite(prior) else 0.0
        if name in known:
            compared[name] = (own * known[name] + weight * prior) / (own + weight) if weight else known[name]
        elif math.isfinite(prior):
            compared[name] = prior
    margin = np.where(np.arange(len(EXPERTS)) < PRETRAINED, 0.0, MARGIN * np.minimum(1, evidence / MARGIN_READINGS))
    return np.array([compared.get(name, math.nan) for name in EXPERTS]) * (1 + margin)


def learn(
    errors: Float,
    answers: Float,
    actual: float,
    most: float = np.inf,
    evidence: Float | None = None,
    *,
    changed: bool = False,
) -> tuple[Float, Float]:
    """Return each expert's errors with the newest added, `(records, experts)`, and the readings behind them.

    They are means at first, then exponentially smoothed. An expert without a known error begins with its parent's
    record, or while that is short with this error; an expert without a forecast keeps its errors. Errors are limited to
    `most`, see `farthest`. A reading that all experts met exactly does not count as evidence. After a detected change
    both records forget as the short one. Records are stored in single precision.
    """
    before = np.full(len(answers), PROVEN) if evidence is None else evidence
    newest = np.abs(answers - actual)
    telling = (newest[np.isfinite(newest)] > 0).any()
    counted = np.minimum(newest, min(most, float(np.finfo(np.float32).max)))
    errors, before = _inherited(errors, newest, before)
    is_first = ~np.isfinite(errors[0])
    readings = np.where(is_first, 1, np.minimum(before + telling, PROVEN))
    readings = np.where(np.isfinite(newest), readings, before)
    rates = np.maximum(FORGETTING[-1] if changed else FORGETTING, 1 / np.maximum(readings, 1))
    smoothed: Float = np.where(is_first, counted, errors + rates * (counted - errors))
    learned = np.where(np.isfinite(newest), smoothed, errors)
    return learned.astype(np.float32).astype(np.float64), readings


def _inherited(errors: Float, newest: Float, evidence: Float) -> tuple[Float, Float]:
    """Return errors and evidence, with those of the parents for experts that get their first error."""
    errors = errors.astype(np.float32).astype(np.float64)
    evidence = evidence.copy()
    for place in np.flatnonzero(np.isnan(errors[0]) & np.isfinite(newest)):
        prior = PRIORS.get(EXPERTS[place], (EXPERTS[NAIVE], 1.0))
        parent = EXPERTS.index(prior[0])
        if parent == NAIVE or parent >= len(evidence):  # a test may have only the first few experts
            continue
        if np.isfinite(errors[0, parent]) and evidence[parent] >= PRIOR_FADED:
            largest = float(np.finfo(np.float32).max)
            errors[:, place] = np.minimum(prior[1] * errors[:, parent], largest).astype(np.float32)
            evidence[place] = evidence[parent]
    return errors, evidence


def blend(weights: Float, answers: Float) -> float:
    """Return the forecast: the sum of the answers, `(experts,)`, weighted by their shares."""
    return float(weights[weights > 0] @ answers[weights > 0])


def farthest(usual: float) -> float:
    """Return the limit of errors and distances; infinity while the usual move is not known."""
    return FARTHEST * usual if usual > 0 else math.inf


@dataclass(frozen=True, slots=True)
class OutlierGuard:
    """The balance of the blend since the last shock."""

    alert: float = 0.0  # readings for which the blend is still watched
    regret: float = 0.0  # readings that the blend has lost to the last value, less those that it won

    @property
    def use_fallback(self) -> bool:
        """Return whether the last value alone is the forecast."""
        return self.alert > 0 and self.regret > REGRET

    def answer(self, last: float, blended: float, usual: float) -> float:
        """Return the forecast: the blend within its limits, or the last value while the last value is the fallback."""
        if self.use_fallback:
            return last
        away = blended - last
        if abs(away) <= farthest(usual):
            return blended
        return last if abs(usual) <= SMALLEST_MOVE else last + math.copysign(farthest(usual), away)

    def learn(self, last: float, blended: float, actual: float, usual: float, trained: bool = True) -> Self:
        """Return the guard after one more reading, which must not be doubted.

        Args:
            last: the value before it; NaN: there was none, and the guard does not change.
            blended: the experts' forecast, used or not; NaN: they are not judged by this reading.
            actual: the reading.
            usual: the usual largest move.
            trained: whether the series has a model.
        """
        move = abs(last - actual)
        lost = abs(blended - actual)
        if not math.isfinite(move):
            return self
        shock = 0 < (SHOCK if trained else UNTRAINED_SHOCK) * usual < move
        alert = ALERT if shock else max(0.0, self.alert - 1)
        worse = max(lost, move) if math.isfinite(lost) else 0.0
        balance = (lost - move) / worse if worse > 0 else 0.0
        regret = min(max(0.0, self.regret + balance), REGRET_MOST) if alert > 0 else 0.0
        return type(self)(alert, REGRET_MOST if shock else regret)
