"""A user's program: an expert of their own, a training, a cross-validation and a client; type checkers accept it."""

import numpy as np
import pandas as pd
import polars as pl
from numpy.typing import NDArray

import tidecast


class Drift:
    """An expert that continues the mean change of its window."""

    rows = 12

    def __init__(self) -> None:
        self._share = 1.0

    def fit(self, windows: NDArray[np.float64], targets: NDArray[np.float64]) -> None:
        """Learn how much of the mean change continues."""
        change = self._change(windows)
        self._share = float(change @ (targets - windows[:, -1, 0]) / max(1e-12, float(change @ change)))

    def predict(self, windows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the newest values and a share of their mean changes."""
        forecasts: NDArray[np.float64] = windows[:, -1, 0] + self._share * self._change(windows)
        return forecasts

    def state(self) -> bytes:
        """Return the share."""
        return repr(self._share).encode()

    def restore(self, state: bytes) -> None:
        """Continue with a share."""
        self._share = float(state)

    def _change(self, windows: NDArray[np.float64]) -> NDArray[np.float64]:
        change: NDArray[np.float64] = (windows[:, -1, 0] - windows[:, 0, 0]) / (self.rows - 1)
        return change


EXPERT: tidecast.Expert = Drift()  # a type checker compares the two


def skill_of(frame: pd.DataFrame | pl.DataFrame) -> float:
    """Return the skill of a worker on the newest readings of a frame."""
    tested = tidecast.backtest(frame, h=1, n_windows=48)
    return float(tidecast.scores(tested)["skill"].iloc[0])


def publish(frame: pd.DataFrame, store: str) -> dict[str, int]:
    """Train, and return the versions by series."""
    experts = {"series": [{"source": "forecasting.py:Drift"}]}
    run = tidecast.train(frame, store, experts=experts)
    return {series: model.version for series, model in run.models.items()}


def push(url: str, series: str, value: float) -> str:
    """Push a reading and return its id."""
    with tidecast.Client(url) as client:
        return client.push(series, value)
