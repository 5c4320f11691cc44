"""Pure: which series a run retrains, and in which order.

First come series without a champion, those with most readings before the others: until then the last value answers
for them. After them come champions in the order of

    value = drift * error * age

    drift  1 + drift events since the champion was made, at most 4
    error  the mean error of its newest forecasts over that on its own held-out tail, from 1/2 to 4
    age    readings that it has not seen over those that it was made from, from 1/20 to 4

Each factor says by itself how much a new model may gain: the series has changed; the champion errs more than it
promised; there is much that it does not know. They multiply because each makes the others more credible: an error
that has doubled is worth more where drift was told too, and both are worth little while there is next to nothing new
to learn from. Each has bounds, so that no single number, such as the error while a sensor is broken, decides alone,
and none is zero: a champion of which nothing is known keeps its place by age, which grows until its turn has come.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tidecast.models.model import Header
from tidecast.settings import RetrainSettings

MOST_DRIFTS = 3  # that count: more are the same drift told again
ERRORS = (0.5, 4.0)  # bounds of the factor
AGES = (0.05, 4.0)
MODEL = "model"  # in a header's evidence: the model itself


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one series when a run begins."""

    series: str
    ts: NDArray[np.int64]  # (readings,) epoch milliseconds, increasing
    champion: Header | None = None
    newest: Header | None = None  # the newest version's, whether it answers, lost at the gate or was rolled back
    drifts: int = 0  # drift events since the champion was made
    error: float | None = None  # the mean absolute error of the champion's newest forecasts


@dataclass(frozen=True, slots=True)
class Due:
    """A series to retrain."""

    series: str
    value: float  # what retraining it may gain; inf where it has no champion
    readings: int
    reason: str


def due(facts: Iterable[Facts], settings: RetrainSettings, asked: Collection[str] | None = None) -> list[Due]:
    """Say which series are to be retrained, the most valuable first.

    A version that lost at the gate or was rolled back counts as an attempt: the series is due again once
    `min_new` readings are newer than those that the newest version was made from.

    Args:
        facts: one for each series.
        settings: how many readings a first model and a new one need.
        asked: the series to retrain, due or not; None: those that are due.
    """
    found = [_due(one, settings, asked) for one in facts]
    return sorted((one for one in found if one), key=lambda one: (-one.value, -one.readings, one.series))


def _due(facts: Facts, settings: RetrainSettings, asked: Collection[str] | None) -> Due | None:
    if asked is not None and facts.series not in asked:
        return None
    readings, unseen = len(facts.ts), _newer(facts, facts.newest or facts.champion)
    if facts.champion is None:
        enough = readings >= settings.min_history and (facts.newest is None or unseen >= settings.min_new)
        return Due(facts.series, np.inf, readings, f"no champion, {readings} readings") if enough or asked else None
    if unseen < settings.min_new and asked is None:
        return None
    return Due(facts.series, *_value(facts, facts.champion))


def _value(facts: Facts, champion: Header) -> tuple[float, int, str]:
    """The product of the factors, the readings, and the figures behind it in words."""
    readings, unseen = len(facts.ts), _newer(facts, champion)
    drift = 1.0 + min(facts.drifts, MOST_DRIFTS)
    error = _error(facts, champion)
    # What it was made from may have left the stream since: its own record counts as well.
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
    """How many readings are newer than those that a version was made from."""
    return len(facts.ts) - (int(np.searchsorted(facts.ts, version.span[1], side="right")) if version else 0)


def _made_from(champion: Header) -> int:
    parts = (champion.training.get(name) for name in ("examples", "validation_examples"))
    return sum(int(part) for part in parts if part) + champion.evidence.rows
