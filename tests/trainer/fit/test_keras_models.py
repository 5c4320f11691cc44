"""The networks: Keras, the NumPy definition and the weights that pass between them."""

from typing import Any

import numpy as np
import pytest

from tests.trainer.fit.harness import weights_of
from tidecast.models import lstm
from tidecast.models.spec import Spec
from trainer.fit import backend
from trainer.fit.keras_models import build, initial_weights, set_weights

pytestmark = pytest.mark.keras

ARCHITECTURES = {
    "simple": Spec(units=50, window=24),
    "shortest_window": Spec(units=3, window=2),
    "longest_window": Spec(units=4, window=336),
    "relu": Spec(units=16, window=12, activation="relu", target_transform="level", loss="mse"),
    "two_layers": Spec(units=9, window=7, layers=2),
    "four_layers_relu": Spec(units=5, window=6, layers=4, activation="relu"),
    "bidirectional": Spec(units=7, window=9, bidirectional=True),
    "bidirectional_stacked": Spec(units=4, window=5, layers=3, bidirectional=True, activation="relu"),
    "three_features": Spec(units=6, window=10, features=("value", "wind", "rain")),
    "eight_features": Spec(units=5, window=8, layers=2, features=tuple("abcdefgh"), target="c"),
}
LONG = 48  # steps of a window
every_architecture = pytest.mark.parametrize("spec", ARCHITECTURES.values(), ids=ARCHITECTURES.keys())


def shaken(spec: Spec, seed: int = 1) -> dict[str, np.ndarray]:
    """Return random weights without any round number."""
    rng = np.random.default_rng(seed)
    weights = initial_weights(spec, seed)
    return {name: (0.7 * w + 0.1 * rng.normal(size=w.shape)).astype(np.float32) for name, w in weights.items()}


def windows_for(spec: Spec) -> np.ndarray:
    """Return random input, `(5, window, features)`."""
    return np.random.default_rng(2).normal(size=(5, spec.window, len(spec.features))).astype(np.float32)


def keras_answers(model: Any, x: np.ndarray) -> np.ndarray:
    """Return Keras' answers; long windows run as a graph, as one operation after another takes seconds."""
    return np.asarray(model.predict(x, verbose=0) if x.shape[1] >= LONG else model(x))


@every_architecture
def test_numpy_answers_what_keras_answers(spec: Spec) -> None:
    """For the same weights and windows the definition and Keras agree to 1e-5."""
    model = build(spec)
    weights = shaken(spec)
    x = windows_for(spec)
    set_weights(model, spec, weights)
    np.testing.assert_allclose(lstm.forward(x, weights, spec.activation), keras_answers(model, x), rtol=1e-5, atol=1e-5)


def drawn(seed: int) -> Spec:
    """Draw a spec at random from all allowed ones, of a size that suits a test."""
    rng = np.random.default_rng(seed)
    return Spec(
        features=tuple(f"f{i}" for i in range(rng.integers(1, 9))),
        target="f0",
        window=int(rng.choice([2, 5, 24, 48, 168, 336])),
        units=int(rng.integers(1, 33)),
        layers=int(rng.integers(1, 5)),
        bidirectional=bool(rng.integers(2)),
        activation=("tanh", "relu")[seed % 2],  # type: ignore[arg-type] # one of the two
    )


@pytest.mark.parametrize("seed", range(6))
def test_numpy_answers_what_keras_answers_for_shapes_drawn_at_random(seed: int) -> None:
    """To 1e-5 of the answer's size, over features, windows, widths, depths, directions and both activations."""
    spec = drawn(seed)
    model = build(spec)
    weights = shaken(spec, seed)
    x = windows_for(spec)
    set_weights(model, spec, weights)
    expected = keras_answers(model, x)
    answers = lstm.forward(x, weights, spec.activation)
    assert np.isfinite(expected).all()
    assert np.abs(answers - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())


@every_architecture
def test_keras_holds_the_weights_that_the_spec_declares(spec: Spec) -> None:
    """Names, shapes and order are the spec's, and weights that go in come out."""
    model = build(spec)
    weights = shaken(spec)
    assert list(spec.shapes().values()) == [w.shape for w in model.get_weights()]
    set_weights(model, spec, weights)
    held = weights_of(model, spec)
    assert list(spec.shapes()) == list(held)
    for name, expected in weights.items():
        np.testing.assert_array_equal(expected, held[name])
        assert held[name].dtype == np.float32


@pytest.mark.parametrize("layers", [1, 2])
def test_an_untrained_network_answers_no_change(layers: int) -> None:
    """In the form `change` the output layer starts at zero, in Keras and in our own draw."""
    spec = Spec(units=5, window=4, layers=layers)
    x = windows_for(spec)
    assert not np.asarray(build(spec)(x)).any()
    assert not lstm.forward(x, initial_weights(spec, 3), spec.activation).any()


def test_a_network_of_levels_starts_with_an_answer_of_its_own() -> None:
    """In the other forms zero means nothing special, so the output layer starts as Keras does."""
    spec = Spec(units=5, window=4, target_transform="level")
    assert np.asarray(build(spec)(windows_for(spec))).all()
    assert initial_weights(spec, 3)["dense.kernel"].all()


@every_architecture
def test_initial_weights_are_drawn_as_keras_draws_them(spec: Spec) -> None:
    """Glorot limits, orthogonal recurrent rows and a forget bias of one, in the shapes of the spec."""
    weights = initial_weights(spec, 4)
    assert spec.shapes() == {name: w.shape for name, w in weights.items()}
    for name, w in weights.items():
        assert w.dtype == np.float32
        if name.endswith("recurrent"):
            np.testing.assert_allclose(w @ w.T, np.eye(spec.units), atol=1e-5)
        elif name.startswith("lstm") and name.endswith("kernel"):
            limit = np.sqrt(6 / sum(w.shape))
            assert 0.8 * limit < np.abs(w).max() <= limit
        elif name.startswith("lstm"):
            np.testing.assert_array_equal(np.repeat([0.0, 1.0, 0.0, 0.0], spec.units), w)


def test_initial_weights_spread_like_those_of_keras() -> None:
    """Mean and spread of every array are those of a freshly built model."""
    spec = Spec(units=40, window=4, layers=2, target_transform="level")
    backend.keras.utils.set_random_seed(5)
    weights = weights_of(build(spec), spec)
    ours = initial_weights(spec, 5)
    for name, w in weights.items():
        assert abs(w.mean() - ours[name].mean()) < 0.1
        assert w.std() == pytest.approx(ours[name].std(), rel=0.25)


def test_a_seed_draws_the_same_weights_again_and_another_draws_others() -> None:
    """Training can be repeated."""
    spec = Spec(units=5, window=4)
    first, again, other = (initial_weights(spec, seed) for seed in (6, 6, 7))
    for name in ("lstm.0.forward.kernel", "lstm.0.forward.recurrent"):
        np.testing.assert_array_equal(first[name], again[name])
        assert not np.allclose(first[name], other[name])
