"""The experts that forecast a series, and the constants of their blend.

`online/kernels/linear.py` computes the linear experts, `online/kernels/scoring.py` the blend.

The experts have one fixed order. The forecast is NaN for an expert that a series lacks, or that cannot forecast yet.
The last value is the first expert and always takes part: a model that goes wrong loses its weight within a few
readings, without an operator.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Float

EXPERTS = (
    "naive",  # the last value
    "seasonal_naive",  # the value one season ago; for a season too long for the window, its profile at the recent level
    "long_seasonal_naive",  # the same for a second, longer season
    "smoothing",  # simple exponential smoothing; without a model its rate is fixed
    "linear",  # autoregression on recent and seasonal lags, by ridge
    "linear_robust",  # the same by least absolute deviations
    "linear_season",  # the same with the first season's lags alone
    "linear_recent",  # the same without a season
    "linear_known",  # the robust one with the inputs that are known ahead
    "lstm",  # the series' own network
    "shared_lstm",  # the network of its cohort
    # These need no training on the series:
    "pretrained",  # the network that is part of the package
    "seasonal_change",  # the last value and the change one season ago
    "online_recent",  # least squares on recent changes, updated with every reading
    "online_season",  # the same with the terms of a season
    "online_seasons",  # the same with those of two seasons
    "median",  # of the newest rows
    "own",  # an expert of the user's own
)
NAIVE, LSTM, SHARED = 0, EXPERTS.index("lstm"), EXPERTS.index("shared_lstm")
LINEAR_KNOWN = EXPERTS.index("linear_known")
OWN = EXPERTS.index("own")
MEDIAN = EXPERTS.index("median")
SMOOTHING = EXPERTS.index("smoothing")
PRETRAINED, SEASONAL_CHANGE = EXPERTS.index("pretrained"), EXPERTS.index("seasonal_change")
ONLINE = range(EXPERTS.index("online_recent"), EXPERTS.index("online_seasons") + 1)
SEASONAL_NAIVES = slice(EXPERTS.index("seasonal_naive"), EXPERTS.index("long_seasonal_naive") + 1)
LINEAR = range(1, LSTM)  # the experts that weigh past rows by fixed coefficients

SHARPNESS = 20.0  # an expert whose errors are 5 % larger than the best one's gets 1 / e of its weight
# Readings after which an error counts half. The worse of its two records determines an expert's weight: the long record
# separates small differences from chance, the short one removes an expert soon after the series has changed.
HALF_LIVES = (100.0, 25.0)
# For so many readings after a detected change both records forget as the short one: experts that read rows from before
# the change are bad at first, and a long record would keep them out long after they have recovered.
CHANGED_READINGS = 300
FORGETTING = 1 - 0.5 ** (1 / np.array(HALF_LIVES))[:, None]  # (records, 1)
# A new expert begins as if its errors had been this multiple of another expert's for `PRIOR_READINGS` readings. So no
# series pays for an expert before it has proved itself. Every other expert has the ratio 1.
PRIORS = {
    "pretrained": ("naive", 0.5),
    "shared_lstm": ("pretrained", 1.0),
    "smoothing": ("pretrained", 1.5),
    "seasonal_naive": ("pretrained", 1.5),
    "long_seasonal_naive": ("pretrained", 1.5),
    "seasonal_change": ("pretrained", 1.3),
    "online_recent": ("pretrained", 1.4),
    "online_season": ("online_recent", 1.1),
    "online_seasons": ("online_season", 1.1),
    "median": ("pretrained", 1.5),
}
PRIOR_READINGS = 10.0
PRIOR_FADED = 60  # readings after which an expert's own errors alone count; the prior's weight falls evenly until then
PROVEN = 200  # readings that are counted at most; more do not change how much is known of an expert
# Lasting handicap of the experts that need no training: on a random walk each is only a little worse than the last
# value, and would share half of the weight. It grows evenly with the readings.
MARGIN, MARGIN_READINGS = 0.04, 100
# The blend is smoother at first, when differences between experts may be chance: full sharpness after 70 readings.
SHARPNESS_READINGS, FIRST_READINGS = 100.0, 30.0
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
