"""The linear experts that learn from every reading."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tidecast.arrays import Float, Int64
from tidecast.models.experts import EXPERTS, MEDIAN, SEASONAL_CHANGE, SMOOTHING
from tidecast.models.experts import ONLINE as ONLINE_EXPERTS
from tidecast.online.kernels import online_linear as kernel
from tidecast.online.kernels.further import paths
from tidecast.online.kernels.pointers import address_of
from tidecast.online.kernels.readings import FIRST, Readings
from tidecast.online.kernels.rows import Rows
from tidecast.online.kernels.series_record import new_record
from tidecast.online.kernels.series_rows import NONE, series_rows
from tidecast.wire.state_format import ONLINE, ONLINE_TERMS, RECORD, numbers_in, place_in

DAY = 24
NO_SEASONS = (0, 0)
HELD = 400  # rows of a window


def forecasts_of(y: Float, seasons: tuple[int, int] = NO_SEASONS, skipped: tuple[int, ...] = ()) -> Float:
    """Return the three experts' forecasts after each reading, `(readings, 3)`; they do not learn from the skipped."""
    return learned(new_online(), y, seasons, skipped)[:, ONLINE_EXPERTS]


def learned(
    online: Float,
    y: Float,
    seasons: tuple[int, int] = NO_SEASONS,
    skipped: tuple[int, ...] = (),
    kept: kernel.OnlineCoefficients | None = None,
    trained: int = 0,
    **columns: Int64,
) -> Float:
    """Learn from all readings in one call, and return every expert's forecasts, `(readings, experts)`.

    Columns of the readings may be given; a model has learned from the first `trained` ones.
    """
    n = len(y)
    forecasts = np.full((n, len(EXPERTS)), np.nan)
    nothing = np.zeros(n, np.int64)
    held = np.minimum(np.arange(1, n + 1), HELD)
    rows = Rows(y, np.arange(1, n + 1), held, nothing + 1)
    series = series_rows(n, online=address_of(online), slab=0 if trained else NONE, trained_until=trained)
    missing = np.isin(np.arange(n), skipped).astype(np.int64)
    readings = Readings.of(nothing, np.arange(1, n + 1), nothing)._replace(
        **{"missing": missing, "moves": np.full(n, np.inf), "seasons": np.tile(seasons, (n, 1))} | columns
    )
    kernel.forecast_online(series, readings, rows, forecasts, kept or kernel.OnlineCoefficients.empty(0))
    return forecasts


def test_further_steps_keep_the_coefficients_and_let_the_levels_follow() -> None:
    """A row that is a forecast teaches nothing, but is the newest of the terms."""
    seasons = (DAY, 3 * DAY)
    y = seasonal(5 * DAY, 0.3)
    n = len(y)
    kept = kernel.OnlineCoefficients.empty(n)
    learned(new_online(), y, seasons, kept=kept)
    last = kernel.OnlineCoefficients(*(part[-1:] for part in kept))
    levels = last.levels[0] + y[-1]
    scale = float(last.scales[0])
    coefficients = last.terms[0].copy()
    single = np.ones(1, np.int64)
    rows = paths.with_room(Rows(y, single * n, single * n, single), 3)
    forecasts = np.full((1, len(EXPERTS)), np.nan)
    for newest in (0.7, -2.0, 1.3):
        paths.append(rows, np.array([newest]))
        paths.forecast_further(last, rows, np.array([seasons]), single, forecasts)
        y = np.append(y, newest)
        most = kernel.FARTHEST_LEVEL * scale
        levels += np.array([kernel.FAST, kernel.SLOW]) * np.clip(newest - levels, -most, most)
        terms, _ = terms_at(y, len(y) - 1, levels, seasons)
        moves = coefficients @ np.clip(terms / scale, -kernel.MOST, kernel.MOST)
        expected = newest + scale * np.clip(moves, -kernel.MOST, kernel.MOST)
        np.testing.assert_allclose(forecasts[0, ONLINE_EXPERTS], expected, rtol=1e-9)
        assert forecasts[0, SEASONAL_CHANGE] == pytest.approx(newest + y[-DAY] - y[-DAY - 1])


def new_online() -> Float:
    """Return the numbers of a series without a reading."""
    first = place_in(RECORD, "online")
    return new_record(1)[first : first + numbers_in(ONLINE)].copy()


