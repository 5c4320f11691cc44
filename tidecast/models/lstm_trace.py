"""Trace a network's cells step by step over one window, as `tidecast.models.lstm` computes them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tidecast.models import lstm
from tidecast.models.inputs import Inputs
from tidecast.models.lstm import Array
from tidecast.models.model import Model


@dataclass(frozen=True, slots=True)
class CellTrace:
    """The steps of one cell over a window; arrays are `(steps, units)`, in the cell's reading order."""

    layer: int
    direction: str
    rows: NDArray[np.int64]  # (steps,) the window's row of each step, backwards for a backward cell
    gates: lstm.Gates
    cell_state: Array
    hidden: Array

    @property
    def name(self) -> str:
        """Return the cell's name for people."""
        return f"layer {self.layer + 1}, {self.direction}"

    @property
    def last_hidden(self) -> Array:
        """Return the cell's hidden state after the whole window: `(units,)`."""
        last: Array = self.hidden[-1]
        return last


def follow(model: Model, prepared: Inputs) -> Iterator[CellTrace]:
    """Run the cells over one window, layer by layer and forward before backward, and yield the trace of each.

    The iterator is lazy: a caller that needs only the first cell does not compute the others.
    """
    spec = model.spec
    sequence: Array = prepared.x[0]
    for i, cells in enumerate(lstm.cells_of(model.weights)):
        ran = []
        for direction, cell in zip(spec.directions, cells, strict=True):
            ran.append(_cell_trace(i, direction, sequence, cell, spec.activation))
            yield ran[-1]
        # The next layer reads both directions side by side, in the order of time.
        sequence = np.concatenate([each.hidden[np.argsort(each.rows)] for each in ran], axis=-1)


def _cell_trace(layer: int, direction: str, sequence: Array, cell: lstm.Cell, activation: lstm.Activation) -> CellTrace:
    rows = np.arange(len(sequence))
    if direction == "backward":
        rows = rows[::-1]
    steps = list(lstm.steps(sequence[rows], cell, activation))
    gates = lstm.Gates(*(np.stack(answers) for answers in zip(*(step.gates for step in steps), strict=True)))
    states = np.stack([step.cell_state for step in steps])
    return CellTrace(layer, direction, rows, gates, states, np.stack([step.hidden for step in steps]))
