"""Map Redis errors to worker errors: a lost partition, a wrong key, or a temporary refusal."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from redis import Redis, exceptions
from redis.exceptions import RedisError, ResponseError

from tidecast.connection import lacks_right
from tidecast.errors import Conflict, Fenced, StreamError, Unavailable
from worker.acl import explain

# Error codes of the worker's own scripts.
_OURS: Mapping[str, type[StreamError]] = MappingProxyType(
    {
        "FENCED": Fenced,
        "CLOSED": Fenced,  # by a repartition
        "NOTYET": Unavailable,  # a partition cannot be closed
        "CONFLICT": Conflict,
        "WRONGKEY": StreamError,
        "AHEAD": StreamError,
        "FULL": Unavailable,
    }
)
# Redis changed nothing, and the same command may be sent again. Each text has the reason and the remedy.
REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        "OOM": "Redis is at its maxmemory: raise it, or keep less (worker.forecasts_kept, worker.retention)",
        "MISCONF": "Redis cannot save to its disk and refuses to write: free the disk, its log says more",
        "READONLY": "this Redis is a replica: point redis_url to its master",
        "MASTERDOWN": "this Redis is a replica without its master: point redis_url to the master",
        "NOREPLICAS": "too few replicas are connected (min-replicas-to-write): bring them back",
        "BUSY": "a script of another client blocks Redis: wait, or end it with SCRIPT KILL",
        "TRYAGAIN": "the partition's keys are being moved to another node of the cluster: wait",
        "CLUSTERDOWN": "the cluster does not serve all slots: look at CLUSTER INFO",
    }
)
STALE = ("READONLY", "MASTERDOWN")  # after a failover an old connection leads to a server that is now a replica
NO_RIGHT = "NOPERM"  # the code of a refusal because the user lacks a right
EXPLAINED = ("MOVED", "ASK", NO_RIGHT)  # codes that `explain` describes
_CLASSES: Mapping[type[ResponseError], str] = MappingProxyType(
    {  # redis-py removes the code from the text of these errors
        exceptions.OutOfMemoryError: "OOM",
        exceptions.ReadOnlyError: "READONLY",
        exceptions.MasterDownError: "MASTERDOWN",
        exceptions.TryAgainError: "TRYAGAIN",
        exceptions.MovedError: "MOVED",  # before ASK, its base class
        exceptions.AskError: "ASK",
        exceptions.ClusterDownError: "CLUSTERDOWN",
        exceptions.NoPermissionError: NO_RIGHT,
    }
)
# Redis 6.2 quotes the code of an error within a script; for a missing right its text has nothing else.
_WITHIN = re.compile(rf"(?:^|: )-?({'|'.join((*REMEDIES, *EXPLAINED))})\b")


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
    if word == "WRONGTYPE":
        return StreamError("a key is not of the type that this worker uses: rename or delete it, or use a namespace")
    code = _code(exc)
    if code in EXPLAINED:
        return Unavailable(code, explain(exc))
    return Unavailable(code, f"{REMEDIES[code]} ({exc})") if code else exc


def kind_of(exc: Exception) -> str:
    """Return the kind of a failed step, as the log and the metrics name it."""
    if isinstance(exc, Unavailable):
        return "refused"
    return "redis" if isinstance(exc, RedisError) else "step"


def is_stale(exc: Exception) -> bool:
    """Return whether a connection leads to a replica: a new one may reach the master behind the same name."""
    meaning = meaning_of(exc) if isinstance(exc, RedisError) else exc
    return isinstance(meaning, Unavailable) and meaning.code in STALE


def reconnect_if_stale(redis: Redis | None, exc: Exception) -> None:
    """Close the connections of a pool if one of them leads to a replica; a cluster's client finds the master itself."""
    if isinstance(redis, Redis) and is_stale(exc):
        redis.connection_pool.disconnect()


def _code(exc: RedisError) -> str | None:
    for kind, code in _CLASSES.items():
        if isinstance(exc, kind):
            return code
    if match := _WITHIN.search(str(exc)):
        return match[1]
    return NO_RIGHT if lacks_right(exc) else None