def terms_at(y: Float, t: int, levels: Float, seasons: tuple[int, int]) -> tuple[Float, int]:
    """Return the terms of the change after reading t, and how many experts have theirs."""
    terms = np.zeros(ONLINE_TERMS)
    recent = np.diff(y[: t + 1])[::-1][: kernel.RECENT]
    terms[: len(recent)] = recent
    terms[kernel.RECENT : kernel.WITHOUT_SEASON] = levels - y[t]
    experts = 1
    for i, season in enumerate(seasons):
        if season and t >= season and experts == i + 1:
            experts += 1
            lags = range(season, t + 1, season)[: kernel.SEASONS_USED]
            mean = np.mean([y[t + 1 - lag] - y[t - lag] for lag in lags])
            at = kernel.WITHOUT_SEASON + kernel.SEASONAL * i
            terms[at : at + kernel.SEASONAL] = y[t + 1 - season] - y[t - season], y[t + 1 - season] - y[t], mean
    return terms, experts


def defined_forecasts(y: Float, seasons: tuple[int, int]) -> Float:
    """Return the forecasts by weighted least squares with a ridge, solved from all readings each time."""
    ridge = np.full(ONLINE_TERMS, kernel.RIDGE)
    ridge[: kernel.RECENT] *= 1 + np.arange(kernel.RECENT)
    examples: list[tuple[Float, float, float]] = []  # terms, change, weight
    scale = 0.0
    error = 1.0
    seen = 0
    levels = np.full(2, y[0])
    pending: tuple[Float, float, float] | None = None  # terms, forecast change, scale
    forecasts = np.full((len(y), 3), np.nan)
    for t in range(len(y)):
        if t:
            move = y[t] - y[t - 1]
            if pending:
                terms, expected, unit = pending
                change = float(np.clip(move / unit, -kernel.MOST, kernel.MOST))
                missed = abs(change - expected)
                examples.append((terms, change, min(1.0, kernel.USUAL * error / missed) if missed else 1.0))
                error += max(kernel.RATE, 1 / (seen + 2)) * (min(missed, kernel.LARGEST_ERROR * error) - error)
            if move or scale:
                seen += 1
                size = min(abs(move), kernel.LARGEST_CHANGE * scale) if scale else abs(move)
                scale += max(kernel.RATE, 1 / seen) * (size - scale)
            most = kernel.FARTHEST_LEVEL * scale
            rates = np.maximum([kernel.FAST, kernel.SLOW], 1 / (seen + 1))
            levels = levels + rates * np.clip(y[t] - levels, -most, most)
        if not scale:
            continue
        terms, experts = terms_at(y, t, levels, seasons)
        terms = np.clip(terms / scale, -kernel.MOST, kernel.MOST)
        for expert in range(experts):
            size = kernel.WITHOUT_SEASON + kernel.SEASONAL * expert
            moments = np.diag(ridge[:size])
            products = np.zeros(size)
            for age, (x, change, weight) in enumerate(reversed(examples)):
                moments += kernel.MEMORY**age * weight * np.outer(x[:size], x[:size])
                products += kernel.MEMORY**age * weight * change * x[:size]
            expected = float(np.clip(np.linalg.solve(moments, products) @ terms[:size], -kernel.MOST, kernel.MOST))
            forecasts[t, expert] = y[t] + scale * expected
        pending = terms, expected, scale
    return forecasts


