"""Small frames of one and of two series, of pandas or of a library that it does not know."""

from typing import Any

import numpy as np
import pandas as pd

ROWS = 48
DS = pd.date_range("2024-01-01", periods=ROWS, freq="h")
Y = np.random.default_rng(0).normal(size=ROWS).round(3)
Frame = pd.DataFrame


def one_series() -> Frame:
    """Return a series without an id."""
    return Frame({"ds": DS, "y": Y})


def two_series() -> Frame:
    """Return two series, the second one higher by 10."""
    return pd.concat(
        [one_series().assign(unique_id="a"), one_series().assign(unique_id="b", y=Y + 10)], ignore_index=True
    )


class Foreign:
    """A frame of another library, which converts itself."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame

    def to_pandas(self) -> Any:
        """Return the pandas form."""
        if isinstance(self._frame, Exception):
            raise self._frame
        return self._frame
