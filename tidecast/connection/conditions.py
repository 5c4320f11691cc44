"""Find the series that are anomalous, stuck, silent or degraded now, without reading all states."""

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, cast

from redis import Redis

from tidecast.connection.partitions import newest_entries
from tidecast.errors import StateError
from tidecast.wire import Keys

BEGINNINGS = (b"anomaly", b"stuck", b"silent", b"model_degraded")  # events that begin a condition
HEADS_AT_ONCE = 200
LISTED = 3  # series that are named in a line


def series_in_trouble(
    redis: Redis, keys: Keys, condition_of: Callable[[bytes], str], fine: str, most: int
) -> dict[str, list[str]]:
    """Return the series of a partition that are not in order, by condition.

    Only series that begin a condition among the newest events are looked up in the states.

    Args:
        redis: the server.
        keys: the partition's keys.
        condition_of: returns the condition in a stored state's head; raises StateError for an unknown format.
        fine: the condition of a series in order.
        most: events to read.
    """
    entries = newest_entries(redis, keys.events, most)
    begun = (fields.get(b"series") for _, fields in entries if fields.get(b"kind") in BEGINNINGS)
    names = iter(dict.fromkeys(name for name in begun if name))
    troubled: dict[str, list[str]] = {}
    while some := list(islice(names, HEADS_AT_ONCE)):
        heads = cast("list[bytes | None]", redis.hmget(keys.state, cast("Any", some)))
        for name, head in zip(some, heads, strict=True):
            condition = _condition(head, condition_of, fine)
            if condition != fine:
                troubled.setdefault(condition, []).append(name.decode(errors="backslashreplace"))
    return troubled


def conditions_text(troubled: Mapping[str, list[str]]) -> str:
    """Return the conditions with some of their series: `1 stuck (pump-1), 2 silent (boiler-1, boiler-2)`."""
    parts = []
    for condition, names in troubled.items():
        more = ", …" if len(names) > LISTED else ""
        parts.append(f"{len(names)} {condition} ({', '.join(sorted(names)[:LISTED])}{more})")
    return ", ".join(parts)


def _condition(head: bytes | None, condition_of: Callable[[bytes], str], fine: str) -> str:
    try:
        return condition_of(head) if head else fine
    except StateError:  # the check of states reports it
        return fine
