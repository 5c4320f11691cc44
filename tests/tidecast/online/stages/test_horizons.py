"""The steps after the next one: fed back by hand, and settled by the readings that they were about."""

from collections.abc import Collection
from dataclasses import replace
from statistics import NormalDist

import hypothesis
import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st

from tests.harness.models import make_model, make_shared, random_panel
from tests.harness.oracles.answers import own_answers
from tests.harness.oracles.blending import blend, learn, shares
from tests.harness.states import all_whole, whole
from tests.tidecast.online.harness import (
    BEGUN_MS,
    HOUR_MS,
    PredictionRequest,
    answers_to,
    ask,
    entry,
    forecaster_with,
    only,
    outcome_of,
    predict,
)
from tidecast.arrays import Float
from tidecast.models.experts import PROVEN, SEASONAL_CHANGE
from tidecast.models.model import Model
from tidecast.models.spec import Spec
from tidecast.online.batch import BatchResult
from tidecast.online.forecaster import Forecaster
from tidecast.online.kernels.further.intervals import LEARNED, sizes_of
from tidecast.online.stages.horizons import LEAST_WEIGHT
from tidecast.settings import SeriesSettings
from tidecast.wire import Forecast, Forecasts, steps_of

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


def ends_of(made: Forecasts, step: int) -> list[Float]:
    """Return the lower and the upper ends of a further step's intervals."""
    return [np.array(made.more[f"yhat_{step}_{end}"], float) for end in ("lower", "upper")]


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
    """Every trained expert answers again as if its forecast had come, in the shares that the errors allow now."""
    panel = random_panel(4)
    panel.errors[:, SEASONAL_CHANGE:] = 1e12  # so that the experts that learn have no share
    forecaster = forecaster_of(replace(MODEL, panel=panel))
    slot = forecaster.engine.slot("a")
    errors = panel.errors
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
            least = LEAST_WEIGHT if step else 0.0
            mine = np.where(np.isfinite(answers) & (weights >= least), weights, 0.0)
            path.append(blend(mine / mine.sum(), answers))
            rows = [*rows, path[-1]]
        assert path == pytest.approx([only(made).yhat, *steps(made)[0]], rel=1e-12, abs=1e-12)


def test_a_series_without_a_model_is_fed_back_to_all_experts_that_need_none() -> None:
    """After a day of hours the experts that learn know the day: the path follows it, not the last value."""
    settings = SeriesSettings(horizon=24)
    hours = 10 * np.sin(2 * np.pi * np.arange(200) / 24)
    made = answers_to(forecaster_of(settings=settings), hours[:-24].tolist())[-1]
    path = [step.yhat for step in steps_of(made)]
    assert np.abs(path - hours[-24:]).max() < 0.5
    assert [made.origin + n * HOUR_MS for n in range(1, 25)] == [step.ts for step in steps_of(made)]


def test_the_first_reading_is_repeated_without_times() -> None:
    """Neither the step nor any change is known yet."""
    made = ask(forecaster_of(), entry(1, "new", 5.0))
    assert [(("yhat_2", 5.0), ("yhat_3", 5.0))] == [f.more for f in made.forecasts]


def test_other_features_keep_their_last_value() -> None:
    """The future wind is unknown."""
    model = make_model("a", Spec(window=2, units=3, features=("value", "wind")))
    fields = [{b"series": b"a", b"value": b"%d" % n, b"wind": b"%d" % (n % 3), b"ts": b"%d" % n} for n in (1, 2)]
    (_, made) = [*ask(forecaster_of(model), *((f"{n}-0", f) for n, f in enumerate(fields, 1))).forecasts]
    rows = [[2.0, 2.0], [made.yhat, 2.0]]
    assert pytest.approx(float(own_answers(model, np.array([rows]))[0]), abs=1e-5) == steps_of(made)[1].yhat


