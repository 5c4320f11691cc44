"""Write the forecasts of a batch field by field, and report the drifts that it revealed."""

import numpy as np

from tidecast.arrays import Float
from tidecast.models.experts import EXPERTS
from tidecast.online.batch import Batch
from tidecast.online.drift import KINDS, Drift
from tidecast.online.kernels.drift_sums import NOTHING
from tidecast.online.kernels.scoring import BatchScores
from tidecast.online.partition_series import PartitionSeries
from tidecast.wire import Forecasts


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
    versions = series.columns.version[batch.series].tolist()
    times = zip(batch.next_ts.tolist(), batch.step_known.tolist(), strict=True)
    into.id = batch.ids
    into.series = [series.entry(number).series for number in batch.series.tolist()]
    into.ts = [next_ts if is_known else None for next_ts, is_known in times]
    into.yhat = scores.yhat.tolist()
    into.yhat_lower, into.yhat_upper = _interval(scores, 0, bounds)
    into.origin = batch.ts.tolist()
    into.model = [version or None for version in versions]
    into.kind = [EXPERTS[leader] for leader in scores.leader.tolist()]
    into.y = batch.y.tolist()
    into.error = _known(scores.error)
    into.anomaly_score = _known(scores.score)
    into.filled = batch.filled.tolist()
    for i, level in enumerate(more_levels, 1):
        lower, upper = _interval(scores, i, bounds)
        into.more |= {f"yhat_lower_{level * 100:g}": lower, f"yhat_upper_{level * 100:g}": upper}


def drifts_of(batch: Batch, series: PartitionSeries, scores: BatchScores) -> list[Drift]:
    """Return the changes of series that were detected in a batch."""
    return [
        Drift(
            series.entry(batch.series[i]).series,
            batch.ids[i],
            int(batch.ts[i]),
            KINDS[scores.drift[i]],
            float(scores.statistic[i]),
        )
        for i in np.flatnonzero(scores.drift != NOTHING).tolist()
    ]


def _interval(
    scores: BatchScores, level: int, bounds: tuple[float, float]
) -> tuple[list[float | None], list[float | None]]:
    """Return the lower and upper ends of the intervals of one level; None where no error is known."""
    half = scores.half_widths[:, level]
    low, high = (np.clip(scores.yhat + side * half, *bounds) for side in (-1, 1))
    return _known(low), _known(high)


def _known(numbers: Float) -> list[float | None]:
    """Return the numbers, with None for NaN."""
    return [None if number != number else number for number in numbers.tolist()]
