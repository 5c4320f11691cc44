"""The options of the charts, computed from arrays by pure functions."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.data.recent import ANOMALY, DUE, ERROR, LOWER, NAIVE, ORIGIN, UPPER, YHAT, Y
from tidecast.arrays import Float
from tidecast.models.step_scores import StepScore
from tidecast.pictures.colours import FORECAST, FORGET, INPUT, LAST_VALUE, READING
from tidecast.pictures.weights import Area, areas
from tidecast.wire import Event, Step

QUIET = "var(--quiet)"  # of text: charts are SVG, so that a colour follows the theme
FRAME = "var(--line)"
MARK = "var(--red)"
MARKED = ("level_changed", "stuck", "unstuck", "silent", "back")  # events that are drawn as lines
GRID = {"left": 8, "right": 16, "top": 34, "bottom": 8, "containLabel": True}
SMOOTHED = 12  # readings
MOST_POINTS = 1000  # of a line; more are thinned out
SLIDER_PX = 22
DATED = {  # labels of a time axis, by what they are the beginning of
    "year": "{yyyy}",
    "month": "{d} {MMM} {yyyy}",
    "day": "{d} {MMM}",
    "hour": "{HH}:{mm}\n{d} {MMM}",
    "minute": "{HH}:{mm}\n{d} {MMM}",
    "second": "{HH}:{mm}:{ss}\n{d} {MMM}",
    "millisecond": "{HH}:{mm}:{ss}\n{d} {MMM}",
}
Points = list[list[Any]]


def stream_chart() -> dict[str, Any]:
    """Return the chart of readings, forecasts, their interval and anomalies, without data; a slider zooms in."""
    options = chart(
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
            {"name": "anomaly", "type": "scatter", "symbolSize": 9, "itemStyle": {"color": MARK}, "z": 5, "data": []},
        ],
        legend=["reading", "forecast", {"name": "interval", "icon": "roundRect"}, "anomaly"],
    )
    options["dataZoom"] = [
        {
            "type": "slider",
            "height": SLIDER_PX,
            "bottom": 4,
            "borderColor": FRAME,
            "showDetail": False,
        }
    ]
    options["grid"] = GRID | {"bottom": SLIDER_PX + 14}
    return options


def stream_data(points: Float, ahead: Sequence[Step] = ()) -> list[Points]:
    """Return the data of `stream_chart`; each forecast is at the time that it was made for.

    Args:
        points: of one series, oldest first, see `Recent.of`.
        ahead: the steps after the next one.
    """
    if not len(points):
        return [[], [], [], [], []]
    # A reading's forecast is stored with the reading before; the newest forecast is for a time in the future.
    due = np.append(points[1:, ORIGIN], points[-1:, DUE])
    thin = thinned(points)
    points = points[thin]
    due = due[thin]
    at = points[:, ORIGIN]
    forecast = _pairs(due, points[:, YHAT])
    lower = _pairs(due, points[:, LOWER])
    width = _pairs(due, points[:, UPPER] - points[:, LOWER])
    for step in ahead:
        if step.ts is not None:
            forecast.append([step.ts, step.yhat])
            if step.lower is not None and step.upper is not None:
                lower.append([step.ts, step.lower])
                width.append([step.ts, step.upper - step.lower])
    odd = points[:, ANOMALY] > 0
    return [_pairs(at, points[:, Y]), forecast, lower, width, _pairs(at[odd], points[odd, Y])]


def mark_events(options: dict[str, Any], events: Iterable[Event], first_ms: float) -> None:
    """Draw a line in `stream_chart` at the time of each event that changed the condition of the series.

    Args:
        options: of the chart.
        events: of the series.
        first_ms: the time of the oldest point; older events are left out.
    """
    marks = [
        {"xAxis": ts, "name": event.kind.replace("_", " ")}
        for event in events
        if event.kind in MARKED and isinstance(ts := event.facts.get("ts"), float | int) and ts >= first_ms
    ]
    options["series"][-1]["markLine"] = {
        "symbol": "none",
        "silent": True,
        "lineStyle": {"color": MARK, "type": "dashed", "width": 1},
        "label": {"formatter": "{b}", "color": MARK, "position": "insideEndTop"},
        "data": marks,
    }


def thinned(points: Float) -> NDArray[np.int64]:
    """Return which points to draw of many: the lowest and the highest of each stretch, all anomalies, and the last."""
    count = len(points)
    if count <= MOST_POINTS:
        return np.arange(count)
    stretches = np.array_split(np.arange(count), MOST_POINTS // 2)
    values = points[:, Y]
    extremes = [stretch[pick(values[stretch])] for stretch in stretches for pick in (np.argmin, np.argmax)]
    return np.unique([*extremes, *np.flatnonzero(points[:, ANOMALY] > 0), count - 1])


def weights_chart() -> dict[str, Any]:
    """Return the chart of the experts' weights over time as areas, without data."""
    options = chart([])
    options["yAxis"] |= {"min": 0, "max": 1, "scale": False}
    options["yAxis"]["axisLabel"] |= {":formatter": "value => Math.round(100 * value) + ' %'"}
    options["legend"] |= {"type": "scroll", "right": 4}
    return options


