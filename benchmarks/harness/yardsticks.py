"""What a forecast is measured against: methods fitted once on a series' first part, one step ahead over the rest.

They belong to the benchmark `accuracy`, not to the product. Each takes a `Series` and answers `(rows,)` forecasts, row
t's from the rows before it; NaN where it has none, which is scored as the last value.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

LAGS = 24  # rows that the autoregressions look back on
ETS_LONGEST = 24  # rows: AutoETS takes no longer season
ETS_ROWS = 15_000  # in the first part: with more, AutoETS takes no season, which would cost it minutes
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Series:
    """One series as a yardstick sees it.

    Attributes:
        y: `(rows,)`, a missing reading replaced by the one before it.
        present: `(rows,)`, whether the reading is there: neither learned from nor scored where it is not.
        cut: the row where the test part begins.
        season: rows of a season; 1: none.
    """

    y: Float
    present: NDArray[np.bool_]
    cut: int
    season: int


def season_of(ts: NDArray[np.int64], y: Float, cut: int) -> int:
    """The season of rows at these epoch milliseconds, by their step; 1 where the first part holds no two of it."""
    found = _calendar(ts, y[:cut])
    return found if cut >= 2 * found + 5 else 1


def _calendar(ts: NDArray[np.int64], learned: Float) -> int:
    steps = np.diff(ts)
    step = float(np.median(steps))
    if step > 6 * DAY_MS:  # before the next rule: months are not equally long
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
    """The row before."""
    return _lagged(series.y, [1])[:, 0]


def seasonal_naive(series: Series) -> Float:
    """The row a season before."""
    return _lagged(series.y, [series.season])[:, 0]


def autoets(series: Series) -> Float:
    """Exponential smoothing chosen by AICc (Hyndman et al. 2002), carried over the test part with what it fitted."""
    from statsforecast.models import AutoETS

    learned = series.y[: series.cut]
    if np.ptp(learned) == 0:
        return _none(series)
    seasonal = series.season <= ETS_LONGEST and len(learned) <= ETS_ROWS
    model = AutoETS(season_length=series.season if seasonal else 1)
    try:
        fitted: Float = model.fit(learned).forward(series.y, h=1, fitted=True)["fitted"]
    except Exception as exc:  # the library raises no narrower one where no model can be fitted
        print(f"AutoETS gives up on a series, the last value stands in: {exc}")
        return _none(series)
    return fitted


def ar_ridge(series: Series) -> Float:
    """An autoregression of the levels by ridge, its lags scaled: one series' unit must not set the penalty."""
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = _lagged(series.y, range(1, _lags(series) + 1))
    return _answered(series, make_pipeline(StandardScaler(), Ridge(alpha=1)), rows, np.zeros(len(rows)))


def boosting(series: Series) -> Float:
    """Boosted trees under the absolute error, on the lags and the change to forecast, both less the last value."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    season = series.season
    seasonal = {season, season + 1, 2 * season} if season > 1 else set()
    last = last_value(series)
    rows = _lagged(series.y, sorted({*range(2, _lags(series) + 1), *seasonal})) - last[:, None]
    with threadpool_limits(1):  # trees this small are slower on several threads, by far where others work too
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
    """Fit a scikit-learn model to the targets less `offset` on the first part; its answers on the test part."""
    learned = series.present & (np.arange(len(rows)) < series.cut)
    learned[: _lags(series)] = False
    forecasts = _none(series)
    if learned.sum() >= 2:
        model.fit(rows[learned], (series.y - offset)[learned])
        forecasts[series.cut :] = model.predict(rows[series.cut :]) + offset[series.cut :]
    return forecasts


def _lags(series: Series) -> int:
    """Fewer on a short series: they leave it three quarters of its first part to learn from."""
    return max(1, min(LAGS, series.cut // 4))


def _lagged(y: Float, lags: Iterable[int]) -> Float:
    """`(rows, lags)`: what stood that many rows before; NaN before the first."""
    columns = [np.concatenate([np.full(min(lag, len(y)), np.nan), y[: max(0, len(y) - lag)]]) for lag in lags]
    return np.stack(columns, axis=1)


def _none(series: Series) -> Float:
    return np.full(len(series.y), np.nan)
