"""The compiled forward pass: thousands of LSTMs, each row with its own weights, limited only by memory speed.

`models/lstm.py` defines the computation; this module arranges it for the machine. All weights of one model lie in one
row of a slab, padded to whole vectors, in the order of reading. While one model computes, the next one's weights are
prefetched.

The order of every sum depends on the model and the step alone: a forecast is the same to the last bit whatever else is
in the batch and however many threads share it.
"""

from typing import NamedTuple

import numpy as np

from tidecast.arrays import Float32, Int64
from tidecast.online.kernels.decorators import compiled, inlined, part
from tidecast.online.kernels.networks.products import CACHE_LINE, VECTOR, Matrix, multiply, prefetch

LANES = 16  # windows of one model that are computed side by side
PREFETCHED = 2**16  # weights of the next model at most: a quarter of a common second cache


class NetworkShape(NamedTuple):
    """The numbers that describe a network's shape.

    Attributes:
        units: of each cell.
        layers: the number of layers.
        directions: 1, or 2 for a bidirectional network.
        relu: 1 if the activation is relu, 0 for tanh.
        hidden: the units of the dense hidden layer, 0 without one.
        gate_columns: the columns of a cell's matrix, whole vectors.
        hidden_columns: the columns of the hidden layer's matrix, whole vectors.
        padded_units: the units, a whole number of short vectors.
    """

    units: int
    layers: int
    directions: int
    relu: int
    hidden: int
    gate_columns: int
    hidden_columns: int
    padded_units: int


class _Network(NamedTuple):
    """One network: its shape, its row of the slab, and the places of its weights in the row."""

    shape: NetworkShape
    weights: Float32
    offsets: Int64


class _Buffers(NamedTuple):
    """The memory of a forward pass over several windows, all flat.

    Attributes:
        windows: `(steps, lanes, channels)`, the inputs of the first layer.
        even: the sequences that layers with an even number write, `(steps, lanes, directions * units)`.
        odd: those of the other layers.
        nothing: an empty array.
        sums: the gates, or the sums of the dense hidden layer.
        cell_states: `(lanes, padded units)`.
        read: for each lane, the inputs of a step and the hidden state of the step before, side by side.
        hidden: `(lanes, directions * units)`, the last hidden states.
    """

    windows: Float32
    even: Float32
    odd: Float32
    nothing: Float32
    sums: Float32
    cell_states: Float32
    read: Float32
    hidden: Float32


@part
def tanh(x: np.float32) -> np.float32:
    """Return the hyperbolic tangent of a float32 to 1e-6, NaN for NaN, by the rational approximation of Eigen."""
    x = np.float32(-7.90531110763549805) if x < np.float32(-7.90531110763549805) else x
    x = np.float32(7.90531110763549805) if x > np.float32(7.90531110763549805) else x
    y = x * x
    p = np.float32(-2.76076847742355e-16)
    p = p * y + np.float32(2.00018790482477e-13)
    p = p * y + np.float32(-8.60467152213735e-11)
    p = p * y + np.float32(5.12229709037114e-08)
    p = p * y + np.float32(1.48572235717979e-05)
    p = p * y + np.float32(6.37261928875436e-04)
    p = p * y + np.float32(4.89352455891786e-03)
    q = np.float32(1.19825839466702e-06)
    q = q * y + np.float32(1.18534705686654e-04)
    q = q * y + np.float32(2.26843463243900e-03)
    q = q * y + np.float32(4.89352518554385e-03)
    return x * p / q


@part
def sigmoid_from_tanh(x: np.float32) -> np.float32:
    """Return the sigmoid of a sum from the tanh of half the sum."""
    return np.float32(0.5) * x + np.float32(0.5)


@part
def positive(x: np.float32) -> np.float32:
    """Return the larger of x and 0, NaN for NaN."""
    return np.float32(0) if x < np.float32(0) else x


# The indices below are unsigned: a signed index may count from an array's end, so the loop would not vectorise.


@part
def _copy(into: Float32, into_at: int, source: Float32, source_at: int, count: int) -> None:
    to = np.uintp(into_at)
    at = np.uintp(source_at)
    for j in range(np.uintp(count)):
        into[to + j] = source[at + j]


@part
def _apply_tanh(values: Float32, first: int, count: int) -> None:
    at = np.uintp(first)
    for j in range(np.uintp(count)):
        values[at + j] = tanh(values[at + j])


@part
def _apply_relu(values: Float32, first: int, count: int) -> None:
    at = np.uintp(first)
    for j in range(np.uintp(count)):
        values[at + j] = positive(values[at + j])


