"""Push readings and follow forecasts from Python; any Redis client in any language can do the same.

`Client` blocks, `AsyncClient` is the same for asyncio. With several partitions both find a series' own by
themselves.
"""

import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from types import TracebackType
from typing import Any, Self, cast

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from tidecast.errors import BadReading, SettingsError
from tidecast.settings import Settings, load_settings
from tidecast.wire import RESERVED, Forecast, keys_of, partition_of

Values = float | Mapping[str, float | str]  # text goes on the wire as it is
NewReading = tuple[str, Values] | tuple[str, Values, int | datetime | None]
PIPELINE = 1000  # readings in one round trip
_BEHIND_ADDRESS = re.compile("[/?#]")


def connect(settings: Settings) -> redis.Redis:
    """Open a connection pool; commands are never repeated behind the caller's back.

    Raises:
        SettingsError: the URL is none of Redis.
    """
    with _url_checked(settings) as url:
        connection = redis.Redis.from_url(url, **_options(settings), retry=Retry(NoBackoff(), 0))
        _try_options(connection)
    return connection


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


class _Addresses:
    """Where readings go and forecasts come from."""

    def __init__(self, settings: Settings) -> None:
        self._partitions = settings.partitions
        self._keys = [keys_of(p, settings.partitions, settings.namespace) for p in range(settings.partitions)]

    def readings_of(self, series: str) -> str:
        return self._keys[partition_of(series, self._partitions)].readings

    def forecasts_since(self, since: str) -> dict[str, str]:
        return {keys.forecasts: since for keys in self._keys}


class Client:
    """A producer's and a consumer's view of Tidecast.

    Args:
        url: where Redis listens; by default what `tidecast.toml` or TIDECAST_REDIS_URL says.
        given: other settings by name, such as `namespace`.

    Raises:
        SettingsError: a setting is invalid.

    A push that fails with a connection error may or may not have arrived. With `ts` it is safe to repeat: the
    worker answers a series' time once, and counts the repetition as a duplicate. Without `ts` a repetition is
    another reading.
    """

    def __init__(self, url: str | None = None, **given: Any) -> None:
        settings = load_settings(redis_url=url, **given)
        self._redis = connect(settings)
        self._at = _Addresses(settings)
        self._longest_block_ms = _longest_block_ms(settings)

    def push(self, series: str, values: Values, ts: int | datetime | None = None) -> str:
        """Push one reading; returns its entry id, under which its forecast will appear.

        Args:
            series: the series' name, at most 256 bytes.
            values: the value, or a number for each feature.
            ts: the reading's time in epoch milliseconds or as an aware datetime; by default Redis' clock.
        """
        entry_id = self._redis.xadd(self._at.readings_of(series), cast("Any", entry_of(series, values, ts)))
        return cast("bytes", entry_id).decode()

    def push_many(self, readings: Iterable[NewReading]) -> list[str]:
        """Push many readings, (series, values[, ts]) each, in as few round trips as possible; returns their ids."""
        ids: list[str] = []
        for chunk in _chunks(readings):
            with self._redis.pipeline(transaction=False) as pipeline:
                for series, *rest in chunk:
                    pipeline.xadd(self._at.readings_of(series), cast("Any", entry_of(series, *cast("Any", rest))))
                ids += [entry_id.decode() for entry_id in pipeline.execute()]
        return ids

    def forecasts(self, since: str = "$", *, block_ms: int = 1000, stop_when_idle: bool = False) -> Iterator[Forecast]:
        """Follow forecasts after the entry id `since`: "0" from the oldest kept, "$" those after this call.

        Waits for more for ever, or until nothing comes within `block_ms` if `stop_when_idle`.
        """
        position = self._at.forecasts_since(since)
        if since == "$":  # resolved once and now: between two reads "$" would skip what comes meanwhile
            position = {key: _newest(self._redis.xrevrange(key, count=1)) for key in position}
        return self._follow(position, block_ms, stop_when_idle)

    def _follow(self, position: dict[str, str], block_ms: int, stop_when_idle: bool) -> Iterator[Forecast]:
        idle_ms, slice_ms = 0, min(block_ms, self._longest_block_ms)
        while True:
            reply = cast("_Reply", self._redis.xread(cast("Any", position), count=PIPELINE, block=slice_ms))
            idle_ms = 0 if reply else idle_ms + slice_ms
            if stop_when_idle and idle_ms >= block_ms:
                return
            yield from _decode(reply, position)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

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
        with _url_checked(settings) as url:
            self._redis = redis.asyncio.Redis.from_url(
                url, **_options(settings), retry=redis.asyncio.retry.Retry(NoBackoff(), 0)
            )
            _try_options(self._redis)
        self._at = _Addresses(settings)
        self._longest_block_ms = _longest_block_ms(settings)

    async def push(self, series: str, values: Values, ts: int | datetime | None = None) -> str:
        """Push one reading; see `Client.push`."""
        entry_id = await self._redis.xadd(self._at.readings_of(series), cast("Any", entry_of(series, values, ts)))
        return cast("bytes", entry_id).decode()

    async def push_many(self, readings: Iterable[NewReading]) -> list[str]:
        """Push many readings; see `Client.push_many`."""
        ids: list[str] = []
        for chunk in _chunks(readings):
            async with self._redis.pipeline(transaction=False) as pipeline:
                for series, *rest in chunk:
                    pipeline.xadd(self._at.readings_of(series), cast("Any", entry_of(series, *cast("Any", rest))))
                ids += [entry_id.decode() for entry_id in await pipeline.execute()]
        return ids

    async def forecasts(
        self, since: str = "$", *, block_ms: int = 1000, stop_when_idle: bool = False
    ) -> AsyncIterator[Forecast]:
        """Follow forecasts; see `Client.forecasts` ("$" means those after the first step of the iteration)."""
        position = self._at.forecasts_since(since)
        if since == "$":
            position = {key: _newest(await self._redis.xrevrange(key, count=1)) for key in position}
        idle_ms, slice_ms = 0, min(block_ms, self._longest_block_ms)
        while True:
            reply = cast("_Reply", await self._redis.xread(cast("Any", position), count=PIPELINE, block=slice_ms))
            idle_ms = 0 if reply else idle_ms + slice_ms
            if stop_when_idle and idle_ms >= block_ms:
                return
            for forecast in _decode(reply, position):
                yield forecast

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


