"""Pictures of an LSTM cell: its gates over a window as heat maps."""

from typing import Any

import numpy as np
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure

from tidecast.models.lstm_trace import CellTrace
from tidecast.pictures.colours import FORECAST, READING, Theme
from tidecast.pictures.gates import BELOW_ZERO, GATE_MAPS, STEPS_AXIS, GateMap, sorted_units
from trainer.reports import canvas
from trainer.reports.canvas import Sheet
from trainer.reports.trace import Trace

ROWS = [["window", "forget"], ["input", "candidate"], ["output", "cell_state"]]


def gates(trace: Trace, cell: CellTrace, sheet: Sheet) -> Figure:
    """Draw a cell's gates and state over the window, steps across and units down."""
    figure, axes = sheet.mosaic(ROWS, 2.2)
    _window(axes["window"], trace, sheet)
    for gate in GATE_MAPS:
        _heat(figure, axes[gate.name], gate, cell, sheet)
    for name in ROWS[-1]:
        canvas.label(axes[name], sheet, x=STEPS_AXIS, y=axes[name].get_ylabel())
    return figure


def _window(axis: Any, trace: Trace, sheet: Sheet) -> None:
    canvas.style_axis(axis, sheet, f"Readings; forecast {trace.forecast:.4g}")
    axis.plot(np.arange(-len(trace.ts), 0), trace.values[:, 0], color=READING, lw=1.3, marker=".", ms=4)
    axis.plot([0], [trace.forecast], "o", color=FORECAST, ms=6)
    axis.set_xlim(-len(trace.ts) - 0.5, 0.8)
    canvas.whole_numbers(axis.xaxis)


def _heat(figure: Figure, axis: Any, gate: GateMap, cell: CellTrace, sheet: Sheet) -> None:
    canvas.style_axis(axis, sheet, gate.title)
    canvas.label(axis, sheet, y="unit")
    axis.grid(visible=False)
    values = gate.values(cell)
    steps, units = values.shape
    low, high = gate.bounds(values)
    image = axis.imshow(
        values[:, sorted_units(cell)].T,
        aspect="auto",
        interpolation="nearest",
        cmap=_colour_map(gate, sheet.theme),
        vmin=low,
        vmax=high,
        extent=(-steps - 0.5, -0.5, units + 0.5, 0.5),
    )
    canvas.whole_numbers(axis.xaxis)
    canvas.whole_numbers(axis.yaxis)
    bar = figure.colorbar(image, ax=axis, pad=0.02, aspect=18)
    bar.outline.set_visible(False)
    bar.ax.locator_params(nbins=4)
    bar.ax.tick_params(colors=sheet.theme.quiet, labelsize=sheet.text, length=0)


def _colour_map(gate: GateMap, theme: Theme) -> Colormap:
    below = [BELOW_ZERO] if gate.signed else []
    return LinearSegmentedColormap.from_list(gate.name, [*below, theme.paper, gate.colour])
