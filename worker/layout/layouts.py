"""Follow the layout in Redis: make the parts of a worker that belong to it, and carry out repartitions."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from redis import Redis

from tidecast.settings import Settings
from tidecast.wire import Layout, keys_of, layout_of
from worker.failures.backoff import Backoff
from worker.layout.repartition import Repartitioner
from worker.layout.router import Router
from worker.membership import Membership
from worker.partition.other_settings import OtherSettings
from worker.partition.stream import Stream

log = structlog.get_logger("tidecast.worker")


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a worker that belong to one layout.

    Attributes:
        settings: with the layout.
        streams: one for each partition, in their order.
        router: of readings that were pushed elsewhere; None if there is nowhere else.
    """

    settings: Settings
    streams: Sequence[Stream]
    router: Router | None

    @classmethod
    def make(cls, redis: Redis, settings: Settings) -> "Parts":
        """Return the parts for the layout of the settings."""
        layout = layout_of(settings)
        plain = keys_of(namespace=layout.namespace).forecasts
        merged = plain if settings.forecasts.merged and layout.has_front_door else None
        others = OtherSettings(settings)
        streams = [Stream(redis, keys, settings.worker, merged, others) for keys in layout.present()]
        return cls(settings, streams, Router(redis, settings) if layout.has_front_door else None)

    def close(self) -> None:
        """Give the connections back."""
        for stream in self.streams:
            stream.close()
        if self.router:
            self.router.close()


class Layouts:
    """The layout in Redis, and the repartition that changes it.

    Args:
        redis: the server or cluster.
        membership: the other workers, and the layout.
        repartitioner: carries out the repartition, in one worker at a time.
        lease_s: how long a lease lasts, for pauses after failures.
    """

    def __init__(self, redis: Redis, membership: Membership, repartitioner: Repartitioner, lease_s: float) -> None:
        self._redis = redis
        self._membership = membership
        self._repartitioner = repartitioner
        self._backoff = Backoff(lease_s)
        self._failures = 0  # consecutive
        self._retry_at = -math.inf  # by the monotonic clock

    def look(self, now: float) -> Layout:
        """Look at the membership and the repartition if it is due; return the layout in Redis.

        Args:
            now: epoch seconds.

        Raises:
            RedisError: Redis does not answer.
            SettingsError: a record in Redis is not valid.
        """
        if self._membership.look(now):
            self._membership.hurried = self._repartitioner.wanted() is not None
        return self._membership.layout

    def move(self, settings: Settings) -> None:
        """Work on the repartition for a moment, if there is one and no other worker does.

        Raises:
            RedisError, StreamError, Unavailable, RuntimeError: it is tried again after a pause.
        """
        if not self._membership.hurried or time.monotonic() < self._retry_at:
            return
        try:
            if self._repartitioner.step(settings):
                self._membership.look_soon()
        except Exception:
            self._failures += 1
            self._retry_at = time.monotonic() + self._backoff.pause_s(self._failures)
            raise
        self._failures = 0

    def parts(self, settings: Settings, layout: Layout) -> Parts:
        """Return the parts of a new layout."""
        log.info("serving another number of partitions", old=settings.partitions, new=layout.partitions)
        return Parts.make(self._redis, settings.with_partitions(layout.numbers))
