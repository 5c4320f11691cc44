"""Conversion of a caller's frame, of any library, to a pandas frame."""

from typing import Any

import pandas as pd

from tidecast.errors import HistoryError


def pandas_frame(frame: Any, called: str = "the frame") -> pd.DataFrame | pd.Series:
    """Return a caller's object as a pandas frame or column.

    Args:
        frame: a pandas DataFrame or Series; or an object whose method `to_pandas` returns one, as in polars and Arrow.
        called: the name of the object, for messages.

    Raises:
        HistoryError: the object is not a pandas frame and has no working `to_pandas`.
    """
    if not isinstance(frame, pd.DataFrame | pd.Series) and callable(getattr(frame, "to_pandas", None)):
        try:
            frame = frame.to_pandas()
        except Exception as exc:
            raise HistoryError(f"the {_kind(frame)} cannot be converted by its to_pandas: {exc}") from exc
    if isinstance(frame, pd.DataFrame | pd.Series):
        return frame
    remedy = "give a frame of pandas, polars or Arrow with a row for each time"
    if callable(getattr(frame, "collect", None)):  # a lazy frame of polars
        remedy = "collect it first"
    raise HistoryError(f"{called} is of type {_kind(frame)}: {remedy}")


def _kind(value: Any) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__.partition('.')[0]} {kind.__name__}"
