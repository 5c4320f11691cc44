"""The experts that answer for a series, and the rule that blends them into one forecast.

The experts stand in one fixed order; one that a series lacks, or that cannot answer yet, says NaN. The last value is
the first of them and always takes part: a model that goes wrong loses its say within readings, without an operator.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tidecast.models.time_grid import Float

EXPERTS = (
    "naive",  # the last value
    "seasonal_naive",  # the value one season ago
    "long_seasonal_naive",  # the same for a second, longer season
    "smoothing",  # simple exponential smoothing
    "linear",  # autoregression on recent and seasonal lags, by ridge
    "linear_lad",  # the same by least absolute deviations
    "linear_season",  # the same with the first season's lags alone
    "linear_recent",  # the same without a season
    "lstm",  # the series' own network
    "shared_lstm",  # the network of its cohort
)
NAIVE, LSTM, SHARED = 0, EXPERTS.index("lstm"), EXPERTS.index("shared_lstm")
LINEAR = range(1, LSTM)  # those that weigh past rows by fixed coefficients

SHARPNESS = 20.0  # an expert whose errors are 5 % larger than the best one's weighs 1 / e of it
# Readings after which an error counts half. An expert weighs what the worse of its two records allows: the long one
# tells small differences from luck, the short one silences an expert soon after the series has changed.
HALF_LIVES = (100.0, 25.0)
FORGETTING = 1 - 0.5 ** (1 / np.array(HALF_LIVES))[:, None]  # (records, 1)
TERMS = 8  # the terms of a sum come in multiples of this, so that padding moves no bit of it


@dataclass(frozen=True, slots=True)
class Panel:
    """A series' linear experts, in the order of `EXPERTS`, and the errors that all its experts begin with.

    Each linear expert answers the newest value, plus a bias, plus a weighted sum of terms. A term is a past value of
    one column; the target's are taken less its newest value, so that no expert need know the level.
    """

    lags: NDArray[np.int64]  # (terms,) rows before the newest, 0 for the newest itself
    columns: NDArray[np.int64]  # (terms,) 0 is the target
    coefficients: Float  # (linear experts, terms)
    bias: Float  # (linear experts,) in the series' unit
    needs: NDArray[np.int64]  # (linear experts,) how many rows one must see; 0: the series lacks it
    errors: Float  # (records, experts) discounted absolute errors at the end of the held-out tail; NaN: lacks it

    @property
    def rows(self) -> int:
        """How many rows the experts read at most."""
        return int(self.needs.max(initial=1))

    @classmethod
    def naive(cls, error: float = np.nan) -> Self:
        """The panel of a series of which nothing was learned: the last value alone."""
        errors = np.full((len(HALF_LIVES), len(EXPERTS)), np.nan)
        errors[:, NAIVE] = error
        nothing = np.zeros(TERMS, np.int64)
        size = len(LINEAR)
        return cls(nothing, nothing, np.zeros((size, TERMS)), np.zeros(size), np.zeros(size, np.int64), errors)

    def answers(self, rows: Float, held: NDArray[np.int64]) -> Float:
        """Forecast the next value by the last value and the linear experts.

        Args:
            rows: `(n, rows, features)`, newest last; rows that a series does not hold yet may be anything.
            held: `(n,)` how many of them it does.

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
    """`Panel.answers` with each row's own panel: every part of the panel has a leading axis, `(n, ...)` or `(1, ...)`.

    A row's answer does not depend, to the last bit, on the others of the batch.
    """
    newest = rows[:, -1, 0]
    at = np.maximum(rows.shape[1] - 1 - lags, 0)
    terms = rows[np.arange(len(rows))[:, None], at, columns]  # (n, terms)
    terms = np.nan_to_num(terms - np.where(columns == 0, newest[:, None], 0.0))
    moves = (terms[:, None, :] * coefficients).sum(axis=-1) + bias
    known = (needs > 0) & (held[:, None] >= needs)
    return np.concatenate([newest[:, None], np.where(known, newest[:, None] + moves, np.nan)], axis=1)


def shares(errors: Float, answers: Float) -> Float:
    """How much each expert says: `exp(-20 (E / E_min - 1))`, as shares of one.

    Args:
        errors: `(records, experts)` each one's discounted mean absolute errors, NaN while none is known.
        answers: `(experts,)` what each says now, NaN where it cannot answer.

    Returns:
        `(experts,)`, summing to 1. Only an expert with a finite answer and a known error has a say; where there is
        none, the last value decides.
    """
    known = np.isfinite(answers) & np.isfinite(errors[0])
    if not known.any():
        last_value: Float = np.eye(len(answers))[NAIVE]
        return last_value
    mine = errors[:, known]
    least = mine.min(axis=1, keepdims=True)
    says = np.zeros(len(answers))
    # Beside an expert with hardly any error, or none, the others are silent.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        excess = np.where(mine == least, 0.0, mine / least - 1).max(axis=0)
        excess = np.minimum(excess, np.finfo(np.float64).max)  # also where each is without error in one record alone
        says[known] = np.exp(-SHARPNESS * (excess - excess.min()))
    shared: Float = says / says.sum()
    return shared


def learn(errors: Float, answers: Float, actual: float, most: float = np.inf) -> Float:
    """Discount each expert's errors and add the newest: exponential smoothing, `(records, experts)`.

    An expert whose error was not known begins with this one; one that gave no answer keeps its own. No error counts
    for more than `most`, see `Guard.farthest`.
    """
    newest = np.abs(answers - actual)
    counted = np.minimum(newest, most)
    smoothed: Float = np.where(np.isfinite(errors), errors + FORGETTING * (counted - errors), counted)
    learned: Float = np.where(np.isfinite(newest), smoothed, errors)
    return learned


def blend(says: Float, answers: Float) -> float:
    """The forecast: the answers, `(experts,)`, in their shares."""
    return float(says[says > 0] @ answers[says > 0])
