"""Iterate over streams for the blocking client."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Lock
from typing import Any, TypeVar, cast

import redis
from redis.exceptions import RedisError, ResponseError

from tidecast.client.addresses import LayoutCheck
from tidecast.client.failover import left_if_stale
from tidecast.client.following import Following, newest_id
from tidecast.connection.cluster import Cluster, StreamReply

T = TypeVar("T")


class BlockingFollower(Iterator[T]):
    """An iteration over streams that survives lost connections; after an error the next step continues."""

    def __init__(
        self, connected: Callable[[], redis.Redis | Cluster], check: LayoutCheck, course: Following[T]
    ) -> None:
        self._connected = connected
        self._check = check
        self._course = course
        self._lock = Lock()  # threads may share an iteration: each item goes to one of them
        connected()  # an error at the beginning is raised at once
        course.follow(check.layout)
        self._warn_of_gaps()
        # "$" is resolved once, here: used in every read, it would skip entries that arrive between two reads.
        for key in course.from_now_on():
            course.position[key] = newest_id(connected().xrevrange(key, count=1))

    def __next__(self) -> T:
        with self._lock:
            while not self._course.has_next():
                if self._course.over:
                    raise StopIteration
                try:
                    self._course.took(*self._read())
                except RedisError as exc:
                    time.sleep(self._course.pause_s(exc, time.monotonic()))
            return self._course.next_item()

    def close(self) -> None:
        """End the iteration."""
        self._course.end()

    def _read(self) -> tuple[StreamReply, int]:
        """Return the next entries, and how many of each stream were requested."""
        connection = self._connected()
        self._course.follow(self._check.layout)
        position = self._course.reading
        slice_ms = self._course.wait_ms
        count = self._course.portion.count
        try:
            with left_if_stale(connection):
                if isinstance(connection, Cluster):
                    reply = connection.read_each(position, count, slice_ms)
                else:
                    reply = cast("StreamReply", connection.xread(cast("Any", position), count=count, block=slice_ms))
        except Exception:
            self._connected()  # if another thread closed the client, raise ClosedError instead
            raise
        if self._course.may_have_gap(reply, count, time.monotonic()):
            self._warn_of_gaps()
        return reply, count

    def _warn_of_gaps(self) -> None:
        for key in self._course.with_an_id():
            with suppress(ResponseError):  # the stream does not exist, or XINFO is not allowed
                self._course.report_gap(key, cast("Any", self._connected().xinfo_stream(key)))