def seasonal(rows: int, noise: float, seed: int = 0) -> Float:
    """Return a day with two harmonics and a week in its size, with noise."""
    random = np.random.default_rng(seed)
    row = np.arange(rows)
    day = np.sin(2 * np.pi * row / DAY) + 0.5 * np.cos(4 * np.pi * row / DAY)
    return day * (1 + 0.5 * (row // DAY % 7 < 5)) + noise * random.normal(size=rows)


@pytest.mark.parametrize("seasons", [NO_SEASONS, (DAY, 0), (DAY, 3 * DAY)])
@pytest.mark.parametrize("kind", ["walk", "season", "steps"])
def test_the_forecasts_are_those_of_the_definition(kind: str, seasons: tuple[int, int]) -> None:
    """The kept sums and one factor for three experts give what least squares over all readings gives."""
    random = np.random.default_rng(1)
    y = {
        "walk": 1e5 + random.standard_t(2, 150).cumsum(),
        "season": seasonal(150, 0.1),
        "steps": np.repeat(random.normal(size=30), 5),
    }[kind]
    np.testing.assert_allclose(forecasts_of(y, seasons), defined_forecasts(y, seasons), rtol=0, atol=2e-4 * y.std())


@hypothesis.settings(deadline=None, max_examples=100)
@hypothesis.given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=40),
    st.tuples(st.integers(0, 6), st.integers(0, 9)),
    st.sets(st.integers(0, 40)),
)
def test_forecasts_are_finite_whatever_was_read(values: list[float], seasons: tuple[int, int], gaps: set[int]) -> None:
    """The largest and the smallest floats, constants and gaps; an expert that cannot forecast is not known."""
    forecasts = forecasts_of(np.array(values), seasons, tuple(gaps))
    assert not np.isinf(forecasts).any()


def test_a_gross_error_has_a_bounded_effect() -> None:
    """Ten readings later it has moved the forecasts little, and by the same however large it was."""
    y = np.random.default_rng(0).normal(size=320).cumsum()
    later = slice(210, None)
    effects = []
    for size in (1e2, 1e12):
        wrong = y.copy()
        wrong[200] -= size
        effects.append((forecasts_of(wrong) - forecasts_of(y))[later, 0])
    assert np.abs(effects[0]).mean() < 0.15 * np.abs(np.diff(y)).mean()
    np.testing.assert_allclose(effects[0], effects[1], atol=1e-3)


def test_an_autoregression_is_learned_within_a_hundred_readings() -> None:
    """The error comes within a tenth of that of the true coefficients."""
    noise = np.random.default_rng(2).normal(size=400)
    changes = np.zeros(400)
    for t in range(1, 400):
        changes[t] = 0.7 * changes[t - 1] + noise[t]
    y = changes.cumsum()
    errors = np.abs(y[101:] - forecasts_of(y)[100:-1, 0])
    assert errors.mean() < 1.1 * np.abs(noise[101:]).mean()


def test_seasons_help_where_there_are_some_and_cost_little_where_there_are_none() -> None:
    """Each larger expert is better on a day within a week, and hardly worse on a random walk."""
    week = 7 * DAY
    for y, least, most in (
        (seasonal(900, 0.02), 0.0, 0.9),
        (np.random.default_rng(4).normal(size=900).cumsum(), 0.9, 1.06),
    ):
        errors = np.abs(y[401:, None] - forecasts_of(y, (DAY, week))[400:-1]).mean(axis=0)
        assert least < errors[1] / errors[0] < most
        assert least < errors[2] / errors[1] < most


def test_forecasts_do_not_depend_on_the_unit_or_the_level() -> None:
    """A series in thousands, or far from zero, has the same forecasts in its own unit."""
    y = seasonal(200, 0.1)
    np.testing.assert_allclose(forecasts_of(1e3 * y + 1e6, (DAY, 0)), 1e3 * forecasts_of(y, (DAY, 0)) + 1e6, rtol=1e-9)


def test_a_gap_teaches_nothing() -> None:
    """After it, smoothed levels are where they were; sums and scale are those from before."""
    y = np.random.default_rng(5).normal(size=100)
    online = new_online()
    learned(online, y)
    before = online.copy().view(ONLINE)[0]
    learned(online, y[-1:] + 1000.0, skipped=(0,))
    after = online.view(ONLINE)[0]
    for name in ("scale", "moments", "products", "error", "seen"):
        np.testing.assert_array_equal(before[name], after[name])
    np.testing.assert_allclose(before["levels"], after["levels"] + 1000.0)


def test_seasons_are_repeated_as_soon_as_they_are_held() -> None:
    """The value one season before needs as many rows as the season, the change one more."""
    y = np.random.default_rng(6).normal(size=12)
    forecasts = learned(new_online(), y, (4, 7))
    naives = forecasts[:, 1:3]
    np.testing.assert_array_equal(naives[3:, 0], y[:-3])
    np.testing.assert_array_equal(naives[6:, 1], y[:-6])
    np.testing.assert_allclose(forecasts[4:, SEASONAL_CHANGE], y[4:] + y[1:-3] - y[:-4])
    assert np.isnan(naives[:3, 0]).all()
    assert np.isnan(naives[:6, 1]).all()
    assert np.isnan(forecasts[:4, SEASONAL_CHANGE]).all()


