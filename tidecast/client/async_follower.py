"""Iterate over streams for the asyncio client."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

import redis.asyncio
from redis.exceptions import RedisError, ResponseError

from tidecast.client.addresses import LayoutCheck
from tidecast.client.cancellation import Cancellation
from tidecast.client.failover import async_left_if_stale
from tidecast.client.following import Following, newest_id
from tidecast.connection.cluster import AsyncCluster, StreamReply

T = TypeVar("T")


class AsyncFollower(AsyncIterator[T]):
    """An iteration over streams that survives lost connections.

    After an error, or a cancelled step, the next step continues.
    """

    def __init__(
        self,
        connected: Callable[[], Awaitable[redis.asyncio.Redis | AsyncCluster]],
        check: LayoutCheck,
        course: Following[T],
    ) -> None:
        self._connected = connected
        self._check = check
        self._course = course
        self._begun = False
        self._lock = asyncio.Lock()  # tasks may share an iteration: each item goes to one of them

    async def __anext__(self) -> T:
        cancellation = Cancellation()
        async with self._lock:
            if not self._begun:
                await self._begin()
            while not self._course.has_next():
                if self._course.over:
                    raise StopAsyncIteration
                cancellation.check()
                try:
                    self._course.took(*await self._read())
                except RedisError as exc:
                    await asyncio.sleep(self._course.pause_s(exc, time.monotonic()))
            return self._course.next_item()

    async def aclose(self) -> None:
        """End the iteration."""
        self._course.end()
        self._begun = True

    async def _begin(self) -> None:
        connection = await self._connected()
        self._course.follow(self._check.layout)
        await self._warn_of_gaps()
        for key in self._course.from_now_on():
            self._course.position[key] = newest_id(await connection.xrevrange(key, count=1))
        self._begun = True

    async def _read(self) -> tuple[StreamReply, int]:
        """Return the next entries, and how many of each stream were requested."""
        connection = await self._connected()
        self._course.follow(self._check.layout)
        position = self._course.reading
        slice_ms = self._course.wait_ms
        count = self._course.portion.count
        try:
            async with async_left_if_stale(connection):
                if isinstance(connection, AsyncCluster):
                    reply = await connection.read_each(position, count, slice_ms)
                else:
                    entries = await connection.xread(cast("Any", position), count=count, block=slice_ms)
                    reply = cast("StreamReply", entries)
        except Exception:
            await self._connected()  # if another task closed the client, raise ClosedError instead
            raise
        if self._course.may_have_gap(reply, count, time.monotonic()):
            await self._warn_of_gaps()
        return reply, count

    async def _warn_of_gaps(self) -> None:
        connection = await self._connected()
        for key in self._course.with_an_id():
            with suppress(ResponseError):  # the stream does not exist, or XINFO is not allowed
                self._course.report_gap(key, cast("Any", await connection.xinfo_stream(key)))
