"""Commands that Redis refuses for now: it changed nothing, and the same command may be sent again."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from redis import exceptions
from redis.exceptions import RedisError, ResponseError

# By error code, the reason and the remedy.
REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        "OOM": "Redis is at its maxmemory: raise it, or keep less (worker.forecasts_kept, worker.retention)",
        "MISCONF": "Redis cannot save to its disk and refuses to write: free the disk, its log says more",
        "READONLY": "this Redis is a replica: point redis_url to its master",
        "MASTERDOWN": "this Redis is a replica without its master: point redis_url to the master",
        "NOREPLICAS": "too few replicas are connected (min-replicas-to-write): bring them back",
        "BUSY": "a script of another client blocks Redis: wait, or end it with SCRIPT KILL",
        "TRYAGAIN": "the partition's keys are being moved to another node of the cluster: wait",
        "CLUSTERDOWN": "the cluster does not serve all slots: check CLUSTER INFO",
    }
)
STALE = ("READONLY", "MASTERDOWN")  # after a failover an old connection leads to a server that is now a replica
NO_RIGHT = "NOPERM"  # the code of a refusal because the user lacks a right
EXPLAINED = ("MOVED", "ASK", NO_RIGHT)  # codes that `explain` describes otherwise
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
# Redis 6.2 quotes the code of an error within a script; for a missing right its text has nothing else. redis-py puts
# the command before an error within a pipeline.
_WITHIN = re.compile(rf"(?:^|: )-?({'|'.join((*REMEDIES, *EXPLAINED))})\b")


def code_of(exc: RedisError) -> str | None:
    """Return the code of a refusal; None for other errors."""
    for kind, code in _CLASSES.items():
        if isinstance(exc, kind):
            return code
    match = _WITHIN.search(str(exc))
    return match[1] if match else None


def refusal(exc: RedisError) -> str | None:
    """Return the reason of a refusal and the remedy; None for other errors and for those of `EXPLAINED`."""
    code = code_of(exc) if isinstance(exc, ResponseError) else None
    return f"{REMEDIES[code]} ({exc})" if code and code in REMEDIES else None
