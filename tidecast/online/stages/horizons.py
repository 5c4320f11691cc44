"""Forecasts of more than one step: each is fed back as if it were a reading, and all experts forecast again."""

from dataclasses import replace

import numpy as np

from tidecast.arrays import Float
from tidecast.models.experts import PRETRAINED
from tidecast.online.batch import Batch
from tidecast.online.engine import Engine
from tidecast.online.kernels.further import intervals, paths
from tidecast.online.kernels.online_linear import OnlineCoefficients
from tidecast.online.kernels.scoring import BatchScores
from tidecast.online.kernels.series_rows import NONE
from tidecast.online.stages.publishing import or_none
from tidecast.settings import SeriesSettings
from tidecast.wire import field_of, time_field_of
from tidecast.wire.messages import Column
from tidecast.wire.state_format import NUMBER, record_numbers

LEAST_WEIGHT = 1e-3  # an expert that weighs less is left out of further steps, which saves most runs of the network


class Horizons:
    """The forecasts of the steps after the next one, each with its time and intervals from its own errors.

    Args:
        settings: of the series, with the number of steps and the levels.
        bounds: the lowest and the highest possible forecast.
    """

    def __init__(self, settings: SeriesSettings, bounds: tuple[float, float]) -> None:
        self._horizon = settings.horizon
        self._more_levels = settings.more_levels
        levels = np.array([settings.level, *settings.more_levels])
        self._levels = levels, intervals.first_multipliers(levels) if settings.horizon > 1 else levels
        self._bounds = bounds

    def room(self, readings: int) -> OnlineCoefficients:
        """Return room for the experts that learn after each of so many readings; none without further steps."""
        return OnlineCoefficients.empty(readings if self._horizon > 1 else 0)

    def forecast(
        self, engine: Engine, batch: Batch, scores: BatchScores, learned: OnlineCoefficients
    ) -> dict[str, Column]:
        """Return the fields of the steps 2 to `horizon` of each reading.

        Args:
            engine: the models.
            batch: the accepted readings.
            scores: their scores, with the first step and the weights of the experts.
            learned: the experts that learn, after each reading; changed.
        """
        if self._horizon == 1 or not len(batch):
            return {}
        path = self._paths(engine, batch, scores, learned)
        half_widths = self._scored(batch, path)
        further: dict[str, Column] = {}
        for k in range(self._horizon - 1):
            step = k + 2
            further[time_field_of(step)] = or_none(batch.readings.times_ahead(step), batch.readings.steps > 0)
            further[field_of(step)] = path[:, k].copy()
            for i, level in enumerate((None, *self._more_levels)):
                half = half_widths[:, k, i]
                further[field_of(step, "lower", level)] = np.clip(path[:, k] - half, *self._bounds)
                further[field_of(step, "upper", level)] = np.clip(path[:, k] + half, *self._bounds)
        return further

    def _paths(self, engine: Engine, batch: Batch, scores: BatchScores, learned: OnlineCoefficients) -> Float:
        """Roll every series forward with the present weights of its experts: `(readings, horizon - 1)`."""
        first = batch.requests
        rows = paths.with_room(first.rows, self._horizon - 1)
        trained = first.slabs != NONE
        weights = np.where(scores.weights >= LEAST_WEIGHT, scores.weights, 0.0)
        pretrained = np.flatnonzero(~trained & (weights[:, PRETRAINED] > 0))
        path = np.empty((self._horizon, len(batch)))
        path[0] = scores.yhat
        for step in range(1, self._horizon):
            paths.append(rows, path[step - 1])
            requests = replace(first, rows=rows, next_ts=batch.readings.times_ahead(step + 1))
            forecasts = engine.predict(requests)
            paths.forecast_further(learned, rows, batch.readings.seasons, trained.astype(np.int64), forecasts)
            network = engine.predict_pretrained(rows.chosen(pretrained), batch.readings.seasons[pretrained])
            forecasts[pretrained, PRETRAINED] = network
            path[step] = np.clip(_blend(forecasts, weights, path[step - 1]), *self._bounds)
        return np.ascontiguousarray(path[1:].T)

    def _scored(self, batch: Batch, path: Float) -> Float:
        """Score the pending forecasts; return the half-widths of the new ones, `(readings, horizon - 1, levels)`."""
        series = batch.series
        readings = batch.readings
        count = len(self._levels[0])
        half_widths = np.empty((*path.shape, count))
        # A model is not judged by readings that it learned from, and a run of gross errors counts as one.
        judged = (series["version"] == 0) | (readings.ts > series["trained_until"])
        judged &= readings.doubted <= 1
        intervals.score_further(
            series["record"] + NUMBER * record_numbers(count),
            (readings.y, readings.missing, judged.astype(np.int64)),
            path,
            self._levels,
            intervals.sizes_of(self._horizon - 1, count),
            half_widths,
        )
        return half_widths


def _blend(forecasts: Float, weights: Float, before: Float) -> Float:
    """Return the weighted means of the experts that can forecast; without any, the forecast of the step before."""
    usable = np.isfinite(forecasts) & (weights > 0)
    shares = np.where(usable, weights, 0.0)
    total = shares.sum(axis=1)
    means = (shares * np.where(usable, forecasts, 0.0)).sum(axis=1) / np.where(total > 0, total, 1.0)
    blended: Float = np.where(total > 0, means, before)
    return blended
