"""Watch for series of a partition that send no readings any more, while the stream is read to its end."""

import math

from tidecast.online.batch import BatchResult
from tidecast.online.forecaster import Forecaster
from worker.partition.clock_offset import ClockOffset

LOOK_EVERY_S = 0.5  # how often to look for silent series
GRACE_S = 10.0  # after a failure: how long no series counts as silent, since its sender may have failed too


class SilenceWatch:
    """Ask a forecaster for silent series from time to time, by the clock of the ids.

    Attributes:
        clock: by how much the worker's clock is ahead of the ids.
    """

    def __init__(self, forecaster: Forecaster) -> None:
        self.clock = ClockOffset()
        self._forecaster = forecaster
        self._looked_at = -math.inf
        self._failed_at = -math.inf

    def failed(self, now: float) -> None:
        """Note a failure of the worker or of Redis."""
        self._failed_at = now

    def look(self, last: str, now: float) -> BatchResult | None:
        """Return a result that reports the series that have become silent; None without any, or if it is too soon.

        Args:
            last: the id of the last entry; all entries up to now must be handled.
            now: epoch seconds.
        """
        if 0 <= now - self._looked_at < LOOK_EVERY_S or 0 <= now - self._failed_at < GRACE_S:
            return None
        now_ms = self.clock.of_ids_ms(now)
        if now_ms is None:
            return None
        self._looked_at = now
        return self._forecaster.silences(last, now_ms)
