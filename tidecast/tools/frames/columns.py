"""Convert forecasts to the columns of a frame, each with its actual reading."""

import math
from collections.abc import Sequence
from typing import Any

from tidecast.wire import Forecast

DETAILS = ("id", "origin", "level", "model", "kind", "filled", "anomaly")
SCORES = ("error", "anomaly_score")  # of the reading that caused a forecast, with the forecast before it


def by_time(made: Sequence[Forecast]) -> list[float]:
    """Return the reading at exactly the time of each forecast; NaN if it is missing."""
    readings = {(f.series, f.origin): f.y for f in made}
    return [math.nan if f.ts is None else readings.get((f.series, f.ts), math.nan) for f in made]


def by_order(made: Sequence[Forecast]) -> list[float]:
    """Return the next reading in each forecast's series; NaN for the newest."""
    following: dict[str, float] = {}
    readings = []
    for forecast in reversed(made):
        readings.append(following.get(forecast.series, math.nan))
        following[forecast.series] = forecast.y
    return readings[::-1]


def columns(made: Sequence[Forecast], y: Sequence[float]) -> dict[str, Any]:
    """Return the columns that every frame of forecasts has, with the readings `y`."""
    return {
        "unique_id": [f.series for f in made],
        "ds": [f.ts for f in made],
        "y": y,
        "yhat": [f.yhat for f in made],
        "yhat_lower": [_number(f.yhat_lower) for f in made],
        "yhat_upper": [_number(f.yhat_upper) for f in made],
    }


def details(made: Sequence[Forecast]) -> dict[str, Any]:
    """Return the columns of details: model, expert and scores of each forecast, and further intervals and horizons."""
    named = [dict(f.more) for f in made]
    further = dict.fromkeys(name for each in named for name in each)
    return (
        {name: [getattr(f, name) for f in made] for name in DETAILS}
        | {name: [_number(getattr(f, name)) for f in made] for name in SCORES}
        | {name: [each.get(name, math.nan) for each in named] for name in further}
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else value
