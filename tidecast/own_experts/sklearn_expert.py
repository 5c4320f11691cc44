"""A regressor with scikit-learn's interface as an expert."""

import pickle
from typing import Any

import numpy as np

from tidecast.arrays import Float


class SklearnExpert:
    """Lets a regressor of scikit-learn, LightGBM or any library with `fit` and `predict` forecast a series.

    The regressor reads the rows of a window as one row of numbers, and learns the change from the newest value: trees
    cannot forecast a level that they have never seen.

    Args:
        regressor: the regressor; it is pickled with the model, so load only models that you trust.
        rows: how many rows it reads.
        lags: the rows to read, counted back from the newest, which is 0; None: all.

    Raises:
        ValueError: a lag is not within the window.
    """

    def __init__(self, regressor: Any, rows: int, lags: tuple[int, ...] | None = None) -> None:
        if lags is not None and not all(0 <= lag < rows for lag in lags):
            raise ValueError(f"lags must lie between 0 and {rows - 1}")
        self.rows = rows
        self._regressor = regressor
        self._at = [rows - 1 - lag for lag in (range(rows) if lags is None else lags)]

    def fit(self, windows: Float, targets: Float) -> None:
        """Learn from windows, `(n, rows, features)`, and the value that followed each, `(n,)`."""
        self._regressor.fit(self._inputs(windows), targets - windows[:, -1, 0])

    def predict(self, windows: Float) -> Float:
        """Return the next value after each window, `(n,)`."""
        change = np.asarray(self._regressor.predict(self._inputs(windows)), np.float64)
        forecasts: Float = windows[:, -1, 0] + change
        return forecasts

    def state(self) -> bytes:
        """Return the pickled regressor."""
        return pickle.dumps(self._regressor)

    def restore(self, state: bytes) -> None:
        """Continue with a pickled regressor."""
        self._regressor = pickle.loads(state)  # noqa: S301 - documented: the user's own models

    def _inputs(self, windows: Float) -> Float:
        """Return the chosen rows less the newest value of the target, `(n, lags * features)`."""
        chosen = windows[:, self._at].copy()
        chosen[:, :, 0] -= windows[:, -1:, 0]
        inputs: Float = chosen.reshape(len(windows), -1)
        return inputs
