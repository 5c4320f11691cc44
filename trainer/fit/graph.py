"""One TensorFlow graph that trains many networks of one shape; their weights are stacked as `(models, parameters)`.

The loss is a sum over the models, so its gradient holds each model's own gradient. Adam treats each parameter
separately, so every model trains exactly as if it were alone. All weights of a model lie in one row, in the order of
`Spec.shapes`. This makes the optimiser one short chain of operations for all models.

Measured on a shared machine, LSTM(50) over 24 steps, batches of 32, in milliseconds of one core for a series' step.
16 models: this loop with TensorFlow's own gradient 2.9, its steps unrolled 3.0, this loop under XLA 3.3, a gradient
written by hand 3.5, the same under XLA 3.2. 32 models: this loop 2.0 to 2.1, by hand 2.6 to 2.8. 64 models: this loop
2.4 to 2.6, a Numba kernel over OpenBLAS 2.3. Tracing takes about a second, XLA 3 to 11 s for each number of models,
Numba 20 s and more. The small matrix products dominate the time, and XLA does not make them faster. So XLA is not
used, the sizes stay open, and each shape of network is traced once.
"""

from collections.abc import Mapping
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Float32
from tidecast.models import lstm
from tidecast.models.spec import Spec
from trainer.fit.adam import AdamState, adam
from trainer.fit.backend import tf


class TrainingBatch(NamedTuple):
    """Examples for every model; `share` is 1 / (real examples) in each real row and 0 in padding."""

    x: Any  # (models, batch, window, features)
    y: Any  # (models, batch)
    share: Any  # (models, batch)


class Graph(NamedTuple):
    """The compiled functions for a network's shape; any number of models and any batch size."""

    train: Any  # (AdamState, Batch, learning rates of (models,)) -> (AdamState, losses of (models,) before the step)
    losses: Any  # (weights, Batch) -> (models,)
    slope: Any  # (weights, Batch) -> (losses of (models,), their gradient of (models, parameters))


def graph_of(spec: Spec) -> Graph:
    """Return the graph that trains this spec; it is traced once per process and shape of network."""
    columns = tuple(f"column_{i}" for i in range(spec.columns))
    same = {"target": columns[0], "features": columns, "known": (), "target_transform": "raw"}
    return _graph(spec.model_copy(update=same))


def flatten(weights: Mapping[str, NDArray[Any]], spec: Spec) -> Float32:
    """Concatenate a model's weights into one row, `(parameters,)`."""
    return np.concatenate([np.asarray(weights[name], np.float32).ravel() for name in spec.shapes()])


def unflatten(flat: Float32, spec: Spec) -> dict[str, Float32]:
    """Split a row of `flatten` into named weights."""
    shapes = spec.shapes()
    ends = np.cumsum([prod(shape) for shape in shapes.values()])
    parts = np.split(flat, ends[:-1])
    return {name: part.reshape(shape).copy() for (name, shape), part in zip(shapes.items(), parts, strict=True)}


@lru_cache(maxsize=16)
def _graph(spec: Spec) -> Graph:
    parameters = sum(map(prod, spec.shapes().values()))
    row = tf.TensorSpec((None, parameters), tf.float32)
    state = AdamState(row, row, row, tf.TensorSpec((None,), tf.float32))
    examples = tf.TensorSpec((None, None), tf.float32)
    batch = TrainingBatch(tf.TensorSpec((None, None, spec.window, spec.channels), tf.float32), examples, examples)

    def slope(weights: Any, batch: TrainingBatch) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(weights)
            losses = _losses(weights, batch, spec)
        return losses, tape.gradient(losses, weights)

    def train(state: AdamState, batch: TrainingBatch, rates: Any) -> tuple[AdamState, Any]:
        losses, gradient = slope(state.weights, batch)
        on = tf.cast(tf.reduce_max(batch.share, axis=1) > 0, tf.float32)
        return adam(state, gradient, on, rates, tf), losses

    def losses(weights: Any, batch: TrainingBatch) -> Any:
        return _losses(weights, batch, spec)

    # No control flow depends on a tensor. AutoGraph would rewrite all functions, which takes a second of a process, and
    # leave their files in the temporary directory of a process that is killed.
    return Graph(
        tf.function(train, (state, batch, tf.TensorSpec((None,), tf.float32)), autograph=False),
        tf.function(losses, (row, batch), autograph=False),
        tf.function(slope, (row, batch), autograph=False),
    )


def _losses(weights: Any, batch: TrainingBatch, spec: Spec) -> Any:
    error = _forward(batch.x, _parts(weights, spec), spec) - batch.y
    size = tf.abs(error) if spec.loss == "mae" else tf.square(error)
    return tf.reduce_sum(size * batch.share, axis=1)


def _parts(weights: Any, spec: Spec) -> dict[str, Any]:
    shapes = spec.shapes()
    parts = tf.split(weights, [prod(shape) for shape in shapes.values()], axis=1)
    return {name: tf.reshape(part, (-1, *shape)) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


def _forward(x: Any, parts: Mapping[str, Any], spec: Spec) -> Any:
    sequence = tf.transpose(x, (2, 0, 1, 3))  # (window, models, batch, features): a step is one block of memory
    for i, cells in enumerate(lstm.cells_of(parts)):
        last = i == spec.layers - 1
        outputs = [_run(sequence, cells[0], spec)]
        if spec.bidirectional:
            backward = _run(sequence[::-1], cells[1], spec)
            outputs.append(backward if last else backward[::-1])
        # The last layer outputs only each direction's state after the whole window.
        sequence = tf.concat([o[-1] if last else o for o in outputs], axis=-1)
    if spec.hidden:
        sequence = tf.nn.relu(tf.matmul(sequence, parts["hidden.kernel"]) + parts["hidden.bias"][:, None])
    answer = tf.matmul(sequence, parts["dense.kernel"]) + parts["dense.bias"][:, None]
    return answer[..., 0]  # (models, batch)


def _run(sequence: Any, cell: lstm.Cell, spec: Spec) -> Any:
    """Run one cell over `(window, models, batch, in)` and return `(window, models, batch, units)`."""
    activate = tf.tanh if spec.activation == "tanh" else tf.nn.relu
    matrix = tf.concat([cell.kernel, cell.recurrent, cell.bias[:, None]], axis=1)  # one product does all gates
    models = tf.shape(sequence)[1]
    batch = tf.shape(sequence)[2]
    bias_input = tf.ones((models, batch, 1))
    empty = tf.zeros((models, batch, spec.units))
    # Read from an array of steps: the gradient of an index into one tensor would be as large as the tensor.
    inputs = tf.TensorArray(tf.float32, spec.window).unstack(sequence)
    shown = tf.TensorArray(tf.float32, spec.window, element_shape=(None, None, spec.units))

    def step(t: Any, hidden: Any, state: Any, shown: Any) -> tuple[Any, Any, Any, Any]:
        gates = tf.matmul(tf.concat([inputs.read(t), hidden, bias_input], axis=-1), matrix)
        input_gate, forget_gate, candidate, output_gate = tf.split(gates, 4, axis=-1)
        state = tf.sigmoid(forget_gate) * state + tf.sigmoid(input_gate) * activate(candidate)
        hidden = tf.sigmoid(output_gate) * activate(state)
        return t + 1, hidden, state, shown.write(t, hidden)

    start = (tf.constant(0), empty, empty, shown)
    steps = tf.while_loop(lambda t, *_: t < spec.window, step, start, maximum_iterations=spec.window)
    return steps[3].stack()
