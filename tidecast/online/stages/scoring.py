"""Score the pending forecasts of a batch's series, and blend their next ones."""

from collections.abc import Sequence

import numpy as np

from tidecast.arrays import Float, Int64
from tidecast.online.batch import Batch
from tidecast.online.intervals import Tracker
from tidecast.online.kernels.scoring import BatchScores, Champions, Readings, score_batch
from tidecast.online.slab import ModelSlot


class Scorer:
    """The scoring of forecasts with fixed levels and bounds.

    Args:
        levels: the levels of the intervals.
        bounds: the lowest and the highest possible forecast.
    """

    def __init__(self, levels: Sequence[float], bounds: tuple[float, float]) -> None:
        self._levels = np.array(levels)
        self._bounds = bounds

    def score(self, batch: Batch, forecasts: Float) -> BatchScores:
        """Score the pending forecasts, update every expert's record, and blend the next forecasts.

        Args:
            batch: the accepted readings.
            forecasts: `(readings, experts)`, the experts' next forecasts.
        """
        members = batch.members
        scores = self.score_records(
            batch,
            slice(None),
            forecasts,
            [member.state.address for member in members],
            [member.slot for member in members],
            [member.first_errors for member in members],
        )
        # Errors of the previous model do not apply, nor do those of further steps.
        for i in np.flatnonzero(scores.new_model):
            state = members[i].state
            state.ahead[:] = np.nan
            state.ahead_trackers = [Tracker() for _ in state.ahead_trackers]
        return scores

    def score_records(
        self,
        batch: Batch,
        chosen: Int64 | slice,
        forecasts: Float,
        records: list[int],
        slots: Sequence[ModelSlot | None],
        first_errors: list[int],
    ) -> BatchScores:
        """Score the chosen readings against the records and first errors of their models at these addresses."""
        readings = Readings(
            batch.ts[chosen],
            batch.y[chosen],
            batch.skipped[chosen].astype(np.int64),
            batch.doubted[chosen],
            batch.moves[chosen],
        )
        champions = Champions(
            np.array([slot.version if slot else 0 for slot in slots], np.int64),
            np.array(first_errors, np.int64),
            np.array([slot.half_width if slot else 0.0 for slot in slots], np.float64),
            np.array([slot.trained_until if slot else 0 for slot in slots], np.int64),
        )
        return score_batch(np.array(records, np.int64), readings, forecasts, champions, self._levels, self._bounds)
