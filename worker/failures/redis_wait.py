"""Wait for Redis at the start of a program: try again and again, and show why it is not ready yet."""

from collections.abc import Callable
from typing import TypeVar

import structlog
from redis.exceptions import MovedError, RedisError

from tidecast.connection.redis_errors import DATABASE, meaning_of_error
from tidecast.errors import SettingsError, Unavailable
from worker.failures.acl import explain
from worker.failures.backoff import LONGEST_S, SHORTEST_S
from worker.failures.log_limiter import LogLimiter
from worker.failures.redis_failures import meaning_of
from worker.metrics import Health
from worker.stop import Stop

T = TypeVar("T")

log = structlog.get_logger("tidecast.worker")


def once_redis_answers(start: Callable[[], T], health: Health, stop: Stop) -> T | None:
    """Return the result of `start` once Redis answers, accepts writes and grants the rights; None if stopped before.

    Raises:
        SettingsError: waiting cannot help, or `start` raises it.
    """
    pause_s = SHORTEST_S
    limiter = LogLimiter()
    while not stop.is_set():
        try:
            return start()
        except RedisError as exc:
            _refuse_for_good(exc)
            meaning = meaning_of(exc)
            kind = "refused" if isinstance(meaning, Unavailable) else "redis"
            error = explain(exc) if meaning is exc else str(meaning)
            if times := limiter.count(f"{kind} {error}"):
                log.error("start failed", kind=kind, error=error, pause_s=pause_s, times=times)
            health.failed(kind)
            health.show_ready(ready=False, failing=error)
            stop.wait(pause_s)
            pause_s = min(LONGEST_S, 2 * pause_s)
    return None


def _refuse_for_good(exc: RedisError) -> None:
    """Raise a SettingsError if waiting cannot help.

    Raises:
        SettingsError: `redis_url` names a server of a cluster, or a database that does not exist.
    """
    meaning = meaning_of_error(exc)
    if isinstance(exc, MovedError) or (meaning and meaning.check == DATABASE.check):
        raise SettingsError(explain(exc)) from exc