def put_weights(options: dict[str, Any], ts: Float, weights: Float) -> None:
    """Put the weights of the experts into the options of `weights_chart`: the large ones by name, the others together.

    Args:
        options: of the chart.
        ts: `(readings,)`, epoch milliseconds.
        weights: `(readings, experts)`.
    """
    options["series"] = [_area(area, ts) for area in areas(weights)]
    options["legend"]["data"] = [entry["name"] for entry in options["series"]]


def _area(area: Area, ts: Float) -> dict[str, Any]:
    colour = "var(--other)" if area.expert is None else f"var(--expert-{area.expert})"
    return line(area.name, colour, width=0) | {
        "stack": "weights",
        "areaStyle": {"color": colour, "opacity": 1},
        "data": [[at, round(weight, 3)] for at, weight in zip(ts.tolist(), area.weights.tolist(), strict=True)],
    }


def error_chart() -> dict[str, Any]:
    """Return the chart of the mean absolute errors of the forecasts and of the last value, without data."""
    options = chart([line("forecast", FORECAST, width=1.8), line("last value", LAST_VALUE, width=1.4)])
    options["yAxis"] |= {"min": 0}
    return options


def error_data(points: Float) -> list[Points]:
    """Return the data of `error_chart`: at each reading the means over the last `SMOOTHED` readings."""
    known = ~(np.isnan(points[:, ERROR]) | np.isnan(points[:, NAIVE]))
    at = points[known, ORIGIN]
    every = len(at) // MOST_POINTS + 1
    return [_pairs(at[::every], _smoothed(np.abs(points[known, column]))[::every]) for column in (ERROR, NAIVE)]


def steps_chart() -> dict[str, Any]:
    """Return the chart of the errors and the coverage by step, without data."""
    bars = [
        line(name, colour, width=0) | {"type": "bar"}
        for name, colour in (("forecast", FORECAST), ("last value", LAST_VALUE))
    ]
    options = chart([*bars, line("coverage", READING, width=1.8) | {"yAxisIndex": 1, "showSymbol": True}])
    options["xAxis"] = named_axis("step") | {"type": "category", "data": []}
    options["grid"] = GRID | {"bottom": 22}
    share = {"type": "value", "min": 0, "max": 1, "splitLine": {"show": False}}
    share["axisLabel"] = {"color": QUIET, ":formatter": "value => Math.round(100 * value) + ' %'"}
    options["yAxis"] = [options["yAxis"] | {"min": 0}, share]
    return options


def put_steps(options: dict[str, Any], scores: Sequence[StepScore]) -> None:
    """Put scores into the options of `steps_chart`."""
    options["xAxis"]["data"] = [str(score.step) for score in scores]
    for series, name in zip(options["series"], ("mae", "mae_last_value", "coverage"), strict=True):
        values = [getattr(score, name) for score in scores]
        series["data"] = [None if value is None else float(f"{value:.4g}") for value in values]


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
        "xAxis": _time_axis(),
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


def _time_axis() -> dict[str, Any]:
    options = axis() | {"type": "time"}
    options["axisLabel"] |= {"formatter": DATED, "lineHeight": 15}
    return options


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
