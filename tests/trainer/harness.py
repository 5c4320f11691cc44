"""Histories, and stand-ins for the fit, that the tests of the pipeline share."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tidecast.files.history import History
from tidecast.models.spec import Spec
from tidecast.settings import TrainSettings
from trainer.fit.keras_models import initial_weights
from trainer.fit.own_networks import Fit, Problem

STEP = 3_600_000
SPEC = Spec(window=6, units=4)
QUICK = {"epochs": 2, "learning_rate": 0.02, "shared_epochs": 0}


def history(
    series: str = "s", readings: int = 160, *, seed: int = 0, features: tuple[str, ...] = ("value",)
) -> History:
    """Something easy to learn: waves of twelve hours and a little noise."""
    rng = np.random.default_rng(seed)
    waves = np.sin(2 * np.pi * np.arange(readings)[:, None] / 12 + np.arange(len(features)))
    return History(series, features, np.arange(readings) * STEP, waves + rng.normal(0, 0.05, waves.shape))


def turning(series: str = "s") -> History:
    """Return waves that turn into an unpredictable walk at the tail."""
    given = history(series, readings=260)
    given.values[200:] = np.random.default_rng(4).normal(size=(60, 1)).cumsum(axis=0)
    return given


def noisy(given: History) -> History:
    """Return the same, with nothing but noise before the readings that judge it."""
    values = given.values.copy()
    values[:180] = np.random.default_rng(5).normal(0, 3, values[:180].shape)
    return History(given.series, given.features, given.ts, values)


def cut(given: History, readings: int) -> History:
    """Return the history as it was when it had so many readings."""
    return History(given.series, given.features, given.ts[:readings], given.values[:readings])


def answering(change: float) -> Callable[..., list[Fit]]:
    """Return a stand-in for the fit, whose models answer the last value plus `change` scales."""

    def fit(problems: Sequence[Problem], spec: Spec, settings: TrainSettings, **_: Any) -> list[Fit]:
        weights = initial_weights(spec, seed=1) | {"dense.bias": np.array([change], np.float32)}
        return [Fit(weights, (1.0,) * settings.epochs, (1.0,) * settings.epochs, 1) for _ in problems]

    return fit


def unreachable(*_: Any, **__: Any) -> list[Fit]:
    """A fit that must not be called."""
    raise AssertionError("nothing was to be trained")
