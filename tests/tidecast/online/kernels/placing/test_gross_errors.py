"""Gross errors among the readings of a live series: no forecast comes near them, and the clean readings pay nothing."""

from functools import cache

import numpy as np
import pytest

from tests.harness.models import make_model
from tests.tidecast.online.harness import BEGUN_MS, HOUR_MS, answers_to, outcome_of
from tidecast.arrays import Float
from tidecast.models.experts import EXPERTS, LSTM, SHARED
from tidecast.models.gross_errors import limits, usual_move
from tidecast.models.model import Model
from tidecast.models.time_grid import to_grid
from tidecast.online.forecaster import Forecaster
from tidecast.settings import SeriesSettings
from tidecast.wire import Forecast, Forecasts
from trainer.fit.linear import fit_panel

LEARNED, LIVE = 800, 300  # readings
HOURS = np.arange(LEARNED + LIVE)
WAVE = 50 + 10 * np.sin(2 * np.pi * HOURS / 24) + np.random.default_rng(0).normal(size=len(HOURS))
LOAD = 30_000 + 9000 * np.sin(2 * np.pi * HOURS / 24) + np.random.default_rng(1).normal(0, 300, len(HOURS))
CODES = [-9999.0, 9999.0, 0.0, -1.0, 65535.0, 1e6, 32767.0, -273.15, 99.99]
PLACES = {
    "one": [40],
    "four": [40, 90, 91, 200],
    "twenty": [*range(30, 290, 13)],
    "daily": [*range(35, 290, 24)],
    "runs": [*range(50, 54), *range(120, 126)],
}
LONG = [*range(100, 120)]  # the true values of the series are unknown during these readings
COST = 1.1  # times the error on clean readings


def model_of(values: Float) -> Model:
    """Return a model of linear experts fitted to the values, with the trainer's facts about them."""
    ts = BEGUN_MS + HOUR_MS * np.arange(len(values))
    panel = fit_panel(to_grid(ts, values[:, None], HOUR_MS, 3), (24,), len(values))
    panel.errors[:, [*range(LSTM)]] = 1.0
    panel.errors[:, [EXPERTS.index("long_seasonal_naive"), LSTM, SHARED]] = np.nan
    facts = {"largest_move": usual_move(values, 100), "known": limits(values), "seasons": (24,), "network": False}
    return make_model("a", panel=panel, step_ms=HOUR_MS, span=(0, int(ts[-1])), **facts)


@cache
def champion(*, of_wave: bool = True) -> Model:
    """Return the model of `WAVE` or `LOAD`, fitted once."""
    return model_of((WAVE if of_wave else LOAD)[:LEARNED])


def answered(values: Float) -> Forecasts:
    """Return the forecasts of the readings from the newest that the champion learned on."""
    forecaster = Forecaster(SeriesSettings())
    forecaster.set_model("a", 1, champion(of_wave=bool((values[:LEARNED] == WAVE[:LEARNED]).all())))
    return outcome_of(forecaster, values[LEARNED - 400 :], first=LEARNED - 400).forecasts


def live(values: Float) -> list[Forecast]:
    """Return the forecasts that stood at the live readings."""
    return [*answered(values)][399:-1]


def errors_of(values: Float, code: float | None, spots: list[int]) -> tuple[Float, Float]:
    """Return the errors at the readings that are clean, with the code in some places, and all forecasts."""
    sent = values.copy()
    sent[LEARNED:][spots] = sent[LEARNED:][spots] if code is None else code
    yhat = np.array(answered(sent).yhat)[399:-1]
    clean = np.setdiff1d(np.arange(LIVE), spots)
    return np.abs(yhat - values[LEARNED:])[clean], yhat


