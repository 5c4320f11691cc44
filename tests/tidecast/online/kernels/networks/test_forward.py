"""The compiled loops equal the readable definition, whatever the shape, the batch and the threads."""

from collections.abc import Sequence
from typing import Any
from unittest import mock

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from numba import njit

from tests.harness.models import make_model, random_panel
from tests.harness.oracles.answers import linear_answers
from tidecast.arrays import Float32, Int64
from tidecast.models import experts, lstm
from tidecast.models.spec import Spec
from tidecast.online.kernels import linear
from tidecast.online.kernels.networks import forward, threads
from tidecast.online.kernels.networks.products import CACHE_LINE
from tidecast.online.kernels.networks.threads import Threads
from tidecast.online.kernels.networks.weight_layout import WeightLayout
from tidecast.online.kernels.rows import Rows
from worker import compiling

CLOSE = 1e-5
GRID = np.concatenate([np.linspace(-30, 30, 200_001), np.linspace(-0.01, 0.01, 2001), [-1e30, -0.0, 0.0, 1e30]])


@njit
def tanh(x: np.float32) -> np.float32:
    """Return the kernel's own tanh, as it is compiled into the worker's code."""
    return forward.tanh(x)


@njit
def sigmoid(x: np.float32) -> np.float32:
    """Return the kernel's gate function."""
    return forward.sigmoid_from_tanh(forward.tanh(np.float32(0.5) * x))


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    """Any shape that a series' network may have, save the widest."""
    return Spec(
        features=tuple("abcd"[: draw(st.integers(1, 4))]),
        target="a",
        window=draw(st.integers(2, 48)),
        units=draw(st.integers(1, 70)),
        layers=draw(st.integers(1, 3)),
        bidirectional=draw(st.booleans()),
        activation=draw(st.sampled_from(["tanh", "relu"])),
        hidden=draw(st.sampled_from([0, 1, 7, 40])),
    )


def networks(spec: Spec, count: int) -> list[dict[str, lstm.Array]]:
    """Return the weights of so many models.

    Those with relu forget: a state that grows from step to step magnifies the rounding of float32, in the definition
    too.
    """
    models = [dict(make_model("a", spec, seed=i).weights) for i in range(count)]
    for weights in models if spec.activation == "relu" else ():
        for name in weights:
            weights[name] = weights[name] * np.float32(0.25 if name.endswith("recurrent") else 1)
    return models


def packed(spec: Spec, models: Sequence[lstm.Weights]) -> tuple[WeightLayout, Float32]:
    """Return the models in a slab."""
    layout = WeightLayout(spec)
    slab = layout.slab(len(models))
    layout.write(slab, {name: np.stack([w[name] for w in models]) for name in spec.shapes()})
    return layout, slab


def windows(spec: Spec, count: int, size: float = 1.0, seed: int = 0) -> Float32:
    """Random inputs of this size."""
    shape = (count, spec.window, spec.channels)
    return np.random.default_rng(seed).normal(0, size, shape).clip(-20, 20).astype(np.float32)


def expected(x: Float32, rows: Int64, models: Sequence[lstm.Weights], spec: Spec) -> Float32:
    """Return the definition's answers, in double precision."""
    wide = [{name: w.astype(np.float64) for name, w in weights.items()} for weights in models]
    answers = [
        lstm.forward(window.astype(np.float64), wide[row], spec.activation)[0]
        for window, row in zip(x, rows, strict=True)
    ]
    return np.array(answers, np.float32)


def assert_close(expected: Float32, actual: Float32) -> None:
    """To 1e-5, of the largest answer where that is larger than 1."""
    np.testing.assert_allclose(actual, expected, rtol=0, atol=CLOSE * max(1, np.abs(expected).max()))


