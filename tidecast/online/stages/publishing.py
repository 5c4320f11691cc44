"""Write the forecasts of a batch field by field, and report the drifts that it revealed."""

import numpy as np

from tidecast.arrays import Bools, Float, Int64
from tidecast.models.experts import EXPERTS
from tidecast.online.batch import Batch
from tidecast.online.drift import KINDS, Drift
from tidecast.online.kernels.detection.drift_sums import NOTHING
from tidecast.online.kernels.detection.watch_facts import BEGINS
from tidecast.online.kernels.scoring import BatchScores
from tidecast.online.series.partition_series import PartitionSeries
from tidecast.wire import Forecasts, field_of
from tidecast.wire.messages import Column


def publish(
    batch: Batch,
    series: PartitionSeries,
    scores: BatchScores,
    more_levels: tuple[float, ...],
    bounds: tuple[float, float],
    into: Forecasts,
) -> None:
    """Write the forecasts field by field.

    Args:
        batch: the accepted readings.
        series: the series of the partition.
        scores: their scores and next forecasts.
        more_levels: the levels of the intervals beyond the first.
        bounds: the lowest and the highest possible forecast.
        into: receives the forecasts.
    """
    versions = batch.series["version"].copy()  # contiguous, for the encoder
    readings = batch.readings
    into.id = batch.ids
    into.series = series.names_of(readings.number)
    into.ts = or_none(batch.requests.next_ts, readings.steps > 0)
    into.yhat = scores.yhat
    into.yhat_lower, into.yhat_upper = _interval(scores, 0, bounds)
    into.origin = readings.ts
    into.model = or_none(versions, versions > 0)
    into.kind = [EXPERTS[leader] for leader in scores.leader.tolist()]
    into.y = readings.y
    into.error = scores.error
    into.anomaly_score = scores.score
    into.anomaly = or_none(scores.watched & BEGINS, np.isfinite(scores.score))
    into.filled = readings.filled
    for i, level in enumerate(more_levels, 1):
        lower, upper = _interval(scores, i, bounds)
        into.more |= {field_of(end="lower", level=level): lower, field_of(end="upper", level=level): upper}


def drifts_of(batch: Batch, series: PartitionSeries, scores: BatchScores) -> list[Drift]:
    """Return the changes of series that were detected in a batch."""
    return [
        Drift(
            series.entry(batch.readings.number[i]).series,
            batch.ids[i],
            int(batch.readings.ts[i]),
            KINDS[scores.drift[i]],
            float(scores.statistic[i]),
        )
        for i in np.flatnonzero(scores.drift != NOTHING).tolist()
    ]


def _interval(scores: BatchScores, level: int, bounds: tuple[float, float]) -> tuple[Float, Float]:
    """Return the lower and upper ends of the intervals of one level; NaN where no error is known."""
    half = scores.half_widths[:, level]
    return np.clip(scores.yhat - half, *bounds), np.clip(scores.yhat + half, *bounds)


def or_none(numbers: Int64, known: Bools) -> Column:
    """Return the numbers, with None for those that are not known."""
    if known.all():
        return numbers
    return [number if is_known else None for number, is_known in zip(numbers.tolist(), known.tolist(), strict=True)]
