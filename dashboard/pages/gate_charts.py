"""The options of the gate charts, computed from arrays by pure functions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.data.gates import Gates
from dashboard.pages.charts import FORECAST, GREY, GRID, TRUTH, chart, line
from dashboard.pages.words import time_text
from tidecast.models.lstm import Array

MOST_STEPS, MOST_UNITS = 64, 32  # of a map: more would be too small to see, and too much to send
FORGET, INPUT, OUTPUT = (90, 164, 105), (144, 103, 198), (201, 143, 42)
GATES = {"forget": FORGET, "input": INPUT, "output": OUTPUT}
CLEAR = "rgba(128, 128, 128, 0)"
SIGNED = [TRUTH, "rgba(47, 128, 200, 0.5)", CLEAR, "rgba(224, 105, 58, 0.5)", FORECAST]
READ_OUT = {"dimensions": ["step", "unit", "value"], "encode": {"x": 0, "y": 1, "value": 2, "tooltip": [1, 2]}}
BACK = "readings before the forecast"


def means_chart() -> dict[str, Any]:
    """Return the chart of the gates' means over the units, beside the readings, without data."""
    lines = [line("reading", TRUTH, width=2) | {"yAxisIndex": 1}]
    options = chart(lines + [line(name, _colour(rgb), width=1.8) for name, rgb in GATES.items()])
    right = options["yAxis"] | {"splitLine": {"show": False}, "axisLabel": {"color": TRUTH}}
    options["yAxis"] = [options["yAxis"] | {"scale": False, "min": 0, "max": 1}, right]
    return options | {"grid": GRID | {"bottom": 22}, "xAxis": _steps()}


def put_means(options: dict[str, Any], gates: Gates) -> None:
    """Put a window into the options of `means_chart`."""
    means = (getattr(gates.cell.gates, name).mean(axis=1) for name in GATES)
    for series, values in zip(options["series"], (gates.values, *means), strict=True):
        series["data"] = _rounded(values[-MOST_STEPS:])
    _name_steps(options, gates)


def map_chart(name: str) -> dict[str, Any]:
    """Return the heat map of a gate or the cell state by step and unit, without data; 0 is transparent."""
    bounds = (-1.0, 1.0)
    colours = SIGNED
    if name in GATES:
        bounds = (0.0, 1.0)
        colours = [_colour(GATES[name], 0.0), _colour(GATES[name])]
    hidden = {part: {"show": False} for part in ("axisLabel", "axisTick", "axisLine")}
    legend = {"right": 12, "top": 0, "orient": "horizontal", "itemWidth": 8, "itemHeight": 90, "calculable": False}
    return {
        "animation": False,
        "grid": GRID | {"top": 26, "bottom": 22},
        "tooltip": {"trigger": "item"},
        "xAxis": _steps(),
        "yAxis": {"type": "category", "inverse": True} | hidden,
        "visualMap": legend
        | {"inRange": {"color": colours}, "textStyle": {"color": GREY}, "inactiveColor": CLEAR, "hoverLink": False}
        | _bounds(*bounds),
        "series": [{"name": name.replace("_", " "), "type": "heatmap", "progressive": 0, "data": []} | READ_OUT],
    }


def put_map(options: dict[str, Any], name: str, gates: Gates) -> None:
    """Put a window into the options of `map_chart`."""
    units = units_shown(gates)
    shown = values_of(gates, name)[-MOST_STEPS:, units]  # (steps, units)
    _name_steps(options, gates)
    options["yAxis"]["data"] = [str(unit + 1) for unit in units]
    # Use the names of steps and units, which the tooltip then shows.
    options["series"][0]["data"] = [
        [step, unit, value]
        for step, row in zip(options["xAxis"]["data"], shown, strict=True)
        for unit, value in zip(options["yAxis"]["data"], _rounded(row, 2), strict=True)
    ]
    if name not in GATES:
        reach = float(np.abs(shown).max()) or 1.0
        options["visualMap"] |= _bounds(-reach, reach)


def values_of(gates: Gates, name: str) -> Array:
    """Return the values of a map: `(steps, units)`."""
    values: Array = gates.cell.cell_state if name == "cell_state" else getattr(gates.cell.gates, name)
    return values


def units_shown(gates: Gates) -> NDArray[np.int64]:
    """Return the units with the largest final cell states, sorted by cell state, so that similar ones are adjacent."""
    last = gates.cell.cell_state[-1]
    largest = np.argsort(-np.abs(last))[:MOST_UNITS]
    units: NDArray[np.int64] = largest[np.argsort(-last[largest])]
    return units


def sentence(gates: Gates) -> str:
    """Describe the network of the gates and the readings of the window in a sentence."""
    spec = gates.spec
    units = gates.cell.hidden.shape[1]
    layer = "the only layer" if spec.layers == 1 else f"the first of {spec.layers} layers"
    direction = ", in its forward direction," if spec.bidirectional else ""
    network = "the network that its cohort shares" if gates.shared else "the LSTM"
    steps = f"the {len(gates.values)} readings up to {time_text(gates.last_ts)} UTC"
    cut = f" The newest {MOST_STEPS} of them are shown." if len(gates.values) > MOST_STEPS else ""
    few = f"the {MOST_UNITS} of them that remember most" if units > MOST_UNITS else "each of them"
    return (
        f"Version {gates.version}: {layer} of {network}{direction} over {steps}.{cut} "
        f"Lines are means over its {units} units; the maps show {few}, sorted by the cell state at the end."
    )


def _steps() -> dict[str, Any]:
    named = {"name": BACK, "nameLocation": "middle", "nameGap": 24, "nameTextStyle": {"color": GREY}}
    return named | {
        "type": "category",
        "axisLabel": {"color": GREY, "hideOverlap": True},
        "axisTick": {"show": False},
        "axisLine": {"lineStyle": {"color": GREY}},
    }


def _name_steps(options: dict[str, Any], gates: Gates) -> None:
    options["xAxis"]["data"] = [str(step) for step in range(-min(len(gates.values), MOST_STEPS), 0)]


def _bounds(least: float, most: float) -> dict[str, Any]:
    return {"min": least, "max": most, "text": [f"{most:.2g}", f"{least:.2g}"]}


def _colour(rgb: tuple[int, int, int], opacity: float = 1.0) -> str:
    return f"rgba({rgb[0]}, {rgb[1]}, {rgb[2]}, {opacity:g})"


def _rounded(values: Array, digits: int = 4) -> list[float]:
    """Round values to the digits that can be seen, as they are sent for every window."""
    return [float(f"{value:.{digits}g}") for value in values.tolist()]