@hypothesis.settings(deadline=None, max_examples=50)
@hypothesis.given(specs(), st.sampled_from([0.0, 1.0, 5.0]), st.integers(0, 9))
def test_every_shape_is_answered_as_the_definition_says(spec: Spec, size: float, seed: int) -> None:
    """Stacked, in both directions, with either activation, with any number of windows of each model."""
    rng = np.random.default_rng(seed)
    models = networks(spec, 3)
    layout, slab = packed(spec, models)
    rows = rng.integers(0, 3, int(rng.integers(1, 24)))
    x = windows(spec, len(rows), size, seed)
    assert_close(expected(x, rows, models, spec), Threads().answers(x, slab, rows, layout))


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("level", [-20.0, 0.0, 20.0])
def test_the_largest_inputs_and_none_are_answered(activation: lstm.Activation, level: float) -> None:
    """Every gate is fully open or shut, or the input is zero; to 1e-5 of the size that the state grows to."""
    spec = Spec(window=24, units=50, features=("a", "b"), target="a", activation=activation)
    models = networks(spec, 2)
    layout, slab = packed(spec, models)
    rows = np.array([0, 1])
    x = np.full((2, 24, 2), level, np.float32)
    cells = [lstm.cells_of(weights)[0][0] for weights in models]
    states = [now.cell_state for cell in cells for now in lstm.steps(x[0], cell, activation)]
    close = CLOSE * max(1.0, np.abs(states).max())
    answers = Threads().answers(x, slab, rows, layout)
    np.testing.assert_allclose(answers, expected(x, rows, models, spec), rtol=0, atol=close)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_what_is_not_a_number_stays_with_its_row(activation: lstm.Activation, bad: float) -> None:
    """NaN comes out as NaN and infinity as in the definition; the same model's other windows do not notice."""
    spec = Spec(window=6, units=5, activation=activation)
    models = networks(spec, 1)
    layout, slab = packed(spec, models)
    rows = np.zeros(5, np.int64)
    good = windows(spec, 5)
    spoiled = good.copy()
    spoiled[2, 3, 0] = bad
    with np.errstate(invalid="ignore"):
        correct = expected(spoiled, rows, models, spec)
    before, after = (Threads().answers(x, slab, rows, layout) for x in (good, spoiled))
    np.testing.assert_array_equal(np.delete(before, 2), np.delete(after, 2))
    assert np.isnan(correct[2]) == np.isnan(after[2])
    assert np.isnan(after[2]) or abs(after[2] - correct[2]) < CLOSE


