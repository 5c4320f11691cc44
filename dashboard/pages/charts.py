"""The options of the charts, computed from arrays by pure functions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dashboard.data.recent import DUE, ERROR, LOWER, NAIVE, ORIGIN, UPPER, YHAT, Y
from tidecast.arrays import Float
from tidecast.pictures.colours import FORECAST, FORGET, INPUT, LAST_VALUE, READING

QUIET = "var(--quiet)"  # of text: charts are SVG, so that a colour follows the theme
FRAME = "var(--line)"
GRID = {"left": 8, "right": 16, "top": 34, "bottom": 8, "containLabel": True}
SMOOTHED = 12  # readings
Points = list[list[float]]


def stream_chart() -> dict[str, Any]:
    """Return the chart of readings, forecasts and their interval, without data."""
    return chart(
        [
            line("reading", READING, width=2),
            line("forecast", FORECAST, width=1.6) | {"symbolSize": 3, "showSymbol": False},
            line("lower", FORECAST, width=0) | {"stack": "interval", "stackStrategy": "all"},
            line("interval", FORECAST, width=0)
            | {
                "stack": "interval",
                "stackStrategy": "all",
                "areaStyle": {"color": FORECAST, "opacity": 0.18},
                "itemStyle": {"color": FORECAST, "opacity": 0.3},
            },
        ],
        legend=["reading", "forecast", {"name": "interval", "icon": "roundRect"}],
    )


def stream_data(points: Float) -> list[Points]:
    """Return the data of `stream_chart`; each forecast is at the time that it was made for.

    Args:
        points: of one series, oldest first, see `Recent.of`.
    """
    at = points[:, ORIGIN]
    # A reading's forecast is stored with the reading before; the newest forecast is for a time in the future.
    due = np.append(at[1:], points[-1:, DUE])
    width = points[:, UPPER] - points[:, LOWER]
    return [_pairs(at, points[:, Y]), _pairs(due, points[:, YHAT]), _pairs(due, points[:, LOWER]), _pairs(due, width)]


def error_chart() -> dict[str, Any]:
    """Return the chart of the mean absolute errors of the forecasts and of the last value, without data."""
    options = chart([line("forecast", FORECAST, width=1.8), line("last value", LAST_VALUE, width=1.4)])
    options["yAxis"] |= {"min": 0}
    return options


def error_data(points: Float) -> list[Points]:
    """Return the data of `error_chart`: at each reading the means over the last `SMOOTHED` readings."""
    known = ~(np.isnan(points[:, ERROR]) | np.isnan(points[:, NAIVE]))
    at = points[known, ORIGIN]
    return [_pairs(at, _smoothed(np.abs(points[known, column]))) for column in (ERROR, NAIVE)]


def curve_chart(curves: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Return the chart of a training's losses by epoch."""
    colours = (READING, FORECAST, LAST_VALUE, FORGET, INPUT)
    lines = [
        line(name.replace("_", " "), colours[i % len(colours)], width=1.8)
        | {"data": [[epoch, loss] for epoch, loss in enumerate(losses, 1)], "showSymbol": len(losses) < 3}
        for i, (name, losses) in enumerate(curves.items())
    ]
    options = chart(lines)
    options["xAxis"] = named_axis("epoch") | {
        "type": "value",
        "minInterval": 1,
        "min": 1,
        "max": max(2, *map(len, curves.values())),
    }
    options["grid"] = GRID | {"bottom": 22}
    return options


def with_data(options: dict[str, Any], data: Sequence[Points]) -> None:
    """Put data into a chart's options."""
    for series, points in zip(options["series"], data, strict=True):
        series["data"] = points


def chart(series: list[dict[str, Any]], legend: list[Any] | None = None) -> dict[str, Any]:
    """Return the options of a chart of lines over time."""
    return {
        "animation": False,
        "useUTC": True,
        "grid": GRID,
        "legend": {
            "data": legend or [entry["name"] for entry in series],
            "left": 4,
            "top": 0,
            "textStyle": {"color": QUIET},
            "itemHeight": 8,
        },
        "tooltip": {"trigger": "axis", "axisPointer": {"type": "line"}},
        "xAxis": axis() | {"type": "time"},
        "yAxis": {
            "type": "value",
            "scale": True,
            "axisLabel": {"color": QUIET},
            "splitLine": {"lineStyle": {"color": FRAME}},
        },
        "series": series,
    }


def axis() -> dict[str, Any]:
    """Return the options of a horizontal axis."""
    return {
        "axisLabel": {"color": QUIET, "hideOverlap": True},
        "axisLine": {"lineStyle": {"color": FRAME}},
        "axisTick": {"show": False},
        "splitLine": {"show": False},
    }


def named_axis(name: str) -> dict[str, Any]:
    """Return the options of a horizontal axis with a name below it."""
    return axis() | {"name": name, "nameLocation": "middle", "nameGap": 24, "nameTextStyle": {"color": QUIET}}


def line(name: str, colour: str, width: float) -> dict[str, Any]:
    """Return the options of a line without data."""
    return {
        "name": name,
        "type": "line",
        "showSymbol": False,
        "symbol": "circle",
        "lineStyle": {"width": width, "color": colour},
        "itemStyle": {"color": colour},
        "emphasis": {"disabled": True},
        "data": [],
    }


def _smoothed(values: Float) -> Float:
    """Return the means of the last `SMOOTHED` values, of fewer at the beginning."""
    sums = np.cumsum(np.insert(values, 0, 0.0))
    stop = np.arange(1, len(values) + 1)
    start = np.maximum(0, stop - SMOOTHED)
    means: Float = (sums[stop] - sums[start]) / (stop - start)
    return means


def _pairs(x: Float, y: Float) -> Points:
    """Return the known points as pairs for the chart, rounded to seven digits."""
    known = ~(np.isnan(x) | np.isnan(y))
    return [[a, float(f"{b:.7g}")] for a, b in zip(x[known].tolist(), y[known].tolist(), strict=True)]
