"""Keras models of series' networks, and their way back."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.harness.models import make_model
from tidecast.errors import ModelError
from tidecast.models import lstm
from tidecast.models.model import Model
from tidecast.models.spec import Spec
from tidecast.online.offline import Preparation
from trainer.fit.backend import keras
from trainer.fit.keras_conversion import keras_model_of, weights_of_keras

pytestmark = pytest.mark.keras

HOUR = 3_600_000
SPECS = {
    "simple": Spec(units=5, window=8),
    "relu_of_levels": Spec(units=4, window=6, activation="relu", target_transform="level"),
    "raw": Spec(units=4, window=6, target_transform="raw"),
    "stacked": Spec(units=3, window=6, layers=2),
    "bidirectional_stacked": Spec(units=3, window=5, layers=2, bidirectional=True),
    "three_features": Spec(units=4, window=6, features=("value", "wind", "rain")),
    "known": Spec(units=4, window=6, features=("value", "wind"), known=("price",), seasonal=1),
    "normalised": Spec(units=4, window=8, normalise=True, hidden=3),
    "seasonal": Spec(units=4, window=6, seasonal=2),
    "calendar": Spec(units=4, window=6, seasonal=1, calendar=("day", "week", "year")),
}
every_spec = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())


def trained(spec: Spec) -> Model:
    """Return a model of hourly readings around 2,000, one season long, with random weights."""
    width = spec.columns
    scaler = {"center": (2000.0, 5.0, 7.0)[:width], "scale": (3.0, 2.0, 0.5)[:width]}
    raw = {"center": (0.0,), "scale": (1.0,)}
    known: Any = {"seasons": (12,), "calendar": ("day", "week")}
    return make_model("s", spec, step_ms=HOUR, **known, **(raw if spec.target_transform == "raw" else scaler))


def windows(model: Model) -> tuple[np.ndarray, np.ndarray]:
    """Return windows in the unit of the readings, and the times to forecast."""
    rng = np.random.default_rng(1)
    walk = rng.normal(0, 3, (7, model.network_rows, model.spec.columns)).cumsum(axis=1)
    level = 0 if model.spec.target_transform == "raw" else 2000
    return level + walk, 1_700_000_000_000 + HOUR * np.arange(7)


@every_spec
def test_a_keras_model_answers_as_the_network_does(spec: Spec) -> None:
    """In the unit of the readings, to 1e-5 of the change, with inputs prepared by the worker's own loop."""
    model = trained(spec)
    rows, next_ts = windows(model)
    prepared = Preparation.of(model).inputs(rows, np.full(len(rows), model.network_rows), next_ts)
    expected = prepared.restore(lstm.forward(prepared.x, model.weights, spec.activation)[:, 0])
    converted = keras_model_of(model)
    answers = np.asarray(converted([rows, next_ts[:, None].astype(float)] if spec.calendar else rows))[:, 0]
    assert np.abs(answers - expected).max() <= 1e-5 * np.abs(expected - prepared.base).max()
    again, weights = weights_of_keras(converted, spec)
    assert spec == again
    for name, array in model.weights.items():
        np.testing.assert_array_equal(array, weights[name])


def sequential(*layers: Any, channels: int = 1) -> Any:
    """Return a Keras network over six steps."""
    return keras.Sequential([keras.Input((6, channels)), *layers])


def test_a_network_of_another_supported_shape_is_taken() -> None:
    """Its shape becomes the spec's; dropout acts only during the training."""
    layers = keras.layers
    network = sequential(
        layers.Bidirectional(layers.LSTM(3, return_sequences=True, dropout=0.1)),
        layers.Dropout(0.2),
        layers.Bidirectional(layers.LSTM(3)),
        layers.Dense(4, activation="relu"),
        layers.Dense(1),
    )
    spec, weights = weights_of_keras(network, Spec(target="heat"))
    assert Spec(target="heat", window=6, units=3, layers=2, bidirectional=True, hidden=4) == spec
    assert spec.shapes() == {name: array.shape for name, array in weights.items()}
    x = np.random.default_rng(0).normal(size=(4, 6, 1)).astype(np.float32)
    np.testing.assert_allclose(lstm.forward(x, weights, "tanh"), np.asarray(network(x)), atol=1e-5)


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        (lambda of: sequential(of.GRU(3), of.Dense(1)), "has the layers GRU, Dense"),
        (lambda of: sequential(of.LSTM(3)), "has the layers LSTM:"),
        (lambda of: sequential(of.LSTM(3), of.Dense(2)), "layer .* is not supported"),
        (lambda of: sequential(of.LSTM(3), of.Dense(1, activation="relu")), "layer .* is not supported"),
        (
            lambda of: sequential(of.LSTM(3, return_sequences=True), of.LSTM(4), of.Dense(1)),
            "layer .* is not supported",
        ),
        (lambda of: sequential(of.LSTM(3, activation="selu"), of.Dense(1)), "a shape that is not supported"),
        (lambda of: sequential(of.LSTM(3), of.Dense(1), channels=2), "reads 6 steps of 2 numbers: give steps of 1"),
        (
            lambda of: keras.Sequential([of.LSTM(3), of.Dense(1)]),
            r"no input yet: begin it with keras.Input\(\(steps, 1\)\)",
        ),
        (lambda of: keras.Sequential([keras.Input((None, 1)), of.LSTM(3), of.Dense(1)]), "reads any number of steps"),
        (lambda _: "network.keras", "the network is of type str: give a Keras model"),
    ],
)
def test_a_network_of_an_unsupported_shape_is_refused(network: Callable[[Any], Any], sentence: str) -> None:
    """The message names the layer, and the supported shapes."""
    with pytest.raises(ModelError, match=sentence):
        weights_of_keras(network(keras.layers), Spec())


def test_a_model_without_an_answer_of_its_own_has_no_keras_model() -> None:
    """The residuals of another expert, and a history that was too short, are each one sentence."""
    with pytest.raises(ModelError, match="residuals of the linear expert"):
        keras_model_of(trained(Spec(residual=True)))
    with pytest.raises(ModelError, match="too short"):
        keras_model_of(make_model("s", network=False))
