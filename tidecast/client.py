"""Push readings and follow forecasts from Python; any Redis client in any language can do the same.

`Client` blocks, `AsyncClient` is the same for asyncio. With several partitions both find a series' own by
themselves.
"""

import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from threading import Lock
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import redis
import redis.asyncio

from tidecast.cluster import AsyncCluster, Cluster, Entry, StreamReply
from tidecast.connection import check_address, connect, connect_async
from tidecast.errors import BadReading, SettingsError
from tidecast.settings import Settings, load_settings
from tidecast.wire import RESERVED, Event, Fields, Forecast, common_keys, keys_of, partition_of

Values = float | Mapping[str, float | str]  # text goes on the wire as it is
NewReading = tuple[str, Values] | tuple[str, Values, int | datetime | None]
T = TypeVar("T")
Decode = Callable[[bytes, Fields], T]  # of an entry
PIPELINE = 1000  # readings in one round trip
RECHECK_S = 5.0  # how soon it is asked again how many partitions there are, while Redis does not say


def entry_of(series: str, values: Values, ts: int | datetime | None = None) -> dict[str, str | float]:
    """The fields of a reading as they go on the wire.

    Raises:
        BadReading: a feature bears the name of a field that is none.
    """
    named = values if isinstance(values, Mapping) else {"value": values}
    if taken := [name for name in RESERVED if name in named]:
        raise BadReading(
            "bad_value", f"a feature of {series!r} is named {taken[0]!r}, which is a field of its own: rename it"
        )
    entry: dict[str, str | float] = {"series": series}
    if ts is not None:
        entry["ts"] = ts.isoformat() if isinstance(ts, datetime) else int(ts)  # NumPy's integers too
    return entry | {name: value if isinstance(value, str) else float(value) for name, value in named.items()}


def check_partitions(key: str, found: bytes | None, wanted: int) -> None:
    """Make sure that a number of partitions is the one in Redis, if there is one.

    Raises:
        SettingsError: other programs of this namespace were started with another number.
    """
    if found is not None and found != b"%d" % wanted:
        number = found.decode(errors="backslashreplace")
        raise SettingsError(
            f"setting partitions is {wanted}, but {key} in Redis says {number}: use that, or another namespace"
        )


class _Addresses:
    """Where readings go and forecasts come from."""

    def __init__(self, settings: Settings) -> None:
        self._partitions = settings.partitions
        self._keys = [keys_of(p, settings.partitions, settings.namespace) for p in range(settings.partitions)]

    def readings_of(self, series: str) -> str:
        return self._keys[partition_of(series, self._partitions)].readings

    def entries(self, readings: Iterable[NewReading]) -> list[Entry]:
        return [(self.readings_of(series), entry_of(series, *cast("Any", rest))) for series, *rest in readings]

    def forecasts_since(self, since: str) -> dict[str, str]:
        return {keys.forecasts: since for keys in self._keys}

    def events_since(self, since: str) -> dict[str, str]:
        return {keys.events: since for keys in self._keys}


class _PartitionsCheck:
    """Whether Redis knows as many partitions as the settings: asked until it says, then never again."""

    def __init__(self, settings: Settings) -> None:
        self.key, _ = common_keys(settings.namespace)
        self._wanted = settings.partitions
        self._due_at = 0.0

    def due(self, now: float) -> bool:
        return now >= self._due_at

    def settle(self, found: bytes | None, now: float) -> None:
        check_partitions(self.key, found, self._wanted)
        self._due_at = now + RECHECK_S if found is None else math.inf


