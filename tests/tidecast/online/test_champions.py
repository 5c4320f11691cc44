"""A series that has a champion: when its experts answer, learn and are replaced."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tests.harness.models import make_model, make_shared, random_panel
from tests.harness.oracles.answers import own_answers
from tests.harness.oracles.blending import OutlierGuard, blend, farthest, learn, shares
from tests.harness.oracles.doubt import Doubt
from tests.harness.oracles.tracker import trackers_in
from tests.tidecast.online.harness import (
    CLOSE,
    SETTINGS,
    SPEC,
    PredictionRequest,
    ask,
    entry,
    forecaster_with,
    only,
    predict,
)
from tidecast.models.experts import EXPERTS, LSTM, PROVEN, SEASONAL_CHANGE, LinearExperts
from tidecast.models.model import Model
from tidecast.models.spec import Spec
from tidecast.online.forecaster import Forecaster
from tidecast.online.kernels.interval_widths import FIRST_ERRORS
from tidecast.settings import SeriesSettings


def test_a_model_answers_as_soon_as_its_window_is_full() -> None:
    """The forecast is the last value until then, and afterwards the network's answer to the window."""
    model = make_model("a", SPEC)
    forecaster = forecaster_with(model)
    made = [*ask(forecaster, *(entry(n, value=float(n * n)) for n in range(1, 7))).forecasts]
    assert ["naive", "naive", "naive", "lstm", "lstm", "lstm"] == [f.kind for f in made]
    assert [1] * 6 == [f.model for f in made]
    for last in (4, 5, 6):
        window = np.array([[float(n * n)] for n in range(last - 3, last + 1)])
        assert pytest.approx(float(own_answers(model, window[None])[0]), abs=CLOSE) == made[last - 1].yhat


def test_a_models_step_stands_from_the_first_reading_on() -> None:
    """The model's step gives the time of the forecast without a second reading."""
    assert 1250 == only(ask(forecaster_with(make_model("a", SPEC, step_ms=250)), entry(1))).ts


@pytest.mark.parametrize("until", [0, 5000, 5999, 6000, 9000])
def test_a_model_is_not_judged_on_readings_that_it_has_learned_from(until: int) -> None:
    """Neither its experts' records nor its interval move until readings come that are later than all of those."""
    model = make_model("a", SPEC, panel=random_panel(2), span=(0, until))
    forecaster = forecaster_with(model)
    moved = []
    for n in range(1, 10):
        before = forecaster.states["a"].errors.copy() if n > 1 else model.panel.errors
        made = only(ask(forecaster, entry(n, value=float(n * n % 7))))
        assert (n == 1) == (made.error is None)  # the score is given all the same
        moved.append(not np.array_equal(before, forecaster.states["a"].errors, equal_nan=True))
        assert FIRST_ERRORS + moved.count(True) == trackers_in(forecaster.states["a"])[0].errors
    assert [n > 1 and 1000 * n > until for n in range(1, 10)] == moved


@hypothesis.settings(deadline=None, max_examples=40)
@hypothesis.given(st.lists(st.floats(-100, 100), min_size=1, max_size=30), st.integers(0, 50), st.integers(0, 30))
def test_the_forecast_is_the_blend_of_all_experts(values: list[float], seed: int, until: int) -> None:
    """Reading by reading, the answers are weighted by the experts' records, which learn in between."""
    network = make_shared("seconds", seed=seed)
    model = make_model(
        "a", SPEC, seed=seed, panel=random_panel(seed), seasons=(7,), span=(0, 1000 * until), shared="seconds"
    )
    forecaster = forecaster_with(model, shared=network)
    slot = forecaster.engine.slot("a")
    made = []
    errors = model.panel.errors
    evidence = np.where(np.isfinite(errors[0]), PROVEN, 0)
    count = model.rows_with(network)
    stood = None
    guard = OutlierGuard()
    blended = np.nan
    doubt = Doubt()
    for n, value in enumerate(values):
        rows = np.array(values[: n + 1])[-count:, None]
        made.append(only(ask(forecaster, entry(n, value=value))))
        (answers,) = predict(forecaster.engine, [PredictionRequest(slot, "seconds", rows, 1000 * (n + 1))])
        answers[SEASONAL_CHANGE:] = forecaster.states["a"].answers[SEASONAL_CHANGE:]
        if stood is not None:
            doubt, _ = doubt.take(np.array(values[:n]), value)
            assert not doubt.run
            if n > until:
                errors, evidence = learn(errors, stood, value, farthest(doubt.moves.usual), evidence)
            guard = guard.learn(values[n - 1], blended if n > until else np.nan, value, doubt.moves.usual)
        weights = shares(errors, answers, evidence)
        stood = answers
        blended = blend(weights, answers)
        assert made[n].kind == ("naive" if guard.use_fallback else EXPERTS[weights.argmax()])
        assert guard.answer(value, blended, doubt.moves.usual) == pytest.approx(made[n].yhat, rel=1e-9, abs=1e-12)
        assert made[n].error == (None if n == 0 else value - made[n - 1].yhat)


