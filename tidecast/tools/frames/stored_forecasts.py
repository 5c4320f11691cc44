"""Read the forecasts that Redis holds."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import redis

from tidecast.connection import connect
from tidecast.connection.partitions import at_present
from tidecast.connection.portion import Portion, shrinking
from tidecast.errors import SettingsError
from tidecast.settings import Settings
from tidecast.wire import Forecast, is_copy, layout_of

PAGE = 10_000  # entries in one round trip
RedisOrUrl = redis.Redis | str | None  # None: the address of the settings


@contextmanager
def connected(redis_or_url: RedisOrUrl, settings: Settings) -> Iterator[redis.Redis]:
    """Yield a connection whose replies are bytes; close it at the end unless it is the caller's.

    Raises:
        SettingsError: the argument is not an address, nor a connection whose replies are bytes.
    """
    if redis_or_url is None or isinstance(redis_or_url, str):
        with connect(settings) as connection:
            yield connection
        return
    if not isinstance(redis_or_url, redis.Redis) or redis_or_url.get_connection_kwargs().get("decode_responses"):
        raise SettingsError(
            "redis_or_url is neither an address nor a redis.Redis whose replies are bytes: give the address, "
            "and for a cluster redis_cluster=True too"
        )
    # The pool is the caller's. The client is new, so that changes to its reply parsing do not affect the caller.
    yield redis.Redis(connection_pool=redis_or_url.connection_pool)


def stored_forecasts(
    connection: redis.Redis, settings: Settings, series: frozenset[str] | None = None
) -> Iterator[Forecast]:
    """Yield the present forecasts of some series; those of one series are in their order.

    Args:
        connection: a connection whose replies are bytes.
        settings: the settings of the installation.
        series: the names of the series; None: all.

    Raises:
        SettingsError: Redis stores no valid number of partitions.
        RedisError: Redis does not answer, or refuses.
    """
    names = None if series is None else {name.encode() for name in series}
    layout = layout_of(at_present(connection, settings))
    for stream in (keys.forecasts for keys in (*layout.former(), *layout.present())):
        newest = cast("list[Any]", connection.xrevrange(stream, count=1))
        # Forecasts that arrive during the read are left out.
        for page in _pages(connection, stream, newest[0][0]) if newest else ():
            for entry_id, fields in page:
                if not is_copy(fields) and (names is None or fields.get(b"series") in names):
                    yield Forecast.decode(entry_id, fields)


def _pages(connection: redis.Redis, stream: str, last: bytes) -> Iterator[list[tuple[bytes, Any]]]:
    """Yield the entries of a stream up to `last`, in pages of a size that Redis can send."""
    first = "-"
    portion = Portion(PAGE)

    def read(count: int) -> list[tuple[bytes, Any]]:
        return cast("list[tuple[bytes, Any]]", connection.xrange(stream, first, last, count=count))

    while page := shrinking(connection, portion, read):
        portion.went_well()
        yield page
        first = "(" + page[-1][0].decode()
