"""Random processes of many series at once: innovations, autoregressions, walks and Gaussian processes.

Every function returns `(series, rows)`. The recursions loop over the rows and compute all series in each step.
"""

import numpy as np

from tidecast.arrays import Float, Int64

BURN_IN = 100  # rows that an autoregression computes before its first, so that it does not begin at zero
MEMORY = 3  # coefficients of an autoregression
WAVES = 32  # random cosines whose sum approximates a Gaussian process


def chosen(rng: np.random.Generator, share: float, series: int) -> Float:
    """Choose this share of the series at random: 1 where chosen, else 0, as a column."""
    return (rng.random((series, 1)) < share).astype(np.float64)


def log_uniform(rng: np.random.Generator, low: float, high: float, series: int) -> Float:
    """Draw a column of numbers whose logarithms are uniform."""
    drawn: Float = np.exp(rng.uniform(np.log(low), np.log(high), (series, 1)))
    return drawn


def standardised(values: Float) -> Float:
    """Give each series mean 0 and standard deviation 1; a constant series becomes 0."""
    centered = values - values.mean(axis=1, keepdims=True)
    spread = centered.std(axis=1, keepdims=True)
    scaled: Float = centered / np.where(spread > 1e-12, spread, 1.0)
    return scaled


def innovations(rng: np.random.Generator, series: int, rows: int, heavy: float = 0.4) -> Float:
    """Draw independent innovations: normal, or for the share `heavy` Student's t with 2.5 to 6 degrees of freedom."""
    freedom = rng.uniform(2.5, 6.0, (series, 1))
    normal = rng.standard_normal((series, rows))
    spread = np.sqrt(rng.chisquare(freedom, (series, rows)) / freedom)
    return np.where(chosen(rng, heavy, series) > 0, normal / spread, normal)


def autoregressive(rng: np.random.Generator, shocks: Float, low: float = -0.5, high: float = 0.995) -> Float:
    """Filter innovations, `(series, rows)`, by an autoregression with random roots between `low` and `high`."""
    series = len(shocks)
    roots = np.stack([rng.uniform(low, high, series), rng.uniform(-0.6, 0.7, series), rng.uniform(-0.5, 0.5, series)])
    roots[1:] *= rng.random((2, series)) < 0.6
    turning = rng.random(series) < 0.25  # two complex roots: a cycle that comes and goes
    radius = rng.uniform(0.7, 0.99, series)
    cosine = np.cos(2 * np.pi / np.exp(rng.uniform(np.log(4), np.log(60), series)))
    first = np.where(turning, 2 * radius * cosine, roots[0] + roots[1])
    second = np.where(turning, -(radius**2), -roots[0] * roots[1])
    coefficients = np.stack([first + roots[2], second - roots[2] * first, -roots[2] * second])
    burn_in = np.concatenate([shocks[:, -BURN_IN:][:, ::-1], shocks], axis=1).T
    result = np.zeros((len(burn_in) + MEMORY, series))
    for t, shock in enumerate(burn_in):
        result[t + MEMORY] = shock + (coefficients * result[t : t + MEMORY][::-1]).sum(axis=0)
    return np.ascontiguousarray(result[-shocks.shape[1] :].T)


def moving_average(rng: np.random.Generator, shocks: Float, low: float = -0.9, high: float = 0.6) -> Float:
    """Add to each innovation a random share, from `low` to `high`, of the one before."""
    before = np.concatenate([shocks[:, :1], shocks[:, :-1]], axis=1)
    mixed: Float = shocks + rng.uniform(low, high, (len(shocks), 1)) * before
    return mixed


def walk(rng: np.random.Generator, shocks: Float, drift: float = 0.1) -> Float:
    """Sum innovations to a random walk; `drift` is the usual size of its mean change."""
    change = rng.normal(0, drift, (len(shocks), 1)) * chosen(rng, 0.5, len(shocks))
    summed: Float = np.cumsum(shocks + change, axis=1)
    return summed


def volatility(rng: np.random.Generator, series: int, rows: int) -> Float:
    """Draw a slowly changing standard deviation around 1: the exponential of an autoregression."""
    logarithm = autoregressive(rng, rng.standard_normal((series, rows)), 0.9, 0.995)
    factor: Float = np.exp(np.clip(standardised(logarithm) * rng.uniform(0.2, 1.0, (series, 1)), -3, 3))
    return factor


def smooth(rng: np.random.Generator, series: int, rows: int, shortest: float = 3.0, longest: float = 400.0) -> Float:
    """Draw Gaussian processes by random Fourier features (Rahimi & Recht 2007).

    The length scales are log-uniform; a heavy-tailed spectrum makes half of the processes rough (Matern).
    """
    length = log_uniform(rng, shortest, longest, series)
    rough = chosen(rng, 0.5, series)
    t = np.arange(rows, dtype=np.float32)
    result = np.zeros((series, rows), np.float32)
    for _ in range(WAVES):
        tail = np.sqrt(rng.chisquare(3, (series, 1)) / 3)
        frequency = rng.standard_normal((series, 1)) / length / np.where(rough > 0, tail, 1.0)
        phase = rng.uniform(0, 2 * np.pi, (series, 1))
        result += np.cos(frequency.astype(np.float32) * t + phase.astype(np.float32))
    process: Float = result.astype(np.float64) * np.sqrt(2 / WAVES)
    return process


def seasonal_recursion(start: Float, shocks: Float, period: Int64, kept: Float, echoed: Float) -> Float:
    """Compute `z[t] = kept z[t - period] + shock[t] + echoed shock[t - period]`, from a first season.

    Args:
        start: `(series, rows)`; its first `period` rows are the first season.
        shocks: `(series, rows)`.
        period: `(series,)` in rows.
        kept: `(series,)` the share of the season before.
        echoed: `(series,)` the share of the shock a season before.
    """
    values = np.ascontiguousarray((start + shocks).T)
    shock = np.ascontiguousarray(shocks.T)
    every = np.arange(len(period))
    for t in range(int(period.min()), len(values)):
        on = t >= period
        before = np.where(on, t - period, 0)
        following = kept * values[before, every] + shock[t] + echoed * shock[before, every]
        values[t] = np.where(on, following, values[t])
    return np.ascontiguousarray(values.T)