@pytest.mark.parametrize("places", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("code", CODES)
def test_clean_readings_cost_what_they_cost_without_the_errors(code: float, places: list[int]) -> None:
    """No forecast lies far outside the range that the series itself has shown."""
    without, _ = errors_of(WAVE, None, places)
    error, yhat = errors_of(WAVE, code, places)
    assert error.mean() < COST * without.mean()
    assert WAVE.min() - 5 < yhat.min()
    assert yhat.max() < WAVE.max() + 5


@pytest.mark.parametrize("code", [-9999.0, 0.0, 1e6])
def test_after_a_long_run_of_errors_the_forecasts_come_back(code: float) -> None:
    """No forecast comes near it, and a day after its end no trace of it is left."""
    without, _ = errors_of(WAVE, None, LONG)
    error, yhat = errors_of(WAVE, code, LONG)
    assert WAVE.min() - 5 < yhat.min() < yhat.max() < WAVE.max() + 5
    assert error[150:].mean() < COST * without[150:].mean()


@pytest.mark.parametrize("code", [-9999.0, 0.0, -1.0, 1e6])
def test_the_unit_of_a_series_does_not_matter(code: float) -> None:
    """A load of tens of thousands has its 0 and its -9999 too, though they are not so far away."""
    places = PLACES["four"]
    without, _ = errors_of(LOAD, None, places)
    error, yhat = errors_of(LOAD, code, places)
    assert error.mean() < COST * without.mean()
    assert LOAD.min() - 4500 < yhat.min() < yhat.max() < LOAD.max() + 4500


def test_a_gross_error_is_an_anomaly_and_is_answered() -> None:
    """The forecast's error and score are those of the reading, and one row in the window counts as filled."""
    sent = WAVE.copy()
    sent[LEARNED + 40] = -9999
    made = live(sent)
    forecast = made[41]
    after = made[42]
    assert (-9999.0, -9999 - made[40].yhat, 1) == (forecast.y, forecast.error, forecast.filled)
    assert forecast.anomaly_score > 100
    assert after.anomaly_score < 3


def test_errors_of_a_series_without_a_model_are_not_repeated() -> None:
    """The last trusted value takes their place, once fifty readings show how far the series moves."""
    sent = WAVE[:LIVE].copy()
    sent[[80, 140, 141, 250]] = -9999
    made = answers_to(Forecaster(SeriesSettings()), sent)
    assert max(abs(made[n].yhat - WAVE[n + 1]) for n in (80, 140, 141, 250)) < 10


def test_a_real_change_of_level_is_followed() -> None:
    """It costs one reading more, and widens the interval."""
    sent = WAVE.copy()
    sent[LEARNED + 100 :] += 500
    made = live(sent)
    errors = np.abs([forecast.yhat - y for forecast, y in zip(made, sent[LEARNED:], strict=True)])
    assert (errors[[100, 101]] > 400).all()
    assert (errors[102:] < 60).all()
    assert errors[200:].mean() < 3
    widths = [forecast.yhat_upper - forecast.yhat_lower for forecast in made]
    assert widths[102] > 1.3 * widths[100]


def test_a_counter_that_often_begins_again_costs_less_than_the_last_value() -> None:
    """Without a model too: only its first resets are doubted, each for one reading, and then their rows are right."""
    sent = np.arange(600.0) % 37
    forecaster = Forecaster(SeriesSettings())
    yhat = np.array([forecast.yhat for forecast in answers_to(forecaster, sent)])
    assert np.abs(yhat[:-1] - sent[1:])[200:].sum() < 0.8 * np.abs(np.diff(sent))[200:].sum()
    assert sent[-400:].tolist() == forecaster.states["a"].window.rows[:, 0].tolist()


def test_a_machine_that_stops_again_is_believed_at_once() -> None:
    """Its runs are longer than a window. Each stop was doubted for 24 readings, and each start after a long one."""
    run = 50 + np.random.default_rng(2).normal(size=450)
    sent = np.concatenate([run, np.zeros(450), run, np.zeros(30), run])
    made = answers_to(Forecaster(SeriesSettings()), sent)
    stops = 1350
    starts = 1380
    assert [24, 0, 0] == [
        sum(made[n].filled > made[n - 1].filled for n in range(at, at + 30)) for at in (450, stops, starts)
    ]
    assert max(abs(forecast.yhat) for forecast in made[stops + 2 : stops + 29]) < 2


def test_a_batch_of_readings_is_doubted_as_each_alone() -> None:
    """A restart between any two readings changes nothing either: all that is known of a series is stored."""
    sent = WAVE.copy()
    sent[LEARNED:][PLACES["runs"] + PLACES["daily"]] = -9999
    model = champion()
    together = Forecaster(SeriesSettings())
    together.set_model("a", 1, model)
    expected = [forecast.yhat for forecast in answers_to(together, sent[LEARNED - 400 :], first=LEARNED - 400)]
    states = {}
    made = []
    for n in range(LEARNED - 400, len(sent), 7):
        alone = Forecaster(SeriesSettings())
        alone.set_model("a", 1, model)
        alone.restore(states)
        outcome = outcome_of(alone, sent[n : n + 7], first=n)
        states |= outcome.states
        made += [forecast.yhat for forecast in outcome.forecasts]
    assert expected == made
