"""The steps after the next one: fed back by hand, and settled by the readings that they were about."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tests.harness.models import make_model, make_shared, random_panel
from tests.harness.oracles import blend, learn, own_answers, shares
from tests.harness.states import all_whole, whole
from tests.tidecast.online.harness import PredictionRequest, ask, entry, forecaster_with, only, predict
from tidecast.models.experts import PROVEN, SEASONAL_CHANGE
from tidecast.models.model import Model
from tidecast.models.spec import Spec
from tidecast.online.batch import BatchResult
from tidecast.online.forecaster import Forecaster
from tidecast.online.intervals import Tracker
from tidecast.settings import SeriesSettings
from tidecast.wire import Forecast

HORIZON = 3
SETTINGS = SeriesSettings(horizon=HORIZON)
NETWORK = make_shared("seconds")
MODEL = make_model(
    "a",
    Spec(window=4, units=3, normalise=True, seasonal=1, residual=True),
    panel=random_panel(4),
    seasons=(5,),
    shared="seconds",
    span=(0, 0),
)


def forecaster_of(*models: Model, settings: SeriesSettings = SETTINGS) -> Forecaster:
    """Return a forecaster with these champions and the network of their cohort."""
    return forecaster_with(*models, settings=settings, shared=NETWORK)


def steps(outcome: BatchResult, name: str = "") -> list[list[float | None]]:
    """Return each forecast's values for the second step and the third; None where it has none."""
    return [[dict(f.more).get(f"yhat_{step}{name}") for step in range(2, HORIZON + 1)] for f in outcome.forecasts]


def levels(count: int, seed: int = 0) -> list[float]:
    """Return a random walk."""
    return [float(level) for level in 20 + np.random.default_rng(seed).normal(size=count).cumsum()]


def test_one_step_has_no_further_fields() -> None:
    """By default a forecast is of the next reading only."""
    made = ask(forecaster_of(MODEL, settings=SeriesSettings()), *(entry(n, value=1.0) for n in range(1, 9)))
    assert {()} == {f.more for f in made.forecasts}


@hypothesis.settings(deadline=None, max_examples=30)
@hypothesis.given(st.lists(st.floats(-50, 50), min_size=1, max_size=25))
def test_further_steps_are_what_feeding_back_by_hand_gives(values: list[float]) -> None:
    """Every expert answers again as if its forecast had come, in the shares that the errors allow now."""
    forecaster = forecaster_of(MODEL)
    slot = forecaster.engine.slot("a")
    errors = MODEL.panel.errors
    evidence = np.where(np.isfinite(errors[0]), PROVEN, 0)
    stood = None
    for n, value in enumerate(values):
        made = ask(forecaster, entry(n + 1, value=value))
        rows = values[: n + 1]
        path = []
        for step in range(HORIZON):
            (answers,) = predict(forecaster.engine, [PredictionRequest(slot, "seconds", np.array(rows)[:, None], 0)])
            if step == 0:
                answers[SEASONAL_CHANGE:] = forecaster.states["a"].answers[SEASONAL_CHANGE:]
                errors, evidence = (
                    (errors, evidence) if stood is None else learn(errors, stood, value, evidence=evidence)
                )
                stood = answers
                weights = shares(errors, answers, evidence)
            mine = np.where(np.isfinite(answers), weights, 0.0)
            path.append(blend(mine / mine.sum(), answers))
            rows = [*rows, path[-1]]
        assert path == pytest.approx([only(made).yhat, *steps(made)[0]], rel=1e-12, abs=1e-12)


def test_a_series_without_a_model_says_the_last_value_for_every_step() -> None:
    """From its first reading on."""
    made = ask(forecaster_of(), entry(1, "new", 5.0))
    assert [(("yhat_2", 5.0), ("yhat_3", 5.0))] == [f.more for f in made.forecasts]


def test_other_features_keep_their_last_value() -> None:
    """The future wind is unknown."""
    model = make_model("a", Spec(window=2, units=3, features=("value", "wind")))
    fields = [{b"series": b"a", b"value": b"%d" % n, b"wind": b"%d" % (n % 3), b"ts": b"%d" % n} for n in (1, 2)]
    (_, made) = [*ask(forecaster_of(model), *((f"{n}-0", f) for n, f in enumerate(fields, 1))).forecasts]
    rows = [[2.0, 2.0], [made.yhat, 2.0]]
    assert pytest.approx(float(own_answers(model, np.array([rows]))[0]), abs=1e-5) == made.more[0][1]


