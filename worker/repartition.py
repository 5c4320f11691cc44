"""Change the number of partitions while workers run.

`tidecast repartition` stores the wanted number; a worker carries it out. The new partitions have keys of their own:

1. Close every present partition: no commit succeeds from then on, and its last commit is final.
2. Remove readings that were routed to these partitions from the streams that they came from.
3. Copy the states, mutes, orders and due times to the new partitions. What is copied does not change any more.
4. Open the new partitions, then store the new layout. The workers follow it.

Readings that are in a closed partition after its last commit, or arrive there later, are routed to the new partitions.
Every step may be repeated, by two workers at once too: ADR 23 has the argument.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Any, cast
from zlib import crc32

import structlog
from redis import Redis

from tidecast.connection.partitions import offset_of
from tidecast.connection.records.orders import orders_in
from tidecast.connection.repartitions import Repartition, read_repartition
from tidecast.settings import Settings
from tidecast.wire import DISPOSITIONS, SEPARATOR, Event, Keys, Layout, common_keys, id_pair, layout_of, repartition_key
from worker.partition.stored_states import states_of
from worker.redis_failures import refusals_explained
from worker.scripts import script_of
from worker.sources import Source, sources_of

SLICE_S = 0.1  # how long one step works at most
PAGE = 500  # readings that are checked at once
ADOPTED_AT_ONCE = 2000  # fields
COUNTS = (*DISPOSITIONS, "read", "lost")

log = structlog.get_logger("tidecast.worker")


class Repartitioner:
    """Carries out the repartition that is stored in Redis.

    Args:
        redis: the server or cluster.
        settings: how many events to keep.
    """

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._close = redis.register_script(script_of("close"))
        self._adopt = redis.register_script(script_of("adopt"))
        self._switch = redis.register_script(script_of("layout"))
        self._work: Iterator[None] | None = None

    def wanted(self) -> Repartition | None:
        """Return the repartition that is stored."""
        with refusals_explained():
            return read_repartition(self._redis, self._settings.namespace)

    def step(self, settings: Settings) -> bool:
        """Work on the stored repartition for a moment; return whether there is more to do.

        Args:
            settings: with the present layout.

        Raises:
            RedisError, StreamError, Unavailable: the next step begins again.
        """
        wanted = self.wanted()
        if wanted is None:
            self._work = None
            return False
        layout = layout_of(settings)
        if wanted.generation <= layout.generation:
            with refusals_explained():
                self._redis.delete(repartition_key(layout.namespace))
            self._work = None
            return False
        self._work = self._work or self._carry_out(layout, wanted)
        until = time.monotonic() + SLICE_S
        try:
            with refusals_explained():
                for _ in self._work:
                    if time.monotonic() > until:
                        return True
        except Exception:
            self._work = None
            raise
        self._work = None
        return False

    def _carry_out(self, layout: Layout, wanted: Repartition) -> Iterator[None]:
        """Yield after each piece of work."""
        began = time.monotonic()
        new = layout.after(wanted.partitions)
        sources = sources_of(self._redis, layout) if layout.has_front_door else []
        closed = {}
        for number, keys in enumerate(layout.present()):
            closed[number] = self._close_partition(keys, wanted if number == 0 else None)
            yield
        log.info("partitions closed", partitions=layout.partitions, wanted=wanted.partitions)
        yield from self._remove_routed(layout, sources)
        moved: dict[str, set[str]] = {}
        for keys in layout.present():
            for some in states_of(self._redis, keys.state):
                self._adopt_states(new, some, moved)
                yield
        self._adopt_the_rest(layout, new)
        self._check(layout, closed)
        for number in range(new.partitions):
            self._open_partition(layout, new, number, len(moved.get(new.keys(number).state, ())), wanted)
            yield
        self._switch(keys=[common_keys(layout.namespace)[0]], args=[layout.encode(), new.encode()])
        seconds = round(time.monotonic() - began, 3)
        fields = sum(map(len, moved.values()))
        log.info("partitions changed", old=layout.partitions, new=new.partitions, fields=fields, seconds=seconds)

    def _close_partition(self, keys: Keys, wanted: Repartition | None) -> tuple[bytes | None, bytes | None]:
        """Close a partition; return its last commit and its epoch, which are final."""
        event = _event(wanted, "begins") if wanted else []
        names = [keys.lease, keys.offset, keys.readings, keys.state, keys.events]
        self._close(keys=names, args=[self._settings.worker.events_kept, *event])
        return self._final(keys)

    def _final(self, keys: Keys) -> tuple[bytes | None, bytes | None]:
        last = cast("bytes | None", self._redis.hget(keys.offset, "last"))
        return last, cast("bytes | None", self._redis.hget(keys.lease, "epoch"))

    def _check(self, layout: Layout, closed: Mapping[int, tuple[bytes | None, bytes | None]]) -> None:
        """Check that the partitions are as they were when they were closed.

        Raises:
            RuntimeError: Redis has lost what it acknowledged.
        """
        for number, keys in enumerate(layout.present()):
            if self._final(keys) != closed[number] or not self._redis.hget(keys.offset, "closed"):
                raise RuntimeError(f"partition {number} is not closed any more, as Redis has lost data: begin again")

    def _remove_routed(self, layout: Layout, sources: list[Source]) -> Iterator[None]:
        """Remove readings from their streams that a router had appended to a partition when it died."""
        for source in sources:
            stream = source.stream
            routed = [cast("bytes | None", self._redis.hget(keys.routed, stream)) for keys in layout.present()]
            marks = [id_pair(last or b"0-0") for last in routed]
            first = f"({source.cut}"
            while page := cast("list[Any]", self._redis.xrange(stream, first, _text(max(marks)), count=PAGE)):
                done = [
                    entry_id
                    for entry_id, fields in page
                    if id_pair(entry_id) <= marks[crc32((fields or {}).get(b"series", b"")) % layout.partitions]
                ]
                if done:
                    self._redis.xdel(stream, *done)
                first = f"({page[-1][0].decode()}"
                yield

    def _adopt_states(self, new: Layout, some: Mapping[str, bytes], moved: dict[str, set[str]]) -> None:
        """Write states to the new partitions; note the names of the fields by key."""
        by_partition: dict[int, dict[str, bytes]] = {}
        for name, value in some.items():
            by_partition.setdefault(new.partition_of(name.partition(SEPARATOR)[0]), {})[name] = value
        for number, fields in by_partition.items():
            keys = new.keys(number)
            self._write(keys, keys.state, fields)
            moved.setdefault(keys.state, set()).update(fields)

    def _adopt_the_rest(self, layout: Layout, new: Layout) -> None:
        """Write the mutes, the orders that wait, and when retraining is due."""
        for keys in layout.present():
            for series, mute in cast("dict[bytes, bytes]", self._redis.hgetall(keys.muted)).items():
                to = new.keys_for(series.decode())
                self._write(to, to.muted, {series.decode(): mute})
            for order in orders_in(self._redis, keys):
                to = new.keys_for(order.new if order.state is not None and order.new else order.series)
                if order.refused is None and order.left is None:
                    self._write(to, to.orders, {order.id: order.encode()})
        for number in range(new.partitions):
            former = layout.keys(number % layout.partitions)
            trigger, next_ms = cast("list[bytes | None]", self._redis.hmget(former.retrain, ["trigger", "next_ms"]))
            if trigger and next_ms:
                to = new.keys(number)
                self._write(to, to.retrain, {"trigger": trigger, "next_ms": next_ms})

    def _open_partition(self, layout: Layout, new: Layout, number: int, fields: int, wanted: Repartition) -> None:
        """Open a new partition with the counts of the former ones whose number has the same remainder.

        Raises:
            RuntimeError: Redis has lost a part of the states.
        """
        keys = new.keys(number)
        if self._redis.hget(keys.offset, "last"):
            return
        if (stored := int(self._redis.hlen(keys.state))) != fields:
            raise RuntimeError(f"{keys.state} has {stored} fields instead of {fields}, as Redis has lost data")
        former = [offset_of(self._redis, layout.keys(i)) for i in range(number, layout.partitions, new.partitions)]
        counts = {name: sum(offset.counts.get(name, 0) for offset in former) for name in COUNTS}
        event = _event(wanted, "ends") if number == 0 else []
        offset = {"last": "0-0", **counts, "before": counts["read"]}
        self._write(keys, keys.offset, offset, event)

    def _write(self, keys: Keys, key: str, fields: Mapping[str, Any], event: list[Any] | None = None) -> None:
        items = list(fields.items())
        for at in range(0, len(items), ADOPTED_AT_ONCE):
            args: list[Any] = [self._settings.worker.events_kept, len(event or ()), *(event or ())]
            for item in items[at : at + ADOPTED_AT_ONCE]:
                args += item
            self._adopt(keys=[keys.offset, key, keys.events], args=args)


def _event(wanted: Repartition, phase: str) -> list[Any]:
    """Return the fields and values of the event."""
    detail = f"from {wanted.former} partitions to {wanted.partitions}"
    facts: dict[str, str | float] = {"phase": phase, "old": str(wanted.former), "new": str(wanted.partitions)}
    facts |= {"who": wanted.who, "host": wanted.host, "by": "command"}
    return Event("repartition", detail, facts=facts).encode()


def _text(pair: tuple[int, int]) -> str:
    return f"{pair[0]}-{pair[1]}"