@part
def _apply_activations(gates: Float32, lanes: int, shape: NetworkShape) -> None:
    """Apply tanh to the sums of the gates, lane by lane; with relu the candidates are rectified instead."""
    if shape.relu == 0:
        _apply_tanh(gates, 0, lanes * shape.gate_columns)
        return
    for lane in range(lanes):
        here = lane * shape.gate_columns
        _apply_tanh(gates, here, 2 * shape.units)
        _apply_relu(gates, here + 2 * shape.units, shape.units)
        _apply_tanh(gates, here + 3 * shape.units, shape.units)


@part
def _update_cell(
    gates: Float32, cell_states: Float32, hidden: Float32, places: tuple[int, int, int], shape: NetworkShape
) -> None:
    """Advance the cell state and the hidden state by the four gates, from their places in the three arrays.

    `padded_units` is a whole number of short vectors: the results beyond the units are never read.
    """
    at, state_at, hidden_at = places
    input_gate = np.uintp(at)
    forget_gate = np.uintp(at + shape.units)
    candidate = np.uintp(at + 2 * shape.units)
    output_gate = np.uintp(at + 3 * shape.units)
    state = np.uintp(state_at)
    shown = np.uintp(hidden_at)
    count = np.uintp(shape.padded_units)
    for u in range(count):
        cell_states[state + u] *= sigmoid_from_tanh(gates[forget_gate + u])
        cell_states[state + u] += sigmoid_from_tanh(gates[input_gate + u]) * gates[candidate + u]
    if shape.relu == 1:
        for u in range(count):
            hidden[shown + u] = sigmoid_from_tanh(gates[output_gate + u]) * positive(cell_states[state + u])
    else:
        for u in range(count):
            hidden[shown + u] = sigmoid_from_tanh(gates[output_gate + u]) * tanh(cell_states[state + u])


