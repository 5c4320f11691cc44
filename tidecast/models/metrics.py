"""Measures of forecast accuracy."""

import numpy as np

from tidecast.arrays import Float
from tidecast.models.model import Scores


def scores(actual: Float, answer: Float, scale: float) -> Scores:
    """Return MAE, RMSE and MASE (Hyndman & Koehler 2006) of answers, `(rows,)`; no MASE if `scale` is 0."""
    error = np.abs(actual - answer)
    mae = float(error.mean())
    return Scores(mae=mae, rmse=float(np.sqrt(np.mean(error**2))), mase=mae / scale if scale > 0 else None)


def skill(mae: float, naive_mae: float) -> float:
    """Return the share of the last value's error that a model saves; 0 if that error is 0."""
    return 1 - mae / naive_mae if naive_mae > 0 else 0.0
