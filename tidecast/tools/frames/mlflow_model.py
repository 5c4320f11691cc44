"""The module that MLflow loads a logged model with; see `mlflow_export.py`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


class MlflowModel:
    """A champion as a model of MLflow.

    Args:
        store: the directory of its store.
    """

    def __init__(self, store: Path) -> None:
        self._store = store

    def predict(self, frame: "pd.DataFrame", params: dict[str, Any] | None = None) -> "pd.DataFrame":
        """Return the forecasts after the readings of a frame, as `tidecast.forecast` does.

        Args:
            frame: the readings.
            params: further arguments of `tidecast.forecast`, such as `{"h": 3}`.
        """
        from tidecast.tools.frames import forecast

        return forecast(frame, store=self._store, **(params or {}))


def _load_pyfunc(path: str) -> MlflowModel:
    """Return the model in a directory; MLflow calls it by this name."""
    return MlflowModel(Path(path))
