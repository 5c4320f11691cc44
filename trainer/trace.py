"""A trained network followed gate by gate over one real window, as `tidecast.lstm` computes it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tidecast import lstm, windows
from tidecast.errors import HistoryError
from tidecast.lstm import Array
from tidecast.model import Model
from trainer.subject import Subject, with_next


@dataclass(frozen=True, slots=True)
class CellTrace:
    """One cell's way through a window; arrays are `(steps, units)`, in the order in which the cell read."""

    layer: int
    direction: str
    rows: NDArray[np.int64]  # (steps,) the window's row that each step read: backwards for a backward cell
    gates: lstm.Gates
    cell_state: Array
    hidden: Array

    @property
    def name(self) -> str:
        """Which cell this is, for people."""
        return f"layer {self.layer + 1}, {self.direction}"

    @property
    def last_hidden(self) -> Array:
        """What the cell says once it has read the whole window: `(units,)`."""
        last: Array = self.hidden[-1]
        return last


@dataclass(frozen=True, slots=True)
class Trace:
    """A window and what the network made of it."""

    ts: NDArray[np.int64]  # (window,) epoch milliseconds
    values: windows.Float  # (window, features)
    cells: tuple[CellTrace, ...]  # layer by layer, forward before backward
    kernel: Array  # (units * directions,) the output layer's weights
    bias: float
    answer: float  # the output layer's: on the network's own scale
    forecast: float  # in the series' unit
    next_ts: int
    actual: float | None  # what came; None: nobody knows yet

    @property
    def speakers(self) -> tuple[CellTrace, ...]:
        """The cells of the last layer: those that the output layer hears."""
        return tuple(cell for cell in self.cells if cell.layer == self.cells[-1].layer)

    @property
    def loudest(self) -> tuple[CellTrace, int]:
        """The cell and unit that weigh most in the forecast."""
        heard = np.concatenate([cell.last_hidden for cell in self.speakers]) * self.kernel
        cell, unit = divmod(int(np.argmax(np.abs(heard))), self.speakers[0].hidden.shape[1])
        return self.speakers[cell], unit


def trace(subject: Subject, max_gap: int) -> Trace:
    """Follow the network over the newest full window: the one behind the forecast of the next value, if it is full.

    Raises:
        HistoryError: no window of the history is full.
    """
    model, history = subject.model, subject.history
    extended = with_next(history, model.header.step_ms)
    grid = windows.to_grid(extended.ts, extended.values, model.header.step_ms, max_gap)
    found = windows.sequences(grid, model.spec.window)
    if not len(found):
        raise HistoryError(
            f"series {model.header.series!r}: its model reads {model.spec.window} readings in a row, of the "
            f"{len(history)} in this history no such run is free of long gaps: bring a longer history"
        )
    row = int(found.rows[-1])
    actual = None if row == len(grid) - 1 else float(found.targets[-1])
    return _followed(model, grid.ts[row - model.spec.window : row], found.windows[-1], int(grid.ts[row]), actual)


def follow(model: Model, values: windows.Float) -> tuple[CellTrace, ...]:
    """Run every cell over one window of `(window, features)` in the series' unit, and keep all its steps."""
    spec, header = model.spec, model.header
    center, scale = np.asarray(header.center), np.asarray(header.scale)
    sequence: Array = windows.scale_windows(values, center, scale, spec.form).astype(np.float32)
    followed: list[CellTrace] = []
    for i, cells in enumerate(lstm.cells_of(model.weights)):
        ran = [
            _cell_trace(i, direction, sequence, cell, spec.activation)
            for direction, cell in zip(spec.directions, cells, strict=True)
        ]
        # The next layer reads both directions side by side, each row where it stands in time.
        sequence = np.concatenate([each.hidden[np.argsort(each.rows)] for each in ran], axis=-1)
        followed += ran
    return tuple(followed)


def _followed(model: Model, ts: NDArray[np.int64], values: windows.Float, next_ts: int, actual: float | None) -> Trace:
    cells = follow(model, values)
    heard = np.concatenate([cell.last_hidden for cell in cells if cell.layer == cells[-1].layer])
    kernel, bias = model.weights["dense.kernel"][:, 0], float(model.weights["dense.bias"][0])
    answer = float(heard @ kernel) + bias
    header = model.header
    restored = windows.restore(
        np.asarray(answer), values[-1, 0], np.asarray(header.center[0]), np.asarray(header.scale[0]), model.spec.form
    )
    return Trace(ts, values, cells, kernel, bias, answer, float(restored), next_ts, actual)


def _cell_trace(layer: int, direction: str, sequence: Array, cell: lstm.Cell, activation: lstm.Activation) -> CellTrace:
    rows = np.arange(len(sequence))
    if direction == "backward":
        rows = rows[::-1]
    steps = list(lstm.steps(sequence[rows], cell, activation))
    gates = lstm.Gates(*(np.stack(answers) for answers in zip(*(step.gates for step in steps), strict=True)))
    states = np.stack([step.cell_state for step in steps])
    return CellTrace(layer, direction, rows, gates, states, np.stack([step.hidden for step in steps]))
