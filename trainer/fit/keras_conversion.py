"""Conversion of a series' network to a Keras model in the series' unit, and of Keras networks to weights."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tidecast.durations import DAY_MS
from tidecast.errors import ModelError
from tidecast.models.inputs import LEAST_SPREAD, active_cycles
from tidecast.models.model import Model, network_seasons
from tidecast.models.spec import CYCLES, Spec
from tidecast.models.time_grid import CLIP
from trainer.fit.backend import keras
from trainer.fit.keras_models import Weights, build, set_weights

NETWORK = "network"  # the name of the layer with the network
WIDE = "float64"  # of readings: large values with small changes would lose them in float32
_SUPPORTED = "use LSTM layers of one size, each in both directions or none, and a Dense(1); a Dense with relu between"


def keras_model_of(model: Model) -> Any:
    """Return a Keras model with the weights and the answers of a series' own network, without the other experts.

    Its input `rows` is `(batch, model.network_rows, columns)` in the units of the readings, the newest row last and
    without gaps; a spec with calendar inputs has a second one, `next_ts`, `(batch,)`: the times to forecast in epoch
    milliseconds. The output is `(batch, 1)` in the unit of the target. The layer `network` holds the weights.

    Raises:
        ModelError: the series has no network, or the network learns the residuals of a linear expert.
    """
    spec = model.spec
    if not model.header.network:
        raise ModelError(f"series {model.header.series!r} has no network: its history was too short for one")
    if spec.residual:
        raise ModelError(
            f"the network of {model.header.series!r} learns the residuals of the linear expert, without which it has "
            "no answer: train with another preset"
        )
    rows = keras.Input((model.network_rows, spec.columns), dtype=WIDE, name="rows")
    base = _base(model, rows)
    size = _size(model, rows)
    parts = [*_scaled(model, rows, base, size), *_seasonal(model, rows, base, size)]
    inputs = [rows]
    if spec.calendar:
        inputs.append(keras.Input((1,), dtype=WIDE, name="next_ts"))
        parts.append(_calendar(model, inputs[1]))
    network = build(spec)
    network.name = NETWORK
    set_weights(network, spec, model.weights)
    answer = network(keras.ops.cast(keras.ops.concatenate(parts, axis=-1), "float32"))
    restored = base + keras.ops.cast(answer, WIDE) * size
    return keras.Model(inputs if len(inputs) > 1 else rows, restored)


def weights_of_keras(network: Any, like: Spec) -> tuple[Spec, Weights]:
    """Return the spec and the weights of a Keras network.

    Args:
        network: a model with a layer `network`, as of `keras_model_of`, or such a network alone.
        like: the spec that has the inputs and the form of the answers, which a Keras network does not show.

    Raises:
        ModelError: its shape is not supported, or it does not read these inputs.
    """
    if not isinstance(network, keras.Model):
        raise ModelError(f"the network is of type {type(network).__name__}: give a Keras model")
    if not network.built:
        raise ModelError(f"the Keras model has no input yet: begin it with keras.Input((steps, {like.channels}))")
    inner = next((layer for layer in network.layers if layer.name == NETWORK), network)
    layers = [each for each in inner.layers if not isinstance(each, keras.layers.InputLayer | keras.layers.Dropout)]
    cells = [layer for layer in layers if isinstance(layer, keras.layers.LSTM | keras.layers.Bidirectional)]
    dense = layers[len(cells) :]
    if not cells or len(dense) not in (1, 2) or not all(isinstance(each, keras.layers.Dense) for each in dense):
        raise ModelError(f"the Keras model has the layers {_names(layers)}: {_SUPPORTED}")
    _, window, channels = inner.input_shape
    if window is None:
        raise ModelError(f"the Keras model reads any number of steps: use keras.Input((steps, {like.channels}))")
    if channels != like.channels:
        raise ModelError(f"the Keras model reads {window} steps of {channels} numbers: give steps of {like.channels}")
    first = _cell(cells[0])
    shape = {
        "window": window,
        "units": first.units,
        "layers": len(cells),
        "bidirectional": isinstance(cells[0], keras.layers.Bidirectional),
        "activation": first.get_config()["activation"],
        "hidden": dense[0].units if len(dense) > 1 else 0,
    }
    try:
        spec = Spec(**{**like.model_dump(), **shape})
    except ValueError as exc:
        raise ModelError(f"the Keras model has a shape that is not supported: {_SUPPORTED}") from exc
    _check_same(layers, build(spec).layers)
    arrays = (np.asarray(array, np.float32) for array in inner.get_weights())
    return spec, dict(zip(spec.shapes(), arrays, strict=True))


def _base(model: Model, rows: Any) -> Any:
    """Return the value for which an answer of 0 stands, `(batch, 1)`."""
    newest = rows[:, -1:, 0]
    return newest if model.spec.target_transform == "change" else newest * 0.0 + model.header.center[0]


def _size(model: Model, rows: Any) -> Any:
    """Return the difference from the base for which an answer of 1 stands, `(batch, 1)`."""
    scale = model.header.scale[0]
    if not model.spec.normalise:
        return rows[:, -1:, 0] * 0.0 + scale
    spread = keras.ops.std(rows[:, -model.spec.window :, 0], axis=1, keepdims=True)
    return keras.ops.maximum(spread, max(LEAST_SPREAD * scale, float(np.finfo(np.float32).tiny)))


def _scaled(model: Model, rows: Any, base: Any, size: Any) -> list[Any]:
    """Return the features of the window, each `(batch, window, 1)`."""
    newest = rows[:, -model.spec.window :, :]
    header = model.header
    target = (newest[:, :, :1] - base[:, :, None]) / size[:, :, None]
    others = range(1, model.spec.columns)
    scaled = [(newest[:, :, i : i + 1] - header.center[i]) / header.scale[i] for i in others]
    return [_clipped(model.spec, feature) for feature in (target, *scaled)]


def _seasonal(model: Model, rows: Any, base: Any, size: Any) -> list[Any]:
    """Return the values one season before the reading after each step, each with its flag, `(batch, window, 1)`."""
    spec = model.spec
    parts = []
    for season in network_seasons(model.header.seasons, spec.seasonal).tolist():
        first = model.network_rows - spec.window + 1 - season if season else model.network_rows - spec.window
        values = rows[:, first : first + spec.window, :1]
        known = keras.ops.ones_like(values) if season else keras.ops.zeros_like(values)
        scaled = keras.ops.clip((values - base[:, :, None]) / size[:, :, None], -CLIP, CLIP)
        parts += [scaled if season else known, known]
    return parts


def _calendar(model: Model, next_ts: Any) -> Any:
    """Return the phases of the calendar cycles, `(batch, window, 2 * cycles)`."""
    spec = model.spec
    before = np.arange(1 - spec.window, 1) * model.header.step_ms / DAY_MS
    days = next_ts / DAY_MS + before[None]
    waves = []
    for cycle, active in zip(spec.calendar, active_cycles(spec, model.header.calendar).tolist(), strict=True):
        angle = days * (2 * np.pi / CYCLES[cycle])
        waves += [keras.ops.sin(angle)[:, :, None] * active, keras.ops.cos(angle)[:, :, None] * active]
    return keras.ops.concatenate(waves, axis=-1)


def _clipped(spec: Spec, scaled: Any) -> Any:
    return scaled if spec.target_transform == "raw" else keras.ops.clip(scaled, -CLIP, CLIP)


def _cell(layer: Any) -> Any:
    return layer.forward_layer if isinstance(layer, keras.layers.Bidirectional) else layer


def _names(layers: Sequence[Any]) -> str:
    return ", ".join(type(layer).__name__ for layer in layers) or "none"


def _check_same(layers: Sequence[Any], expected: Sequence[Any]) -> None:
    """Raise ModelError if layers compute anything else than those of our network of that shape."""
    for layer, ours in zip(layers, expected, strict=True):
        if _form(layer) != _form(ours):
            raise ModelError(f"the layer {layer.name!r} of the Keras model is not supported: {_SUPPORTED}")


def _form(layer: Any) -> tuple[Any, ...]:
    """Return the properties on which a layer's answers depend, beside its weights."""
    names = ("units", "activation", "recurrent_activation", "use_bias", "return_sequences", "go_backwards", "stateful")
    config = _cell(layer).get_config()
    merge = getattr(layer, "merge_mode", None)
    return type(layer), merge, *(config.get(name) for name in names)