def test_each_step_learns_its_interval_from_its_own_errors() -> None:
    """A forecast two steps ahead is settled by the second reading after it, and so on: no other error counts."""
    values = levels(30)
    made = ask(forecaster_of(MODEL), *(entry(n, value=v) for n, v in enumerate(values, 1)))
    forecasts = steps(made)
    lower = steps(made, "_lower")
    upper = steps(made, "_upper")
    for i in range(HORIZON - 1):
        tracker = Tracker()
        for n, value in enumerate(values):
            before = forecasts[n - i - 2][i] if n >= i + 2 else None
            if before is not None:
                tracker.update(value - before, SETTINGS.level)
            yhat = forecasts[n][i]
            half = tracker.known
            assert yhat is not None
            assert (half is None) == (n < i + 2)
            assert (lower[n][i], upper[n][i]) == ((None, None) if half is None else (yhat - half, yhat + half))


@pytest.mark.parametrize("gap", [1, 2, 5, 1000])
def test_a_gap_settles_nothing_that_was_said_before_it(gap: int) -> None:
    """Filled, or too long to be filled: the readings after it are not those that were meant."""
    forecaster = forecaster_of(MODEL)
    times = [*range(1, 11), *range(11 + gap, 15 + gap)]
    settled = []
    for ts, value in zip(times, levels(len(times)), strict=True):
        ask(forecaster, entry(ts, value=value))
        settled.append([tracker.errors for tracker in forecaster.states["a"].ahead_trackers])
    assert [[8, 7]] * 3 == settled[9:12]
    assert [[9, 7], [10, 8]] == settled[12:]


def test_without_a_grid_a_silence_is_no_gap() -> None:
    """The next reading is the next row, whenever it comes."""
    model = make_model("a", MODEL.spec, seasons=(5,), gridded=False, span=(0, 0))
    forecaster = forecaster_of(model)
    ask(forecaster, *(entry(n * n * n, value=1.0) for n in range(1, 11)))
    assert [8, 7] == [tracker.errors for tracker in forecaster.states["a"].ahead_trackers]


def test_what_is_refused_settles_nothing() -> None:
    """A duplicate, a late and a dead reading leave the pending forecasts as they are."""
    forecaster = forecaster_of(MODEL)
    ask(forecaster, *(entry(n, value=float(n)) for n in range(1, 7)))
    before = whole(forecaster.states["a"])
    ask(forecaster, entry(6, value=9.0), entry(2, value=9.0), entry(7, value=float("nan")))
    assert before == whole(forecaster.states["a"])


def test_a_restart_goes_on_as_if_there_was_none() -> None:
    """The pending forecasts for further steps, and their intervals, are stored with the series."""
    entries = [entry(n, series, v) for n, v in enumerate(levels(40), 1) for series in "ab"]
    undisturbed = ask(forecaster_of(MODEL), *entries)
    stored: dict[str, bytes] = {}
    made: list[Forecast] = []
    for start in range(0, len(entries), 7):
        forecaster = forecaster_of(MODEL)
        forecaster.restore(stored)
        outcome = ask(forecaster, *entries[start : start + 7])
        stored |= outcome.states
        made += outcome.forecasts
    assert [*undisturbed.forecasts] == made
    assert all_whole(undisturbed.states) == all_whole(stored)


@pytest.mark.parametrize("horizon", [1, 2, 5])
def test_another_horizon_begins_anew(horizon: int) -> None:
    """After a restart with another setting the forecasts have that many steps."""
    stored = ask(forecaster_of(MODEL), *(entry(n, value=v) for n, v in enumerate(levels(20), 1))).states
    forecaster = forecaster_of(MODEL, settings=SeriesSettings(horizon=horizon))
    forecaster.restore(stored)
    (made,) = [*ask(forecaster, entry(21, value=20.0)).forecasts]
    assert [f"yhat_{step}" for step in range(2, horizon + 1)] == [name for name, _ in made.more]


def test_bounds_hold_for_every_step() -> None:
    """They hold for each interval too."""
    bounded = SeriesSettings(horizon=HORIZON, minimum=19.0, maximum=21.0)
    forecaster = forecaster_of(MODEL, settings=bounded)
    made = [*ask(forecaster, *(entry(n, value=v) for n, v in enumerate(levels(40, seed=3), 1))).forecasts]
    numbers = [number for f in made for _, number in f.more]
    assert (19.0, 21.0) == (min(numbers), max(numbers))
    assert 6 == len(made[-1].more)


def test_a_batch_says_what_its_readings_say_one_by_one() -> None:
    """Many readings of one series in a batch each look ahead from their own time."""
    entries = [entry(n, series, v) for n, v in enumerate(levels(20), 1) for series in "ab"]
    forecaster = forecaster_of(MODEL)
    apart = [f for each in entries for f in ask(forecaster, each).forecasts]
    assert apart == [*ask(forecaster_of(MODEL), *entries).forecasts]
