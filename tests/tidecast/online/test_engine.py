"""The stacked experts: each model answers as it does alone, bit for bit, in every batch."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tests.harness.models import make_model, make_shared, random_panel
from tests.harness.oracles.answers import model_answers, shared_answers
from tests.tidecast.online.harness import PredictionRequest, predict
from tidecast.arrays import Float
from tidecast.models.experts import EXPERTS, LSTM, NAIVE, SHARED
from tidecast.models.model import Champion, Model, Models, NewestRows
from tidecast.models.pretrained.inputs import lags
from tidecast.models.pretrained.network import forecast, shipped
from tidecast.models.spec import Cycle, Spec
from tidecast.online import engine as engines
from tidecast.online.engine import Engine
from tidecast.online.kernels.rows import Rows
from tidecast.online.slab import ModelSlot
from tidecast.wire.state_format import ONLINE, numbers_in

SPECS = (
    Spec(window=6, units=5),
    Spec(window=24, units=50),
    Spec(window=5, units=3, layers=2, bidirectional=True),
    Spec(window=4, units=7, features=("a", "b"), activation="relu", target_transform="level"),
    Spec(window=5, units=4, normalise=True, seasonal=2, residual=True, hidden=3),
    Spec(window=3, units=4, target_transform="raw", seasonal=1),
    Spec(window=4, units=4, seasonal=1, calendar=("day", "week")),
)
NEWEST = 1_700_000_000_000
NEXT = NEWEST + 1000
CALENDARS: tuple[tuple[Cycle, ...], ...] = ((), ("week",), ("day", "year"))
SEASONS: tuple[tuple[int, ...], ...] = ((), (7,), (24, 7), (5, 9, 3))
COHORTS = {
    "fast": make_shared("fast", seed=1, pretrained=True),
    "slow": make_shared("slow", seed=2, step_ms=60_000, seasonal=1),
}


def mixed(series: str, seed: int) -> Model:
    """Return a model of any shape, with any panel, seasons and scale; every eighth has no network."""
    spec = SPECS[seed % len(SPECS)]
    return make_model(
        series,
        spec,
        seed=seed,
        panel=random_panel(seed, len(spec.features), reach=30),
        network=seed % 8 != 6,
        seasons=SEASONS[seed % len(SEASONS)],
        calendar=CALENDARS[seed % len(CALENDARS)],
        change_scale=1.0 + seed / 10,
        shared=(None, "fast", "slow")[seed % 3],
        center=(float(seed),) * len(spec.features),
    )


COUNT = 24
CLOSE = 1e-5 * 4  # the windows' spread, and the largest change scale
MODELS = {f"s{i}": mixed(f"s{i}", i) for i in range(COUNT)}


def filled(models: dict[str, Model], threads: int = 1) -> Engine:
    """Return an engine with these champions, all of version 1, and two cohorts' networks."""
    engine = Engine(threads)
    for cohort, network in COHORTS.items():
        engine.put_shared(cohort, network)
    for series, model in models.items():
        engine.put(series, 1, model)
    return engine


def seat_of(engine: Engine, series: str) -> ModelSlot:
    """Return the seat of a series that has one."""
    slot = engine.slot(series)
    assert slot is not None
    return slot


def rows_of(model: Model, seed: int, held: int = 60) -> Float:
    """Random rows of the model's features."""
    return np.random.default_rng(seed).normal(20, 4, size=(held, len(model.spec.features)))


def question(engine: Engine, model: Model, rows: Float) -> PredictionRequest:
    """Ask the champion of the model's series."""
    slot = seat_of(engine, model.header.series)
    return PredictionRequest(slot, slot.shared, rows, NEWEST + round(slot.step_ms))


def alone(model: Model, rows: Float) -> list[float]:
    """Return the answers of the model, and of its cohort's network, in NumPy, without an engine."""
    shared = COHORTS[model.header.shared] if model.header.shared else None
    return list(model_answers(model, rows[None], np.array([len(rows)]), shared, np.array([NEWEST]))[0])


def assert_close(expected: object, actual: object) -> None:
    """Check that answers agree to 1e-5 of the scales in these tests; NaN where NaN is expected."""
    np.testing.assert_allclose(actual, expected, rtol=0, atol=CLOSE)


