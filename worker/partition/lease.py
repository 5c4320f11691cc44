"""Leases: who owns which partition. The epoch gives safety, the clock only liveness."""

import math

from worker.partition.backlog import Progress
from worker.partition.stream import Stream

RENEWALS = 3  # how often a lease is renewed within its life


class Partition:
    """One partition and this worker's claim to it."""

    def __init__(self, stream: Stream, owner: str, lease_s: float) -> None:
        self.stream = stream
        self.owner = owner
        self.epoch: int | None = None
        self._lease_s = lease_s
        self._renewed_at = -math.inf

    @property
    def held(self) -> bool:
        """Whether this worker believes that the partition is its own; the commit makes sure."""
        return self.epoch is not None

    def acquire(self, now: float) -> Progress | None:
        """Take the partition if it is free, expired or ours; returns where to go on, None if it is another's."""
        self.epoch = self.stream.acquire(self.owner)
        self.renewed(now)
        return self.stream.progress() if self.held else None

    def hold(self, now: float) -> bool:
        """Renew the lease when it is due; False once it was lost."""
        if self.epoch is None:
            return False
        if not 0 <= now - self._renewed_at < self._lease_s / RENEWALS:  # below 0 the clock was set back
            if not self.stream.hold(self.epoch):
                self.epoch = None
                return False
            self.renewed(now)
        return True

    def renewed(self, now: float) -> None:
        """Note that the lease was renewed by other means, such as a commit."""
        self._renewed_at = now

    def lose(self) -> None:
        """Forget a claim that turned out to be void."""
        self.epoch = None

    def release(self) -> None:
        """Give the partition back politely."""
        if self.epoch is not None:
            self.stream.release(self.epoch)
            self.epoch = None
