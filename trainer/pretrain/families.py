"""Families of synthetic series, each a function of `(rng, series, rows)` that returns values and season lengths.

The training mixes them in equal parts. None is fitted to measured data.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tidecast.arrays import Float, Int64
from trainer.pretrain import noise, shapes
from trainer.pretrain.noise import chosen, log_uniform, standardised


class Synthetic(NamedTuple):
    """Made-up series with the seasons that they have."""

    values: Float  # (series, rows)
    seasons: Int64  # (series, 2) in rows, the shorter one first; 0: none


Family = Callable[[np.random.Generator, int, int], Synthetic]


def no_seasons(series: int) -> Int64:
    """Return the season lengths of series without a season, `(series, 2)`."""
    return np.zeros((series, 2), np.int64)


def seasonal(rng: np.random.Generator, series: int, rows: int) -> Synthetic:
    """One or two seasons, a trend, and noise that remembers."""
    seasons = shapes.periods(rng, series)
    values = shapes.drifting(rng, seasons[:, 0], rows)
    values += log_uniform(rng, 0.1, 1.5, series) * shapes.harmonic(rng, seasons[:, 1], rows)
    values += shapes.trend(rng, series, rows) * chosen(rng, 0.5, series) * rng.uniform(0, 1, (series, 1))
    return Synthetic(values + _remembering_noise(rng, series, rows), seasons)


def weekly(rng: np.random.Generator, series: int, rows: int) -> Synthetic:
    """Working days and weekends with a shape of their own, on a slow level."""
    seasons = shapes.periods(rng, series)
    values = shapes.week(rng, seasons, rows)
    values += noise.smooth(rng, series, rows, 50, 800) * rng.uniform(0, 1, (series, 1))
    return Synthetic(values + _remembering_noise(rng, series, rows), seasons)


def multiplied(rng: np.random.Generator, series: int, rows: int) -> Synthetic:
    """Seasons, levels and noise that multiply: all grow with the level."""
    made = seasonal(rng, series, rows)
    return Synthetic(np.exp(standardised(made.values) * log_uniform(rng, 0.1, 1.0, series)), made.seasons)


def smoothing(rng: np.random.Generator, series: int, rows: int) -> Synthetic:
    """State-space models of exponential smoothing (Hyndman et al. 2008): level, damped slope and season learn."""
    seasons = shapes.periods(rng, series)
    shocks = noise.innovations(rng, series, rows, 0.2)
    level = np.cumsum(shocks, axis=1) * log_uniform(rng, 0.01, 1, series)
    slope = noise.autoregressive(rng, rng.standard_normal((series, rows)), 0.8, 0.99)
    level += np.cumsum(slope, axis=1) * log_uniform(rng, 0.0005, 0.05, series) * chosen(rng, 0.4, series)
    start = shapes.harmonic(rng, seasons[:, 0], rows) * log_uniform(rng, 0.3, 10, series)
    learned = shocks * rng.uniform(0, 0.5, (series, 1))
    season = noise.seasonal_recursion(start, learned, seasons[:, 0], np.ones(series), np.zeros(series))
    return Synthetic(shocks + level + season, seasons)


def arima(rng: np.random.Generator, series: int, rows: int) -> Synthetic:
    """ARMA processes, half of them summed."""
    shocks = noise.innovations(rng, series, rows)
    mixed = np.where(chosen(rng, 0.5, series) > 0, noise.moving_average(rng, shocks), shocks)
    values = noise.autoregressive(rng, mixed)
    summed = noise.walk(rng, noise.autoregressive(rng, mixed, -0.4, 0.8))
    return Synthetic(np.where(chosen(rng, 0.5, series) > 0, summed, values), no_seasons(series))


def sarima(rng: np.random.Generator, series: int, rows: int) -> Synthetic:
    """Seasonal ARIMA processes that begin with a random season."""
    seasons = shapes.periods(rng, series)
    shocks = noise.autoregressive(rng, noise.innovations(rng, series, rows, 0.3), -0.3, 0.95)
    start = shapes.harmonic(rng, seasons[:, 0], rows) * log_uniform(rng, 0.3, 6, series) * shocks.std()
    kept = np.where(rng.random(series) < 0.5, 1.0, rng.uniform(0.3, 1.0, series))
    echoed = np.where(kept == 1, rng.uniform(-0.95, -0.2, series), rng.uniform(-0.5, 0.2, series))
    values = noise.seasonal_recursion(start, shocks, seasons[:, 0], kept, echoed)
    level = noise.walk(rng, noise.innovations(rng, series, rows)) * log_uniform(rng, 0.02, 1, series)
    return Synthetic(values + level * chosen(rng, 0.5, series), seasons)


def walks(rng: np.random.Generator, series: int, rows: int) -> Synthetic:
    """Random walks, with drift, heavy tails or changing volatility; a third are prices, their exponential."""
    shocks = noise.innovations(rng, series, rows)
    restless = chosen(rng, 0.5, series) > 0
    shocks = np.where(restless, shocks * noise.volatility(rng, series, rows), shocks)
    values = noise.walk(rng, shocks, 0.05)
    prices = np.exp(standardised(values) * log_uniform(rng, 0.05, 0.8, series))
    return Synthetic(np.where(chosen(rng, 0.35, series) > 0, prices, values), no_seasons(series))


def almost_walks(rng: np.random.Generator, series: int, rows: int) -> Synthetic:
    """Random walks with a little that can be forecast: changes that remember, a weak season, errors."""
    seasons = shapes.periods(rng, series)
    has_season = chosen(rng, 0.5, series)
    shocks = noise.innovations(rng, series, rows)
    restless = chosen(rng, 0.4, series) > 0
    shocks = np.where(restless, shocks * noise.volatility(rng, series, rows), shocks)
    values = noise.walk(rng, noise.moving_average(rng, shocks, -0.35, 0.35), 0.05)
    values += shapes.harmonic(rng, seasons[:, 0], rows) * has_season * log_uniform(rng, 0.1, 3, series)
    values += rng.standard_normal((series, rows)) * log_uniform(rng, 0.02, 0.5, series)
    seasons[:, 1] = 0
    return Synthetic(values, seasons * (has_season > 0).astype(np.int64))


def gaussian(rng: np.random.Generator, series: int, rows: int) -> Synthetic:
    """Sums of two Gaussian processes of different length, a third with a season, with noise."""
    seasons = shapes.periods(rng, series)
    has_season = chosen(rng, 0.35, series)
    values = noise.smooth(rng, series, rows) + noise.smooth(rng, series, rows) * log_uniform(rng, 0.05, 1, series)
    values += shapes.drifting(rng, seasons[:, 0], rows) * has_season * log_uniform(rng, 0.2, 2, series)
    blur = log_uniform(rng, 0.01, 1, series) * chosen(rng, 0.8, series)
    values += blur * noise.innovations(rng, series, rows)
    seasons[:, 1] = 0
    return Synthetic(values, seasons * (has_season > 0).astype(np.int64))


def shifting(rng: np.random.Generator, series: int, rows: int) -> Synthetic:
    """Levels that jump, below noise that remembers; half have a season."""
    seasons = shapes.periods(rng, series)
    has_season = chosen(rng, 0.5, series)
    values = shapes.shifts(rng, series, rows, 0.02) * log_uniform(rng, 0.5, 6, series)
    values += shapes.harmonic(rng, seasons[:, 0], rows) * has_season * log_uniform(rng, 0.2, 2, series)
    seasons[:, 1] = 0
    return Synthetic(values + _remembering_noise(rng, series, rows), seasons * (has_season > 0).astype(np.int64))


def intermittent(rng: np.random.Generator, series: int, rows: int) -> Synthetic:
    """Demand that is zero most of the time; half of it has a rate with a season."""
    seasons = shapes.periods(rng, series)
    has_season = chosen(rng, 0.5, series)
    log_rate = shapes.harmonic(rng, seasons[:, 0], rows) * has_season * rng.uniform(0.5, 2, (series, 1))
    log_rate += noise.smooth(rng, series, rows, 50, 400) * rng.uniform(0, 1, (series, 1))
    rate = np.minimum(log_uniform(rng, 0.03, 0.7, series) * np.exp(np.clip(log_rate, -4, 4)), 0.98)
    size = np.ceil(rng.exponential(1, (series, rows)) * log_uniform(rng, 0.5, 20, series))
    seasons[:, 1] = 0
    return Synthetic(
        np.where(rng.random((series, rows)) < rate, size, 0.0), seasons * (has_season > 0).astype(np.int64)
    )


def counts(rng: np.random.Generator, series: int, rows: int) -> Synthetic:
    """Counts: Poisson, a third of them more dispersed, whose rate has seasons and a slow level."""
    seasons = shapes.periods(rng, series)
    log_rate = shapes.week(rng, seasons, rows) * rng.uniform(0.1, 1, (series, 1))
    log_rate += noise.smooth(rng, series, rows, 30, 800) * rng.uniform(0, 0.7, (series, 1))
    rate = np.exp(np.clip(log_rate, -6, 6)) * log_uniform(rng, 0.3, 300, series)
    wide = rate * rng.gamma(3, 1 / 3, (series, rows))
    rate = np.where(chosen(rng, 0.33, series) > 0, wide, rate)
    return Synthetic(rng.poisson(np.minimum(rate, 1e6)).astype(np.float64), seasons)


def bounded(rng: np.random.Generator, series: int, rows: int) -> Synthetic:
    """Values between bounds: a hidden process cut off, saturated, or switched by a threshold."""
    hidden = [family(rng, series, rows) for family in (seasonal, arima)]
    is_seasonal = chosen(rng, 0.6, series)
    latent = standardised(np.where(is_seasonal > 0, hidden[0].values, hidden[1].values))
    low = rng.uniform(-1.5, 0.3, (series, 1))
    cut = np.clip(latent, low, low + log_uniform(rng, 0.5, 4, series))
    saturated = 1 / (1 + np.exp(-latent * log_uniform(rng, 0.5, 5, series)))
    switched = (latent > low) + 0.05 * rng.standard_normal((series, rows)) * chosen(rng, 0.5, series)
    kind = rng.choice(3, (series, 1), p=(0.4, 0.4, 0.2))
    return Synthetic(
        np.choose(kind, [cut, saturated, switched]), hidden[0].seasons * (is_seasonal > 0).astype(np.int64)
    )


def heavy_tailed(rng: np.random.Generator, series: int, rows: int) -> Synthetic:
    """Noise with bursts and spikes around a level that hardly moves; a third have a season."""
    seasons = shapes.periods(rng, series)
    has_season = chosen(rng, 0.35, series)
    skewed = np.exp(rng.standard_normal((series, rows)) * rng.uniform(0.2, 1.2, (series, 1)))
    base = np.where(chosen(rng, 0.5, series) > 0, skewed, noise.innovations(rng, series, rows, 1.0))
    values = np.where(chosen(rng, 0.6, series) > 0, noise.autoregressive(rng, base, 0, 0.9), base)
    values = standardised(values) + shapes.spikes(rng, series, rows) * log_uniform(rng, 2, 30, series)
    values += shapes.harmonic(rng, seasons[:, 0], rows) * has_season * log_uniform(rng, 0.3, 3, series)
    values += noise.walk(rng, noise.innovations(rng, series, rows)) * 0.1 * chosen(rng, 0.3, series)
    seasons[:, 1] = 0
    return Synthetic(values, seasons * (has_season > 0).astype(np.int64))


def restless(rng: np.random.Generator, series: int, rows: int) -> Synthetic:
    """Noise whose size changes, slowly or with the season, around a season or a wandering level."""
    seasons = shapes.periods(rng, series)
    has_season = chosen(rng, 0.5, series)
    season = shapes.harmonic(rng, seasons[:, 0], rows) * has_season
    size = noise.volatility(rng, series, rows) * np.exp(season * rng.uniform(-0.5, 1.0, (series, 1)))
    values = noise.autoregressive(rng, noise.innovations(rng, series, rows) * size, -0.3, 0.98)
    values = standardised(values) + season * log_uniform(rng, 0.3, 5, series)
    seasons[:, 1] = 0
    return Synthetic(values, seasons * (has_season > 0).astype(np.int64))


def _remembering_noise(rng: np.random.Generator, series: int, rows: int) -> Float:
    """Draw an autoregression, white noise, or a slow walk, of a size between a hundredth and 1 of the signal."""
    shocks = noise.innovations(rng, series, rows, 0.3)
    remembering = standardised(noise.autoregressive(rng, shocks, 0, 0.99))
    wandering = standardised(noise.walk(rng, shocks))
    kind = rng.choice(3, (series, 1), p=(0.5, 0.25, 0.25))
    size = log_uniform(rng, 0.02, 1.2, series)
    sized: Float = size * np.choose(kind, [remembering, standardised(shocks), wandering])
    return sized


FAMILIES: tuple[Family, ...] = (
    seasonal,
    weekly,
    multiplied,
    smoothing,
    arima,
    sarima,
    walks,
    almost_walks,
    gaussian,
    shifting,
    intermittent,
    counts,
    bounded,
    heavy_tailed,
    restless,
)
