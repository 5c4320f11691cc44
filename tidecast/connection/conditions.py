"""Find the series that are anomalous, stuck, silent or degraded now, without reading all states."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, cast

from redis import Redis

from tidecast.connection.partitions import newest_entries
from tidecast.errors import StateError
from tidecast.wire import Keys, Layout

BEGINNINGS = (b"anomaly", b"stuck", b"silent", b"model_degraded")  # events that begin a condition
HEADS_AT_ONCE = 200
LISTED = 3  # series that are named in a line


def series_in_trouble(
    redis: Redis, layout: Layout, condition_of: Callable[[bytes], str], fine: str, most: int
) -> dict[str, list[str]]:
    """Return the series that are not in order, by condition.

    Only series that begin a condition among the newest events of a partition are looked up in the states. The events
    from before the last repartition are in the former partitions.

    Args:
        redis: the server.
        layout: the partitions.
        condition_of: returns the condition in a stored state's head; raises StateError for an unknown format.
        fine: the condition of a series in order.
        most: events of a partition to read.
    """
    begun: dict[Keys, dict[bytes, None]] = {}
    for keys in chain.from_iterable(layout.generations()[-2:]):
        for _, fields in newest_entries(redis, keys.events, most):
            if fields.get(b"kind") in BEGINNINGS and (series := fields.get(b"series")):
                begun.setdefault(layout.keys_for(series.decode(errors="replace")), {})[series] = None
    troubled: dict[str, list[str]] = {}
    for keys, names in begun.items():
        for name, head in _heads(redis, keys, names):
            condition = _condition(head, condition_of, fine)
            if condition != fine:
                troubled.setdefault(condition, []).append(name.decode(errors="backslashreplace"))
    return troubled


def _heads(redis: Redis, keys: Keys, names: Iterable[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
    series = iter(names)
    while some := list(islice(series, HEADS_AT_ONCE)):
        yield from zip(some, cast("list[bytes | None]", redis.hmget(keys.state, cast("Any", some))), strict=True)


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
