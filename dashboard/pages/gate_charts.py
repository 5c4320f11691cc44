"""The options of the gate charts, computed from arrays by pure functions."""

from typing import Any

from dashboard.data.gates import TracedGates
from dashboard.pages.charts import GRID, QUIET, chart, line, named_axis
from dashboard.pages.formats import time_text
from tidecast.models.lstm import Array
from tidecast.pictures.colours import READING
from tidecast.pictures.gates import BELOW_ZERO, GATES, ORDER, STEPS_AXIS, GateMap, sorted_units

MOST_STEPS = 64  # of a map: more would be too small to see, and too much to send
MOST_UNITS = 32
CLEAR, HALF = "00", "80"  # the opacity, as the end of a colour
NEUTRAL = "#808080"
READ_OUT = {"dimensions": ["step", "unit", "value"], "encode": {"x": 0, "y": 1, "value": 2, "tooltip": [1, 2]}}
# A heat map of ECharts draws its cells half a pixel too wide, which shows as seams where they are transparent.
CELL = """(params, api) => {
  const [width, height] = api.size([1, 1]);
  const [x, y] = api.coord([api.value(0), api.value(1)]);
  const shape = {x: x - width / 2, y: y - height / 2, width, height};
  return {type: "rect", shape, style: {fill: api.visual("color")}};
}"""
FIT = GRID | {"bottom": 22}  # room for the axis' name


def means_chart() -> dict[str, Any]:
    """Return the chart of the gates' means over the units, beside the readings, without data."""
    lines = [line("reading", READING, width=2) | {"yAxisIndex": 1}]
    options = chart(lines + [line(gate.name, gate.colour, width=1.8) for gate in GATES])
    right = options["yAxis"] | {"splitLine": {"show": False}}
    options["yAxis"] = [options["yAxis"] | {"scale": False, "min": 0, "max": 1}, right]
    return options | {"grid": FIT, "xAxis": _steps()}


def put_means(options: dict[str, Any], gates: TracedGates) -> None:
    """Put a window into the options of `means_chart`."""
    means = (gate.values(gates.cell).mean(axis=1) for gate in GATES)
    for series, values in zip(options["series"], (gates.values, *means), strict=True):
        series["data"] = _rounded(values[-MOST_STEPS:])
    _name_steps(options, gates)


def map_chart(gate: GateMap) -> dict[str, Any]:
    """Return the heat map of a gate or the cell state by step and unit, without data; 0 is transparent."""
    colours = [gate.colour + CLEAR, gate.colour]
    if gate.signed:
        colours = [BELOW_ZERO, BELOW_ZERO + HALF, NEUTRAL + CLEAR, gate.colour + HALF, gate.colour]
    hidden = {part: {"show": False} for part in ("axisLabel", "axisTick", "axisLine")}
    return {
        "animation": False,
        "grid": FIT | {"top": 26},
        "tooltip": {"trigger": "item"},
        "xAxis": _steps(),
        "yAxis": {"type": "category", "inverse": True} | hidden,
        "visualMap": {
            "right": 12,
            "top": 0,
            "orient": "horizontal",
            "itemWidth": 8,
            "itemHeight": 90,
            "calculable": False,
            "hoverLink": False,
            "inactiveColor": "#0000",
            "inRange": {"color": colours},
            "textStyle": {"color": QUIET},
        }
        | _scale(0.0, 1.0),
        "series": [{"name": gate.title, "type": "custom", ":renderItem": CELL, "data": []} | READ_OUT],
    }


def put_map(options: dict[str, Any], gate: GateMap, gates: TracedGates) -> None:
    """Put a window into the options of `map_chart`."""
    units = sorted_units(gates.cell, MOST_UNITS)
    values = gate.values(gates.cell)[-MOST_STEPS:, units]
    _name_steps(options, gates)
    options["yAxis"]["data"] = [str(unit + 1) for unit in units]
    # Use the names of steps and units, which the tooltip then shows.
    options["series"][0]["data"] = [
        [step, unit, value]
        for step, row in zip(options["xAxis"]["data"], values, strict=True)
        for unit, value in zip(options["yAxis"]["data"], _rounded(row, 2), strict=True)
    ]
    options["visualMap"] |= _scale(*gate.bounds(values))


def sentence(gates: TracedGates) -> str:
    """Describe the network of the gates and the readings of the window."""
    spec = gates.spec
    units = gates.cell.hidden.shape[1]
    network = "its cohort's shared network" if gates.shared else "the LSTM"
    layer = f"the first of {spec.layers} layers of {network}" if spec.layers > 1 else network
    direction = ", reading forward," if spec.bidirectional else ""
    steps = f"the {len(gates.values)} readings up to {time_text(gates.last_ts)} UTC"
    cut = f" The newest {MOST_STEPS} are shown." if len(gates.values) > MOST_STEPS else ""
    few = f" The maps show the {MOST_UNITS} of {units} units with the largest states." if units > MOST_UNITS else ""
    return f"Version {gates.version}: {layer}{direction} over {steps}.{cut}{few} {ORDER}"


def _steps() -> dict[str, Any]:
    return named_axis(STEPS_AXIS) | {"type": "category"}


def _name_steps(options: dict[str, Any], gates: TracedGates) -> None:
    options["xAxis"]["data"] = [str(step) for step in range(-min(len(gates.values), MOST_STEPS), 0)]


def _scale(low: float, high: float) -> dict[str, Any]:
    return {"min": low, "max": high, "text": [f"{high:.2g}", f"{low:.2g}"]}


def _rounded(values: Array, digits: int = 4) -> list[float]:
    """Round values to the digits that can be seen, as they are sent for every window."""
    return [float(f"{value:.{digits}g}") for value in values.tolist()]
