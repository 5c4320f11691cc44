"""Forecast several steps of series without a model: each forecast is fed back as the next reading.

Workers forecast only the next reading of such series. The intervals of further steps are conformal: their half-width is
a quantile of the errors that the same procedure makes from past cutoffs.
"""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from tidecast.arrays import Float
from tidecast.files.history import History
from tidecast.settings import SeriesSettings
from tidecast.tools.virtual_clock import results_of
from tidecast.wire import Forecast

if TYPE_CHECKING:
    from tidecast.online.forecaster import Forecaster

CUTOFFS = 20  # in the past, from which errors are computed
READ_BEFORE = 200  # readings before such a cutoff; the pretrained network takes most of the time
FEWEST_BEFORE = 20  # readings before the first cutoff


def roll(forecaster: "Forecaster", newest: Mapping[str, Forecast], h: int, target: str = "value") -> dict[str, Float]:
    """Return the forecasts of the next `h` steps of each series, `(h,)`; the forecaster learns from them.

    Args:
        forecaster: that has read the series.
        newest: the newest forecast of each series that has a time.
        h: the number of steps.
        target: the field of the readings.
    """
    paths: dict[str, list[float]] = {series: [] for series in newest}
    forecasts = dict(newest)
    for _ in range(h):
        readings = []
        for series, made in forecasts.items():
            paths[series].append(made.yhat)
            if made.ts is not None:
                readings.append(_history(series, [made.ts], [made.yhat], target))
        forecasts = {each.series: each for result in results_of(forecaster, readings) for each in result.forecasts}
    return {series: np.array(path) for series, path in paths.items() if len(path) == h}


def half_widths(history: History, h: int, settings: SeriesSettings) -> Float:
    """Return the half-width of the interval of each step, `(h,)`; NaN if the history is too short for it.

    Args:
        history: of a series without a model, whose first feature is the target.
        h: the number of steps.
        settings: the level, and how readings are read.
    """
    from tidecast.online.forecaster import Forecaster

    room = len(history) - h - FEWEST_BEFORE
    count = min(CUTOFFS, room + 1)
    rank = ceil((count + 1) * settings.level)
    if rank > count:
        return np.full(h, np.nan)
    step = min(h, room // (count - 1))
    cutoffs = {str(i): len(history) - h - i * step for i in range(count)}
    target = history.values[:, 0]
    parts = [_part(history, name, cutoff) for name, cutoff in cutoffs.items()]
    forecaster = Forecaster(settings.model_copy(update={"target": "value", "horizon": 1}))
    newest = {each.series: each for result in results_of(forecaster, parts) for each in result.forecasts}
    paths = roll(forecaster, newest, h)
    errors = np.array([np.abs(target[cutoffs[name] : cutoffs[name] + h] - path) for name, path in paths.items()])
    if len(errors) < count:
        return np.full(h, np.nan)
    widths: Float = np.sort(errors, axis=0)[rank - 1]
    return widths


def _part(history: History, name: str, cutoff: int) -> History:
    first = max(0, cutoff - READ_BEFORE)
    return _history(name, history.ts[first:cutoff], history.values[first:cutoff, 0])


def _history(series: str, ts: Sequence[int] | np.ndarray, y: Sequence[float] | Float, target: str = "value") -> History:
    return History(series, (target,), np.asarray(ts, np.int64), np.asarray(y, np.float64)[:, None])
