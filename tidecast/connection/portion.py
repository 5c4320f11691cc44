"""Request fewer entries at once if Redis closes the connection because of too many.

Redis closes connections with too large replies (`client-output-buffer-limit`) or requests
(`client-query-buffer-limit`), and a slow network causes time-outs. The same request would fail every time.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from redis import ConnectionPool, Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

CALM_REQUESTS = 16  # requests that must succeed before the limit is doubled
PROBE_S = 1.0  # a server that does not answer PING for so long does not answer at all
T = TypeVar("T")


class Portion:
    """The number of entries to request at once.

    Args:
        most: the maximum.

    Attributes:
        count: the present number.
    """

    def __init__(self, most: int) -> None:
        self.count = most
        self._most = most
        self._limit = most  # raised again after enough successful requests
        self._left = 0  # requests until the limit is raised

    def halve(self) -> None:
        """Halve the number for now; the limit stays, as later entries may be smaller."""
        self.count = max(1, self.count // 2)

    def refused(self, requests: int = CALM_REQUESTS) -> None:
        """Halve the number and the limit after Redis closed a connection, until so many requests have succeeded."""
        self.halve()
        self._limit = self.count
        self._left = requests

    def went_well(self) -> None:
        """Double the number after a successful request, up to the limit."""
        if self._limit < self._most:
            self._left -= 1
            if self._left <= 0:
                self._limit = min(2 * self._limit, self._most)
                self._left = CALM_REQUESTS
        self.count = min(2 * self.count, self._limit)


def answers(redis: Redis) -> bool:
    """Return whether Redis answers at all; if so, it was the request that ended the connection.

    The probe has a short time limit of its own: the request may have waited for all of `redis_timeout` already.
    """
    pool = getattr(redis, "connection_pool", None)  # a cluster has several
    try:
        if pool:
            _ping(pool)
        else:
            redis.ping()
    except ResponseError:  # the user lacks the right to PING
        return True
    except RedisError:
        return False
    return True


def _ping(pool: ConnectionPool) -> None:
    """Send PING over a new connection."""
    limits = {"socket_timeout": PROBE_S, "socket_connect_timeout": PROBE_S}
    connection = cast("Any", pool.connection_class)(**pool.connection_kwargs | limits)
    try:
        connection.connect()
        connection.send_command("PING")
        connection.read_response()
    finally:
        connection.disconnect()


def shrinking(redis: Redis, portion: Portion, ask: Callable[[int], T]) -> T:
    """Request entries, and fewer of them as long as Redis closes the connection; return the reply.

    A connection may also have been closed because it was idle, by Redis, a proxy or an operator. So the same request is
    repeated once, and must not change anything in Redis.

    Raises:
        ConnectionError, TimeoutError: Redis does not answer, or closes the connection because of a single entry.
    """
    once_more = True
    while True:
        try:
            reply = ask(portion.count)
        except (RedisConnectionError, RedisTimeoutError):
            if not answers(redis) or (portion.count == 1 and not once_more):
                raise
            if not once_more:
                portion.refused()
            once_more = False
        else:
            return reply
