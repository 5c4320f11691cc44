"""Seasons, trends and patterns of many series at once; every function returns `(series, rows)`."""

import numpy as np

from tidecast.arrays import Float, Int64
from trainer.pretrain.noise import chosen, log_uniform, smooth, standardised

PERIODS = np.array([24, 24, 24, 7, 7, 12, 12, 48, 52, 96, 144, 288])  # the usual seasons of usual steps, in rows
LONGER = {24: 168, 48: 336, 96: 672, 12: 84, 52: 208, 144: 576}  # the second season above the first, in rows
HARMONICS = 8  # at most, of a season's shape
BUMPS = 4  # at most, of a season's profile


def periods(rng: np.random.Generator, series: int) -> Int64:
    """Draw a first and a second season length for each series, `(series, 2)` in rows; 0: only one."""
    first = rng.choice(PERIODS, series)
    unusual = rng.random(series) < 0.15
    first = np.where(unusual, rng.integers(4, 61, series), first)
    return np.stack([first, np.where(rng.random(series) < 0.5, longer(first), 0)], axis=1)


def longer(first: Int64) -> Int64:
    """Return the usual second season above each first one, in rows; 0: none."""
    second = [LONGER.get(period, 7 * period if period < 60 else 0) for period in first.tolist()]
    return np.array(second, np.int64)


def harmonic(rng: np.random.Generator, period: Int64, rows: int) -> Float:
    """Draw seasons, standardised: two thirds are sums of harmonics, the others have the bumps of a day.

    A share of the sums is cut at the bottom, or has sharp peaks, or steps.
    """
    series = len(period)
    t = np.arange(rows)
    angle = 2 * np.pi * t / np.maximum(period[:, None], 1)
    count = rng.integers(1, HARMONICS + 1, series)
    decay = rng.uniform(0.3, 2.0, series)
    shape = np.zeros((series, rows))
    for k in range(1, HARMONICS + 1):
        size = rng.standard_normal(series) * k**-decay * ((k <= count) & (2 * k <= period))
        shape += size[:, None] * np.cos(k * angle + rng.uniform(0, 2 * np.pi, (series, 1)))
    shape = standardised(shape)
    floor = np.where(chosen(rng, 0.3, series) > 0, rng.uniform(-1.5, 0.5, (series, 1)), -np.inf)
    shape = np.maximum(shape, floor)
    peaked = np.exp(np.clip(shape * rng.uniform(0.3, 1.2, (series, 1)), -5, 5))
    shape = np.where(chosen(rng, 0.25, series) > 0, peaked, shape)
    steps = np.round(shape * rng.uniform(0.5, 1.5, (series, 1)))
    shape = np.where(chosen(rng, 0.1, series) > 0, steps, shape)
    shape = np.where(chosen(rng, 1 / 3, series) > 0, bumps(rng, period, rows), standardised(shape))
    return shape * (period[:, None] > 1)


def bumps(rng: np.random.Generator, period: Int64, rows: int) -> Float:
    """Draw seasons with one to `BUMPS` bumps, standardised.

    Each bump rises and falls at a pace of its own; few point down.
    """
    series = len(period)
    length = np.maximum(period[:, None], 1)
    phase = np.arange(rows) % length / length
    count = rng.integers(1, BUMPS + 1, (series, 1))
    profile = np.zeros((series, rows))
    for k in range(BUMPS):
        away = (phase - rng.random((series, 1)) + 0.5) % 1 - 0.5
        width = log_uniform(rng, 0.04, 0.25, series)
        skew = np.exp(rng.normal(0, 0.4, (series, 1)))
        height = np.exp(rng.normal(0, 0.6, (series, 1))) * np.where(rng.random((series, 1)) < 0.85, 1, -1)
        bump = np.exp(-((away / np.where(away < 0, width * skew, width / skew)) ** 2) / 2)
        profile += height * bump * (k < count)
    return standardised(profile)


