"""Leases on partitions. The epoch gives safety; the clock gives only liveness."""

import math

from tidecast.connection.lag import Progress
from worker.partition.stream import Stream

RENEWALS = 3  # renewals within the lifetime of a lease


class PartitionLease:
    """This worker's lease on one partition."""

    def __init__(self, stream: Stream, owner: str, lease_s: float) -> None:
        self.stream = stream
        self.owner = owner
        self.epoch: int | None = None
        self._lease_s = lease_s
        self._renewed_at = -math.inf

    @property
    def held(self) -> bool:
        """Whether this worker believes that it holds the lease; each commit checks it."""
        return self.epoch is not None

    def acquire(self, now: float) -> Progress | None:
        """Acquire the lease if it is free, expired or ours; return the progress, None if another worker holds it."""
        self.epoch = self.stream.acquire(self.owner)
        self.renewed(now)
        return self.stream.progress() if self.held else None

    def hold(self, now: float) -> bool:
        """Renew the lease when it is due; return False if it was lost."""
        if self.epoch is None:
            return False
        if not 0 <= now - self._renewed_at < self._lease_s / RENEWALS:  # below 0 the clock was set back
            if not self.stream.hold(self.epoch):
                self.epoch = None
                return False
            self.renewed(now)
        return True

    def renewed(self, now: float) -> None:
        """Record that a commit or an acquisition has renewed the lease."""
        self._renewed_at = now

    def lose(self) -> None:
        """Forget a lease that was lost."""
        self.epoch = None

    def release(self) -> None:
        """Give the lease back to Redis."""
        if self.epoch is not None:
            self.stream.release(self.epoch)
            self.epoch = None
