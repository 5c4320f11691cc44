"""Trace of a trained network over one real window, gate by gate, as `tidecast.models.lstm` computes it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Float
from tidecast.errors import HistoryError
from tidecast.models import time_grid
from tidecast.models.calendar_steps import times_after
from tidecast.models.known.inputs import KnownInputs, with_known
from tidecast.models.lstm import Array
from tidecast.models.lstm_trace import CellTrace, follow
from tidecast.models.model import Model
from tidecast.online.offline import Preparation
from trainer.reports.target import ReportTarget, with_next


@dataclass(frozen=True, slots=True)
class WindowRows:
    """The rows behind a forecast, `(rows, features)`; only the newest `held` rows are real."""

    rows: Float
    held: int


@dataclass(frozen=True, slots=True)
class Trace:
    """A window, and the gates, states and forecast that the network computes from it."""

    ts: NDArray[np.int64]  # (window,) epoch milliseconds
    values: Float  # (window, features)
    cells: tuple[CellTrace, ...]  # layer by layer, forward before backward
    kernel: Array  # (units * directions,) the output layer's weights
    bias: float
    answer: float  # the output layer's value, on the network's own scale
    forecast: float  # in the series' unit
    next_ts: int
    actual: float | None  # the reading that was forecast; None: not known yet

    @property
    def last_layer(self) -> tuple[CellTrace, ...]:
        """Return the cells of the last layer, which feed the output layer."""
        return tuple(cell for cell in self.cells if cell.layer == self.cells[-1].layer)

    @property
    def largest_unit(self) -> tuple[CellTrace, int]:
        """Return the cell and unit with the largest part in the forecast."""
        hidden = np.concatenate([cell.last_hidden for cell in self.last_layer])
        if len(hidden) == len(self.kernel):  # no dense layer in between
            hidden = hidden * self.kernel
        cell, unit = divmod(int(np.argmax(np.abs(hidden))), self.last_layer[0].hidden.shape[1])
        return self.last_layer[cell], unit


def trace(subject: ReportTarget, max_gap: int) -> Trace:
    """Trace the network over the newest full window: that of the forecast of the next value, if it is full.

    Raises:
        HistoryError: no window of the history is full.
    """
    model = subject.model
    history = subject.history
    header = model.header
    extended = with_next(history, header)
    grid = time_grid.to_grid(
        extended.ts, extended.values, header.step_ms, max_gap, gridded=header.gridded, left_out=extended.left_out
    )
    grid = with_known(grid, KnownInputs.of(header), history.known)
    reach = max(model.network_rows, model.panel.rows if model.spec.residual else 0)
    windows = time_grid.sequences(grid, model.spec.window, reach)
    if not len(windows):
        raise HistoryError(
            f"series {model.header.series!r}: no {model.spec.window} readings in a row without a long gap among "
            f"{len(history)}, and its model reads so many: bring a longer history"
        )
    row = int(windows.rows[-1])
    actual = None if row == len(grid) - 1 else float(windows.targets[-1])
    rows = WindowRows(windows.windows[-1], int(windows.held[-1]))
    return _traced(model, grid.ts[row - model.spec.window : row], rows, int(grid.ts[row]), actual)


def _traced(model: Model, ts: NDArray[np.int64], read: WindowRows, next_ts: int, actual: float | None) -> Trace:
    next_times = times_after(ts[-1:], ts, model.header.step_ms, gridded=model.header.gridded)
    prepared = Preparation.of(model).inputs(read.rows[None], np.array([read.held]), next_times)
    cells = tuple(follow(model, prepared))
    hidden = np.concatenate([cell.last_hidden for cell in cells if cell.layer == cells[-1].layer])
    if model.spec.hidden:
        hidden = np.maximum(hidden @ model.weights["hidden.kernel"] + model.weights["hidden.bias"], 0)
    kernel = model.weights["dense.kernel"][:, 0]
    bias = float(model.weights["dense.bias"][0])
    answer = float(hidden @ kernel) + bias
    forecast = float(prepared.restore(np.array([answer]))[0])
    return Trace(ts, read.rows[-model.spec.window :], cells, kernel, bias, answer, forecast, next_ts, actual)