ENGINE = filled(MODELS)
asked = st.lists(st.tuples(st.integers(0, COUNT - 1), st.integers(0, 5), st.integers(1, 60)), min_size=1, max_size=40)


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(asked)
def test_an_answer_does_not_depend_on_its_company(asked: list[tuple[int, int, int]]) -> None:
    """Whatever else is in the batch, in which order, with how many rows: it equals the answer alone, bit for bit."""
    chosen = [(MODELS[f"s{i}"], rows_of(MODELS[f"s{i}"], seed, held)) for i, seed, held in asked]
    questions = [question(ENGINE, model, rows) for model, rows in chosen]
    answers = predict(ENGINE, questions)
    np.testing.assert_array_equal([predict(ENGINE, [each])[0] for each in questions], answers)
    assert_close([alone(model, rows) for model, rows in chosen], answers)


@pytest.mark.parametrize("threads", [2, 3])
def test_an_answer_does_not_depend_on_the_number_of_threads(threads: int) -> None:
    """A batch that is large enough to be shared is answered bit for bit as by one thread."""
    shape = Spec(window=24, units=50)
    models = {f"m{i}": make_model(f"m{i}", shape, seed=i, shared="fast") for i in range(290)}
    single = filled(models)
    many = filled(models, threads)
    rows = {series: rows_of(model, i) for i, (series, model) in enumerate(models.items())}
    expected = predict(single, [question(single, model, rows[series]) for series, model in models.items()])
    answers = predict(many, [question(many, model, rows[series]) for series, model in models.items()])
    np.testing.assert_array_equal(expected, answers)


def test_a_batch_larger_than_one_gathering_is_answered_alike() -> None:
    """A large batch is cut into pieces, and the cuts change no answer."""
    different = [question(ENGINE, model, rows_of(model, seed)) for seed in range(7) for model in MODELS.values()]
    alone = [predict(ENGINE, [each])[0] for each in different]
    asked = [i % len(different) for i in range(6 * engines.ROWS_AT_ONCE + 3)]
    np.testing.assert_array_equal([alone[i] for i in asked], predict(ENGINE, [different[i] for i in asked]))


def test_an_empty_batch_is_an_empty_answer() -> None:
    """No model runs."""
    assert (0, len(EXPERTS)) == predict(Engine(), []).shape


def test_a_series_without_a_model_is_answered_by_its_last_value() -> None:
    """Its cohort's network answers too, if it has one and the rows for it; no other expert does."""
    rows = np.arange(7.0)[:, None]
    questions = [
        PredictionRequest(None, None, rows, NEXT),
        PredictionRequest(None, "fast", rows[:3], NEXT),
        PredictionRequest(None, "unknown", rows, NEXT),
    ]
    answers = predict(ENGINE, [*questions, PredictionRequest(None, "fast", rows, NEXT)])
    assert [6.0, 2.0, 6.0, 6.0] == answers[:, NAIVE].tolist()
    assert [False, False, False, True] == np.isfinite(answers[:, SHARED]).tolist()
    assert np.isnan(answers[:, 1:SHARED]).all()


@pytest.mark.parametrize("held", [5, 9, 28, 60])
def test_the_network_of_a_cohort_reads_each_series_seasons_and_scale(held: int) -> None:
    """There is one network for all: the engine returns the same as its definition, in each series' unit."""
    network = COHORTS["fast"]
    models = {f"m{i}": make_model(f"m{i}", seasons=s, shared="fast", change_scale=9.0) for i, s in enumerate(SEASONS)}
    engine = filled(models)
    rows = {series: rows_of(model, i, held) for i, (series, model) in enumerate(models.items())}
    questions = [question(engine, model, rows[series]) for series, model in models.items()]
    young = 20 + 1e-3 * rows_of(MODELS["s0"], 99, held)  # hardly moves: no change scale holds it back
    answers = predict(engine, [*questions, PredictionRequest(None, "fast", young, NEXT)])[:, SHARED]
    windows = zip((*rows.values(), young), (*SEASONS, ()), [9.0] * len(SEASONS) + [0.0], strict=True)
    count = np.array([held])
    expected = [shared_answers(network, each[None], count, s, np.array([scale]))[0] for each, s, scale in windows]
    assert_close(expected, answers)
    assert len(answers) == len(set(answers.tolist()))


def test_a_cohort_is_found_by_step_and_target() -> None:
    """It lies within a hundredth of its step; a series of an unknown step or another target has no cohort."""
    cohorts = [ENGINE.cohort_of(step, "value") for step in (1000.0, 1009.0, 991.0, 1011.0, 60_000.0, 5.0, None)]
    assert ["fast", "fast", "fast", None, "slow", None, None] == cohorts
    assert ENGINE.cohort_of(1000.0, "temp") is None


