"""The LSTM in NumPy, gate by gate: the definition that every other implementation must match.

It is the LSTM of Hochreiter & Schmidhuber (1997) with the forget gate of Gers, Schmidhuber & Cummins (2000), in the
layout of Keras: the four gates lie side by side in one array, in the order input, forget, candidate, output.

Every function broadcasts over leading axes, so the same code runs one model or thousands of stacked ones:
`kernel` may be `(in, 4 * units)` or `(models, in, 4 * units)` with `x` of `(models, steps, in)`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Activation = Literal["tanh", "relu"]
Weights = Mapping[str, Array]

INPUT, FORGET, CANDIDATE, OUTPUT = range(4)


class Cell(NamedTuple):
    """The weights of one layer in one direction."""

    kernel: Array  # (..., in, 4 * units): the gates' weights for the input
    recurrent: Array  # (..., units, 4 * units): the gates' weights for the previous hidden state
    bias: Array  # (..., 4 * units)


class Gates(NamedTuple):
    """The values of the four gates at one step, each of shape `(..., units)`."""

    forget: Array  # 0 drops, 1 keeps the old cell state
    input: Array  # 0 ignores, 1 adds the candidate
    candidate: Array  # the proposed values for the cell state
    output: Array  # 0 hides, 1 shows the cell state


class CellStep(NamedTuple):
    """One step of a cell: its gates, its cell state and its hidden state, each `(..., units)`."""

    gates: Gates
    cell_state: Array
    hidden: Array


def sigmoid(x: Array) -> Array:
    """Return the sigmoid of x; it is computed with tanh, which does not overflow."""
    half = x.dtype.type(0.5)
    result: Array = half * (np.tanh(half * x) + x.dtype.type(1))
    return result


def activate(x: Array, activation: Activation) -> Array:
    """Apply the cell's activation, which is used for the candidate and for the output of the cell state."""
    return np.tanh(x) if activation == "tanh" else np.maximum(x, x.dtype.type(0))


def gate_inputs(from_input: Array, hidden: Array, cell: Cell) -> Array:
    """Return the inputs of the four gates, side by side: `(..., 4 * units)`.

    `from_input` is the input times the kernel; every gate reads it and the previous hidden state.
    """
    inputs: Array = from_input + _times(hidden, cell.recurrent) + cell.bias
    return inputs


def forget_gate(inputs: Array) -> Array:
    """Compute how much of the old cell state is kept."""
    return sigmoid(_part(inputs, FORGET))


def input_gate(inputs: Array) -> Array:
    """Compute how much of the candidate is added."""
    return sigmoid(_part(inputs, INPUT))


def candidate(inputs: Array, activation: Activation) -> Array:
    """Compute the candidate for the cell state."""
    return activate(_part(inputs, CANDIDATE), activation)


def output_gate(inputs: Array) -> Array:
    """Compute how much of the cell state is shown."""
    return sigmoid(_part(inputs, OUTPUT))


def update_cell_state(cell_state: Array, gates: Gates) -> Array:
    """Return the new cell state: the kept part of the old one plus the chosen part of the candidate."""
    updated: Array = gates.forget * cell_state + gates.input * gates.candidate
    return updated


def step(from_input: Array, hidden: Array, cell_state: Array, cell: Cell, activation: Activation) -> CellStep:
    """Advance one cell by one step; `from_input` is `(..., 4 * units)`, the states `(..., units)`."""
    inputs = gate_inputs(from_input, hidden, cell)
    gates = Gates(
        forget=forget_gate(inputs),
        input=input_gate(inputs),
        candidate=candidate(inputs, activation),
        output=output_gate(inputs),
    )
    cell_state = update_cell_state(cell_state, gates)
    shown: Array = gates.output * activate(cell_state, activation)
    return CellStep(gates, cell_state, shown)


def steps(x: Array, cell: Cell, activation: Activation) -> Iterator[CellStep]:
    """Run a cell over `x` of shape `(..., steps, in)`, starting from zero states, and yield every step."""
    units = cell.bias.shape[-1] // 4
    hidden = cell_state = np.zeros((*x.shape[:-2], units), dtype=x.dtype)
    from_inputs = np.matmul(x, cell.kernel)  # one product for the inputs of all steps
    for t in range(x.shape[-2]):
        now = step(from_inputs[..., t, :], hidden, cell_state, cell, activation)
        hidden = now.hidden
        cell_state = now.cell_state
        yield now


def layer(x: Array, cells: list[Cell], activation: Activation) -> Array:
    """Run one layer, `(..., steps, in)` to `(..., steps, units * directions)`.

    A second cell reads the window backwards (Schuster & Paliwal 1997); its outputs are put back in
    the order of time, as in Keras.
    """
    forward = [s.hidden for s in steps(x, cells[0], activation)]
    if len(cells) == 1:
        return np.stack(forward, axis=-2)
    backward = [s.hidden for s in steps(x[..., ::-1, :], cells[1], activation)][::-1]
    return np.concatenate([np.stack(forward, axis=-2), np.stack(backward, axis=-2)], axis=-1)


def last_output(sequence: Array, cells: list[Cell]) -> Array:
    """Return each direction's hidden state after the whole window: `(..., units * directions)`."""
    units = cells[0].bias.shape[-1] // 4
    if len(cells) == 1:
        return sequence[..., -1, :]
    return np.concatenate([sequence[..., -1, :units], sequence[..., 0, units:]], axis=-1)


def cells_of(weights: Weights) -> list[list[Cell]]:
    """Group a model's weights into layers of one or two cells (forward, backward)."""
    layers: list[list[Cell]] = []
    while f"lstm.{len(layers)}.forward.kernel" in weights:
        name = f"lstm.{len(layers)}"
        directions = [d for d in ("forward", "backward") if f"{name}.{d}.kernel" in weights]
        layers.append(
            [Cell(*(weights[f"{name}.{d}.{part}"] for part in ("kernel", "recurrent", "bias"))) for d in directions]
        )
    return layers


def forward(x: Array, weights: Weights, activation: Activation) -> Array:
    """Run the whole network: `(..., steps, features)` to the output layer's `(..., outputs)`."""
    sequence = x
    layers = cells_of(weights)
    for cells in layers:
        sequence = layer(sequence, cells, activation)
    shown = last_output(sequence, layers[-1])
    if "hidden.kernel" in weights:
        shown = np.maximum(_times(shown, weights["hidden.kernel"]) + weights["hidden.bias"], 0)
    return _times(shown, weights["dense.kernel"]) + weights["dense.bias"]


def _part(inputs: Array, gate: int) -> Array:
    units = inputs.shape[-1] // 4
    return inputs[..., gate * units : (gate + 1) * units]


def _times(x: Array, matrix: Array) -> Array:
    # Each row is multiplied with its own matrix: BLAS then solves the same problem whatever else is in the batch, so
    # that the forecast is the same to the last bit.
    product: Array = np.matmul(x[..., None, :], matrix)[..., 0, :]
    return product
