"""Three linear experts of one series that learn from every reading, by recursive least squares with forgetting.

They predict the next change from terms: recent changes, the distances from smoothed levels, and for each of two seasons
the changes and the level one season before. A season that is too long for the window has the terms of its profile. The
experts are nested: without a season, with the first, with both. One Cholesky factor of the discounted moments serves
all three, because the terms of a smaller expert come first.

Terms and changes are divided by the mean absolute change. A ridge pulls the coefficients to 0, that is to the last
value; it counts as a few readings, so it fades. Large errors count less (Huber's weights): a gross error has a bounded
influence, and the coefficients come close to those of least absolute deviations. Each series needs 456 bytes.
"""

import math
from typing import Any, NamedTuple, Self

import numpy as np

from tidecast.arrays import Float, Int64
from tidecast.models.experts import EXPERTS, MEDIAN, SEASONAL_CHANGE, SMOOTHING
from tidecast.models.experts import ONLINE as ONLINE_EXPERTS
from tidecast.online.kernels.decorators import compiled, part
from tidecast.online.kernels.median import median_of_newest
from tidecast.online.kernels.pointers import address_of, record_at
from tidecast.online.kernels.readings import Readings
from tidecast.online.kernels.rows import Rows
from tidecast.online.kernels.series_rows import NONE, SeriesRows, series_rows
from tidecast.wire.state_format import ONLINE, ONLINE_TERMS

RECENT = 4  # terms: the newest changes
FAST, SLOW = 0.3, 0.05  # the rates of the smoothed levels
SEASONAL = 3  # terms of each season
WITHOUT_SEASON = RECENT + 2  # terms of the smallest expert
SEASONS_USED = 7  # past seasons in a mean
MEMORY = 0.997  # a reading's weight is multiplied by this at each later reading
RIDGE = 3.0  # readings that the pull to 0 counts as; for a change k readings ago 1 + k times as many
USUAL = 1.0  # mean errors: a larger error counts less
RATE = 0.03  # of the scale and of the mean error
MOST = 8.0  # scales: the largest term, target and forecast change
LARGEST_CHANGE = 10.0  # scales: a larger change counts as this in the scale
LARGEST_ERROR = 5.0  # mean errors: a larger error counts as this in the mean
FARTHEST_LEVEL = 20.0  # scales: a level follows a reading that is farther away as if it were this far
SPIKE = 3.0  # usual largest moves: a series whose mean change is larger began with a spike
ENOUGH = 6  # rows that show the usual largest move well enough to forget that spike
LEAST_PIVOT = 1e-3  # of the Cholesky factor; rounding cannot make a pivot smaller

online_at = record_at(ONLINE)
_LARGEST = float(np.finfo(np.float64).max) / LARGEST_CHANGE
_FIRST = ONLINE_EXPERTS.start
_EXPERTS = len(ONLINE_EXPERTS)
_SEASONAL_NAIVE = EXPERTS.index("seasonal_naive")


class OnlineCoefficients(NamedTuple):
    """The three experts after each reading, as forecasts of further steps need them.

    Attributes:
        terms: `(n, 3, ONLINE_TERMS)` the coefficients; NaN for an expert that cannot forecast.
        levels: `(n, 2)` the smoothed levels, less the newest value.
        scales: `(n,)` mean |change|.
    """

    terms: Float
    levels: Float
    scales: Float

    @classmethod
    def empty(cls, n: int) -> Self:
        """Return room for `n` readings; with 0 readings the loops keep none of them."""
        return cls(np.empty((n, _EXPERTS, ONLINE_TERMS)), np.empty((n, 2)), np.empty(n))


def warm() -> None:
    """Compile the loop of a batch, or load it from the cache."""
    online = np.zeros(1, ONLINE)
    zeros = np.zeros(1, np.int64)
    rows = Rows(np.zeros(1), zeros + 1, zeros + 1, zeros + 1)
    forecasts = np.empty((1, len(EXPERTS)))
    series = series_rows(1, online=address_of(online))
    forecast_online(series, Readings.of(zeros, zeros, zeros), rows, forecasts, OnlineCoefficients.empty(0))


