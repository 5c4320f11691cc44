"""Histories, and the answers of models to them, that the tests of the evaluation share."""

import numpy as np

from tests.harness.models import make_model
from tidecast.arrays import Float
from tidecast.files.history import History
from tidecast.models.model import Model
from tidecast.models.spec import Spec
from tidecast.models.time_grid import to_grid
from trainer.evaluation.answers import expert_answers, grid_of
from trainer.fit.linear import fit_panel

STEP = 1000
MAX_GAP = 2
SEASONS = (5, 12)
FEATURES = ("value", "wind", "rain")
_START = 2_000_000  # after the end of the training in `make_model`


def history(readings: int = 80, seed: int = 0, gap_share: float = 0.15) -> History:
    """Three features, with gaps short and long, and times that jitter."""
    rng = np.random.default_rng(seed)
    steps = np.where(rng.random(readings) < gap_share, rng.integers(2, 6, readings), 1)
    ts = _START + np.cumsum(steps) * STEP + rng.integers(-200, 200, readings)
    return History("s", FEATURES, ts, rng.normal(size=(readings, 3)).cumsum(axis=0))


def model_of(given: History, spec: Spec) -> Model:
    """Return a model with random weights of its network, and linear experts fitted to the history."""
    made = make_model("s", spec, step_ms=STEP)
    columns = [given.features.index(name) for name in spec.features]
    grid = to_grid(given.ts, given.values[:, columns], STEP, MAX_GAP)
    header = made.header.model_copy(update={"seasons": SEASONS, "calendar": ("day",)})
    return Model(header, made.weights, fit_panel(grid, SEASONS, len(grid)))


def answers_of(model: Model, given: History, first: int) -> Float:
    """Return the experts' answers, which the history's columns allow."""
    grid = grid_of(model, given, MAX_GAP)
    assert grid is not None
    return expert_answers(model, None, grid, first)
