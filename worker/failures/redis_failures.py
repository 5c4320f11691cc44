"""Map Redis errors to worker errors: a lost partition, a wrong key, or a temporary refusal."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from tidecast.connection import lacks_right
from tidecast.connection.refusals import NO_RIGHT, STALE, code_of, refusal
from tidecast.errors import Conflict, Fenced, StreamError, Unavailable
from worker.failures.acl import explain

# Error codes of the worker's own scripts.
_OURS: Mapping[str, type[StreamError]] = MappingProxyType(
    {
        "FENCED": Fenced,
        "CLOSED": Fenced,  # by a repartition
        "NOTYET": Unavailable,  # a partition cannot be closed
        "CONFLICT": Conflict,
        "MISCOUNT": Conflict,
        "WRONGKEY": StreamError,
        "AHEAD": StreamError,
        "FULL": Unavailable,
    }
)


@contextmanager
def refusals_explained() -> Iterator[None]:
    """Convert Redis errors within the `with` block into the worker's own errors.

    Raises:
        Fenced: another worker has the partition.
        Conflict: the offset has changed.
        Unavailable: Redis refuses temporarily; nothing has happened, and the same command may be sent again.
        StreamError: a key is of the wrong type, or holds foreign entries.
    """
    try:
        yield
    except ResponseError as exc:
        raise meaning_of(exc) from exc


def meaning_of(exc: RedisError) -> Exception:
    """Return the worker's error for a Redis error, or the Redis error itself if it needs no translation."""
    if not isinstance(exc, ResponseError):
        return exc
    word, _, sentence = str(exc).partition(" ")
    ours = _OURS.get(word)
    if ours is StreamError:
        return StreamError(f"{sentence}: rename or delete that key, or use another namespace")
    if ours is Unavailable:
        return Unavailable(word, sentence)
    if ours:
        return ours(sentence)
    if "WRONGTYPE" in str(exc):
        return StreamError(
            "a key is not of the type that this worker uses: rename or delete it, or use a namespace; "
            "`tidecast doctor` names it"
        )
    code = code_of(exc) or (NO_RIGHT if lacks_right(exc) else None)
    return Unavailable(code, refusal(exc) or explain(exc)) if code else exc


def is_stale(exc: Exception) -> bool:
    """Return whether a connection leads to a replica: a new one may reach the master behind the same name."""
    meaning = meaning_of(exc) if isinstance(exc, RedisError) else exc
    return isinstance(meaning, Unavailable) and meaning.code in STALE


def reconnect_if_stale(redis: Redis | None, exc: Exception) -> None:
    """Close the connections of a pool if one of them leads to a replica; a cluster's client finds the master itself."""
    if isinstance(redis, Redis) and is_stale(exc):
        redis.connection_pool.disconnect()
