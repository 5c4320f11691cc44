"""Models made by hand: random weights, no training."""

from typing import Any

import numpy as np

from tidecast.models.experts import EXPERTS, HALF_LIVES, LINEAR, LINEAR_KNOWN, LSTM, OWN, SHARED, TERMS, LinearExperts
from tidecast.models.model import Evidence, Header, Model, Scores
from tidecast.models.pretrained.shape import WINDOW
from tidecast.models.spec import Spec


def make_model(
    series: str,
    spec: Spec | None = None,
    *,
    seed: int = 0,
    step_ms: float = 1000.0,
    panel: LinearExperts | None = None,
    **changed: Any,
) -> Model:
    """Return a model with random weights of a trained network's size, and a panel that gives it all weight.

    Args:
        series: its name.
        spec: the network's shape.
        seed: of the weights.
        step_ms: the grid's step.
        panel: another panel.
        **changed: entries of the header.
    """
    spec = spec or Spec(window=6, units=5)
    rng = np.random.default_rng(seed)
    weights = {
        name: (rng.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32) for name, shape in spec.shapes().items()
    }
    width = spec.columns
    entries = {
        "series": series,
        "spec": spec,
        "step_ms": step_ms,
        "center": (0.0,) * width,
        "scale": (1.0,) * width,
        "level": 0.9,
        "half_width": 2.0,
        "span": (0, 1_000_000),
        "evidence": Evidence(
            rows=10, season=None, scores={"model": Scores(mae=0.5, rmse=0.7)}, skill=0.5, verdict="published"
        ),
    }
    header = Header(**(entries | changed))
    return Model(header, weights if header.network else {}, panel or network_alone())


def network_alone() -> LinearExperts:
    """Return a panel without linear experts, and with a last value so bad on the tail that the network has all the
    weight.
    """
    panel = LinearExperts.naive(1e9)
    panel.errors[:, LSTM] = 1.0
    return panel


def random_panel(seed: int, features: int = 1, reach: int = 20) -> LinearExperts:
    """Return a panel of linear experts that read up to `reach` rows of all features; one in four is lacking.

    It has no expert with known inputs.
    """
    rng = np.random.default_rng(seed)
    terms = TERMS * int(rng.integers(1, 4))
    count = len(LINEAR) - 1
    needs = rng.integers(1, reach + 1, count) * (rng.random(count) < 0.75)
    lags = rng.integers(0, max(1, int(needs.max())), terms)
    coefficients = rng.normal(size=(count, terms)) * (lags < needs[:, None])
    errors = np.full((len(HALF_LIVES), len(EXPERTS)), np.nan)
    known = np.delete(np.arange(len(EXPERTS)), [LINEAR_KNOWN, OWN])
    errors[:, known] = rng.uniform(0.5, 2.0, (len(HALF_LIVES), len(known)))
    errors = errors.astype(np.float32).astype(np.float64)  # as a state holds them
    errors[:, SHARED] = np.nan  # its errors are unknown yet
    columns = rng.integers(0, features, terms)
    bias = np.append(rng.normal(size=count), 0.0)
    return LinearExperts(lags, columns, np.pad(coefficients, ((0, 1), (0, 0))), bias, np.append(needs, 0), errors)


def make_shared(
    cohort: str, *, seed: int = 0, step_ms: float = 1000.0, seasonal: int = 2, pretrained: bool = False
) -> Model:
    """Return the network of a cohort: of the kind that the trainer publishes, or one with a small window."""
    spec = Spec(window=5, units=4, normalise=True, seasonal=seasonal, hidden=3)
    if pretrained:
        spec = Spec(window=WINDOW, units=4, seasonal=2, hidden=3, pretrained=True)
    return make_model(cohort, spec, seed=seed, step_ms=step_ms)
