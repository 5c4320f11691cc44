"""The experts that forecast a series, and the rule that blends their forecasts into one.

The experts have one fixed order. The forecast is NaN for an expert that a series lacks, or that cannot forecast yet.
The last value is the first expert and always takes part: a model that goes wrong loses its share within a few readings,
without an operator.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Float

EXPERTS = (
    "naive",  # the last value
    "seasonal_naive",  # the value one season ago
    "long_seasonal_naive",  # the same for a second, longer season
    "smoothing",  # simple exponential smoothing
    "linear",  # autoregression on recent and seasonal lags, by ridge
    "linear_robust",  # the same by least absolute deviations
    "linear_season",  # the same with the first season's lags alone
    "linear_recent",  # the same without a season
    "lstm",  # the series' own network
    "shared_lstm",  # the network of its cohort
)
NAIVE, LSTM, SHARED = 0, EXPERTS.index("lstm"), EXPERTS.index("shared_lstm")
LINEAR = range(1, LSTM)  # the experts that weigh past rows by fixed coefficients

SHARPNESS = 20.0  # an expert whose errors are 5 % larger than the best one's gets 1 / e of its share
# Readings after which an error counts half. The worse of its two records determines an expert's share: the long record
# separates small differences from chance, the short one removes an expert soon after the series has changed.
HALF_LIVES = (100.0, 25.0)
FORGETTING = 1 - 0.5 ** (1 / np.array(HALF_LIVES))[:, None]  # (records, 1)
TERMS = 8  # sums have a multiple of so many terms, so that padding does not change any bit of them


@dataclass(frozen=True, slots=True)
class LinearExperts:
    """The linear experts of a series, in the order of `EXPERTS`, and the first errors of all its experts.

    A linear forecast is the newest value, plus a bias, plus a weighted sum of terms. A term is a past value of one
    column. For the target's column, the newest value is subtracted, so that an expert does not depend on the level.
    """

    lags: NDArray[np.int64]  # (terms,) rows before the newest, 0 for the newest itself
    columns: NDArray[np.int64]  # (terms,) 0 is the target
    coefficients: Float  # (linear experts, terms)
    bias: Float  # (linear experts,) in the series' unit
    needs: NDArray[np.int64]  # (linear experts,) how many rows each needs; 0: the series lacks it
    errors: Float  # (records, experts) discounted absolute errors at the end of the held-out tail; NaN: no such expert

    @property
    def rows(self) -> int:
        """Return how many rows the experts read at most."""
        return int(self.needs.max(initial=1))

    @classmethod
    def naive(cls, error: float = np.nan) -> Self:
        """Return the panel of an untrained series: the last value alone."""
        errors = np.full((len(HALF_LIVES), len(EXPERTS)), np.nan)
        errors[:, NAIVE] = error
        nothing = np.zeros(TERMS, np.int64)
        size = len(LINEAR)
        return cls(nothing, nothing, np.zeros((size, TERMS)), np.zeros(size), np.zeros(size, np.int64), errors)

    def answers(self, rows: Float, held: NDArray[np.int64]) -> Float:
        """Forecast the next value by the last value and the linear experts.

        Args:
            rows: `(n, rows, features)`, newest last; rows that a series does not hold yet are ignored.
            held: `(n,)` how many rows each series holds.

        Returns:
            `(n, 1 + linear experts)`, NaN where an expert reads more rows than are held.
        """
        return linear_answers(
            rows,
            held,
            self.lags[None],
            self.columns[None],
            self.coefficients[None],
            self.bias[None],
            self.needs[None],
        )


def linear_answers(
    rows: Float,
    held: NDArray[np.int64],
    lags: NDArray[np.int64],
    columns: NDArray[np.int64],
    coefficients: Float,
    bias: Float,
    needs: NDArray[np.int64],
) -> Float:
    """Compute `LinearExperts.answers` with experts per row: each array has a leading axis, `(n, ...)` or `(1, ...)`.

    A row's answer is the same to the last bit whatever else is in the batch.
    """
    newest = rows[:, -1, 0]
    at = np.maximum(rows.shape[1] - 1 - lags, 0)
    terms = rows[np.arange(len(rows))[:, None], at, columns]  # (n, terms)
    terms = np.nan_to_num(terms - np.where(columns == 0, newest[:, None], 0.0))
    moves = (terms[:, None, :] * coefficients).sum(axis=-1) + bias
    known = (needs > 0) & (held[:, None] >= needs)
    return np.concatenate([newest[:, None], np.where(known, newest[:, None] + moves, np.nan)], axis=1)


def shares(errors: Float, answers: Float) -> Float:
    """Return the share of each expert in the forecast, `exp(-20 (E / E_min - 1))` divided by the sum over experts.

    Args:
        errors: `(records, experts)` discounted mean absolute errors, NaN while not known.
        answers: `(experts,)` present forecasts, NaN where an expert cannot forecast.

    Returns:
        `(experts,)`, summing to 1. Only experts with a finite forecast and a known error get a share; without any, the
        last value gets it all.
    """
    known = np.isfinite(answers) & np.isfinite(errors[0])
    if not known.any():
        last_value: Float = np.eye(len(answers))[NAIVE]
        return last_value
    mine = errors[:, known]
    least = mine.min(axis=1, keepdims=True)
    weights = np.zeros(len(answers))
    # Beside an expert with hardly any error, or none, the others get no share.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        excess = np.where(mine == least, 0.0, mine / least - 1).max(axis=0)
        excess = np.minimum(excess, np.finfo(np.float64).max)  # also if each has an error of 0 in only one record
        weights[known] = np.exp(-SHARPNESS * (excess - excess.min()))
    shared: Float = weights / weights.sum()
    return shared


def learn(errors: Float, answers: Float, actual: float, most: float = np.inf) -> Float:
    """Return each expert's errors with the newest added by exponential smoothing, `(records, experts)`.

    An expert without a known error begins with this one; an expert without a forecast keeps its errors. Errors are
    limited to `most`, see `Guard.farthest`.
    """
    newest = np.abs(answers - actual)
    counted = np.minimum(newest, most)
    smoothed: Float = np.where(np.isfinite(errors), errors + FORGETTING * (counted - errors), counted)
    learned: Float = np.where(np.isfinite(newest), smoothed, errors)
    return learned


def blend(says: Float, answers: Float) -> float:
    """Return the forecast: the sum of the answers, `(experts,)`, weighted by their shares."""
    return float(says[says > 0] @ answers[says > 0])
