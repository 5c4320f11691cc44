"""Coefficients with round numbers, so that every result can be computed by hand."""

from typing import Any

from tidecast.settings import Settings, load_settings
from tidecast.tools.sizing.coefficients import Coefficients, ModelKind
from tidecast.tools.sizing.plan import Workload

ROUND: dict[str, Any] = {
    "processor": "a processor",
    "cores": 4,
    "memory_bytes": 10_000_000_000,
    "untrained": {"worker_us": 30, "loop_us": 20, "redis_us": 5},
    "trained": {"worker_us": 12, "loop_us": 14, "redis_us": 5},
    "own": {"worker_us": 8, "loop_us": 6, "redis_us": 0},
    "own_units": 50,
    "shared": {"worker_us": 20, "loop_us": 10, "redis_us": 0},
    "state_bytes": 5000,
    "forecast_bytes": 200,
    "reading_bytes": 50,
}


def coefficients(**changed: Any) -> Coefficients:
    """Return the coefficients above, with changes."""
    return Coefficients(**(ROUND | changed))


def workload(model: ModelKind = "own", settings: Settings | None = None) -> Workload:
    """Return a workload of networks of 50 units."""
    return Workload(model, 50, settings or load_settings())