def test_a_series_is_said_to_need_all_the_rows_that_its_experts_read() -> None:
    """The last value's one, its model's, and those that its cohort's network reads for its seasons."""
    assert [1, 128, 1] == [ENGINE.rows_of(None, cohort) for cohort in (None, "fast", "unknown")]
    for series, model in MODELS.items():
        slot = seat_of(ENGINE, series)
        shared = COHORTS[slot.shared] if slot.shared else None
        assert (model.rows, model.rows_with(shared)) == (ENGINE.rows_of(slot, None), ENGINE.rows_of(slot, slot.shared))


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(asked)
def test_more_rows_than_are_needed_move_no_answer(asked: list[tuple[int, int, int]]) -> None:
    """A window longer than the experts' needs gives the same answer, to the last bit."""
    chosen = [(MODELS[f"s{i}"], rows_of(MODELS[f"s{i}"], seed, held)) for i, seed, held in asked]
    needed = [ENGINE.rows_of(slot, slot.shared) for slot in (seat_of(ENGINE, m.header.series) for m, _ in chosen)]
    short = [question(ENGINE, model, rows[-n:]) for (model, rows), n in zip(chosen, needed, strict=True)]
    whole = [question(ENGINE, model, rows) for model, rows in chosen]
    np.testing.assert_array_equal(predict(ENGINE, short), predict(ENGINE, whole))


def test_a_new_version_takes_the_old_ones_place() -> None:
    """It has the same row and another answer, and the seat has its version."""
    engine = filled(MODELS)
    before = seat_of(engine, "s0")
    newer = make_model("s0", SPECS[0], seed=99, step_ms=500, panel=random_panel(0, reach=30))
    engine.put("s0", 2, newer)
    slot = seat_of(engine, "s0")
    assert (before.row, 2, 500.0, COUNT) == (slot.row, slot.version, slot.step_ms, len(engine))
    rows = rows_of(newer, 1)
    assert_close([alone(newer, rows)], predict(engine, [question(engine, newer, rows)]))


def test_a_new_network_of_a_cohort_answers_for_all_its_series() -> None:
    """From the next call on."""
    engine = filled(MODELS)
    network = make_shared("fast", seed=77)
    rows = rows_of(MODELS["s1"], 1)
    questions = [question(engine, MODELS["s1"], rows), PredictionRequest(None, "fast", rows, NEXT)]
    before = predict(engine, questions)
    engine.put_shared("fast", network)
    after = predict(engine, questions)
    np.testing.assert_array_equal(before[:, :SHARED], after[:, :SHARED])
    assert (before[:, SHARED] != after[:, SHARED]).all()
    assert_close(model_answers(MODELS["s1"], rows[None], np.array([60]), network)[0, SHARED], after[0, SHARED])


@hypothesis.settings(deadline=None, max_examples=30)
@hypothesis.given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.none() | st.integers(0, 30)), max_size=40))
def test_any_history_of_swaps_leaves_everyone_their_own_model(moves: list[tuple[str, int | None]]) -> None:
    """Put, replaced by the same or another shape, dropped: no series ever gets another's experts."""
    engine = filled({})
    expected: dict[str, Model] = {}
    for version, (series, seed) in enumerate(moves, 1):
        if seed is None:
            engine.drop(series)
            expected.pop(series, None)
        else:
            expected[series] = mixed(series, seed)
            engine.put(series, version, expected[series])
    assert len(expected) == len(engine)
    assert all((engine.slot(series) is not None) == (series in expected) for series in "abcdefgh")
    rows = [rows_of(model, 3) for model in expected.values()]
    answers = predict(engine, [question(engine, m, r) for m, r in zip(expected.values(), rows, strict=True)])
    assert len(expected) == len(answers)
    for model, window, answer in zip(expected.values(), rows, answers, strict=True):
        assert_close(alone(model, window), answer)


