"""The intervals of further steps: scored when the reading of a forecast arrives, several readings after the forecast.

The half-width is the mean error of the step times a multiplier, which the conformal rule of `interval_widths`
adapts: a miss raises it, a hit lowers it. Errors of 0 do not count in the mean. A forecast is compared with the
interval that was published with it, and the rate falls with the number of steps: otherwise a multiplier would go on
rising for as many readings as its effect is late, and swing. After missing steps a reading settles the forecasts that
were made for its time. With up to 24 steps, the intervals of 90 % cover 85 to 95 % at every step on 47 of 50 real
series.
"""

import math

import numpy as np

from tidecast.arrays import Float, Float32, Int64
from tidecast.online.kernels.decorators import compiled_exactly, part_exactly
from tidecast.online.kernels.pointers import carray, floats_at, singles_at
from tidecast.wire.state_format import FURTHER_LEARNED, NUMBER, further_numbers, pending_numbers

RATE = 0.15  # how far one reading moves the logarithm of the multiplier, times the root of the number of steps
MEMORY = 0.02  # the weight of the newest error in the mean error
MOST_MEANS = 5.0  # mean errors: a larger error counts as this many in the mean
FIRST_ERRORS = 8  # which count fully
DOUBTFUL_ERRORS = 20  # among so many may be a spike, so recent errors limit the mean
FADING = 0.03  # how much of an error is recent at the next one
NEGLIGIBLE = 1e-5  # mean errors: a smaller one counts as 0
FEW, HALF = 2.5, 0.5  # errors that are not 0, and their share, at most: a spike makes as many, which leave no width
CAUTION = 1.2  # the first multiplier over that of normal errors
LEAST, MOST = 0.1, 100.0  # multipliers
# The numbers of a step: errors; the share of those that are not 0; the number of these; their mean; the largest recent
# one; the multipliers.
SEEN, MOVING, ERRORS, MEAN, RECENT, LEARNED = range(FURTHER_LEARNED + 1)
_LARGEST = float(np.finfo(np.float32).max)
_COUNTED = 1e6  # errors at most; a float32 counts exactly so far


def first_multipliers(levels: Float) -> Float:
    """Return the half-widths, in mean errors, with which intervals of these levels begin: `(levels,)`."""
    from statistics import NormalDist  # imported late: only forecasts of several steps need it

    mean = math.sqrt(2 / math.pi)  # of the absolute value of a standard normal variable
    return np.array([CAUTION * NormalDist().inv_cdf((1 + level) / 2) / mean for level in levels.tolist()])


@compiled_exactly
def score_further(
    addresses: Int64,
    readings: tuple[Float, Int64, Int64],
    paths: Float,
    levels: tuple[Float, Float],
    sizes: tuple[int, int],
    half_widths: Float,
) -> None:
    """Score the pending forecasts of further steps, and make the new ones pending.

    Args:
        addresses: `(n,)` of the numbers of the further steps of each reading's series, which may occur many times.
        readings: `(n,)` each: the value; how many steps were missing before it, -1 where no pending forecast is for
            it; not 0 where it is a reading that the forecasts are judged by.
        paths: `(n, steps)` the new forecasts of the second step and the following ones.
        levels: of the intervals, and their first multipliers.
        sizes: how many forecasts are pending, and how many float32 numbers follow them.
        half_widths: `(n, steps, levels)`, written; NaN while no error is known.
    """
    y, missing, judged = readings
    pending, singles = sizes
    count = len(levels[0])
    for i in range(len(addresses)):
        numbers = carray(floats_at(addresses[i]), (1 + pending,))
        others = carray(singles_at(addresses[i] + NUMBER * (1 + pending)), (singles,))
        made = int(numbers[0])
        if missing[i] < 0:
            numbers[1:] = np.nan
        gap = max(0, missing[i])
        first = 0
        for step in range(paths.shape[1]):
            for k in range(min(gap, step + 2)):  # the missing steps made no forecast, and settle none
                numbers[1 + first + (made + k) % (step + 2)] = np.nan
            place = first + (made + gap) % (step + 2)  # where the forecast of this reading is
            widths = others[place * count : (place + 1) * count]
            learned = others[pending * count + step * (LEARNED + count) :]
            forecast = numbers[1 + place]
            if judged[i] and not math.isnan(forecast):
                _learn(learned, abs(y[i] - forecast), widths, levels, RATE / math.sqrt(step + 2))
            numbers[1 + place] = paths[i, step]
            for level in range(count):
                widths[level] = _half_width(learned, levels[0][level], level)
                half_widths[i, step, level] = widths[level]
            first += step + 2
        numbers[0] = made + gap + 1


@part_exactly
def _half_width(learned: Float32, aim: float, level: int) -> float:
    """Return the half-width of the next forecast: 0 while few errors are not 0, NaN before the first error."""
    if learned[SEEN] == 0:
        return np.nan
    few = min(FEW * max(MEMORY, 1 / learned[SEEN]), HALF)
    if learned[MOVING] <= max(1 - aim, few):
        return 0.0
    return min(np.float64(learned[LEARNED + level]) * np.float64(learned[MEAN]), _LARGEST)


@part_exactly
def _learn(learned: Float32, error: float, widths: Float32, levels: tuple[Float, Float], rate: float) -> None:
    """Update the numbers of a step with the size of an error of its forecasts."""
    error = min(error, _LARGEST)
    aims, begins = levels
    for level in range(len(aims)):
        place = LEARNED + level
        if learned[ERRORS] == 0:
            learned[place] = begins[level]
        elif widths[level] > 0:
            covered = 1.0 if error <= widths[level] else 0.0
            learned[place] = min(max(learned[place] * math.exp(rate * (aims[level] - covered)), LEAST), MOST)
    learned[SEEN] = min(learned[SEEN] + 1, _COUNTED)
    moves = 1.0 if error > NEGLIGIBLE * learned[MEAN] else 0.0
    learned[MOVING] += max(MEMORY, 1 / learned[SEEN]) * (moves - learned[MOVING])
    if error > 0:
        _learn_mean(learned, error)


@part_exactly
def _learn_mean(learned: Float32, error: float) -> None:
    """Update the mean of the errors that are not 0."""
    learned[ERRORS] = min(learned[ERRORS] + 1, _COUNTED)
    count = learned[ERRORS]
    mean = float(learned[MEAN])
    if count > FIRST_ERRORS:
        error = min(error, MOST_MEANS * mean)
    learned[RECENT] = max(error, FADING * learned[RECENT])
    mean += max(MEMORY, 1 / count) * (error - mean)
    learned[MEAN] = min(mean, MOST_MEANS * learned[RECENT]) if count <= DOUBTFUL_ERRORS else mean


def sizes_of(steps: int, levels: int) -> tuple[int, int]:
    """Return how many forecasts of so many further steps are pending, and how many float32 numbers follow them."""
    pending = pending_numbers(steps)
    return pending, 2 * (further_numbers(steps, levels) - 1 - pending)


def warm() -> None:
    """Compile the loop, or load it from the cache."""
    numbers = np.zeros(further_numbers(1, 1))
    ones = np.ones(1, np.int64)
    level = np.full(1, 0.9)
    address = ones * numbers.ctypes.data
    score_further(
        address, (np.zeros(1), ones, ones), np.zeros((1, 1)), (level, level), sizes_of(1, 1), np.zeros((1, 1, 1))
    )
