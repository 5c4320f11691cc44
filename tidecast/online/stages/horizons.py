"""Forecasts of more than one step: each is fed back as if it were a reading, and all experts forecast again."""

from dataclasses import replace

import numpy as np

from tidecast.arrays import Float
from tidecast.online.batch import Batch
from tidecast.online.engine import Engine
from tidecast.online.intervals import Tracker
from tidecast.online.kernels.rows import Rows
from tidecast.online.kernels.scoring import BatchScores
from tidecast.online.series.partition_series import PartitionSeries, SeriesEntry

More = dict[str, list[float | None]]


class Horizons:
    """The forecasts of the steps after the next one, each with an interval from its own errors.

    Args:
        horizon: the number of steps.
        level: of the intervals.
        bounds: the lowest and the highest possible forecast.
    """

    def __init__(self, horizon: int, level: float, bounds: tuple[float, float]) -> None:
        self._horizon = horizon
        self._level = level
        self._bounds = bounds

    def forecast(self, engine: Engine, batch: Batch, series: PartitionSeries, scores: BatchScores) -> More:
        """Forecast the steps 2 to `horizon` of each reading: `yhat_2`, `yhat_2_lower`, `yhat_2_upper` and so on."""
        further = range(2, self._horizon + 1)
        more: More = {f"yhat_{step}{end}": [] for step in further for end in ("", "_lower", "_upper")}
        if more and len(batch):
            for i, path in enumerate(self._paths(engine, batch, scores)):
                self._publish(batch, i, series.entry(batch.series[i]), path, more)
            series.columns.plain[batch.series] = 0
        return more

    def _paths(self, engine: Engine, batch: Batch, scores: BatchScores) -> Float:
        """Roll every series forward with the present weights of its experts: `(readings, horizon - 1)`."""
        first = batch.requests
        rows = [first.rows.window(i) for i in range(len(batch))]
        steps = batch.next_ts - batch.ts
        path = np.empty((len(batch), self._horizon))
        path[:, 0] = scores.yhat
        for step in range(1, path.shape[1]):
            rows = [_with_next(old, yhat) for old, yhat in zip(rows, path[:, step - 1].tolist(), strict=True)]
            next_ts = batch.next_ts + step * steps
            requests = replace(first, rows=Rows.of(rows), next_ts=next_ts)
            for i, (forecasts, weights) in enumerate(zip(engine.predict(requests), scores.weights, strict=True)):
                path[i, step] = _blend(forecasts, weights, path[i, step - 1])
            path[:, step] = self._bounded(path[:, step])
        return path[:, 1:]

    def _publish(self, batch: Batch, i: int, entry: SeriesEntry, path: Float, more: More) -> None:
        """Score the pending forecasts of further steps of reading `i`, and write its new ones, `(horizon - 1,)`."""
        state = entry.state
        steps = len(path)
        if len(state.ahead) != steps:
            state.ahead = np.full((steps, steps + 1), np.nan)
            state.ahead_trackers = [Tracker() for _ in range(steps)]
        if batch.skipped[i]:  # no reading came for the skipped steps: their forecasts cannot be scored
            state.ahead[:] = np.nan
        # A model is not judged by readings that it learned from.
        is_new = entry.slot is None or batch.ts[i] > entry.slot.trained_until
        for k, yhat in enumerate(path.tolist()):
            # Row k holds the forecasts k + 2 steps ahead: its oldest entry is the forecast of this reading.
            tracker = state.ahead_trackers[k]
            row = state.ahead[k, : k + 2]
            if np.isfinite(row[0]) and is_new:
                tracker.update(float(batch.y[i]) - float(row[0]), self._level)
            row[:-1] = row[1:].copy()
            row[-1] = yhat
            name = f"yhat_{k + 2}"
            half = tracker.known
            ends = (None, None) if half is None else self._bounded(np.array([yhat - half, yhat + half])).tolist()
            for end, value in zip(("", "_lower", "_upper"), (yhat, *ends), strict=True):
                more[name + end].append(value)

    def _bounded(self, values: Float) -> Float:
        bounded: Float = np.clip(values, *self._bounds)
        return bounded


def _blend(forecasts: Float, weights: Float, before: float) -> float:
    """Return the weighted mean of the experts that can forecast; without any, the forecast of the step before."""
    usable = np.where(np.isfinite(forecasts), weights, 0.0)
    total = usable.sum()
    if total <= 0:
        return before
    usable = usable / total
    return float(usable[usable > 0] @ forecasts[usable > 0])


def _with_next(rows: Float, yhat: float) -> Float:
    """Return the rows with the forecast appended; the other features keep their last value."""
    newest = rows[-1:].copy()
    newest[0, 0] = yhat
    return np.concatenate([rows, newest])
