"""Reference methods: each is fitted once on a series' first part and forecasts the rest one step ahead.

They belong to the benchmark `accuracy`, not to the product. Each takes a `Series` and returns `(rows,)` forecasts, each
from the rows before it. A missing forecast is NaN, and is scored as the last value.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Float
from tidecast.durations import DAY_MS

LAGS = 24  # rows that the autoregressions read
ETS_LONGEST = 24  # rows: AutoETS ignores longer seasons
ETS_ROWS = 15_000  # in the first part: with more, AutoETS runs without a season, which would take minutes


@dataclass(frozen=True, slots=True)
class Series:
    """One series as input of a reference method.

    Attributes:
        y: `(rows,)`, a missing reading replaced by the one before it.
        present: `(rows,)`, whether the reading is present; other rows are neither trained on nor scored.
        cut: the row where the test part begins.
        season: rows of a season; 1: no season.
    """

    y: Float
    present: NDArray[np.bool_]
    cut: int
    season: int


def season_of(ts: NDArray[np.int64], y: Float, cut: int) -> int:
    """Return the season of rows at these epoch milliseconds, by their step; 1 if the first part is too short for it."""
    season = _calendar(ts, y[:cut])
    return season if cut >= 2 * season + 5 else 1


def _calendar(ts: NDArray[np.int64], learned: Float) -> int:
    steps = np.diff(ts)
    step = float(np.median(steps))
    if step > 6 * DAY_MS:  # checked before the next rule, as months differ in length
        return 12 if step > 25 * DAY_MS else 52
    if np.mean(steps != step) > 0.05:
        return 1
    if step < DAY_MS:
        return max(1, round(DAY_MS / step))
    by_year = len(ts) / 2 > 2 * 365 and _naive_error(learned, 365) < _naive_error(learned, 7)
    return 365 if by_year else 7


def _naive_error(y: Float, season: int) -> float:
    return float(np.abs(y[season:] - y[:-season]).mean())


def last_value(series: Series) -> Float:
    """Return the value one row before each row."""
    return lagged(series.y, [1])[:, 0]


def seasonal_naive(series: Series) -> Float:
    """Return the value one season before each row."""
    return lagged(series.y, [series.season])[:, 0]


def autoets(series: Series) -> Float:
    """Forecast by exponential smoothing chosen by AICc (Hyndman et al. 2002); the fit is kept over the test part."""
    from statsforecast.models import AutoETS

    learned = series.y[: series.cut]
    if np.ptp(learned) == 0:
        return _none(series)
    seasonal = series.season <= ETS_LONGEST and len(learned) <= ETS_ROWS
    model = AutoETS(season_length=series.season if seasonal else 1)
    try:
        fitted: Float = model.fit(learned).forward(series.y, h=1, fitted=True)["fitted"]
    except Exception as exc:  # the library raises a bare Exception if no model can be fitted
        print(f"AutoETS gives up on a series, the last value stands in: {exc}")
        return _none(series)
    return fitted


def ar_ridge(series: Series) -> Float:
    """Forecast by a ridge autoregression of the levels, on scaled lags so that the penalty is independent of units."""
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = lagged(series.y, range(1, _lags(series) + 1))
    return _answered(series, make_pipeline(StandardScaler(), Ridge(alpha=1)), rows, np.zeros(len(rows)))


def boosting(series: Series) -> Float:
    """Forecast by boosted trees with absolute error; lags and target are relative to the last value."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    season = series.season
    seasonal = {season, season + 1, 2 * season} if season > 1 else set()
    last = last_value(series)
    rows = lagged(series.y, sorted({*range(2, _lags(series) + 1), *seasonal})) - last[:, None]
    with threadpool_limits(1):  # trees this small are slower on several threads, by far on a busy machine
        return _answered(series, HistGradientBoostingRegressor(loss="absolute_error", random_state=0), rows, last)


METHODS: dict[str, Callable[[Series], Float]] = {
    "last_value": last_value,
    "seasonal_naive": seasonal_naive,
    "autoets": autoets,
    "ar_ridge": ar_ridge,
    "boosting": boosting,
}
NEEDS = {"autoets": "statsforecast", "ar_ridge": "sklearn", "boosting": "sklearn"}  # packages of the extra `bench`


def _answered(series: Series, model: Any, rows: Float, offset: Float) -> Float:
    """Fit a scikit-learn model to the targets minus `offset` on the first part; return forecasts of the test part."""
    learned = series.present & (np.arange(len(rows)) < series.cut)
    learned[: _lags(series)] = False
    forecasts = _none(series)
    if learned.sum() >= 2:
        model.fit(rows[learned], (series.y - offset)[learned])
        forecasts[series.cut :] = model.predict(rows[series.cut :]) + offset[series.cut :]
    return forecasts


def _lags(series: Series) -> int:
    """Return the number of lags, at most a quarter of the first part, so that enough rows remain for training."""
    return max(1, min(LAGS, series.cut // 4))


def lagged(y: Float, lags: Iterable[int]) -> Float:
    """Return the values that many rows before each row, `(rows, lags)`; NaN before the first row."""
    columns = [np.concatenate([np.full(min(lag, len(y)), np.nan), y[: max(0, len(y) - lag)]]) for lag in lags]
    return np.stack(columns, axis=1)


def _none(series: Series) -> Float:
    return np.full(len(series.y), np.nan)
