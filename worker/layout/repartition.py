"""Change the number of partitions while workers run.

`tidecast repartition` stores the wanted number; a worker carries it out. The new partitions have keys of their own:

1. Copy the states to the new partitions while the present ones are served. Commits note what they write meanwhile.
2. Close every present partition: no commit succeeds from then on, and its last commit is final.
3. Remove readings that were routed to these partitions from the streams that they came from.
4. Copy the states that were noted, and mutes, orders and due times. Nothing that is copied changes any more.
5. Open the new partitions, then store the new layout. The workers follow it.

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
from tidecast.connection.repartitions import Repartition, read_repartition, remove_repartition
from tidecast.settings import Settings, worker_name
from tidecast.wire import (
    DISPOSITIONS,
    Event,
    Keys,
    Layout,
    common_keys,
    id_pair,
    layout_of,
    repartition_claim_key,
)
from worker.failures.redis_failures import refusals_explained
from worker.layout.new_partitions import NewPartitions, check_noted
from worker.layout.sources import RoutedStream, sources_of
from worker.partition.stored_states import fields_of, states_of
from worker.scripts import script_of

SLICE_S = 0.1  # how long one step works at most, while partitions are served
CLOSED_SLICE_S = 1.0  # the same while they are closed
CLAIM_S = 0.5  # how long another worker waits before it goes on: it does not wait for the end of a lease
RENEW_S = 0.1  # how often the claim is renewed while a step works
PAGE = 500  # readings that are checked at once
COUNTS = (*DISPOSITIONS, "read", "lost")

log = structlog.get_logger("tidecast.worker")


class Repartitioner:
    """Carries out the repartition that is stored in Redis.

    Args:
        redis: the server or cluster.
        settings: the worker's name, and how many events to keep.
    """

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._close = redis.register_script(script_of("close"))
        self._switch = redis.register_script(script_of("layout"))
        self._work: Iterator[float] | None = None

    def wanted(self) -> Repartition | None:
        """Return the repartition that is stored."""
        with refusals_explained():
            return read_repartition(self._redis, self._settings.namespace)

    def step(self, settings: Settings) -> bool:
        """Work on the stored repartition for a moment; return whether the layout has changed, or will not change.

        Args:
            settings: with the present layout.

        Raises:
            RedisError, StreamError, Unavailable: the next step begins again.
        """
        wanted = self.wanted()
        layout = layout_of(settings)
        if wanted is None or wanted.generation <= layout.generation:
            self._work = None
            if wanted:
                with refusals_explained():
                    remove_repartition(self._redis, layout.namespace, wanted)
            return True
        work = self._work or self._carry_out(layout, wanted)
        self._work = None  # unless there is more to do: after an error or the loss of the claim, begin again
        with refusals_explained():
            if not self._claims(layout.namespace):
                return False
            began = claimed_at = time.monotonic()
            for longest_s in work:
                now = time.monotonic()
                if now - claimed_at > RENEW_S:
                    if not self._claims(layout.namespace):
                        return False
                    claimed_at = now
                if now - began > longest_s:
                    self._work = work
                    return False
        return True

    def _claims(self, namespace: str) -> bool:
        """Claim the repartition, or renew the claim; return whether this worker has it.

        Two workers at once lose no reading, but each makes the other begin again, so a step must renew its claim.
        """
        key = repartition_claim_key(namespace)
        name = worker_name(self._settings).encode()
        claim_ms = round(1000 * CLAIM_S)
        if self._redis.set(key, name, px=claim_ms, nx=True):
            return True
        return self._redis.get(key) == name and bool(self._redis.set(key, name, px=claim_ms, xx=True))

    def _carry_out(self, layout: Layout, wanted: Repartition) -> Iterator[float]:
        """Yield after each piece of work, how long it may go on without a break in seconds."""
        new = NewPartitions(self._redis, layout.after(wanted.partitions), self._settings.worker.events_kept)
        if not (new.copied and (new.are_open or self._are_noted(layout, new.copy))):
            yield from self._copy(layout, new)
        began = time.monotonic()
        sources = sources_of(self._redis, layout) if layout.has_front_door else []
        closed = {}
        for number, keys in enumerate(layout.present()):
            closed[number] = self._close_partition(keys, wanted if number == 0 else None)
            yield CLOSED_SLICE_S
        log.info("partitions closed", partitions=layout.partitions, wanted=wanted.partitions)
        yield from self._remove_routed(layout, sources)
        if not new.are_open:
            yield from self._copy_noted(layout, new)
            self._copy_the_rest(layout, new)
        self._check(layout, closed)
        for number in range(new.layout.partitions):
            self._open_partition(layout, new, number, wanted)
            yield CLOSED_SLICE_S
        self._switch(keys=[common_keys(layout.namespace)[0]], args=[layout.encode(), new.layout.encode()])
        seconds = round(time.monotonic() - began, 3)
        log.info("partitions changed", old=layout.partitions, new=wanted.partitions, closed_seconds=seconds)
        for keys in layout.present():
            self._redis.delete(keys.changed)

    def _copy(self, layout: Layout, new: NewPartitions) -> Iterator[float]:
        """Copy all states while they change; commits note the names of the fields that they write."""
        began = time.monotonic()
        new.begin()
        for keys in layout.present():
            self._redis.delete(keys.changed)
            self._redis.sadd(keys.changed, new.copy)
        yield SLICE_S
        fields = 0
        for keys in layout.present():
            for some in states_of(self._redis, keys.state):
                new.adopt_states(some)
                fields += len(some)
                yield SLICE_S
        new.end_copy()
        log.info("states copied", fields=fields, seconds=round(time.monotonic() - began, 3))
        yield SLICE_S

    def _are_noted(self, layout: Layout, copy: bytes) -> bool:
        """Return whether all partitions note what was written since a copy was begun."""
        return all(self._redis.sismember(keys.changed, cast("str", copy)) for keys in layout.present())

    def _copy_noted(self, layout: Layout, new: NewPartitions) -> Iterator[float]:
        """Copy the states that were written since the copy was begun.

        Raises:
            Conflict: they were not noted, as another worker has begun a copy.
        """
        for keys in layout.present():
            names = cast("set[bytes]", self._redis.smembers(keys.changed))
            check_noted(names, new.copy)
            for some in fields_of(self._redis, keys.state, sorted(names - {new.copy})):
                new.adopt_states(some)
                yield CLOSED_SLICE_S

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

    def _remove_routed(self, layout: Layout, sources: list[RoutedStream]) -> Iterator[float]:
        """Remove readings from their streams that a router had appended to a partition when it died."""
        routed = [cast("dict[bytes, bytes]", self._redis.hgetall(keys.routed)) for keys in layout.present()]
        for source in sources:
            stream = source.stream
            marks = [id_pair(its.get(stream.encode(), b"0-0")) for its in routed]
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
                yield CLOSED_SLICE_S

    def _copy_the_rest(self, layout: Layout, new: NewPartitions) -> None:
        """Copy the mutes, the orders that wait, and when retraining is due."""
        for keys in layout.present():
            for raw, mute in cast("dict[bytes, bytes]", self._redis.hgetall(keys.muted)).items():
                try:
                    series = raw.decode()
                except UnicodeDecodeError:  # no series has this name, and the partitions are closed until this is done
                    log.warning("a mute is left out, as no series has its name", key=keys.muted, name=repr(raw))
                    continue
                to = new.layout.keys_for(series)
                new.write(to, to.muted, {series: mute})
            for order in orders_in(self._redis, keys):
                to = new.layout.keys_for(order.new if order.state is not None and order.new else order.series)
                if order.refused is None and order.left is None:
                    new.write(to, to.orders, {order.id: order.encode()})
        for number, to in enumerate(new.layout.present()):
            former = layout.keys(number % layout.partitions)
            trigger, next_ms = cast("list[bytes | None]", self._redis.hmget(former.retrain, ["trigger", "next_ms"]))
            if trigger and next_ms:
                new.write(to, to.retrain, {"trigger": trigger, "next_ms": next_ms})

    def _open_partition(self, layout: Layout, new: NewPartitions, number: int, wanted: Repartition) -> None:
        """Open a new partition with the counts of the former ones whose number has the same remainder."""
        numbers = range(number, layout.partitions, new.layout.partitions)
        former = [offset_of(self._redis, layout.keys(i)) for i in numbers]
        counts = {name: sum(offset.counts.get(name, 0) for offset in former) for name in COUNTS}
        event = _event(wanted, "ends") if number == 0 else []
        new.open(number, {"last": "0-0", **counts, "before": counts["read"]}, event)


def _event(wanted: Repartition, phase: str) -> list[Any]:
    """Return the fields and values of the event."""
    detail = f"from {wanted.former} partitions to {wanted.partitions}"
    facts: dict[str, str | float] = {"phase": phase, "old": str(wanted.former), "new": str(wanted.partitions)}
    facts |= {"user": wanted.user, "host": wanted.host, "program": "command"}
    return Event("repartition", detail, facts=facts).encode()


def _text(pair: tuple[int, int]) -> str:
    return f"{pair[0]}-{pair[1]}"
