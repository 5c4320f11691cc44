"""The repartition that is under way: written by the command, carried out by a worker."""

from dataclasses import asdict, dataclass
from typing import Any, cast

import orjson
from redis import Redis

from tidecast.errors import SettingsError
from tidecast.wire import Layout, repartition_key

# KEYS: repartition   ARGV: the one to remove
_REMOVE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


@dataclass(frozen=True, slots=True)
class Repartition:
    """A change of the number of partitions.

    Attributes:
        partitions: the wanted number.
        former: the number before.
        generation: the generation that begins.
        since_ms: when the command was given, epoch milliseconds by the clock of Redis.
        user: who gave the order.
        host: the user's machine.
    """

    partitions: int
    former: int
    generation: int
    since_ms: int
    user: str = ""
    host: str = ""


def read_repartition(redis: Redis, namespace: str) -> Repartition | None:
    """Return the repartition that is under way, or has just ended; None without one.

    Raises:
        SettingsError: the key holds something else.
    """
    key = repartition_key(namespace)
    raw = cast("bytes | None", redis.get(key))
    if raw is None:
        return None
    try:
        fields: dict[str, Any] = orjson.loads(raw)
        repartition = Repartition(**fields)
        if Layout.decode(str(repartition.partitions)) is None or not isinstance(repartition.generation, int):
            raise ValueError(raw)
    except (ValueError, TypeError) as exc:
        raise SettingsError(f"{key} in Redis is not a repartition: delete it, then give the command again") from exc
    return repartition


def order_repartition(redis: Redis, namespace: str, repartition: Repartition) -> bool:
    """Store a repartition; return False if another one is stored."""
    return bool(redis.set(repartition_key(namespace), _encode(repartition), nx=True))


def remove_repartition(redis: Redis, namespace: str, repartition: Repartition) -> None:
    """Remove a repartition that has ended, unless another one is stored by now."""
    redis.register_script(_REMOVE)(keys=[repartition_key(namespace)], args=[_encode(repartition)])


def _encode(repartition: Repartition) -> bytes:
    return orjson.dumps(asdict(repartition))
