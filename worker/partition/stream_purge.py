"""The Redis commands that find and delete the entries of one series in a partition's streams."""

from collections.abc import Sequence
from typing import cast

from redis import Redis

from tidecast.connection.partitions import least_needed, newest_id
from tidecast.connection.portion import Portion, shrinking
from tidecast.connection.records.orders import Order, Span
from tidecast.wire import Fields, Keys
from worker.failures.redis_failures import refusals_explained
from worker.scripts import script_of

SEARCHED_AT_ONCE = 250  # entries, which take a millisecond or two


class StreamPurge:
    """The commands on one partition's streams.

    Args:
        redis: the server or cluster.
        keys: the partition's keys.
        lag_group: the worker's own consumer group, which reads nothing.
        merged: the stream with the forecasts of all partitions, if there is one.
    """

    def __init__(self, redis: Redis, keys: Keys, lag_group: str, merged: Sequence[str]) -> None:
        self._redis = redis
        self._keys = keys
        self._lag_group = lag_group
        self._merged = merged
        self._delete = redis.register_script(script_of("purge"))

    def spans(self, last: str) -> list[Span]:
        """Return the entries there are before a series is deleted; `last` is its partition's last answered reading."""
        own = self._keys
        with refusals_explained():
            ends = {key: newest_id(self._redis, key) for key in (own.events, *self._merged)}
        answered = [Span(own.dead, "original.series", "-", last)]
        answered += [Span(key, "series", "-", last) for key in (own.readings, own.forecasts)]
        return answered + [Span(key, "series", "-", end) for key, end in ends.items()]

    def page(self, span: Span) -> list[tuple[bytes, Fields]]:
        """Return the first entries of a span, oldest first."""

        def ask(count: int) -> list[tuple[bytes, Fields]]:
            entries = self._redis.xrange(span.key, span.first, span.last, count)
            return cast("list[tuple[bytes, Fields]]", entries)

        with refusals_explained():
            return shrinking(self._redis, Portion(SEARCHED_AT_ONCE), ask)

    def least_needed(self, stream: str) -> str | None:
        """Return the least id that a consumer group of a stream has not acknowledged; None if none needs any entry."""
        with refusals_explained():
            return least_needed(self._redis, stream, but=self._lag_group)

    def delete(self, epoch: int, left: Order, key: str, ids: Sequence[str]) -> None:
        """Delete entries of a stream, and store what is left of an order; an order without a rest is removed.

        Raises:
            Fenced: another worker has the partition.
        """
        own = self._keys
        args: list[str | int] = [epoch, left.id, left.encode() if left.left else "", *ids]
        with refusals_explained():
            self._delete(keys=[own.lease, own.orders, key], args=args)