def drifting(rng: np.random.Generator, period: Int64, rows: int) -> Float:
    """Draw seasons whose height and shape change slowly for half of the series."""
    series = len(period)
    height = np.exp(smooth(rng, series, rows, 100, 800) * rng.uniform(0, 0.5, (series, 1)) * chosen(rng, 0.5, series))
    share = 1 / (1 + np.exp(-2 * smooth(rng, series, rows, 200, 1000)))
    share = np.where(chosen(rng, 0.3, series) > 0, share, 1.0)
    return height * (share * harmonic(rng, period, rows) + (1 - share) * harmonic(rng, period, rows))


def week(rng: np.random.Generator, seasons: Int64, rows: int) -> Float:
    """Draw days within weeks: every day of the longer season mixes two shapes of a day, and has a level of its own."""
    series = len(seasons)
    day = np.maximum(seasons[:, :1], 1)
    days = np.where(seasons[:, 1:] > 0, seasons[:, 1:] // day, 1)
    begun = rng.integers(0, 7 * 24, (series, 1))
    number = ((np.arange(rows) + begun) // day) % days
    working = (number < np.maximum(1, np.round(days * 5 / 7))).astype(np.float64)
    free = np.where(chosen(rng, 0.6, series) > 0, working, rng.random((series, 20))[np.arange(series)[:, None], number])
    level = rng.standard_normal((series, 20))[np.arange(series)[:, None], number]
    first = harmonic(rng, seasons[:, 0], rows)
    second = harmonic(rng, seasons[:, 0], rows) * rng.uniform(0.1, 0.8, (series, 1)) + 0.5 * first
    mixed: Float = free * first + (1 - free) * second + level * rng.uniform(0, 0.7, (series, 1)) * (days > 1)
    return mixed


def trend(rng: np.random.Generator, series: int, rows: int) -> Float:
    """Draw trends: straight, bent at up to four rows, saturating or exponential, over a few units in all rows."""
    t = np.linspace(0, 1, rows)
    size = rng.standard_normal((series, 1)) * 3
    bends = rng.uniform(0, 1, (series, 4, 1)) + (rng.random((series, 4, 1)) < 0.5)
    slopes = rng.standard_normal((series, 4, 1)) * 4
    bent = size * t + (slopes * np.maximum(t - bends, 0)).sum(axis=1)
    saturating = size * (1 - np.exp(-t * log_uniform(rng, 1, 30, series)))
    exponential = size * np.expm1(t * rng.uniform(0.5, 3, (series, 1))) / 3
    kind = rng.integers(0, 4, (series, 1))
    return np.choose(kind, [size * t, bent, saturating, exponential])


def shifts(rng: np.random.Generator, series: int, rows: int, rate: float = 0.005) -> Float:
    """Draw levels that jump at random rows: `rate` is the largest mean number of jumps per row."""
    often = log_uniform(rng, rate / 20, rate, series)
    jumps = rng.standard_normal((series, rows)) * (rng.random((series, rows)) < often)
    walked = np.cumsum(jumps, axis=1)
    newest = np.maximum.accumulate(np.where(jumps != 0, np.arange(rows), 0), axis=1)
    redrawn = np.take_along_axis(jumps, newest, axis=1)  # each level is independent of the one before
    return np.where(chosen(rng, 0.5, series) > 0, walked, redrawn)


def spikes(rng: np.random.Generator, series: int, rows: int) -> Float:
    """Draw rare spikes, most of them upwards; half of them fade over a few rows."""
    rare = log_uniform(rng, 0.001, 0.05, series)
    side = np.sign(rng.uniform(-0.3, 1, (series, 1)))
    drawn = rng.exponential(1, (series, rows)) ** 1.5 * side * (rng.random((series, rows)) < rare)
    fading = rng.uniform(0, 0.9, series) * (rng.random(series) < 0.5)
    result = np.ascontiguousarray(drawn.T)
    for t in range(1, rows):
        result[t] += fading * result[t - 1]
    return np.ascontiguousarray(result.T)