class Client:
    """A producer's and a consumer's view of Tidecast.

    Args:
        url: where Redis listens; by default what `tidecast.toml` or TIDECAST_REDIS_URL says.
        given: other settings by name, such as `namespace`.

    Raises:
        SettingsError: a setting is invalid.

    The first push and the first reading of forecasts make sure that Redis was set up for as many partitions as the
    settings say, and raise a SettingsError if not: else readings would go where no worker looks for them.
    """

    def __init__(self, url: str | None = None, **given: Any) -> None:
        self._settings = settings = load_settings(redis_url=url, **given)
        check_address(settings)
        self._opened: redis.Redis | Cluster | None = None
        self._opening = Lock()
        self._at = _Addresses(settings)
        self._check = _PartitionsCheck(settings)
        self._longest_block_ms = _longest_block_ms(settings)

    def push(self, series: str, values: Values, ts: int | datetime | None = None) -> str:
        """Push one reading; returns its entry id, under which its forecast will appear.

        Args:
            series: the series' name, at most 256 bytes.
            values: the value, or a number for each feature.
            ts: the reading's time in epoch milliseconds or as an aware datetime; by default Redis' clock.

        Raises:
            SettingsError: Redis was set up for another number of partitions.
            RedisError: Redis is away, or refuses.

        Nothing is repeated behind your back. A push that fails with a ConnectionError or TimeoutError of Redis may or
        may not have arrived. With `ts` it is safe to repeat: the worker answers a series' time once, and counts the
        repetition as a duplicate. So repeat a series' readings from the failed one on, in their order; one that is
        earlier than what has arrived since is counted as late. Without `ts` a repetition is another reading.
        """
        connection = self._checked()
        entry_id = connection.xadd(self._at.readings_of(series), cast("Any", entry_of(series, values, ts)))
        return cast("bytes", entry_id).decode()

    def push_many(self, readings: Iterable[NewReading]) -> list[str]:
        """Push many readings, (series, values[, ts]) each, in as few round trips as possible; returns their ids.

        After an error any of them may or may not have arrived; with `ts` all are safe to repeat, see `push`.
        """
        ids: list[str] = []
        for chunk in _chunks(readings):
            connection, entries = self._checked(), self._at.entries(chunk)
            if isinstance(connection, Cluster):
                ids += [entry_id.decode() for entry_id in connection.add_many(entries)]
                continue
            with connection.pipeline(transaction=False) as pipeline:
                for key, fields in entries:
                    pipeline.xadd(key, cast("Any", fields))
                ids += [entry_id.decode() for entry_id in pipeline.execute()]
        return ids

    def forecasts(self, since: str = "$", *, block_ms: int = 1000, stop_when_idle: bool = False) -> Iterator[Forecast]:
        """Follow forecasts after the entry id `since`: "0" from the oldest kept, "$" those after this call.

        Waits for more for ever, or until nothing comes within `block_ms` if `stop_when_idle`.
        """
        return self._following(self._at.forecasts_since(since), Forecast.decode, block_ms, stop_when_idle)

    def events(self, since: str = "$", *, block_ms: int = 1000, stop_when_idle: bool = False) -> Iterator[Event]:
        """Follow what happens to series, models and runs of the schedule, as `forecasts` follows forecasts."""
        return self._following(self._at.events_since(since), Event.decode, block_ms, stop_when_idle)

    def _following(
        self, position: dict[str, str], decode: Decode[T], block_ms: int, stop_when_idle: bool
    ) -> Iterator[T]:
        connection = self._checked()
        # "$" is resolved once and now: between two reads it would skip what comes meanwhile.
        for key in [key for key, since in position.items() if since == "$"]:
            position[key] = _newest(connection.xrevrange(key, count=1))
        return self._follow(position, decode, block_ms, stop_when_idle)

    def _follow(self, position: dict[str, str], decode: Decode[T], block_ms: int, stop_when_idle: bool) -> Iterator[T]:
        idle_ms, slice_ms = 0, min(block_ms, self._longest_block_ms)
        while True:
            reply = self._read(position, slice_ms)
            idle_ms = 0 if reply else idle_ms + slice_ms
            if stop_when_idle and idle_ms >= block_ms:
                return
            yield from _decode(reply, position, decode)

    def _read(self, position: dict[str, str], block_ms: int) -> StreamReply:
        connection = self._checked()
        if isinstance(connection, Cluster):
            return connection.read_each(position, PIPELINE, block_ms)
        return cast("StreamReply", connection.xread(cast("Any", position), count=PIPELINE, block=block_ms))

    def _checked(self) -> redis.Redis | Cluster:
        """The connection, once the number of partitions is not known to be another; a cluster is looked up here."""
        with self._opening:
            if self._opened is None:
                self._opened = connect(self._settings)
        if self._check.due(now := time.monotonic()):
            self._check.settle(cast("bytes | None", self._opened.get(self._check.key)), now)
        return self._opened

    def close(self) -> None:
        """Close the connections."""
        if self._opened is not None:
            self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient:
    """`Client` for asyncio: the same methods, to be awaited."""

    def __init__(self, url: str | None = None, **given: Any) -> None:
        settings = load_settings(redis_url=url, **given)
        self._redis: redis.asyncio.Redis | AsyncCluster = connect_async(settings)
        self._at = _Addresses(settings)
        self._check = _PartitionsCheck(settings)
        self._longest_block_ms = _longest_block_ms(settings)

    async def push(self, series: str, values: Values, ts: int | datetime | None = None) -> str:
        """Push one reading; see `Client.push`."""
        await self._make_sure()
        entry_id = await self._redis.xadd(self._at.readings_of(series), cast("Any", entry_of(series, values, ts)))
        return cast("bytes", entry_id).decode()

    async def push_many(self, readings: Iterable[NewReading]) -> list[str]:
        """Push many readings; see `Client.push_many`."""
        ids: list[str] = []
        for chunk in _chunks(readings):
            await self._make_sure()
            entries = self._at.entries(chunk)
            if isinstance(self._redis, AsyncCluster):
                ids += [entry_id.decode() for entry_id in await self._redis.add_many(entries)]
                continue
            async with self._redis.pipeline(transaction=False) as pipeline:
                for key, fields in entries:
                    pipeline.xadd(key, cast("Any", fields))
                ids += [entry_id.decode() for entry_id in await pipeline.execute()]
        return ids

    async def forecasts(
        self, since: str = "$", *, block_ms: int = 1000, stop_when_idle: bool = False
    ) -> AsyncIterator[Forecast]:
        """Follow forecasts; see `Client.forecasts` ("$" means those after the first step of the iteration)."""
        async for forecast in self._follow(self._at.forecasts_since(since), Forecast.decode, block_ms, stop_when_idle):
            yield forecast

    async def events(
        self, since: str = "$", *, block_ms: int = 1000, stop_when_idle: bool = False
    ) -> AsyncIterator[Event]:
        """Follow events; see `Client.events` ("$" means those after the first step of the iteration)."""
        async for event in self._follow(self._at.events_since(since), Event.decode, block_ms, stop_when_idle):
            yield event

    async def _follow(
        self, position: dict[str, str], decode: Decode[T], block_ms: int, stop_when_idle: bool
    ) -> AsyncIterator[T]:
        await self._make_sure()
        for key in [key for key, since in position.items() if since == "$"]:
            position[key] = _newest(await self._redis.xrevrange(key, count=1))
        idle_ms, slice_ms = 0, min(block_ms, self._longest_block_ms)
        while True:
            reply = await self._read(position, slice_ms)
            idle_ms = 0 if reply else idle_ms + slice_ms
            if stop_when_idle and idle_ms >= block_ms:
                return
            for found in _decode(reply, position, decode):
                yield found

    async def _read(self, position: dict[str, str], block_ms: int) -> StreamReply:
        await self._make_sure()
        if isinstance(self._redis, AsyncCluster):
            return await self._redis.read_each(position, PIPELINE, block_ms)
        return cast("StreamReply", await self._redis.xread(cast("Any", position), count=PIPELINE, block=block_ms))

    async def _make_sure(self) -> None:
        """Make sure that the number of partitions is not known to be another."""
        if self._check.due(now := time.monotonic()):
            self._check.settle(cast("bytes | None", await self._redis.get(self._check.key)), now)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _longest_block_ms(settings: Settings) -> int:
    """How long a read may wait for entries without running into the time limit of a command."""
    return max(1, round(settings.redis_timeout_s * 500))


def _chunks(readings: Iterable[NewReading]) -> Iterator[tuple[NewReading, ...]]:
    iterator = iter(readings)
    while chunk := tuple(islice(iterator, PIPELINE)):
        yield chunk


def _newest(entries: Any) -> str:
    return str(entries[0][0].decode()) if entries else "0-0"


def _decode(reply: StreamReply, position: dict[str, str], decode: Decode[T]) -> Iterator[T]:
    """Decode what was read, moving `position` past each entry."""
    for key, entries in reply:
        for entry_id, fields in entries:
            position[key.decode()] = entry_id.decode()
            yield decode(entry_id, fields)