@pytest.mark.parametrize("trained", [0, 1])
def test_a_series_without_a_model_is_smoothed(trained: int) -> None:
    """A mean at first, then by a fixed rate; a model has its own rate. Further steps go on in the same way."""
    y = np.random.default_rng(7).normal(size=30)
    kept = kernel.OnlineCoefficients.empty(len(y))
    forecasts = learned(new_online(), y, kept=kept, trained=trained)[:, SMOOTHING]
    expected = [y[0]]
    for n, newest in enumerate(y[1:], 2):
        expected.append(expected[-1] + max(kernel.FAST, 1 / n) * (newest - expected[-1]))
    np.testing.assert_allclose(forecasts, np.full(len(y), np.nan) if trained else expected, atol=1e-12)
    further = forecast_after(2.0, y, kept, trained)
    level = expected[-1] + kernel.FAST * (2.0 - expected[-1])
    np.testing.assert_allclose(further[SMOOTHING], np.nan if trained else level)


@pytest.mark.parametrize(("column", "mark", "taught"), [("missing", FIRST, 1), ("missing", 2, 1), ("doubted", 1, 0)])
def test_a_reading_after_a_gap_or_a_doubted_one_teaches_nothing(column: str, mark: int, taught: int) -> None:
    """After a doubted one, whose row holds the value before, the next reading teaches nothing either."""
    y = np.random.default_rng(9).normal(size=12).cumsum()
    marks = np.zeros(len(y), np.int64)
    marks[8] = mark
    kept = kernel.OnlineCoefficients.empty(len(y))
    learned(new_online(), y, kept=kept, **{column: marks})
    changed = (np.diff(kept.terms[:, 0], axis=0) != 0).any(axis=1)[5:]
    assert [True, True, False, bool(taught), True, True] == changed.tolist()


def test_a_reading_that_the_model_has_learned_from_teaches_nothing() -> None:
    """The experts of the model go on from the end of its history."""
    y = np.random.default_rng(9).normal(size=12).cumsum()
    online = new_online()
    learned(online, y[:6])
    kept = kernel.OnlineCoefficients.empty(6)
    learned(online, y[6:], kept=kept, trained=3)
    assert [False, False, True, True, True] == (np.diff(kept.terms[:, 0], axis=0) != 0).any(axis=1).tolist()


def test_the_state_stays_small() -> None:
    """It is written at every commit."""
    assert ONLINE.itemsize == 456


@pytest.mark.parametrize("trained", [0, 1])
def test_the_median_of_the_newest_rows_is_an_expert_of_every_series(trained: int) -> None:
    """One wild row among them does not move it far. Further steps go on in the same way."""
    y = np.random.default_rng(8).normal(size=60)
    y[40] = 1e9
    kept = kernel.OnlineCoefficients.empty(len(y))
    forecasts = learned(new_online(), y, kept=kept, trained=trained)[:, MEDIAN]
    expected = [np.median(odd_tail(y[: n + 1])) if n >= 4 else np.nan for n in range(len(y))]
    np.testing.assert_array_equal(forecasts, expected)
    further = forecast_after(2.0, y, kept, trained)
    assert further[MEDIAN] == np.median(odd_tail(np.append(y, 2.0)))


def odd_tail(rows: Float) -> Float:
    """Return the newest rows that the median is of."""
    return rows[-min(31, len(rows) - 1 + len(rows) % 2) :]


def forecast_after(newest: float, y: Float, kept: kernel.OnlineCoefficients, trained: int) -> Float:
    """Return the experts' forecasts, `(experts,)`, after a row that follows the readings as a further step."""
    held = np.full(1, len(y))
    rows = paths.with_room(Rows(y, held, held, np.ones(1, np.int64)), 1)
    paths.append(rows, np.array([newest]))
    forecasts = np.full((1, len(EXPERTS)), np.nan)
    last = kernel.OnlineCoefficients(*(part[-1:] for part in kept))
    paths.forecast_further(last, rows, np.zeros((1, 2), np.int64), np.full(1, trained), forecasts)
    return forecasts[0]
