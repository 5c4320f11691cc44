"""Models with inputs that are known ahead, in the worker's forecaster."""

from dataclasses import replace

import hypothesis
import numpy as np
from hypothesis import strategies as st

from tests.harness.models import make_model, network_alone
from tests.tidecast.online.harness import BEGUN_MS, HOUR_MS, SETTINGS, outcome_of
from tidecast.arrays import Float
from tidecast.models.experts import EXPERTS, LINEAR, LINEAR_KNOWN, LSTM, LinearExperts
from tidecast.models.known.inputs import KnownInputs
from tidecast.models.known.values import ALWAYS, KnownValues
from tidecast.models.model import Model
from tidecast.models.spec import Spec
from tidecast.online.forecaster import Forecaster
from tidecast.online.known_rows import KnownLookup
from tidecast.online.offline import expert_forecasts

SPEC = Spec(window=4, units=3, known=("price",))
READINGS = 2 * np.arange(8.0) ** 2  # twice the price: the known expert forecasts them exactly


def panel_of(weight: float) -> LinearExperts:
    """Return a panel whose known expert adds `weight` times the difference of the next price from the newest one."""
    panel = network_alone()
    at = LINEAR_KNOWN - LINEAR.start
    panel.coefficients[at, :2] = weight, -weight
    panel.needs[at] = 2
    panel.errors[:, LINEAR_KNOWN] = 0.01
    used = np.arange(len(panel.lags)) < 2
    return replace(panel, lags=np.arange(len(used)) * used, columns=used.astype(np.int64))


def known_model(weight: float = 2.0, *, network: bool = True) -> Model:
    """Return a model whose known expert has nearly all weight."""
    return make_model("a", SPEC, step_ms=HOUR_MS, panel=panel_of(weight), network=network, half_width=1.0)


def prices(hours: int, known_at: int = ALWAYS) -> KnownValues:
    """Return prices of so many hours from the first reading on: the square of the hour."""
    values = KnownValues()
    ts = BEGUN_MS + HOUR_MS * np.arange(hours)
    values.add("a", "price", ts, np.arange(hours) ** 2.0, known_at)
    return values


def forecasts_of(
    model: Model, values: KnownValues | None, readings: Float, series: str = "a"
) -> list[tuple[float, str]]:
    """Return each forecast of a forecaster with its kind."""
    forecaster = Forecaster(SETTINGS)
    if values:
        forecaster.known = values
    forecaster.set_model(series, 1, model)
    made = outcome_of(forecaster, readings.tolist(), series).forecasts
    return [(forecast.yhat, forecast.kind) for forecast in made]


def test_a_forecast_uses_the_value_of_the_time_that_it_is_for() -> None:
    """The known expert moves by what the price will move by."""
    made = forecasts_of(known_model(network=False), prices(9), READINGS)
    np.testing.assert_allclose(2 * np.arange(2, 9) ** 2, [yhat for yhat, _ in made[1:]], rtol=1e-6)
    assert {"linear_known"} == {kind for _, kind in made[1:]}


def test_without_the_value_the_other_experts_answer() -> None:
    """The user pushed prices for five hours only: then the network and the known expert have no answer."""
    made = forecasts_of(known_model(), prices(5), READINGS)
    assert ["linear_known"] * 3 == [kind for _, kind in made[1:4]]
    assert all(kind not in ("linear_known", "lstm") and np.isfinite(yhat) for yhat, kind in made[4:])
    blind = forecasts_of(known_model(), None, READINGS)
    assert not {"linear_known", "lstm"} & {kind for _, kind in blind}


def test_rows_of_months_hold_the_values_of_their_own_months() -> None:
    """Thirty-one days back for each of 60 months would end two months too early."""
    months = (np.datetime64("2001-01") + np.arange(100)).astype("datetime64[ms]").astype(np.int64)
    values = KnownValues()
    values.add("a", "price", months, np.arange(100.0))
    lookup = KnownLookup(KnownInputs(("price",), 31 * 24.0 * HOUR_MS))
    for month in (70, 71, 75, 99):
        np.testing.assert_array_equal(
            np.arange(month - 59, month + 1), lookup.rows(values, "a", int(months[month]), 60, BEGUN_MS)[:, 0]
        )