def test_a_model_that_goes_wrong_loses_its_say_within_readings() -> None:
    """No operator is needed: the last value takes over, and the model's version is still the one that is named.

    Its record is good, or a forecast so far from the last value would not be believed once.
    """
    panel = LinearExperts.naive(1.0)
    panel.errors[:, LSTM] = 0.5
    panel.errors[:, SEASONAL_CHANGE:] = 1e9
    model = make_model("a", SPEC, panel=panel, span=(0, 0))
    wrong = Model(model.header, {**model.weights, "dense.bias": np.full(1, 50.0, np.float32)}, model.panel)
    rng = np.random.default_rng(0)
    made = [*ask(forecaster_with(wrong), *(entry(n, value=float(rng.normal())) for n in range(1, 12))).forecasts]
    assert {1} == {f.model for f in made}
    assert ["naive"] * 7 == [f.kind for f in made[4:]]
    assert abs(made[3].yhat - made[3].y) > 10
    assert max(abs(f.yhat - f.y) for f in made[6:]) < 1e-3


def test_filled_steps_are_counted_in_a_models_window_only() -> None:
    """The forecast gives the number of unmeasured values that it rests on."""
    forecaster = forecaster_with(make_model("a", SPEC))
    made = [*ask(forecaster, *(entry(n) for n in (1, 2, 4, 5, 6, 7))).forecasts]
    assert [0, 0, 1, 1, 1, 0] == [f.filled for f in made]
    assert ["naive", "naive", "lstm"] == [f.kind for f in made][:3]


def test_a_new_model_answers_from_the_next_batch_on() -> None:
    """With a longer window, further features and another step, on all that is known of the series."""
    forecaster = forecaster_with(make_model("a", SPEC))
    ask(forecaster, *(entry(n, value=float(n), wind=n / 2) for n in range(1, 9)))
    wider = make_model("a", Spec(window=6, units=3, features=("wind",)), seed=5)
    forecaster.set_model("a", 2, wider)
    forecast = only(ask(forecaster, entry(9, value=9.0, wind=4.5)))
    window = np.array([[[n, np.nan] for n in range(4, 9)] + [[9.0, 4.5]]])
    assert (2, "lstm") == (forecast.model, forecast.kind)
    assert pytest.approx(float(own_answers(wider, window)[0]), abs=CLOSE) == forecast.yhat
    assert forecast.error is not None


def test_a_dismissed_model_leaves_the_experts_without_training() -> None:
    """The series goes on without it, with its readings' own step."""
    forecaster = forecaster_with(make_model("a", SPEC, step_ms=1000))
    ask(forecaster, *(entry(n) for n in range(1, 8)))
    forecaster.remove_model("a")
    forecast = only(ask(forecaster, entry(8, value=3.0)))
    assert (None, 9000) == (forecast.model, forecast.ts)
    assert 3.0 == pytest.approx(forecast.yhat, abs=2.0)


def test_a_state_whose_model_is_gone_is_answered_all_the_same() -> None:
    """A store that was lost does not stop the series: its features and window stay as they are."""
    wide = make_model("a", Spec(window=60, units=2, features=("wind",)))
    forecaster = forecaster_with(wide)
    stored = ask(forecaster, *(entry(n, wind=1) for n in range(1, 80))).states
    alone = Forecaster(SETTINGS)
    alone.restore(stored)
    forecast = only(ask(alone, entry(80, value=5.0)))
    assert (None, 5.0, 81_000) == (forecast.model, forecast.yhat, forecast.ts)
    again = forecaster_with(wide)
    again.restore(stored)
    assert only(ask(again, entry(80, value=5.0))).kind == "lstm"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the overflow is the point
def test_a_model_that_answers_no_number_is_answered_for_by_the_last_value() -> None:
    """NaN and infinity never reach the stream."""
    model = make_model("a", Spec(window=2, units=2))
    broken = Model(model.header, {name: w * np.float32(np.nan) for name, w in model.weights.items()}, model.panel)
    forecaster = forecaster_with(broken)
    made = [*ask(forecaster, *(entry(n, value=float(n)) for n in range(1, 5))).forecasts]
    assert [("naive", 1, float(n)) for n in range(1, 5)] == [(f.kind, f.model, f.yhat) for f in made]


def test_another_target_starts_anew_but_not_in_time() -> None:
    """The window of one field is useless for another; readings that were answered stay answered."""
    forecaster = Forecaster(SeriesSettings())
    for t in range(3):
        forecaster.handle(
            [(f"{t + 1}-0", {b"series": b"a", b"value": b"5", b"temp": b"9", b"ts": b"%d" % (1000 * t)})], 0
        )
    forecaster.set_model("a", 1, make_model("a", Spec(target="temp", window=4, units=3)))
    again = forecaster.handle([("8-0", {b"series": b"a", b"temp": b"9", b"ts": b"2000"})], 0)
    assert {"duplicate": 1} == +again.counts
    new = forecaster.handle([("9-0", {b"series": b"a", b"temp": b"9", b"ts": b"3000"})], 0).forecasts[0]
    assert (9.0, None, "naive") == (new.y, new.error, new.kind)


def test_without_a_grid_no_silence_fills_or_restarts_a_window() -> None:
    """Readings at no regular step: each is the row after the last, and the next one is expected a step later."""
    model = make_model("a", SPEC, gridded=False)
    times = [1000, 2000, 2500, 6000, 400_000, 401_000, 9_000_000, 9_000_001]
    entries = [entry(n, value=float(n * n), ts=ts) for n, ts in enumerate(times, 1)]
    made = [*ask(forecaster_with(model), *entries).forecasts]
    assert [ts + 1000 for ts in times] == [f.ts for f in made]
    assert ["naive"] * 3 + ["lstm"] * 5 == [f.kind for f in made]
    assert {0} == {f.filled for f in made}
    for n in range(4, 9):
        window = np.array([[[float(i * i)] for i in range(n - 3, n + 1)]])
        assert pytest.approx(float(own_answers(model, window)[0]), abs=CLOSE) == made[n - 1].yhat