class Interval:
    """The rule of the interval of one further step and level, written plainly."""

    def __init__(self, step: int, level: float) -> None:
        self.rate = 0.15 / np.sqrt(step)
        self.level = level
        self.multiplier = 1.2 * NormalDist().inv_cdf((1 + level) / 2) / np.sqrt(2 / np.pi)
        self.errors = 0
        self.mean = 0.0
        self.recent = 0.0

    def learn(self, error: float, half_width: float | None) -> None:
        """Learn from the error of a forecast and the half-width published with it."""
        if half_width:
            multiplier = self.multiplier * np.exp(self.rate * (self.level - (error <= half_width)))
            self.multiplier = float(np.clip(multiplier, 0.1, 100))
        self.errors += 1
        counted = min(error, 5 * self.mean) if self.errors > 8 else error
        self.recent = max(counted, 0.03 * self.recent)
        self.mean += max(0.02, 1 / self.errors) * (counted - self.mean)
        if self.errors <= 20:
            self.mean = min(self.mean, 5 * self.recent)


@pytest.mark.parametrize("missing", [(), (9,), (12, 13, 20, 22, 30, 31, 32), range(5, 60, 4)])
def test_each_step_learns_its_intervals_from_its_own_errors(missing: Collection[int]) -> None:
    """A forecast two steps ahead is settled by the reading of that time, and so on: no other error counts."""
    times = [n for n in range(1, 61) if n not in missing]
    values = levels(len(times))
    settings = SeriesSettings(horizon=HORIZON, more_levels=(0.5,))
    entries = [entry(n, value=v) for n, v in zip(times, values, strict=True)]
    made = [*ask(forecaster_of(MODEL, settings=settings), *entries).forecasts]
    more = {n: dict(forecast.more) for n, forecast in zip(times, made, strict=True)}
    for step in range(2, HORIZON + 1):
        for level, name in ((0.9, ""), (0.5, "_50")):
            interval = Interval(step, level)
            widths: dict[int, float | None] = {}
            for n, value in zip(times, values, strict=True):
                if n - step in widths:
                    interval.learn(abs(value - more[n - step][f"yhat_{step}"]), widths[n - step])
                widths[n] = interval.multiplier * interval.mean if interval.errors else None
                ends = [more[n].get(f"yhat_{step}_{end}{name}") for end in ("lower", "upper")]
                yhat = more[n][f"yhat_{step}"]
                half = widths[n]
                expected = [None, None] if half is None else pytest.approx([yhat - half, yhat + half], abs=1e-5 * half)
                assert ends == expected


