"""Ask for fewer entries at once where Redis closes the connection over many.

`client-output-buffer-limit` ends a connection whose replies are too large, `client-query-buffer-limit` one whose
requests are, and a time-out one whose network is too slow for them. The same request would fail for ever.
"""

from collections.abc import Callable
from typing import TypeVar

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

PATIENCE = 16  # requests that must go well before twice as much is tried again
T = TypeVar("T")


class Portion:
    """How many entries to ask for at once.

    Args:
        most: never more.

    Attributes:
        count: how many now.
    """

    def __init__(self, most: int) -> None:
        self.count = most
        self._most = most
        self._limit = most  # until it has gone well for a while
        self._left = 0  # requests until the limit is raised

    def halve(self) -> None:
        """Ask for half as many, as the next ones may be smaller soon for as many as before."""
        self.count = max(1, self.count // 2)

    def refused(self, patience: int = PATIENCE) -> None:
        """Ask for half as many, until as many requests as `patience` have gone well: Redis closed the connection."""
        self.halve()
        self._limit, self._left = self.count, patience

    def went_well(self) -> None:
        """Ask for twice as many, up to the limit."""
        if self._limit < self._most:
            self._left -= 1
            if self._left <= 0:
                self._limit, self._left = min(2 * self._limit, self._most), PATIENCE
        self.count = min(2 * self.count, self._limit)


def answers(redis: Redis) -> bool:
    """Whether Redis answers at all, so that it was the request that ended a connection."""
    try:
        redis.ping()
    except ResponseError:  # the user may not ask
        return True
    except RedisError:
        return False
    return True


def shrinking(redis: Redis, portion: Portion, ask: Callable[[int], T]) -> T:
    """Ask for as many entries as Redis gives in one reply.

    A connection may also have been closed because it was idle, by Redis, a proxy or an operator: the same is asked once
    more, which is why it must change nothing.

    Raises:
        ConnectionError, TimeoutError: Redis is away, or closes the connection over a single entry.
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
