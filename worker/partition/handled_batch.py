"""A batch of readings between its handling and its confirmed commit."""

from dataclasses import dataclass

from tidecast.connection.lag import Lag, Progress
from tidecast.online.batch import BatchResult


@dataclass(slots=True)
class HandledBatch:
    """A handled batch whose commit is not confirmed yet."""

    started_from: Progress  # before the stream's count was corrected
    result: BatchResult
    lag: Lag
    sent: bool = False
    closed: int = 0  # how often the connection was closed during its commit

    @property
    def answered(self) -> int:
        """Return the number of its readings."""
        return sum(self.result.counts.values())

    @property
    def ends_at(self) -> Progress:
        """Return the progress after its commit."""
        before = self.started_from.read + self.lag.correction
        return Progress(self.result.last, before + self.answered + self.lag.lost)