@compiled
def forecast_online(
    series: SeriesRows, readings: Readings, rows: Rows, forecasts: Float, kept: OnlineCoefficients
) -> None:
    """Learn from readings in their order, and write the forecasts of the experts that need no training.

    A reading after a gap, a doubted one and one that the series' model has learned from teach nothing. After a doubted
    one the next teaches nothing either, because the newest row is not the reading.

    Args:
        series: `(n,)` of each reading, which may occur many times. A model forecasts the seasonal naives and the
            smoothing itself.
        readings: as their windows completed them.
        rows: the newest rows of each series, the reading last.
        forecasts: `(n, experts)`, written; NaN where an expert cannot forecast.
        kept: written, unless it is empty.
    """
    coefficients = np.empty((_EXPERTS, ONLINE_TERMS))
    for i in range(len(series)):
        trained = series[i].slab != NONE
        online = online_at(series[i].online)
        # A series with a model does not begin with a spike.
        had_spike = not trained and online.scale > SPIKE * abs(readings.moves[i])
        if had_spike and rows.held[i] >= ENOUGH:
            _forget(online)
        end = rows.ends[i]
        width = rows.widths[i]
        values = rows.values[end - rows.held[i] * width : end : width]
        seasons = readings.seasons[i]
        profiles = readings.profiles[i]
        write_seasonal(values, seasons, profiles, trained, forecasts[i])
        coefficients[:] = np.nan
        learned = trained and readings.ts[i] <= series[i].trained_until
        follows = readings.missing[i] == 0  # not the first of a window, whose change is unknown, nor after a gap
        learns = follows and readings.doubted[i] == 0 and not learned
        learn_and_forecast(online, values, learns, seasons, profiles, forecasts[i, _FIRST:], coefficients)
        if not trained:
            forecasts[i, SMOOTHING] = smoothed(values, online.levels)
        forecasts[i, MEDIAN] = median_of_newest(values)
        if had_spike:
            forecasts[i, SMOOTHING] = np.nan
            forecasts[i, _FIRST:] = np.nan
            coefficients[:] = np.nan
        if len(kept.scales) > 0:
            _keep(online, coefficients, i, kept)
        if readings.doubted[i]:
            online.pending = 0.0  # the terms are of a row that is not the reading


@part
def _keep(online: Any, coefficients: Float, i: int, kept: OnlineCoefficients) -> None:
    """Write the experts after reading `i`."""
    for expert in range(_EXPERTS):
        for term in range(ONLINE_TERMS):
            kept.terms[i, expert, term] = coefficients[expert, term]
    for level in range(2):
        kept.levels[i, level] = online.levels[level]
    kept.scales[i] = online.scale


@part
def _forget(online: Any) -> None:
    """Begin again, as if there had been no readings."""
    online.scale = 0.0
    online.error = 0.0
    online.seen = 0.0
    online.pending = 0.0
    for i in range(len(online.moments)):
        online.moments[i] = 0.0
    for i in range(ONLINE_TERMS):
        online.products[i] = 0.0
    for i in range(2):
        online.levels[i] = 0.0


@part
def write_seasonal(values: Float, seasons: Int64, profiles: Float, trained: int, forecasts: Float) -> None:
    """Write the forecasts that repeat a season, or the profile of one that is too long for the window.

    Those of the seasonal naives that read rows are written only without a model. A profile is repeated at the recent
    level.
    """
    held = len(values)
    if not math.isnan(profiles[0, 0]):
        forecasts[SEASONAL_CHANGE] = values[held - 1] + profiles[0, 0]
    elif 0 < seasons[0] < held:
        before = values[held - seasons[0]]
        forecasts[SEASONAL_CHANGE] = values[held - 1] + (before - values[held - 1 - seasons[0]])
    for i in range(2):
        if not math.isnan(profiles[i, 0]):
            forecasts[_SEASONAL_NAIVE + i] = values[held - 1] + profiles[i, 0] + profiles[i, 2]
        elif not trained and 0 < seasons[i] <= held:
            forecasts[_SEASONAL_NAIVE + i] = values[held - seasons[i]]


