"""Push readings and follow forecasts with asyncio; the counterpart of `tidecast.client.Client`."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import redis.asyncio
from redis.exceptions import NoPermissionError

from tidecast.client.addresses import LOOK_EVERY_S, MOVE_S, Addresses, LayoutCheck, chunks, closed, routed_from
from tidecast.client.async_follower import AsyncFollower
from tidecast.client.cancellation import Cancellation
from tidecast.client.contents import FORECASTS, Contents, Names, dead_letters_of, events_of
from tidecast.client.entries import NewReading, Time, Values
from tidecast.client.failover import async_left_if_stale
from tidecast.client.following import NEXT, Patience, following, newest_id
from tidecast.connection import check_address, connect_async
from tidecast.connection.cluster import AsyncCluster
from tidecast.errors import TidecastError
from tidecast.settings import load_settings
from tidecast.wire import DeadLetter, Event, Fields, Forecast, Keys, Layout

T = TypeVar("T")


class AsyncClient:
    """The client for asyncio, with the methods of `Client` to be awaited.

    Its connections belong to the event loop in which they are first used, and are closed with it at the latest. In the
    next loop, of a second `asyncio.run`, it opens new ones. Two loops at the same time need a client each.
    """

    def __init__(self, url: str | None = None, **given: Any) -> None:
        self._settings = settings = load_settings(redis_url=url, **given)
        check_address(settings)
        self._opened: redis.asyncio.Redis | AsyncCluster | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: AsyncGenerator[None, None] | None = None
        self._closed = False
        self._check = LayoutCheck(settings)
        self._at = Addresses(settings, self._check.layout)

    async def push(self, series: str, values: Values, ts: Time | None = None) -> str:
        """Push one reading; see `Client.push`."""
        fields = self._at.fields(series, values, ts)
        connection = await self._pushing()
        at = self._at
        keys = at.keys_of(fields)
        at.pushed.add(keys)  # before it is sent: another task may leave the layout meanwhile
        async with async_left_if_stale(connection):
            entry_id = cast("bytes", await connection.xadd(keys.readings, cast("Any", fields))).decode()
        await self._settle(connection, at, {keys: entry_id})
        return entry_id

    async def push_many(self, readings: Iterable[NewReading]) -> list[str]:
        """Push many readings; see `Client.push_many`."""
        entries: list[Fields] = []
        for chunk in chunks(readings):
            entries += self._at.many_fields(chunk, len(entries))
            await asyncio.sleep(0)  # let other tasks run
        ids: list[str] = []
        cancellation = Cancellation()
        for chunk_of_fields in chunks(entries):
            cancellation.check()
            connection = await self._pushing()
            at = self._at
            all_keys = [at.keys_of(fields) for fields in chunk_of_fields]
            at.pushed.update(all_keys)
            part = [(keys.readings, fields) for keys, fields in zip(all_keys, chunk_of_fields, strict=True)]
            async with async_left_if_stale(connection):
                added = await self._add_many(connection, part)
            some = [entry_id.decode() for entry_id in added]
            await self._settle(connection, at, dict(zip(all_keys, some, strict=True)))
            ids += some
        return ids

    async def _add_many(
        self, connection: redis.asyncio.Redis | AsyncCluster, part: list[tuple[str, Fields]]
    ) -> list[bytes]:
        """Add entries, each to its stream, in one round trip; return their ids."""
        if isinstance(connection, AsyncCluster):
            return await connection.add_many(part)
        async with connection.pipeline(transaction=False) as pipeline:
            for key, fields in part:
                pipeline.xadd(key, cast("Any", fields))
            return await pipeline.execute()

    async def _settle(
        self, connection: redis.asyncio.Redis | AsyncCluster, at: Addresses, newest: dict[Keys, str]
    ) -> None:
        """Wait for readings that were pushed while another task left the layout; see `Client`."""
        if at is not self._at:
            await self._await_passed(connection, newest)

    async def _pushing(self) -> redis.asyncio.Redis | AsyncCluster:
        """Return the connection for a push, after following a new layout; see `Client`."""
        connection = await self._checked()
        layout = self._check.layout
        at = self._at
        if at.may_leave_for(layout):
            left = await self._has_left(connection, at, layout)
            if left and at is self._at:
                self._at = Addresses(self._settings, layout)
        return connection

    async def _has_left(self, connection: redis.asyncio.Redis | AsyncCluster, at: Addresses, layout: Layout) -> bool:
        """Wait until what this client has pushed has left the closed partitions; see `Client`."""
        left = False
        with suppress(NoPermissionError):  # readings in closed partitions are routed
            behind = at.behind(layout)
            newest = {keys: newest_id(await connection.xrevrange(keys.readings, count=1)) for keys in behind}
            left = await self._await_passed(connection, newest)
        if not left:
            at.stay()
        return left

    async def _await_passed(self, connection: redis.asyncio.Redis | AsyncCluster, newest: dict[Keys, str]) -> bool:
        """Wait until readings in closed partitions are answered or routed; return False if it takes too long."""
        ends_at = time.monotonic() + MOVE_S
        cancellation = Cancellation()
        for keys, entry_id in newest.items():
            last = cast("bytes | None", await cast("Any", connection.hget(keys.offset, "last")))
            while await connection.xrange(keys.readings, routed_from(last), entry_id, count=1):
                cancellation.check()
                if time.monotonic() > ends_at:
                    return False
                await asyncio.sleep(LOOK_EVERY_S)
        return True

    async def push_known(self, series: str, values: Values, ts: Time, known_at: Time | None = None) -> str:
        """Push values that are known ahead; see `Client.push_known`."""
        key, fields = self._at.known_entry(series, values, ts, known_at)
        connection = await self._checked()
        kept = self._at.known_kept
        async with async_left_if_stale(connection):
            return cast("bytes", await connection.xadd(key, cast("Any", fields), maxlen=kept)).decode()

    def forecasts(
        self,
        since: str | int = NEXT,
        *,
        block_ms: int = 1000,
        stop_when_idle: bool = False,
        give_up_s: float | None = None,
    ) -> AsyncFollower[Forecast]:
        """Follow forecasts; see `Client.forecasts` ("$" means those after the first step of the iteration)."""
        return self._following("forecasts", since, FORECASTS, Patience(block_ms, stop_when_idle, give_up_s))

    def events(
        self,
        since: str | int = NEXT,
        *,
        kinds: Names = None,
        series: Names = None,
        block_ms: int = 1000,
        stop_when_idle: bool = False,
        give_up_s: float | None = None,
    ) -> AsyncFollower[Event]:
        """Follow events; see `Client.events` ("$" means those after the first step of the iteration)."""
        contents = events_of(kinds, series)
        return self._following("events", since, contents, Patience(block_ms, stop_when_idle, give_up_s))

    def anomalies(
        self,
        since: str | int = NEXT,
        *,
        series: Names = None,
        block_ms: int = 1000,
        stop_when_idle: bool = False,
        give_up_s: float | None = None,
    ) -> AsyncFollower[Event]:
        """Follow the beginnings and ends of anomalies; see `Client.anomalies`."""
        contents = events_of("anomaly", series)
        return self._following("events", since, contents, Patience(block_ms, stop_when_idle, give_up_s))

    def dead(
        self,
        since: str | int = NEXT,
        *,
        reasons: Names = None,
        series: Names = None,
        block_ms: int = 1000,
        stop_when_idle: bool = False,
        give_up_s: float | None = None,
    ) -> AsyncFollower[DeadLetter]:
        """Follow dead letters; see `Client.dead` ("$" means those after the first step of the iteration)."""
        contents = dead_letters_of(reasons, series)
        return self._following("dead", since, contents, Patience(block_ms, stop_when_idle, give_up_s))

    def _following(self, kind: str, since: str | int, contents: Contents[T], patience: Patience) -> AsyncFollower[T]:
        course = following(self._settings, kind, since, contents, patience)
        return AsyncFollower(self._checked, self._check, course)

    async def _checked(self) -> redis.asyncio.Redis | AsyncCluster:
        """Return the connection of this event loop, after a check of the number of partitions if one is due."""
        connection = await self._connected()
        if self._check.due(now := time.monotonic()):
            self._check.settle(cast("bytes | None", await connection.get(self._check.key)), now)
        return connection

    async def _connected(self) -> redis.asyncio.Redis | AsyncCluster:
        if self._closed:
            raise closed()
        loop = asyncio.get_running_loop()
        if self._opened is None or self._loop is not loop:
            if self._loop is not None and not self._loop.is_closed():
                raise TidecastError("the client is in use by another event loop: make one for each loop")
            self._loop = loop
            self._opened = connect_async(self._settings)
            self._closing = _closed_with_the_loop(self._opened)
            await anext(self._closing)
        return self._opened

    async def close(self) -> None:
        """Close the connections; iterations that still run raise a ClosedError."""
        self._closed = True
        if self._closing is not None and self._loop is asyncio.get_running_loop():
            await self._closing.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def _closed_with_the_loop(connection: redis.asyncio.Redis | AsyncCluster) -> AsyncGenerator[None, None]:
    """Close connections when the generator is closed: an ending event loop closes all its generators."""
    try:
        yield
    finally:
        await connection.aclose()
