"""Score the pending forecasts of a batch's series, and blend their next ones."""

from collections.abc import Sequence

import numpy as np

from tidecast.arrays import Float, Int64
from tidecast.online.batch import Batch
from tidecast.online.kernels.pointers import address_of
from tidecast.online.kernels.scoring import BatchScores, Champions, Readings, score_batch
from tidecast.online.series.partition_series import PartitionSeries
from tidecast.online.series.series_entry import SeriesEntry


def longer_first(seasons: Int64) -> Int64:
    """Return `(n,)` for `(n, 2)` season lengths: 1 where the second is shorter than the first and not 0."""
    return ((seasons[:, 1] > 0) & (seasons[:, 1] < seasons[:, 0])).astype(np.int64)


class Scorer:
    """The scoring of forecasts with fixed levels and bounds.

    Args:
        levels: the levels of the intervals.
        bounds: the lowest and the highest possible forecast.
    """

    def __init__(self, levels: Sequence[float], bounds: tuple[float, float]) -> None:
        self._levels = np.array(levels)
        self._bounds = bounds

    def score(self, batch: Batch, series: PartitionSeries, forecasts: Float) -> BatchScores:
        """Score the pending forecasts, update every expert's record, and blend the next forecasts.

        Args:
            batch: the accepted readings.
            series: the series of the partition.
            forecasts: `(readings, experts)`, the experts' next forecasts.
        """
        columns = series.columns
        numbers = batch.series
        champions = Champions(
            columns["version"][numbers],
            columns["first_errors"][numbers],
            columns["half_width"][numbers],
            columns["trained_until"][numbers],
        )
        scores = self._score(
            batch, slice(None), forecasts, columns["record"][numbers], champions, columns["rule"][numbers]
        )
        columns["due"][numbers] = scores.due
        return scores

    def score_shadows(self, batch: Batch, chosen: Int64, entries: Sequence[SeriesEntry], forecasts: Float) -> Float:
        """Return the errors of the shadows' pending forecasts, `(some,)`, and update the shadows' records.

        Args:
            batch: the accepted readings.
            chosen: `(some,)` the places of the readings.
            entries: their series.
            forecasts: `(some, experts)`, the next forecasts of the shadows' experts.
        """
        shadows = [entry.shadow for entry in entries]
        records = [address_of(probation.record) if (probation := entry.state.probation) else 0 for entry in entries]
        champions = Champions(
            np.array([shadow.version if shadow else 0 for shadow in shadows], np.int64),
            np.array([address_of(shadow.errors) if shadow else 0 for shadow in shadows], np.int64),
            np.array([shadow.half_width if shadow else 0.0 for shadow in shadows], np.float64),
            np.array([shadow.trained_until if shadow else 0 for shadow in shadows], np.int64),
        )
        unwatched = np.zeros(len(chosen), np.int64)
        return self._score(batch, chosen, forecasts, np.array(records, np.int64), champions, unwatched).error

    def _score(
        self,
        batch: Batch,
        chosen: Int64 | slice,
        forecasts: Float,
        records: Int64,
        champions: Champions,
        rules: Int64,
    ) -> BatchScores:
        """Score the chosen readings against these records."""
        terms = batch.profiles[chosen]
        above = terms[:, :, 0] - terms[:, :, 1]
        readings = Readings(
            batch.ts[chosen],
            batch.y[chosen],
            batch.skipped[chosen].astype(np.int64),
            batch.doubted[chosen],
            batch.moves[chosen],
            batch.arrived[chosen],
            np.where(np.isfinite(above[:, 0]), above[:, 0], above[:, 1]),
            rules,
            longer_first(batch.seasons[chosen]),
        )
        return score_batch(records, readings, forecasts, champions, self._levels, self._bounds)