@pytest.mark.parametrize(
    "spec",
    [
        Spec(window=24, units=50),
        Spec(window=9, units=70, layers=2, bidirectional=True, hidden=40),
        Spec(window=7, units=3, activation="relu"),
    ],
    ids=["default", "deep", "small"],
)
def test_an_answer_is_the_same_in_every_company_and_by_any_number_of_threads(
    spec: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last bit: alone, among more windows of its model than are computed side by side, in any order."""
    models = networks(spec, 7)
    layout, slab = packed(spec, models)
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 7, 400)
    rows[:100] = 3
    x = windows(spec, len(rows))
    alone = [Threads().answers(x[i : i + 1], slab, rows[i : i + 1], layout)[0] for i in range(len(rows))]
    monkeypatch.setattr(threads, "SHARE", 1)  # so that threads are woken for this little
    monkeypatch.setattr(threads, "WORTH", 1)
    for count in (1, 2, 5):
        shared = Threads(count)
        np.testing.assert_array_equal(alone, shared.answers(x, slab, rows, layout))
        order = rng.permutation(len(rows))
        np.testing.assert_array_equal(np.array(alone)[order], shared.answers(x[order], slab, rows[order], layout))


def test_no_windows_are_no_answers() -> None:
    """An empty batch is not an error."""
    spec = Spec(window=3, units=2)
    layout, slab = packed(spec, networks(spec, 1))
    assert (0,) == Threads(2).answers(windows(spec, 0), slab, np.zeros(0, np.int64), layout).shape


@pytest.mark.parametrize(("more", "woken"), [(0, 0), (1, 1)])
def test_other_threads_are_woken_for_a_large_batch_alone(more: int, woken: int) -> None:
    """Of so many pieces of work; all of a batch's rows are answered either way."""
    spec = Spec(window=24, units=50)
    layout, slab = packed(spec, networks(spec, 1))
    enough = threads.WORTH * (threads.SHARE // (24 * layout.size))
    two = Threads(2)
    assert two._others is not None
    with mock.patch.object(two._others, "submit", wraps=two._others.submit) as submit:
        answers = two.answers(windows(spec, enough + more), slab, np.zeros(enough + more, np.int64), layout)
    assert (woken, True) == (submit.call_count, bool(np.isfinite(answers).all()))


def test_a_failure_in_a_thread_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller gets the error, whichever thread computed."""
    spec = Spec(window=3, units=2)
    layout, slab = packed(spec, networks(spec, 1))
    monkeypatch.setattr(threads, "SHARE", 1)
    monkeypatch.setattr(threads, "WORTH", 1)

    def fail(*_: object) -> None:
        raise MemoryError("no room for the gates")

    monkeypatch.setattr(forward, "run_networks", fail)
    with pytest.raises(MemoryError, match="no room"):
        Threads(2).answers(windows(spec, 9), slab, np.zeros(9, np.int64), layout)


def test_tanh_is_accurate_to_a_millionth() -> None:
    """Over the whole line, beyond where it is clamped too."""
    x = GRID.astype(np.float32)
    values = np.array([tanh(value) for value in x])
    assert 1e-6 > np.abs(values - np.tanh(x.astype(np.float64))).max()
    assert np.isnan(tanh(np.float32(np.nan)))


def test_a_gate_is_accurate_to_a_millionth() -> None:
    """With the halved weights, a gate is the sigmoid."""
    x = GRID.astype(np.float32)
    values = np.array([sigmoid(value) for value in x])
    with np.errstate(over="ignore"):
        assert 1e-6 > np.abs(values - 1 / (1 + np.exp(-x.astype(np.float64)))).max()


@hypothesis.settings(deadline=None, max_examples=40)
@hypothesis.given(st.integers(0, 1000), st.integers(1, 3), st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_the_linear_experts_answer_as_their_definition_says(seed: int, features: int, held: list[int]) -> None:
    """With each row's own panel, and rows of any number, some of them unknown."""
    rng = np.random.default_rng(seed)
    panels = [random_panel(seed, features) for _ in held]
    rows = [rng.normal(50, 9, (count, features)) for count in held]
    for window in rows:
        window[:, 1:][rng.random((len(window), features - 1)) < 0.2] = np.nan
    correct = [linear_answers(p, r[None], np.array([len(r)]))[0] for p, r in zip(panels, rows, strict=True)]
    answers = threads.linear_answers(Rows.of(rows), np.arange(len(held)), linear.StackedExperts.of(panels))
    np.testing.assert_allclose(answers, correct, rtol=1e-12, atol=1e-9)
    assert len(experts.LINEAR) + 1 == answers.shape[1]


def test_nothing_is_compiled_once_the_worker_is_warm() -> None:
    """No shape, layout in memory or number of windows makes a batch wait for the compiler."""
    compiling.warm()
    compiled: list[Any] = [forward.run_networks, linear.linear_forecast]
    before = [len(function.signatures) for function in compiled]
    spec = Spec(window=5, units=4, features=("a", "b"), target="a", layers=2, bidirectional=True)
    layout, slab = packed(spec, networks(spec, 2))
    x = np.asfortranarray(windows(spec, 6))
    Threads(2).answers(x, slab, np.arange(6) % 2, layout)
    rows = Rows.of([np.asfortranarray(np.ones((9, 2)))])
    threads.linear_answers(rows, np.zeros(1, np.int64), linear.StackedExperts.of([random_panel(0, 2)]))
    assert before == [len(function.signatures) for function in compiled] == [1, 1]


def test_a_slab_lies_on_whole_cache_lines() -> None:
    """A row of weights is then read without a line being touched twice."""
    layout = WeightLayout(Spec(window=3, units=7, hidden=3))
    slab = layout.slab(3)
    assert [0, 0, 0] == [row.ctypes.data % CACHE_LINE for row in slab]
    assert (3, layout.size) == slab.shape
