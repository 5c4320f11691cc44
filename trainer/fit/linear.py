"""The linear experts of a series, fitted in closed form or nearly so, as a panel for `tidecast.models.experts`.

All of them forecast the next change from past rows minus the newest value. The autoregression is fitted by ridge,
which estimates the mean, and by least absolute deviations, which estimate the median and are robust to spikes; each
with and without the lags of the seasons.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Float, Int64
from tidecast.models.experts import EXPERTS, HALF_LIVES, LINEAR, LINEAR_KNOWN, TERMS, LinearExperts
from tidecast.models.model import window_seasons
from tidecast.models.time_grid import Grid

Regression = Callable[[Float, Float], tuple[Float, float]]

LAGS = 24  # rows of the target that the autoregression reads
FEATURE_LAGS = 2  # rows of every other feature
SMOOTHED = 40  # rows that the exponential smoothing reads
ALPHAS = (0.2, 0.3, 0.5, 0.7)  # smoothing rates to try: the best on the training part is used
RIDGE, LAD = 1.0, 0.1  # penalties on standardised terms: worth a few examples each, so they fade as data grow
SPARE, FEWEST = 1.5, 10  # examples needed for each coefficient, plus a fixed number
ROUNDS = 30  # rounds of reweighting: the objective has converged by then
SHARPEST = 1e-3  # of the mean move: a smaller error is weighted as if it were this large
# The floor of an error shrinks from round to round: a huge weight too early would pin the fit to a few examples.
FLOORS = tuple(max(SHARPEST, 0.3 ** (i / 2)) for i in range(ROUNDS))
ROUNDING = float(np.finfo(float).eps)


@dataclass(frozen=True, slots=True)
class KnownTerms:
    """The terms of the linear expert with known inputs, which are the last columns of a grid."""

    columns: int = 0  # as many columns are known inputs
    lags: tuple[int, ...] = (0, 1)  # the rows of them, 1 among them
    seasons: tuple[int, ...] = ()  # in rows, of its terms of the target


NO_KNOWN = KnownTerms()


def fit_panel(grid: Grid, seasons: Sequence[int], stop: int, known: KnownTerms = NO_KNOWN) -> LinearExperts:
    """Fit the linear experts on the rows before `stop`; leave out experts for which there are too few rows.

    Args:
        grid: the series on its grid; column 0 is the target.
        seasons: the season lengths in rows, the most marked first; none: no seasonal expert.
        stop: rows from here on are not used.
        known: the columns of the inputs that are known ahead.
    """
    seasons = window_seasons(seasons)
    fitting = _Fitting.begin(grid, seasons, stop, known)
    near = ((fitting.lags < LAGS) | (fitting.columns > 0)) & ~fitting.is_ahead(grid, known)
    own = fitting.columns == 0
    first = near | (own & np.isin(fitting.lags, seasonal_lags(seasons[:1], stop)))
    far = near | (own & np.isin(fitting.lags, seasonal_lags(seasons, stop)))
    for name, season in zip(("seasonal_naive", "long_seasonal_naive"), seasons, strict=False):
        fitting.add(name, (fitting.lags == season - 1) & (fitting.columns == 0), 0.0)
    fitting.add("smoothing", fitting.smoothing(), 0.0)
    if seasons and fitting.bears(far):
        fitting.regress("linear", ridge, far)
        fitting.regress("linear_robust", least_absolute, far)
        if len(seasons) > 1:
            fitting.regress("linear_season", least_absolute, first)
        fitting.regress("linear_recent", least_absolute, near)
    elif fitting.bears(near):
        fitting.regress("linear", ridge, near)
        fitting.regress("linear_robust", least_absolute, near)
    if known.columns and fitting.bears(with_known := fitting.known_terms(grid, known)):
        fitting.regress("linear_known", least_absolute, with_known)
        coefficients = fitting.coefficients[LINEAR_KNOWN - LINEAR.start]
        for newest, others in fitting.changes(grid, known):
            coefficients[newest] -= coefficients[others].sum()
    return fitting.panel()


def unseen_errors(grid: Grid, rows: range, stop: int, known: KnownTerms) -> tuple[Float, Float] | None:
    """Return the errors on unseen examples without and with known inputs, as `linear_known` would make them.

    Args:
        grid: the series, with the known inputs as its last columns.
        rows: the rows that the two regressions learn from.
        stop: the examples from `rows.stop` to here are unseen.
        known: the terms of the expert.

    Returns:
        `(unseen examples,)` each, NaN where a term is missing; None if there are too few rows to learn from.
    """
    fitting = _Fitting.begin(grid, known.seasons, stop, known)
    with_known = fitting.known_terms(grid, known)
    count = len(examples(grid, fitting.lags[:1], fitting.columns[:1], rows.stop)[1])
    skipped = len(examples(grid, fitting.lags[:1], fitting.columns[:1], rows.start + 1)[1])
    whole = fitting.whole(with_known)
    learned = skipped + np.flatnonzero(whole[skipped:count])
    if len(learned) < SPARE * np.count_nonzero(with_known) + FEWEST:
        return None
    errors = []
    for chosen in (with_known & ~fitting.is_ahead(grid, known), with_known):
        coefficients, intercept = least_absolute(fitting.terms[np.ix_(learned, chosen)], fitting.moves[learned])
        error = np.abs(fitting.terms[count:][:, chosen] @ coefficients + intercept - fitting.moves[count:])
        errors.append(np.where(whole[count:], error, np.nan))
    return errors[0], errors[1]


def seasonal_lags(seasons: Sequence[int], rows: int) -> list[int]:
    """Return the lags around one season before the reading to forecast; with enough rows also two seasons before."""
    lags: set[int] = set()
    for season in seasons:
        lags |= {season - 1, season, season + 1}
        if 4 * season < rows:
            lags.add(2 * season - 1)
    return sorted(lag for lag in lags if lag > 0)


def ridge(terms: Float, moves: Float) -> tuple[Float, float]:
    """Fit least squares with a penalty on the standardised coefficients (Hoerl & Kennard 1970).

    Args:
        terms: `(examples, terms)`, finite.
        moves: `(examples,)` the values to explain.

    Returns:
        The coefficients, `(terms,)`, and the intercept.
    """
    design, restore = _standardised(terms)
    return restore(_solve(design, moves, np.ones(len(moves)), RIDGE))


def least_absolute(terms: Float, moves: Float) -> tuple[Float, float]:
    """Fit least absolute deviations by reweighted least squares (Schlossmacher 1973); arguments as for `ridge`.

    A linear program (scikit-learn's QuantileRegressor) is exact. Its mean error is smaller by less than 1 in 10,000.
    It takes 25 times as long on 800 examples of 45 terms, 90 times on 3,000 and 230 times on 12,000.
    """
    design, restore = _standardised(terms)
    size = float(np.abs(moves).mean()) or 1.0  # 1 where all moves are zero
    weights: Float = np.ones(len(moves))
    solution: Float = np.zeros(design.shape[1])
    for floor in FLOORS:
        solution = _solve(design, moves, weights, LAD)
        weights = 1 / np.maximum(np.abs(moves - design @ solution), size * floor)
    return restore(solution)


@dataclass(slots=True)
class _Fitting:
    """A panel that is being fitted."""

    lags: Int64  # (terms,)
    columns: Int64  # (terms,)
    terms: Float  # (examples, terms), NaN where the series does not reach so far back
    moves: Float  # (examples,) the next value minus the newest
    coefficients: Float = field(init=False)
    bias: Float = field(init=False)
    needs: Int64 = field(init=False)

    def __post_init__(self) -> None:
        self.coefficients = np.zeros((len(LINEAR), len(self.lags)))
        self.bias = np.zeros(len(LINEAR))
        self.needs = np.zeros(len(LINEAR), np.int64)

    @classmethod
    def begin(cls, grid: Grid, seasons: Sequence[int], stop: int, known: KnownTerms) -> "_Fitting":
        back = sorted({*range(1, SMOOTHED), *seasonal_lags(seasons, stop)})
        others = grid.values.shape[1] - 1 - known.columns
        ahead = [*known.lags] * known.columns
        lags = np.array(back + list(range(FEATURE_LAGS)) * others + ahead)
        sizes = [len(back), *[FEATURE_LAGS] * others, *[len(known.lags)] * known.columns]
        columns = np.repeat(np.arange(len(sizes)), sizes)
        fitting = cls(lags, columns, *examples(grid, lags, columns, stop))
        for newest, others in fitting.changes(grid, known):
            fitting.terms[:, others] -= fitting.terms[:, [newest]]
        return fitting

    def changes(self, grid: Grid, known: KnownTerms) -> Iterator[tuple[int, Int64]]:
        """Yield for each known input the place of its value at the newest row, and those of its other terms.

        The others are taken relative to it: as two levels they would be almost the same, and shrink each other.
        """
        for column in range(grid.values.shape[1] - known.columns, grid.values.shape[1]):
            newest = int(np.flatnonzero((self.columns == column) & (self.lags == 1))[0])
            yield newest, np.flatnonzero((self.columns == column) & (self.lags != 1))

    def is_ahead(self, grid: Grid, known: KnownTerms) -> NDArray[np.bool_]:
        """Return which terms are known inputs, `(terms,)`."""
        return np.asarray(self.columns >= grid.values.shape[1] - known.columns)

    def known_terms(self, grid: Grid, known: KnownTerms) -> NDArray[np.bool_]:
        """Return the terms of the expert with known inputs, `(terms,)`."""
        own = self.columns == 0
        seasonal = own & np.isin(self.lags, seasonal_lags(known.seasons, len(grid)))
        return np.asarray((self.lags < LAGS) | ~own | seasonal)

    def bears(self, chosen: NDArray[np.bool_]) -> bool:
        return bool(np.count_nonzero(self.whole(chosen)) >= SPARE * np.count_nonzero(chosen) + FEWEST)

    def regress(self, name: str, fit: Regression, chosen: NDArray[np.bool_]) -> None:
        rows = self.whole(chosen)
        coefficients = np.zeros(len(self.lags))
        fitted, intercept = fit(self.terms[np.ix_(rows, chosen)], self.moves[rows])
        coefficients[chosen] = fitted
        self.add(name, coefficients, intercept)

    def add(self, name: str, coefficients: NDArray[np.generic], intercept: float) -> None:
        at = EXPERTS.index(name) - LINEAR.start
        self.coefficients[at] = coefficients
        self.bias[at] = intercept
        self.needs[at] = self.lags[self.coefficients[at] != 0].max(initial=0) + 1

    def smoothing(self) -> Float:
        """Return simple exponential smoothing (Brown 1956) with the best of a few rates, as weights of the lags."""
        own = (self.lags < SMOOTHED) & (self.columns == 0)
        tried: list[Float] = []
        for alpha in ALPHAS:
            shares = np.where(own, alpha * (1 - alpha) ** self.lags, 0.0)
            tried.append(shares / (shares.sum() + alpha))  # the newest value's own share is alpha
        rows = self.whole(own)
        errors = [np.abs(self.terms[np.ix_(rows, own)] @ shares[own] - self.moves[rows]).sum() for shares in tried]
        return tried[int(np.argmin(errors))]

    def panel(self) -> LinearExperts:
        short = -len(self.lags) % TERMS
        return LinearExperts(
            np.pad(self.lags, (0, short)),
            np.pad(self.columns, (0, short)),
            np.pad(self.coefficients, ((0, 0), (0, short))),
            self.bias,
            self.needs,
            np.full((len(HALF_LIVES), len(EXPERTS)), np.nan),
        )

    def whole(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which examples have all chosen terms, `(examples,)`."""
        return np.asarray(np.isfinite(self.terms[:, chosen]).all(axis=1))


def examples(grid: Grid, lags: Int64, columns: Int64, stop: int) -> tuple[Float, Float]:
    """Return the linear experts' inputs before each measured row below `stop`, and the target's move at that row.

    Returns:
        `(examples, terms)`, NaN where a row lies across a gap or before the first; and `(examples,)`.
    """
    newest = np.arange(min(stop, len(grid)) - 1)
    measured = grid.measured
    newest = newest[measured[newest] & measured[newest + 1] & (grid.segment[newest] == grid.segment[newest + 1])]
    at = newest[:, None] - lags
    is_known = (at >= 0) & (grid.segment[np.maximum(at, 0)] == grid.segment[newest][:, None])
    last = grid.values[newest, 0]
    terms = grid.values[np.maximum(at, 0), columns] - np.where(columns == 0, last[:, None], 0.0)
    return np.where(is_known, terms, np.nan), grid.values[newest + 1, 0] - last


def _standardised(terms: Float) -> tuple[Float, Callable[[Float], tuple[Float, float]]]:
    center = terms.mean(axis=0)
    deviation = terms.std(axis=0)
    spread: Float = np.where(deviation > 0, deviation, 1.0)

    def restore(solution: Float) -> tuple[Float, float]:
        coefficients = solution[:-1] / spread
        return coefficients, float(solution[-1] - center @ coefficients)

    return np.column_stack([(terms - center) / spread, np.ones(len(terms))]), restore


def _solve(design: Float, moves: Float, weights: Float, penalty: float) -> Float:
    weighted = design * weights[:, None]
    normal = weighted.T @ design
    diagonal = normal.reshape(-1)[:: len(normal) + 1]  # a view
    diagonal[:-1] += penalty * (weights.sum() / len(weights))  # the intercept is not penalised
    diagonal += ROUNDING * diagonal.sum()
    return np.asarray(np.linalg.solve(normal, weighted.T @ moves), np.float64)
