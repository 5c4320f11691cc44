"""The stacked kernel: bit for bit what each model answers alone."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tests.models import make_model
from tidecast.model import Model, Spec
from worker import engine as engines
from worker.engine import Engine, Seat

SPECS = (
    Spec(window=6, units=5),
    Spec(window=24, units=50),
    Spec(window=5, units=3, layers=2, bidirectional=True),
    Spec(window=4, units=7, features=("a", "b"), activation="relu", form="level"),
)
COUNT = 20
MODELS = {f"s{i}": make_model(f"s{i}", SPECS[i % len(SPECS)], seed=i) for i in range(COUNT)}


def filled(models: dict[str, Model]) -> Engine:
    """An engine with these champions, all of version 1."""
    engine = Engine()
    for series, model in models.items():
        engine.put(series, 1, model)
    return engine


def seat_of(engine: Engine, series: str) -> Seat:
    """The seat of a series that has one."""
    seat = engine.seat(series)
    assert seat is not None
    return seat


def window_of(model: Model, seed: int) -> np.ndarray:
    """A random window of the model's shape."""
    return np.random.default_rng(seed).normal(20, 4, size=(model.spec.window, len(model.spec.features)))


ENGINE = filled(MODELS)


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(st.lists(st.tuples(st.integers(0, COUNT - 1), st.integers(0, 5)), min_size=1, max_size=40))
def test_an_answer_does_not_depend_on_its_company(asked: list[tuple[int, int]]) -> None:
    """Whatever else is in the batch, and in which order, each answer is bit for bit the model's own."""
    chosen = [(MODELS[f"s{i}"], seed) for i, seed in asked]
    rows = [window_of(model, seed) for model, seed in chosen]
    answers = ENGINE.forecast([seat_of(ENGINE, model.header.series) for model, _ in chosen], rows)
    assert [float(model.forecast(r)) for (model, _), r in zip(chosen, rows, strict=True)] == answers.tolist()


def test_a_batch_larger_than_one_gathering_is_answered_alike() -> None:
    """The pieces of a large batch meet at no seam."""
    model = MODELS["s0"]
    seats = [seat_of(ENGINE, f"s{4 * (i % 5)}") for i in range(2 * engines.ROWS_AT_ONCE + 3)]
    rows = [window_of(model, i % 7) for i in range(len(seats))]
    expected = [ENGINE.forecast([seat], [r])[0] for seat, r in zip(seats, rows, strict=True)]
    assert expected == ENGINE.forecast(seats, rows).tolist()


def test_an_empty_batch_is_an_empty_answer() -> None:
    """No model is asked."""
    assert (0,) == Engine().forecast([], []).shape


def test_a_new_version_takes_the_old_ones_place() -> None:
    """The same row, another answer, and the seat says which version."""
    engine = filled(MODELS)
    before = seat_of(engine, "s0")
    newer = make_model("s0", SPECS[0], seed=99, step_ms=500)
    engine.put("s0", 2, newer)
    seat = seat_of(engine, "s0")
    assert (before.row, 2, 500.0, COUNT) == (seat.row, seat.version, seat.step_ms, len(engine))
    rows = window_of(newer, 1)
    assert float(newer.forecast(rows)) == engine.forecast([seat], [rows])[0]


@hypothesis.settings(deadline=None, max_examples=30)
@hypothesis.given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.none() | st.integers(0, 30)), max_size=40))
def test_any_history_of_swaps_leaves_everyone_their_own_model(moves: list[tuple[str, int | None]]) -> None:
    """Put, replaced by the same or another shape, dropped: no series ever answers with another's weights."""
    engine, expected = Engine(), {}
    for version, (series, seed) in enumerate(moves, 1):
        if seed is None:
            engine.drop(series)
            expected.pop(series, None)
        else:
            expected[series] = make_model(series, SPECS[seed % 4], seed=seed)
            engine.put(series, version, expected[series])
    assert len(expected) == len(engine)
    assert all((engine.seat(series) is not None) == (series in expected) for series in "abcdefgh")
    rows = [window_of(model, 3) for model in expected.values()]
    answers = engine.forecast([seat_of(engine, series) for series in expected], rows)
    assert [float(m.forecast(r)) for m, r in zip(expected.values(), rows, strict=True)] == answers.tolist()


def test_rows_that_become_free_are_used_again() -> None:
    """Swapping models for ever does not grow the slabs."""
    engine = Engine()
    for i in range(200):
        engine.put("a", i, make_model("a", SPECS[i % 2], seed=i))
    assert max(len(slab._center) for slab in engine._slabs.values()) <= 8


@pytest.mark.parametrize("form", ["change", "level", "raw"])
def test_nan_in_a_feature_is_its_middle(form: str) -> None:
    """A feature that was never seen does not spoil the forecast."""
    model = make_model("a", Spec(window=4, units=3, features=("a", "b"), form=form))  # type: ignore[arg-type]
    engine = filled({"a": model})
    rows = window_of(model, 0)
    unknown, middle = rows.copy(), rows.copy()
    unknown[:, 1:], middle[:, 1:] = np.nan, np.array(model.header.center[1:])
    seat = seat_of(engine, "a")
    first, second = engine.forecast([seat, seat], [unknown, middle])
    assert np.isfinite(first)
    assert second == first
