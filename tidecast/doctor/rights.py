"""Check that the user in `redis_url` has the rights that a worker needs.

Each right is checked with a command that is invalid or changes nothing: Redis checks rights before it checks anything
else of a command.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from redis.exceptions import RedisError, ResponseError

from tidecast.connection import RIGHTS, lacks_right
from tidecast.doctor.finding import Case, Finding
from tidecast.schedule_choice import choose_schedule
from tidecast.settings import Settings
from tidecast.wire import Keys, common_keys, layout_of, repartition_claim_key, repartition_key
from tidecast.wire.known import known_keys

NOBODY = "0" * 40  # a name that no script, field or group has
NO_ID = "none"  # an invalid entry id
Probe = tuple[str | bytes | int, ...]

# A command for each right; `readings` and so on stand for the keys of the first partition.
PROBES: Mapping[str, Probe] = MappingProxyType(
    {
        "evalsha": ("EVALSHA", NOBODY, 1, "lease"),
        "script|load": ("SCRIPT LOAD", "return 1"),
        "xread": ("XREAD", "COUNT", 1, b"STREAMS", "readings", "$"),
        "xadd": ("XADD", "forecasts", "NOMKSTREAM", NO_ID, "a", "b"),
        "xinfo|stream": ("XINFO STREAM", "readings"),
        "xgroup|create": ("XGROUP CREATE", "readings", NOBODY, NO_ID),
        "xgroup|setid": ("XGROUP SETID", "readings", NOBODY, NO_ID),
        "set": ("SET", "partitions", 1, "NX", "XX"),
        "get": ("GET", "partitions"),
        "type": ("TYPE", "readings"),
        "time": ("TIME",),
        "exists": ("EXISTS", "readings"),
        "hget": ("HGET", "lease", "owner"),
        "hset": ("HSET", "lease", "a", "b", "c"),
        "hmget": ("HMGET", "lease", "owner"),
        "hincrby": ("HINCRBY", "lease", NOBODY, "none"),
        "hdel": ("HDEL", "lease", NOBODY),
        "hgetall": ("HGETALL", "lease"),
        "hscan": ("HSCAN", "lease", 0),
        "xrange": ("XRANGE", "readings", "+", "-"),
        "xrevrange": ("XREVRANGE", "readings", "-", "+"),
        "xdel": ("XDEL", "readings", NO_ID),
        "xtrim": ("XTRIM", "readings", "MINID", NO_ID),
        "xlen": ("XLEN", "forecasts"),
        "xpending": ("XPENDING", "forecasts", NOBODY),
        "xinfo|groups": ("XINFO GROUPS", "forecasts"),
        "wait": ("WAIT", NO_ID, 0),
    }
)
_SOMETIMES = {"xrange", "xrevrange", "xdel", "xtrim", "xlen", "xpending", "xinfo|groups", "wait"}


def needed(settings: Settings) -> set[str]:
    """Return the rights that a worker with these settings needs."""
    worker = settings.worker
    names = set(PROBES) - _SOMETIMES
    names |= {"xtrim"} if worker.retention or layout_of(settings).has_front_door else set()
    names |= {"xdel", "xrevrange"} if settings.former_partitions else set()
    names |= {"xtrim", "xlen", "xpending", "xinfo|groups"} if worker.wait_for_group else set()
    names |= {"wait"} if worker.wait_replicas else set()
    return names | ({"xrange"} if choose_schedule(settings).on else set())


def rights(case: Case) -> Iterator[Finding]:
    """Check that the user has the rights to all needed commands and keys."""
    keys = next(case.partitions())
    places = {name: getattr(keys, name) for name in Keys.__slots__} | {"partitions": _common(case)[0]}
    required = needed(case.settings)
    lacking = [f"+{right}" for right, probe in PROBES.items() if right in required and _refused(case, probe, places)]
    if "+type" not in lacking:
        every = (*_all_keys(case), *_common(case), *known_keys(case.settings.namespace))
        lacking += [f"~{key}" for key in every if _refused(case, ("TYPE", key), {})]
    if lacking:
        problem = f"the user that redis_url names lacks rights of a worker: {' '.join(dict.fromkeys(lacking))}"
        yield Finding("rights", "error", problem, f"grant them with ACL SETUSER: {RIGHTS}")


def _all_keys(case: Case) -> Iterator[str]:
    return (getattr(keys, name) for keys in case.partitions() for name in Keys.__slots__)


def _common(case: Case) -> tuple[str, ...]:
    namespace = case.settings.namespace
    return (*common_keys(namespace), repartition_key(namespace), repartition_claim_key(namespace))


def _refused(case: Case, probe: Probe, places: Mapping[str, str]) -> bool:
    """Return whether the right is missing; other errors of the command are ignored."""
    words = [places.get(str(word), word) for word in probe]
    to = case.redis if len(words) > 1 and words[0] != "SCRIPT LOAD" else case.server
    try:
        to.execute_command(*words)
    except ResponseError as exc:
        return lacks_right(exc)
    except RedisError as exc:
        if lacks_right(exc):
            return True
        raise
    return False