@part
def smoothed(values: Float, levels: Float) -> float:
    """Return the forecast of simple exponential smoothing: the faster level."""
    forecast = values[len(values) - 1] + levels[0]
    return forecast if math.isfinite(forecast) else math.nan


@part
def learn_and_forecast(
    online: Any, values: Float, learns: int, seasons: Int64, profiles: Float, forecasts: Float, coefficients: Float
) -> None:
    """Learn from a reading, and write the three experts' forecasts of the next.

    Args:
        online: an `ONLINE`.
        values: `(held,)` the newest values, the reading last.
        learns: 0: only the smoothed levels keep their place.
        seasons: `(2,)` in rows; 0: the series has no such season.
        profiles: `(2, 3)` the terms of the seasons' profiles, NaN where a season has none.
        forecasts: `(3,)`, written; NaN where an expert cannot forecast.
        coefficients: `(3, ONLINE_TERMS)`, written for the experts that forecast.
    """
    newest = values[len(values) - 1]
    move = newest - online.newest
    if not math.isnan(online.newest):
        learn_change(online, move, learns)
    online.newest = newest
    terms = np.zeros(ONLINE_TERMS)
    known = write_terms(online.levels, values, seasons, profiles, terms)
    forecast_changes(online, terms, known, newest, forecasts, coefficients)


@part
def learn_change(online: Any, move: float, learns: int) -> None:
    """Learn from the change to a new reading.

    Args:
        online: an `ONLINE`.
        move: the reading less the value before it.
        learns: 0: only the levels keep their place.
    """
    if learns and online.pending:
        _learn_moments(online, within(move / online.scale))
    online.pending = 0.0
    if not learns:
        for i in range(2):
            online.levels[i] = finite(online.levels[i] - move)
        return
    size = min(abs(move), _LARGEST)
    if size > 0.0 or online.scale > 0.0:
        online.seen += 1
        most = size if online.scale == 0.0 else min(size, LARGEST_CHANGE * online.scale)
        online.scale += max(RATE, 1 / online.seen) * (most - online.scale)
    for i in range(2):
        rate = max(FAST if i == 0 else SLOW, 1 / (online.seen + 1))
        away = move - online.levels[i]
        most = FARTHEST_LEVEL * online.scale
        online.levels[i] = finite(rate * min(max(away, -most), most) - away)


@part
def _learn_moments(online: Any, change: float) -> None:
    """Add the pending terms and the change that followed, in scales."""
    error = abs(change - online.move)
    usual = online.error if online.error > 0.0 else 1.0
    weight = min(1.0, USUAL * usual / error) if error > 0.0 else 1.0
    online.error = usual + max(RATE, 1 / (online.seen + 2)) * (min(error, LARGEST_ERROR * usual) - usual)
    place = 0
    for i in range(ONLINE_TERMS):
        weighted = weight * online.terms[i]
        for j in range(i + 1):
            online.moments[place] = MEMORY * online.moments[place] + weighted * online.terms[j]
            place += 1
        online.products[i] = MEMORY * online.products[i] + weighted * change


@part
def write_terms(levels: Float, rows: Float, seasons: Int64, profiles: Float, terms: Float) -> int:
    """Write the terms of the next change in the series' unit; return how many seasons are known.

    Args:
        levels: `(2,)` the smoothed levels, less the newest value.
        rows: `(held,)` the newest values.
        seasons: `(2,)` in rows; 0: the series has no such season.
        profiles: `(2, 3)` the terms of the seasons' profiles, NaN where a season has none.
        terms: `(ONLINE_TERMS,)`, zero so far.
    """
    held = len(rows)
    for back in range(min(RECENT, held - 1)):
        terms[back] = rows[held - 1 - back] - rows[held - 2 - back]
    for i in range(2):
        terms[RECENT + i] = levels[i]
    known = 0
    for i in range(2):
        if known < i:
            break
        first = WITHOUT_SEASON + SEASONAL * i
        if not math.isnan(profiles[i, 0]):
            known = i + 1
            for j in range(SEASONAL):
                terms[first + j] = profiles[i, j]
        elif 0 < seasons[i] < held:
            known = i + 1
            _write_season(rows, seasons[i], terms[first:])
    return known


