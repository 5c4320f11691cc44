"""The LSTM against plain Python, element by element."""

import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tests.harness.models import make_model
from tidecast.models import lstm
from tidecast.models.spec import Spec

Row = list[float]


def naive_direction(x: list[Row], kernel: list[Row], recurrent: list[Row], bias: Row, activation: str) -> list[Row]:
    """One cell over one window, in loops: the hidden state after every step."""
    units = len(bias) // 4

    def squash(v: float) -> float:
        return 1 / (1 + math.exp(-v))

    def act(v: float) -> float:
        return math.tanh(v) if activation == "tanh" else max(v, 0.0)

    hidden = [0.0] * units
    cell = [0.0] * units
    shown = []
    for row in x:
        z = [
            bias[j]
            + sum(v * kernel[i][j] for i, v in enumerate(row))
            + sum(v * recurrent[i][j] for i, v in enumerate(hidden))
            for j in range(4 * units)
        ]
        put, keep, new, show = (z[g * units : (g + 1) * units] for g in range(4))
        cell = [squash(keep[u]) * cell[u] + squash(put[u]) * act(new[u]) for u in range(units)]
        hidden = [squash(show[u]) * act(cell[u]) for u in range(units)]
        shown.append(hidden)
    return shown


def naive_forward(x: list[Row], spec: Spec, weights: dict[str, np.ndarray]) -> float:
    """Return a whole network over one window, in loops."""
    plain = {name: w.astype(float).tolist() for name, w in weights.items()}
    for i in range(spec.layers):
        parts = [[plain[f"lstm.{i}.{d}.{p}"] for p in ("kernel", "recurrent", "bias")] for d in spec.directions]
        ahead = naive_direction(x, *parts[0], spec.activation)
        back = naive_direction(x[::-1], *parts[1], spec.activation)[::-1] if spec.bidirectional else [[] for _ in x]
        last = ahead[-1] + back[0]
        x = [a + b for a, b in zip(ahead, back, strict=True)]
    return plain["dense.bias"][0] + sum(v * plain["dense.kernel"][i][0] for i, v in enumerate(last))


specs = st.builds(
    Spec,
    features=st.sampled_from([(), ("a",), ("a", "b")]),
    window=st.integers(2, 5),
    units=st.integers(1, 4),
    layers=st.integers(1, 3),
    bidirectional=st.booleans(),
    activation=st.sampled_from(["tanh", "relu"]),
)


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(specs, st.integers(0, 2**32 - 1))
def test_every_shape_answers_what_plain_loops_answer(spec: Spec, seed: int) -> None:
    """Simple, stacked, bidirectional, several features, both activations."""
    weights = {name: w.astype(np.float64) for name, w in make_model("a", spec, seed=seed).weights.items()}
    x = np.random.default_rng(seed).normal(size=(3, spec.window, len(spec.features)))
    expected = [naive_forward(rows.tolist(), spec, weights) for rows in x]
    np.testing.assert_allclose(lstm.forward(x, weights, spec.activation)[:, 0], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_stacked_models_answer_as_each_alone(activation: lstm.Activation) -> None:
    """The same lines serve one model and many: each row uses its own weights only."""
    spec = Spec(window=4, units=3, layers=2, bidirectional=True, activation=activation)
    models = [make_model("a", spec, seed=seed) for seed in range(5)]
    x = np.random.default_rng(1).normal(size=(5, 4, 1)).astype(np.float32)
    stacked = {name: np.stack([m.weights[name] for m in models]) for name in spec.shapes()}
    alone = [lstm.forward(x[i], m.weights, activation) for i, m in enumerate(models)]
    np.testing.assert_array_equal(alone, lstm.forward(x, stacked, activation))


def test_the_gates_lie_in_the_order_input_forget_candidate_output() -> None:
    """A large bias on one gate opens that gate and no other."""
    for gate, name in ((lstm.INPUT, "input"), (lstm.FORGET, "forget"), (lstm.OUTPUT, "output")):
        bias = np.full(4, -50.0)
        bias[gate] = 50.0
        cell = lstm.Cell(np.zeros((1, 4)), np.zeros((1, 4)), bias)
        gates = lstm.step(np.zeros(4), np.zeros(1), np.zeros(1), cell, "tanh").gates
        opened = {g: round(float(getattr(gates, g)[0]), 6) for g in ("input", "forget", "output")}
        assert {g: float(g == name) for g in opened} == opened


def test_the_cell_keeps_what_the_forget_gate_lets_through() -> None:
    """The long memory: an open forget and a closed input gate leave the cell state as it was."""
    bias = np.array([-50.0, 50.0, 0.0, 0.0])
    cell = lstm.Cell(np.ones((1, 4)) * 0, np.zeros((1, 4)), bias)
    assert 0.75 == pytest.approx(lstm.step(np.zeros(4), np.zeros(1), np.array([0.75]), cell, "tanh").cell_state[0])


@pytest.mark.parametrize("size", [0.0, 1.0, 88.0, 1e4, 1e30])
def test_the_sigmoid_never_overflows(size: float) -> None:
    """Far from zero it is 0 or 1, without a warning."""
    values = lstm.sigmoid(np.array([-size, size], np.float32))
    expected = [0.0, 1.0] if size > 700 else [1 / (1 + math.exp(size)), 1 / (1 + math.exp(-size))]
    np.testing.assert_allclose(values, expected, atol=1e-6)


def test_float32_in_gives_float32_out() -> None:
    """No step widens the numbers behind the worker's back."""
    model = make_model("a")
    assert np.float32 == lstm.forward(np.zeros((6, 1), np.float32), model.weights, "tanh").dtype