@inlined
def _run_cell(
    inputs: Float32,
    outputs: Float32,
    matrix: Matrix,
    direction: int,
    size: tuple[int, int],
    shape: NetworkShape,
    buffers: _Buffers,
    following: Float32,
) -> None:
    """Run one cell over the windows; write its hidden states of all steps, and the last ones to `buffers.hidden`.

    Args:
        inputs: `(steps, lanes, width)`, flat.
        outputs: `(steps, lanes, directions * units)`, flat; empty for the last layer.
        matrix: the kernel above the recurrent weights: one product computes both.
        direction: 0 reads the window forwards, 1 backwards.
        size: the numbers of steps and lanes.
        shape: the shape of the network.
        buffers: the memory.
        following: the weights of the next model to prefetch on the way.
    """
    window, lanes = size
    width = matrix.rows - shape.units
    apart = width + shape.padded_units
    read = buffers.read
    buffers.cell_states[: lanes * shape.padded_units] = 0
    read[: lanes * apart] = 0
    share = (len(following) // VECTOR // window + 1) * VECTOR
    kernel = Matrix(matrix.weights, matrix.at, matrix.bias_at, width, matrix.columns)  # before the first step: no state
    for step in range(window):
        t = step if direction == 0 else window - 1 - step
        for lane in range(lanes):
            _copy(read, lane * apart, inputs, (t * lanes + lane) * width, width)
        multiply(buffers.sums, read, apart, lanes, matrix if step else kernel, step % 2 == 1)
        _apply_activations(buffers.sums, lanes, shape)
        for lane in range(lanes):
            places = (lane * shape.gate_columns, lane * shape.padded_units, lane * apart + width)
            _update_cell(buffers.sums, buffers.cell_states, read, places, shape)
        if len(outputs):
            _store_hidden(outputs, t * lanes * shape.directions * shape.units, read, width, lanes, direction, shape)
        _fetch(following, step * share, share)
    _store_hidden(buffers.hidden, 0, read, width, lanes, direction, shape)


@part
def _store_hidden(
    outputs: Float32, at: int, read: Float32, width: int, lanes: int, direction: int, shape: NetworkShape
) -> None:
    """Copy a direction's hidden states, which lie beside the inputs, to where the next layer reads them."""
    for lane in range(lanes):
        to = at + (lane * shape.directions + direction) * shape.units
        _copy(outputs, to, read, lane * (width + shape.padded_units) + width, shape.units)


@part
def _fetch(weights: Float32, first: int, count: int) -> None:
    """Prefetch `count` weights from `first` on, at most to the end."""
    for at in range(first, min(first + count, len(weights), PREFETCHED), VECTOR):
        prefetch(weights, at)


@inlined
def _run_layers(network: _Network, size: tuple[int, int], channels: int, buffers: _Buffers, following: Float32) -> None:
    """Run all layers over the windows, and write the last hidden states of the last layer."""
    shape = network.shape
    offsets = network.offsets
    inputs = buffers.windows
    outputs = buffers.even
    width = channels
    for layer in range(shape.layers):
        for direction in range(shape.directions):
            cell = 3 * (layer * shape.directions + direction)  # the places of kernel, recurrent weights and bias
            rows = width + shape.units
            matrix = Matrix(network.weights, offsets[cell], offsets[cell + 2], rows, shape.gate_columns)
            written = buffers.nothing if layer == shape.layers - 1 else outputs
            fetched = following if cell == 0 else buffers.nothing
            _run_cell(inputs, written, matrix, direction, size, shape, buffers, fetched)
        inputs = outputs
        outputs = buffers.even if layer % 2 else buffers.odd
        width = shape.directions * shape.units


@inlined
def _dense(network: _Network, buffers: _Buffers, order: Int64, forecasts: Float32) -> None:
    """Run the dense layers over the last hidden states, and write one number per lane to `forecasts[order]`."""
    shape = network.shape
    weights = network.weights
    offsets = network.offsets
    last = 3 * shape.layers * shape.directions
    lanes = len(order)
    inputs = buffers.hidden
    width = shape.directions * shape.units
    apart = shape.directions * shape.units
    if shape.hidden:
        matrix = Matrix(weights, offsets[last], offsets[last + 1], width, shape.hidden_columns)
        multiply(buffers.sums, inputs, width, lanes, matrix, False)
        _apply_relu(buffers.sums, 0, lanes * shape.hidden_columns)
        inputs = buffers.sums
        width = shape.hidden
        apart = shape.hidden_columns
        last = last + 2
    for lane in range(lanes):
        forecast = weights[offsets[last + 1]]
        for j in range(width):
            forecast += inputs[lane * apart + j] * weights[offsets[last] + j]
        forecasts[order[lane]] = forecast


@part
def _aligned(size: int) -> Float32:
    """Allocate room for so many numbers, starting at a cache line."""
    room = np.empty(size + VECTOR, np.float32)
    first = (-room.ctypes.data % CACHE_LINE) // room.itemsize
    return room[first : first + size]


@part
def _allocate(window: int, lanes: int, channels: int, shape: NetworkShape) -> _Buffers:
    """Allocate the memory of a forward pass over at most so many windows."""
    width = shape.directions * shape.units
    between = window * lanes * width
    widest = max(channels, width if shape.layers > 1 else 0) + shape.padded_units
    return _Buffers(
        np.empty(window * lanes * channels, np.float32),
        np.empty(between if shape.layers > 1 else 0, np.float32),
        np.empty(between if shape.layers > 2 else 0, np.float32),
        np.empty(0, np.float32),
        # The gates of the last lane may be read beyond their end, by less than a vector.
        _aligned(lanes * max(shape.gate_columns, shape.hidden_columns) + VECTOR),
        np.empty(lanes * shape.padded_units, np.float32),
        np.empty(lanes * widest, np.float32),
        np.empty(lanes * width, np.float32),
    )


@compiled
def run_networks(
    x: Float32, order: Int64, slab: Float32, rows: Int64, shape: NetworkShape, offsets: Int64, forecasts: Float32
) -> None:
    """Run the networks over `x[order]`, each with its own row of the slab; `order` groups the windows by model.

    Args:
        x: `(n, window, channels)`.
        order: `(some,)` indices into the n windows.
        slab: `(models, size)`, written by a `WeightLayout`.
        rows: `(n,)` the row of each window's model in the slab.
        shape: the shape of the networks.
        offsets: the places of the weights in a row.
        forecasts: `(n,)`, written at the indices in `order`.
    """
    window = x.shape[1]
    channels = x.shape[2]
    most = min(LANES, len(order))
    buffers = _allocate(window, most, channels, shape)
    first = 0
    while first < len(order):
        model = rows[order[first]]
        lanes = 1
        while lanes < most and first + lanes < len(order) and rows[order[first + lanes]] == model:
            lanes += 1
        for lane in range(lanes):
            for t in range(window):
                for c in range(channels):
                    buffers.windows[(t * lanes + lane) * channels + c] = x[order[first + lane], t, c]
        network = _Network(shape, slab[model], offsets)
        following = slab[rows[order[min(first + lanes, len(order) - 1)]]]
        _run_layers(network, (window, lanes), channels, buffers, following)
        _dense(network, buffers, order[first : first + lanes], forecasts)
        first += lanes
