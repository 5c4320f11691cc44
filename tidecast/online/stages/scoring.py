"""Score the pending forecasts of a batch's series, and blend their next ones."""

from collections.abc import Sequence

import numpy as np

from tidecast.arrays import Float, Int64
from tidecast.online.batch import Batch
from tidecast.online.kernels.pointers import address_of
from tidecast.online.kernels.scoring import BatchScores, score_batch
from tidecast.online.kernels.series_rows import series_rows
from tidecast.online.series.partition_series import PartitionSeries
from tidecast.online.series.series_entry import SeriesEntry


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
        scores = score_batch(batch.series, batch.readings, forecasts, self._levels, self._bounds)
        series.columns["due"][batch.readings.number] = scores.due
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
        probations = [entry.state.probation for entry in entries]
        series = series_rows(
            len(chosen),
            record=[address_of(probation.record) if probation else 0 for probation in probations],
            version=[shadow.version if shadow else 0 for shadow in shadows],
            first_errors=[address_of(shadow.errors) if shadow else 0 for shadow in shadows],
            half_width=[shadow.half_width if shadow else 0.0 for shadow in shadows],
            trained_until=[shadow.trained_until if shadow else 0 for shadow in shadows],
        )
        return score_batch(series, batch.readings.chosen(chosen), forecasts, self._levels, self._bounds).error
