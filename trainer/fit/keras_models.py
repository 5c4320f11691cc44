"""Keras networks built from a spec, and their initial weights.

Keras and `tidecast.models.lstm` use the same layout (gates side by side in the order input, forget, candidate, output).
So weights pass between the two unchanged, in the order of `Spec.shapes`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Float32
from tidecast.models.spec import Spec
from trainer.fit.backend import keras

Weights = dict[str, Float32]


def build(spec: Spec) -> Any:
    """Build the untrained, uncompiled Keras model of a spec: `(batch, window, channels)` to `(batch, 1)`."""
    layers = [_lstm(spec, last=i == spec.layers - 1) for i in range(spec.layers)]
    start = "zeros" if spec.target_transform == "change" else "glorot_uniform"
    return keras.Sequential(
        [
            keras.Input((spec.window, spec.channels)),
            *layers,
            *([keras.layers.Dense(spec.hidden, activation="relu")] if spec.hidden else []),
            # With zero weights an untrained network forecasts no change, which is the last value.
            keras.layers.Dense(1, kernel_initializer=start),
        ]
    )


def set_weights(model: Any, spec: Spec, weights: Mapping[str, NDArray[Any]]) -> None:
    """Set the weights of a Keras model from weights named as in the spec."""
    model.set_weights([weights[name] for name in spec.shapes()])


def initial_weights(spec: Spec, seed: int) -> Weights:
    """Draw initial weights from the distributions of Keras, without building a model.

    Input kernels are Glorot uniform, recurrent kernels orthogonal, the forget gate's bias is one (Jozefowicz et
    al. 2015), the output layer as in `build`.
    """
    rng = np.random.default_rng(seed)
    return {name: _initial(name, shape, spec, rng) for name, shape in spec.shapes().items()}


def _lstm(spec: Spec, *, last: bool) -> Any:
    cell = keras.layers.LSTM(spec.units, activation=spec.activation, return_sequences=not last)
    return keras.layers.Bidirectional(cell) if spec.bidirectional else cell


def _initial(name: str, shape: tuple[int, ...], spec: Spec, rng: np.random.Generator) -> Float32:
    if name.endswith("recurrent"):
        return _orthogonal(shape, rng)
    if name.endswith("bias"):
        bias = np.zeros(shape, np.float32)
        if name.startswith("lstm"):
            bias[spec.units : 2 * spec.units] = 1  # the forget gate: keep the state until training changes this
        return bias
    if name == "dense.kernel" and spec.target_transform == "change":
        return np.zeros(shape, np.float32)
    limit = np.sqrt(6 / sum(shape))  # Glorot & Bengio 2010
    return rng.uniform(-limit, limit, shape).astype(np.float32)


def _orthogonal(shape: tuple[int, ...], rng: np.random.Generator) -> Float32:
    # Saxe et al. 2014. QR leaves the signs open; taking those of R's diagonal makes the draw uniform.
    q, r = np.linalg.qr(rng.normal(size=shape[::-1]))
    orthogonal: Float32 = (q * np.sign(np.diag(r))).T.astype(np.float32)
    return orthogonal
