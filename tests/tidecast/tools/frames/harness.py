"""Frames that the tests share."""

from typing import Any

import numpy as np
import pandas as pd

QUICK: dict[str, Any] = {"train": {"epochs": 1, "shared_epochs": 0}}


def wave(series: str = "wave", readings: int = 120) -> pd.DataFrame:
    """Return an hourly wave with noise, as a forecasting library would take it."""
    t = np.arange(readings)
    y = np.sin(t / 4) + 0.1 * np.random.default_rng(0).normal(size=len(t))
    return pd.DataFrame({"unique_id": series, "ds": pd.date_range("2024-01-01", periods=len(t), freq="h"), "y": y})