@part
def _write_season(rows: Float, season: int, terms: Float) -> None:
    """Write the change one season before, its mean over several seasons, and the level one season before."""
    now = len(rows) - 1
    before = rows[now + 1 - season]
    terms[0] = before - rows[now - season]
    terms[1] = before - rows[now]
    seasons = min(SEASONS_USED, now // season)
    total = 0.0
    for i in range(1, seasons + 1):
        total += rows[now + 1 - i * season] - rows[now - i * season]
    terms[2] = total / seasons


@part
def forecast_changes(
    online: Any, terms: Float, known: int, newest: float, forecasts: Float, coefficients: Float
) -> None:
    """Write the forecasts of the three experts, and keep the terms as pending.

    Args:
        online: an `ONLINE`.
        terms: `(ONLINE_TERMS,)` in the series' unit.
        known: how many seasons are known.
        newest: the value to forecast from.
        forecasts: `(3,)`, written; NaN where an expert cannot forecast.
        coefficients: `(3, ONLINE_TERMS)`, written for the experts that forecast.
    """
    forecasts[:3] = np.nan
    if online.scale == 0.0:
        return
    size = WITHOUT_SEASON + SEASONAL * known
    for i in range(ONLINE_TERMS):
        online.terms[i] = within(terms[i] / online.scale) if i < size else 0.0
    factor = np.empty((size, size))
    halfway = np.empty(size)
    _factorise(online, size, factor, halfway)
    move = 0.0
    for expert in range(known + 1):
        coefficients[expert] = 0.0
        move = _forecast_change(online, WITHOUT_SEASON + SEASONAL * expert, factor, halfway, coefficients[expert])
        forecast = newest + move * online.scale
        forecasts[expert] = forecast if math.isfinite(forecast) else np.nan
    online.move = move
    online.pending = 1.0


@part
def _factorise(online: Any, size: int, factor: Float, halfway: Float) -> None:
    """Write the lower Cholesky factor of the first moments with the ridge, and the solution of its lower system."""
    place = 0
    for i in range(size):
        for j in range(i):
            rest = float(online.moments[place])
            for k in range(j):
                rest -= factor[i, k] * factor[j, k]
            factor[i, j] = rest / factor[j, j]
            place += 1
        pivot = float(online.moments[place]) + RIDGE * (1 + i if i < RECENT else 1)
        product = float(online.products[i])
        for k in range(i):
            pivot -= factor[i, k] * factor[i, k]
            product -= factor[i, k] * halfway[k]
        factor[i, i] = math.sqrt(max(pivot, LEAST_PIVOT))
        halfway[i] = product / factor[i, i]
        place += 1


@part
def _forecast_change(online: Any, size: int, factor: Float, halfway: Float, coefficients: Float) -> float:
    """Return the change, in scales, that the expert with the first terms predicts; write its coefficients."""
    move = 0.0
    for i in range(size - 1, -1, -1):
        rest = halfway[i]
        for k in range(i + 1, size):
            rest -= factor[k, i] * coefficients[k]
        coefficients[i] = rest / factor[i, i]
        move += coefficients[i] * online.terms[i]
    return within(move)


@part
def within(number: float) -> float:
    """Return a number of scales within the limits; 0 for NaN."""
    return 0.0 if math.isnan(number) else min(max(number, -MOST), MOST)


@part
def finite(number: float) -> float:
    """Return the number, limited to what a float holds; 0 for NaN."""
    largest = 1.7e308
    return 0.0 if math.isnan(number) else min(max(number, -largest), largest)