def test_a_value_that_came_after_the_reading_does_not_count() -> None:
    """A replay must give the same forecast, though the value is there by then."""
    late = prices(9, BEGUN_MS + 4 * HOUR_MS)
    made = forecasts_of(known_model(network=False), late, READINGS)
    assert ["linear_known"] * 4 == [kind for _, kind in made[4:]]
    assert "linear_known" not in {kind for _, kind in made[:4]}


def test_the_trainer_computes_what_the_worker_answers() -> None:
    """Its windows hold the known inputs as columns already; the worker looks them up."""
    model = known_model()
    readings = np.random.default_rng(0).normal(size=8)
    values = prices(9)
    columns = KnownInputs(("price",), HOUR_MS).rows(values, "a", BEGUN_MS + 8 * HOUR_MS, 8, 0)
    windows = np.column_stack([readings, columns])[None]
    offline = expert_forecasts(model, None, windows, np.array([8]), np.array([BEGUN_MS + 8 * HOUR_MS]))[0]
    forecaster = Forecaster(SETTINGS)
    forecaster.known = values
    forecaster.set_model("a", 1, model)
    outcome_of(forecaster, readings.tolist())
    answers = forecaster.states["a"].answers
    assert np.isfinite(offline[[LINEAR_KNOWN, LSTM]]).all()
    np.testing.assert_array_equal(offline[[0, LINEAR_KNOWN, LSTM]], answers[[0, LINEAR_KNOWN, LSTM]])


def test_series_without_known_inputs_are_not_affected() -> None:
    """They answer the same beside a series that reads known values."""
    plain = make_model("b", Spec(window=4, units=3), step_ms=HOUR_MS)
    readings = np.random.default_rng(1).normal(size=20)
    forecaster = Forecaster(SETTINGS)
    forecaster.set_model("a", 1, known_model())
    forecaster.set_model("b", 1, plain)
    alone = forecasts_of(replace(plain), None, readings, "b")
    assert alone == [(each.yhat, each.kind) for each in outcome_of(forecaster, readings.tolist(), "b").forecasts]
    assert len(EXPERTS) == len(forecaster.states["b"].answers)


def test_further_steps_use_the_values_of_their_own_times() -> None:
    """The third step uses the third price."""
    forecaster = Forecaster(SETTINGS.model_copy(update={"horizon": 3}))
    forecaster.known = prices(12)
    forecaster.set_model("a", 1, known_model(network=False))
    last = list(outcome_of(forecaster, READINGS.tolist()).forecasts)[-1]
    path = [2 * hour**2 for hour in (8, 9, 10)]
    np.testing.assert_allclose(path, [last.yhat, *(dict(last.more)[f"yhat_{step}"] for step in (2, 3))], rtol=1e-6)


steps = st.lists(st.tuples(st.integers(-3, 70), st.integers(1, 8), st.integers(-2, 2), st.booleans()), max_size=12)


@hypothesis.settings(deadline=None)
@hypothesis.given(steps)
def test_rows_looked_up_ahead_are_those_looked_up_one_by_one(moved: list[tuple[int, int, int, bool]]) -> None:
    """Also after a correction, for an earlier moment, off the grid and further back."""
    values = prices(300, 0)
    inputs = KnownInputs(("price", "@hour_sin"), HOUR_MS)
    lookup = KnownLookup(inputs)
    hour = 20
    for number, (hours, count, off, corrected) in enumerate(moved):
        hour += hours
        next_ts = BEGUN_MS + hour * HOUR_MS + off
        if corrected:
            values.add("*a*", "price", np.array([next_ts]), np.array([float(number)]), number)
            values.add("a", "price", np.array([next_ts]), np.array([float(number)]), number)
        for as_of in (number, number - 1):
            expected = inputs.rows(values, "a", next_ts, count, as_of)
            np.testing.assert_array_equal(expected, lookup.rows(values, "a", next_ts, count, as_of))
