"""Methods that forecast several steps of a series from given rows, each fitted once on the series' first part.

They belong to the benchmark `horizons`, not to the product. Each takes a `Task` and returns `(cutoffs, steps)`
forecasts; a missing one is NaN, and is scored as the last value.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.harness.yardsticks import ETS_LONGEST, ETS_ROWS, LAGS, lagged
from tidecast.arrays import Float, Int64

BOOSTED_ROWS = 3000  # newest rows of the first part that a model of boosting learns from: it has one for each step
ARIMA_ROWS = 300  # the same of AutoARIMA, whose fits to more rows with a season take minutes
SEASONAL_LAGS = 3  # seasons back


@dataclass(frozen=True, slots=True)
class Task:
    """A series to forecast from several of its rows.

    Attributes:
        y: `(rows,)`.
        cut: the row where the test part begins.
        season: rows of a season; 1: no season.
        steps: the number of steps to forecast.
        cutoffs: `(cutoffs,)` the newest known row of each forecast.
    """

    y: Float
    cut: int
    season: int
    steps: int
    cutoffs: Int64


def last_value(task: Task) -> Float:
    """Repeat the newest reading."""
    return np.repeat(task.y[task.cutoffs][:, None], task.steps, axis=1)


def seasonal_naive(task: Task) -> Float:
    """Repeat the newest season."""
    back = (np.arange(task.steps) // task.season + 1) * task.season
    answers: Float = task.y[task.cutoffs[:, None] + np.arange(1, task.steps + 1) - back]
    return answers


def autoets(task: Task) -> Float:
    """Forecast by exponential smoothing chosen by AICc (Hyndman et al. 2002)."""
    from statsforecast.models import AutoETS

    season = task.season if task.season <= ETS_LONGEST and task.cut <= ETS_ROWS else 1
    return _forwarded(AutoETS(season_length=season), task, task.cut)


def autoarima(task: Task) -> Float:
    """Forecast by a seasonal ARIMA chosen by AICc (Hyndman & Khandakar 2008)."""
    from statsforecast.models import AutoARIMA

    season = task.season if task.season <= ETS_LONGEST else 1
    return _forwarded(AutoARIMA(season_length=season, approximation=True), task, ARIMA_ROWS)


def boosting(task: Task) -> Float:
    """Forecast each step by boosted trees of its own, with absolute error; all is relative to the last value."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    newest = max(1, min(LAGS, task.cut // 4))
    answers = np.empty((len(task.cutoffs), task.steps))
    for step in range(1, task.steps + 1):
        first = -(-step // task.season) * task.season if task.season > 1 else 0  # the newest known row of that phase
        phases = {first + back * task.season for back in range(SEASONAL_LAGS)} if first else set()
        lags = sorted({*range(step + 1, step + newest), *phases, *(phase + 1 for phase in phases)})
        last = lagged(task.y, [step])[:, 0]
        rows = lagged(task.y, [lag for lag in lags if lag > step]) - last[:, None]
        learned = np.arange(len(rows)) < task.cut
        learned[: max(newest + step, task.cut - BOOSTED_ROWS)] = False
        model = HistGradientBoostingRegressor(loss="absolute_error", random_state=0)
        with threadpool_limits(1):  # trees this small are slower on several threads, by far on a busy machine
            model.fit(rows[learned], (task.y - last)[learned])
        # The row `step` after a cutoff has only values up to the cutoff among its lags.
        answers[:, step - 1] = model.predict(rows[task.cutoffs + step]) + task.y[task.cutoffs]
    return answers


METHODS: dict[str, Callable[[Task], Float]] = {
    "last_value": last_value,
    "seasonal_naive": seasonal_naive,
    "autoets": autoets,
    "autoarima": autoarima,
    "boosting": boosting,
}
NEEDS = {"autoets": "statsforecast", "autoarima": "statsforecast", "boosting": "sklearn"}  # packages of `bench`


def _forwarded(model: Any, task: Task, rows: int) -> Float:
    """Fit a model to at most so many rows before the test part, and forecast from each cutoff without another fit."""
    answers = np.full((len(task.cutoffs), task.steps), np.nan)
    learned = task.y[max(0, task.cut - rows) : task.cut]
    if np.ptp(learned) == 0:
        return answers
    try:
        with np.errstate(all="ignore"):
            fitted = model.fit(learned)
            for i, cutoff in enumerate(task.cutoffs.tolist()):
                known = task.y[max(0, cutoff + 1 - rows) : cutoff + 1]
                answers[i] = fitted.forward(known, h=task.steps)["mean"]
    except Exception as exc:  # the library raises a bare Exception if no model can be fitted
        print(f"{type(model).__name__} gives up on a series, the last value stands in: {exc}")
    return answers