def test_models_put_together_answer_as_those_put_one_by_one() -> None:
    """Some are new, some replace a model of the same or of another shape; some have other experts, or more parts."""
    engine = filled({f"s{i}": make_model(f"s{i}", SPECS[i % 2], seed=50 + i) for i in range(6)})
    rng = np.random.default_rng(0)
    newest = NewestRows(1000 * np.arange(1, 4), rng.normal(size=(3, 1)), np.zeros(3, np.int64))
    online = rng.integers(0, 2**63, numbers_in(ONLINE))
    panels = [random_panel(seed) for seed in range(40)]
    panels = [panel for panel in panels if len(panel.lags) == 8]
    models = [
        replace(make_model(f"s{i}", SPECS[0], seed=i, panel=panel, seasons=(7, 24)), newest=newest, online=online + i)
        for i, panel in enumerate(panels)
    ]
    assert 1 < len({tuple(panel.needs > 0) for panel in panels}) < len(models)
    engine.put_all([Champion(f"s{i}", 7 + i, published=i % 2 == 0) for i in range(len(models))], stacked(models))
    for i, model in enumerate(models):
        slot = seat_of(engine, f"s{i}")
        assert (7 + i, i % 2 == 0, model.rows) == (slot.version, slot.published, slot.rows)
        assert slot.newest is not None
        assert slot.online is not None
        np.testing.assert_array_equal(newest.values, slot.newest.values)
        np.testing.assert_array_equal(online + i, slot.online)
        np.testing.assert_array_equal(model.panel.errors, slot.errors)
    one_by_one = filled({model.header.series: model for model in models})
    answers = [predict(those, [question(those, m, rows_of(m, 3)) for m in models]) for those in (engine, one_by_one)]
    np.testing.assert_array_equal(*answers)


def stacked(models: Sequence[Model]) -> Models:
    """Return models of one shape together."""
    parts = [Models.of(model) for model in models]

    def joined(name: str) -> Any:
        first = getattr(parts[0], name)
        arrays = {f.name: np.concatenate([getattr(getattr(p, name), f.name) for p in parts]) for f in fields(first)}
        return type(first)(**arrays)

    weights = {name: np.concatenate([part.weights[name] for part in parts]) for name in parts[0].weights}
    online = np.concatenate([part.online for part in parts if part.online is not None])
    headers = [model.header for model in models]
    return Models(headers, weights, joined("panel"), joined("newest"), online, [None] * len(models), None)


def test_rows_that_become_free_are_used_again() -> None:
    """Swapping models for ever does not grow the slabs."""
    engine = Engine()
    for i in range(200):
        engine.put("a", i, make_model("a", SPECS[i % 2], seed=i))
    assert max(len(slab._center) for slab in engine._slabs.values()) <= 8


@pytest.mark.parametrize("expected", [0, 100, 1000])
def test_room_for_the_models_that_are_expected_is_made_at_once(expected: int) -> None:
    """Each shape gets its share, however many models there are in the end; every series keeps its own model."""
    engine = Engine()
    engine.expect(expected)
    models = {f"s{i}": make_model(f"s{i}", SPECS[i % 2], seed=i) for i in range(200)}
    for series, model in models.items():
        engine.put(series, 1, model)
    rows = [rows_of(model, 3) for model in models.values()]
    answers = predict(engine, [question(engine, m, r) for m, r in zip(models.values(), rows, strict=True)])
    for model, window, answer in zip(models.values(), rows, answers, strict=True):
        assert_close(alone(model, window), answer)
    room = sum(len(slab._center) for slab in engine._slabs.values())
    assert 0.9 * max(expected, 200) <= room <= 1.5 * max(expected, 200)


@pytest.mark.parametrize("form", ["change", "level", "raw"])
def test_nan_in_a_feature_is_its_middle(form: str) -> None:
    """A feature that was never seen does not spoil the network's forecast."""
    model = make_model("a", Spec(window=4, units=3, features=("a", "b"), target_transform=form))
    engine = filled({"a": model})
    rows = rows_of(model, 0)
    unknown = rows.copy()
    middle = rows.copy()
    unknown[:, 1:], middle[:, 1:] = np.nan, np.array(model.header.center[1:])
    first, second = predict(engine, [question(engine, model, unknown), question(engine, model, middle)])[:, LSTM]
    assert np.isfinite(first)
    assert second == first


def test_the_pretrained_network_forecasts_as_its_definition_says() -> None:
    """Months have one season, and a year of days may not have passed: the network reads twice the first season."""
    values = np.random.default_rng(0).normal(size=400).cumsum()
    held = np.array([3, 4, 30, 100, 300, 365, 366, 100, 200])
    seasons = np.array([[12, 0]] * 4 + [[7, 365]] * 3 + [[24, 168]] * 2)
    ends = np.full(len(held), len(values))
    made = Engine().predict_pretrained(Rows(values, ends, held, np.ones(len(held), np.int64)), seasons)
    expected = forecast(shipped(), values, ends, held, lags(seasons, held))
    np.testing.assert_allclose(made, expected, rtol=1e-5)
