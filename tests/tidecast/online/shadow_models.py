"""Readings, a champion that knows their period, and one that does not: for shadow tests."""

import numpy as np

from tests.harness.models import make_model
from tidecast.models.experts import LINEAR, TERMS, LinearExperts
from tidecast.models.model import Model
from tidecast.models.spec import Spec
from tidecast.online.batch import Entry

ENOUGH = 30  # readings of a probation
SPEC = Spec(window=2, units=1)
STEPS = 5 * np.array([1, 1, 1, -1, -1, -1, 1, -1, -1, 1, -1, 1])


def knowing() -> Model:
    """Return a champion with an expert that expects the reading a period before, which is right for `swinging`."""
    panel = LinearExperts.naive(10.0)
    lags = np.zeros(TERMS, np.int64)
    needs = np.zeros(len(LINEAR), np.int64)
    coefficients = np.zeros((len(LINEAR), TERMS))
    lags[0] = len(STEPS) - 1
    needs[0] = len(STEPS)
    coefficients[0, 0] = 1.0
    panel.errors[:, 1] = 0.1
    known = LinearExperts(lags, lags * 0, coefficients, np.zeros(len(LINEAR)), needs, panel.errors)
    return make_model("a", SPEC, network=False, panel=known, span=(0, 1))


def ignorant(trained_until: int = 1) -> Model:
    """Return a model that has the last value alone."""
    return make_model("a", SPEC, network=False, panel=LinearExperts.naive(10.0), span=(0, trained_until))


def swinging(first: int, stop: int) -> list[Entry]:
    """Return readings that repeat a period of steps, with a little noise.

    Least squares on a few recent changes do not learn the period.
    """
    values = np.resize(np.cumsum(STEPS), 1000) + np.random.default_rng(0).normal(0, 0.1, 1000)
    return [
        (f"{n}-0", {b"series": b"a", b"ts": b"%d" % (1000 * n), b"value": b"%.6f" % values[n]})
        for n in range(first, stop)
    ]