def errors_of(forecaster: Forecaster) -> list[float]:
    """Return the number of errors behind the interval of each further step."""
    state = forecaster.states["a"]
    pending, count = sizes_of(state.further, state.levels)
    learned = state.record[-count // 2 :].view(np.float32)[pending * state.levels :]
    return [float(learned[step * (LEARNED + state.levels)]) for step in range(state.further)]


@pytest.mark.parametrize(
    ("gap", "settled"),
    [
        (1, [[9, 8], [9, 9], [10, 9], [11, 10]]),  # the first reading after it is two and three steps after others
        (2, [[8, 8], [8, 8], [9, 8], [10, 9]]),
        (5, [[8, 7], [8, 7], [9, 7], [10, 8]]),
        (1000, [[8, 7], [8, 7], [9, 7], [10, 8]]),
    ],
)
def test_after_a_gap_a_reading_settles_what_was_forecast_for_its_time(gap: int, settled: list[list[float]]) -> None:
    """Filled or too long to be filled: missing times are not settled, nor does a reading of another time settle any."""
    forecaster = forecaster_of(MODEL)
    times = [*range(1, 11), *range(11 + gap, 15 + gap)]
    errors = []
    for ts, value in zip(times, levels(len(times)), strict=True):
        ask(forecaster, entry(ts, value=value))
        errors.append(errors_of(forecaster))
    assert [[8, 7], *settled] == errors[9:]


def test_without_a_grid_a_silence_is_no_gap() -> None:
    """The next reading is the next row, whenever it comes."""
    model = make_model("a", MODEL.spec, seasons=(5,), gridded=False, span=(0, 0))
    forecaster = forecaster_of(model)
    ask(forecaster, *(entry(n * n * n, value=1.0) for n in range(1, 11)))
    assert [8, 7] == errors_of(forecaster)


@pytest.mark.parametrize("steps_ahead", [6, 24])
def test_intervals_cover_as_promised_at_every_step_of_a_wandering_series(steps_ahead: int) -> None:
    """Errors of far steps overlap, and arrive late: neither may make an interval swing."""
    values = np.random.default_rng(steps_ahead).normal(size=1500).cumsum()
    settings = SeriesSettings(horizon=steps_ahead)
    made = outcome_of(forecaster_of(settings=settings), values.tolist()).forecasts
    for step in range(2, steps_ahead + 1):
        lower, upper = (end[100:-step] for end in ends_of(made, step))
        actual = values[100 + step :]
        assert 0.85 <= ((lower <= actual) & (actual <= upper)).mean() <= 0.95


def test_intervals_of_far_steps_cover_although_readings_are_missing() -> None:
    """Nearly every row of 24 has a gap within: the far intervals learn from the readings that come at their times."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=3000).cumsum()
    times = np.flatnonzero(rng.random(len(values)) > 0.15)
    forecaster = forecaster_of(settings=SeriesSettings(horizon=24))
    entries = [entry(n, value=float(values[n]), ts=BEGUN_MS + 1000 * n) for n in times.tolist()]
    made = ask(forecaster, *entries).forecasts
    for step in (2, 6, 12, 24):
        due = (times > 300) & np.isin(times + step, times)
        lower, upper = (end[due] for end in ends_of(made, step))
        actual = values[times[due] + step]
        assert 0.85 <= ((lower <= actual) & (actual <= upper)).mean() <= 0.95


@pytest.mark.parametrize("freq", ["MS", "ME", "QE", "YS"])
@pytest.mark.parametrize("trained", [False, True])
def test_steps_of_months_follow_the_calendar(freq: str, trained: bool) -> None:
    """Ends of months stay ends, also of the first step; how the readings are batched makes no difference."""
    dates = pd.date_range("1981-01-01", periods=30, freq=freq)
    times = dates.as_unit("ms").astype(np.int64).tolist()
    model = replace(MODEL, header=MODEL.header.model_copy(update={"step_ms": float(np.median(np.diff(times)))}))
    entries = [entry(n, ts=ts, value=v) for n, (ts, v) in enumerate(zip(times, levels(30), strict=True), 1)]
    forecaster = forecaster_of(*[model] * trained)
    apart = [f for each in entries for f in ask(forecaster, each).forecasts]
    assert apart == [*ask(forecaster_of(*[model] * trained), *entries).forecasts]
    assert [times[n : n + HORIZON] for n in range(4, 27)] == [[s.ts for s in steps_of(f)] for f in apart[3:26]]


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
    assert range(1, horizon + 1) == range(1, 1 + len(steps_of(made)))


def test_bounds_hold_for_every_step() -> None:
    """They hold for each interval too."""
    bounded = SeriesSettings(horizon=HORIZON, minimum=19.0, maximum=21.0)
    forecaster = forecaster_of(MODEL, settings=bounded)
    made = [*ask(forecaster, *(entry(n, value=v) for n, v in enumerate(levels(40, seed=3), 1))).forecasts]
    numbers = [number for f in made for name, number in f.more if name.startswith("yhat")]
    assert (19.0, 21.0) == (min(numbers), max(numbers))


def test_a_batch_says_what_its_readings_say_one_by_one() -> None:
    """Many readings of one series in a batch each look ahead from their own time."""
    entries = [entry(n, series, v) for n, v in enumerate(levels(20), 1) for series in "ab"]
    forecaster = forecaster_of(MODEL)
    apart = [f for each in entries for f in ask(forecaster, each).forecasts]
    assert apart == [*ask(forecaster_of(MODEL), *entries).forecasts]
