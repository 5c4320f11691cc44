"""Roll series forward: each forecast becomes the newest row, and the experts that need no training forecast again."""

import numpy as np

from tidecast.arrays import Float, Int64
from tidecast.models.experts import EXPERTS, MEDIAN, ONLINE, SMOOTHING
from tidecast.online.kernels.decorators import compiled, compiled_exactly, part
from tidecast.online.kernels.median import median_of_newest
from tidecast.online.kernels.online_linear import (
    FARTHEST_LEVEL,
    FAST,
    SEASONAL,
    SLOW,
    OnlineCoefficients,
    finite,
    smoothed,
    within,
    write_seasonal,
    write_terms,
)
from tidecast.online.kernels.rows import Rows
from tidecast.wire.state_format import ONLINE_TERMS

_FIRST = ONLINE.start
_EXPERTS = len(ONLINE)


@compiled_exactly
def with_room(rows: Rows, room: int) -> Rows:
    """Return a copy of the rows with room for so many further rows of each series."""
    n = len(rows.ends)
    size = 0
    for i in range(n):
        size += (rows.held[i] + room) * rows.widths[i]
    values = np.empty(size)
    ends = np.empty(n, np.int64)
    at = 0
    for i in range(n):
        count = rows.held[i] * rows.widths[i]
        first = rows.ends[i] - count
        for k in range(count):
            values[at + k] = rows.values[first + k]
        ends[i] = at + count
        at += count + room * rows.widths[i]
    return Rows(values, ends, rows.held.copy(), rows.widths)


@compiled_exactly
def append(rows: Rows, values: Float) -> None:
    """Append a row to each series in place: its target is `values`, `(n,)`; other features keep their last value."""
    for i in range(len(values)):
        end = rows.ends[i]
        width = rows.widths[i]
        rows.values[end] = values[i]
        for k in range(1, width):
            rows.values[end + k] = rows.values[end + k - width]
        rows.ends[i] = end + width
        rows.held[i] += 1


@compiled
def forecast_further(learned: OnlineCoefficients, rows: Rows, seasons: Int64, trained: Int64, forecasts: Float) -> None:
    """Write the forecasts of the experts that need no training, after a row that is a forecast.

    Args:
        learned: the experts after the last reading; the levels follow the new row.
        rows: the newest rows of each series.
        seasons: `(n, 2)` in rows; 0: the series has no such season.
        trained: `(n,)` not 0: the series' model has forecast the seasonal naives and the smoothing.
        forecasts: `(n, experts)`, written; NaN where an expert cannot forecast.
    """
    terms = np.empty(ONLINE_TERMS)
    unknown = np.full((2, SEASONAL), np.nan)  # the profiles of long seasons, which further steps do not use
    for i in range(len(trained)):
        end = rows.ends[i]
        width = rows.widths[i]
        values = rows.values[end - rows.held[i] * width : end : width]
        write_seasonal(values, seasons[i], unknown, trained[i], forecasts[i])
        newest = values[len(values) - 1]
        scale = learned.scales[i]
        _follow(learned.levels[i], newest - values[len(values) - 2], scale)
        if not trained[i]:
            forecasts[i, SMOOTHING] = smoothed(values, learned.levels[i])
        forecasts[i, MEDIAN] = median_of_newest(values)
        terms[:] = 0.0
        write_terms(learned.levels[i], values, seasons[i], unknown, terms)
        for expert in range(_EXPERTS):
            move = 0.0
            for k in range(ONLINE_TERMS):
                move += learned.terms[i, expert, k] * within(terms[k] / scale)
            forecasts[i, _FIRST + expert] = newest + within(move) * scale if not np.isnan(move) else np.nan


@part
def _follow(levels: Float, move: float, scale: float) -> None:
    """Let the smoothed levels follow a row."""
    for i in range(2):
        away = move - levels[i]
        most = FARTHEST_LEVEL * scale
        levels[i] = finite((FAST if i == 0 else SLOW) * min(max(away, -most), most) - away)


def warm() -> None:
    """Compile the loops, or load them from the cache."""
    ones = np.ones(1, np.int64)
    rows = with_room(Rows(np.zeros(1), ones, ones, ones), 1)
    append(rows, np.zeros(1))
    forecasts = np.zeros((1, len(EXPERTS)))
    forecast_further(OnlineCoefficients.empty(1), rows, np.zeros((1, 2), np.int64), ones, forecasts)
