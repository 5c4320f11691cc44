"""Tidecast: a forecast of the next reading for every reading of thousands of series."""

# This file imports no module: before `tidecast.start` has run, the import might find a file of the user's.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tidecast.client import AsyncClient, Client
    from tidecast.own_experts import Expert, OnnxExpert, SklearnExpert
    from tidecast.tools.frames import (
        TrainingRun,
        backtest,
        compare,
        forecast,
        read_forecasts,
        read_readings,
        scores,
        train,
    )
    from tidecast.tools.trained_model import TrainedModel, load_model

__version__ = "0.1.0"
__all__ = [
    "AsyncClient",
    "Client",
    "Expert",
    "OnnxExpert",
    "SklearnExpert",
    "TrainedModel",
    "TrainingRun",
    "backtest",
    "compare",
    "forecast",
    "load_model",
    "read_forecasts",
    "read_readings",
    "scores",
    "train",
]

# The other names are in `tools.frames`.
_PACKAGES = {
    "AsyncClient": "client",
    "Client": "client",
    "Expert": "own_experts",
    "OnnxExpert": "own_experts",
    "SklearnExpert": "own_experts",
    "TrainedModel": "tools.trained_model",
    "load_model": "tools.trained_model",
}


def __getattr__(name: str) -> "Any":
    """Import a public name at its first use, because the worker and the command start without these modules."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_PACKAGES.get(name, 'tools.frames')}"), name)
