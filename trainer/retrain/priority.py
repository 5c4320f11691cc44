"""The series that a run retrains and their order; pure functions.

Series without a champion come first, those with the most readings before the others: until they have a model, the last
value is their forecast. Series with a champion follow in the order of

    value = drift * error * age

    drift  1 + drift events since the champion was made, at most 4
    error  the mean error of its newest forecasts over the error on its held-out tail, from 1/2 to 4
    age    new readings over those that it was made from, from 1/20 to 4

Each factor alone estimates how much a new model may gain: the series has changed; the champion's errors are larger than
on its tail; there are many new readings. They are multiplied because each makes the others more credible. A doubled
error counts more together with drift, and both count little while there are few new readings to train on. Each factor
has bounds, so that no single number decides alone, such as the error while a sensor is broken. No factor is zero: a
champion without events or forecasts is ordered by age, which grows until it is retrained.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tidecast.models.model import Header
from tidecast.settings import RetrainSettings

MOST_DRIFTS = 3  # events that count: further ones repeat the same drift
ERRORS = (0.5, 4.0)  # bounds of the factor `error`
AGES = (0.05, 4.0)  # bounds of the factor `age`
MODEL = "model"  # the model's key in a header's evidence


@dataclass(frozen=True, slots=True)
class Facts:
    """The state of one series when a run begins."""

    series: str
    ts: NDArray[np.int64]  # (readings,) epoch milliseconds, increasing
    champion: Header | None = None
    newest: Header | None = None  # of the newest version, whether promoted, refused by the gate or rolled back
    drifts: int = 0  # drift events since the champion was made
    error: float | None = None  # the mean absolute error of the champion's newest forecasts


@dataclass(frozen=True, slots=True)
class DueSeries:
    """A series to retrain."""

    series: str
    value: float  # the estimated gain of retraining; inf without a champion
    readings: int
    reason: str


def due_series(
    facts: Iterable[Facts], settings: RetrainSettings, asked: Collection[str] | None = None
) -> list[DueSeries]:
    """Return the series to retrain, the most valuable first.

    A version that was refused by the gate or rolled back counts as an attempt. The series is due again once `min_new`
    readings are newer than those that the newest version was made from.

    Args:
        facts: one for each series.
        settings: how many readings a first model and a new one need.
        asked: the series to retrain, due or not; None: those that are due.
    """
    candidates = [_due_series(each, settings, asked) for each in facts]
    return sorted(filter(None, candidates), key=lambda entry: (-entry.value, -entry.readings, entry.series))


def _due_series(facts: Facts, settings: RetrainSettings, asked: Collection[str] | None) -> DueSeries | None:
    if asked is not None and facts.series not in asked:
        return None
    readings = len(facts.ts)
    unseen = _newer(facts, facts.newest or facts.champion)
    is_due = unseen >= settings.min_new
    if facts.champion is None:
        is_due = readings >= settings.min_history and (is_due or facts.newest is None)
    if asked is None and not is_due:
        return None
    if facts.champion is None:
        return DueSeries(facts.series, np.inf, readings, f"no champion, {readings} readings")
    return DueSeries(facts.series, *_value(facts, facts.champion))


def _value(facts: Facts, champion: Header) -> tuple[float, int, str]:
    """Return the product of the factors, the number of readings, and a sentence with the figures."""
    readings = len(facts.ts)
    unseen = _newer(facts, champion)
    drift = 1.0 + min(facts.drifts, MOST_DRIFTS)
    error = _error(facts, champion)
    # Some of its training readings may have left the stream since, so the number in its header counts as well.
    learned = max(readings - unseen, _made_from(champion), 1)
    age = float(np.clip(unseen / learned, *AGES))
    reason = f"{unseen} readings are new to it, it knows {learned}; drifts: {facts.drifts}; errors: {error:.2g} times"
    return drift * error * age, readings, reason


def _error(facts: Facts, champion: Header) -> float:
    promised = champion.evidence.scores.get(MODEL)
    if facts.error is None or promised is None:
        return 1.0
    if promised.mae <= 0:
        return ERRORS[1] if facts.error > 0 else 1.0
    return float(np.clip(facts.error / promised.mae, *ERRORS))


def _newer(facts: Facts, version: Header | None) -> int:
    """Return how many readings are newer than those that a version was made from."""
    return len(facts.ts) - (int(np.searchsorted(facts.ts, version.span[1], side="right")) if version else 0)


def _made_from(champion: Header) -> int:
    parts = (champion.training.get(name) for name in ("examples", "validation_examples"))
    return sum(int(part) for part in parts if part) + champion.evidence.rows