_Entries = list[tuple[bytes, dict[bytes, bytes]]]
_Reply = list[tuple[bytes, _Entries]]


def _options(settings: Settings) -> dict[str, Any]:
    timeout = settings.redis_timeout_s
    # RESP2 gives stream replies the same shape on every server version.
    return {"protocol": 2, "socket_timeout": timeout, "socket_connect_timeout": timeout}


def _longest_block_ms(settings: Settings) -> int:
    """How long a read may wait for entries without running into the time limit of a command."""
    return max(1, round(settings.redis_timeout_s * 500))


@contextmanager
def _url_checked(settings: Settings) -> Iterator[str]:
    """Lend the URL; whatever is wrong with it is said without a word of it, for that may be the password's."""
    url = settings.redis_url.get_secret_value()
    _, *behind = _BEHIND_ADDRESS.split(url.partition("://")[2], maxsplit=1)
    # What stands before such a sign would pass for the host or the port, and show in every message.
    if not url.startswith("unix:") and "@" in "".join(behind):
        raise SettingsError("setting redis_url has a / ? or # before an @: write them in a password as %2F, %3F, %23")
    try:
        yield url
    except (ValueError, TypeError):
        raise SettingsError("setting redis_url is no address: write it as redis://:password@host:port/db") from None


def _try_options(connection: redis.Redis | redis.asyncio.Redis) -> None:
    """Make a connection without connecting: an unknown option in the URL is found now, not at the first command.

    Raises:
        TypeError: there is one.
    """
    pool = connection.connection_pool
    pool.connection_class(**pool.connection_kwargs)


def _chunks(readings: Iterable[NewReading]) -> Iterator[tuple[NewReading, ...]]:
    iterator = iter(readings)
    while chunk := tuple(islice(iterator, PIPELINE)):
        yield chunk


def _newest(entries: Any) -> str:
    return str(entries[0][0].decode()) if entries else "0-0"


def _decode(reply: _Reply, position: dict[str, str]) -> Iterator[Forecast]:
    """Decode what was read, moving `position` past each entry."""
    for key, entries in reply:
        for entry_id, fields in entries:
            position[key.decode()] = entry_id.decode()
            yield Forecast.decode(entry_id, fields)
