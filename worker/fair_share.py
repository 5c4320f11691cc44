"""Choose the partitions that a worker serves and acquires, so that all workers hold about as many."""

import random
from collections.abc import Sequence

import structlog

from tidecast.errors import StreamError, Unavailable
from worker.membership import Membership
from worker.partition.consumer import PartitionConsumer

log = structlog.get_logger("tidecast.worker")


class FairShare:
    """A worker's share of the partitions of one layout.

    Args:
        consumers: one for each partition, in their order.
        membership: the other workers; None for a worker without others.
    """

    def __init__(self, consumers: Sequence[PartitionConsumer], membership: Membership | None) -> None:
        self._consumers = consumers
        self._membership = membership
        self._size = len(consumers)
        self._first = random.randrange(len(consumers))  # noqa: S311 - workers start at different partitions

    @property
    def complete(self) -> bool:
        """Whether the worker holds as many partitions as it should."""
        return sum(consumer.held for consumer in self._consumers) >= self._size

    def due(self, now: float) -> Sequence[PartitionConsumer]:
        """Return the partitions to serve or to acquire at `now`, epoch seconds, after releasing those beyond the share.

        Raises:
            RedisError, Unavailable: a partition could not be released; the next call tries it again.
        """
        if self._membership is None or len(self._consumers) == 1:
            return self._consumers
        self._size = self._membership.share(len(self._consumers))
        held = [consumer for consumer in self._consumers if consumer.held]
        for consumer in held[self._size :]:
            _hand_over(consumer)
        if len(held) >= self._size:
            return held[: self._size]
        return held + self._free(now, self._membership.every_s)

    def _free(self, now: float, every_s: float) -> list[PartitionConsumer]:
        """Return the partitions that this worker may try to acquire, each again after `every_s`."""
        rotated = [*self._consumers[self._first :], *self._consumers[: self._first]]
        return [
            consumer
            for consumer in rotated
            if not consumer.held and (now >= consumer.free_at or not 0 <= now - consumer.tried_at < every_s)
        ]


def _hand_over(consumer: PartitionConsumer) -> None:
    """Release a partition; one whose lease is a key of another type is dropped, so that the others are served."""
    try:
        consumer.leave()
    except Unavailable:
        raise
    except StreamError as exc:
        consumer.drop(str(exc))
    else:
        log.info("partition handed over", partition=consumer.number)
