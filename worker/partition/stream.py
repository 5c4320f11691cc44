"""Every Redis command of the worker. Changes that must be atomic are in one Lua script."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from secrets import token_hex
from typing import Any, cast

from redis import Redis
from redis.exceptions import ResponseError

from tidecast.connection.lag import Lag, Progress
from tidecast.connection.partitions import has_group, whole_number
from tidecast.connection.portion import answers
from tidecast.connection.records.orders import Order, orders_in
from tidecast.errors import Conflict
from tidecast.online.batch import BatchResult
from tidecast.online.raw_entries import RawEntries
from tidecast.online.series.forecast_encoder import encoded
from tidecast.settings import LONGEST_LEASE_S, WorkerSettings
from tidecast.wire import Keys
from worker.failures.redis_failures import refusals_explained
from worker.failures.stored_times import log_correction
from worker.partition.exchange.commit_sender import CommitSender, Meanwhile, result_arguments
from worker.partition.exchange.entry_reader import EntryReader, RecreatedStream
from worker.partition.exchange.pipeline import PackedArguments
from worker.partition.other_settings import OtherSettings
from worker.partition.series_change import SeriesChange
from worker.partition.stored_states import states_of
from worker.partition.stream_purge import StreamPurge
from worker.scripts import script_of

TWIN = -1  # the script returns this instead of an epoch if a twin holds the lease
TRIMMED_AT_ONCE = 1_000_000  # readings; Redis takes about 40 ms
NO_LAG = Lag()


@dataclass(frozen=True, slots=True)
class Attempt:
    """The number of readings to handle where a worker died, and the number of the try at that size.

    If a pause is needed first, `tries` is 0, and Redis has recorded nothing.
    """

    size: int
    tries: int


class Stream:
    """The Redis commands on one partition's keys.

    Every method raises `Unavailable` if Redis refuses temporarily and has changed nothing.

    Attributes:
        keys: the names of the keys.
        purge: the commands that delete the entries of a series.
        held_for_s: after an `acquire` in vain, how long another worker holds the lease at most if it dies now.
        has_twin: whether the last `acquire` detected another live worker of the same name.
    """

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        settings: WorkerSettings,
        merged: str | None = None,
        others: OtherSettings | None = None,
    ) -> None:
        self.has_twin = False
        self._others = others
        self.held_for_s = math.inf
        self._instance = token_hex(8)
        self._fresh = True  # until the lease is held for the first time
        self._redis = redis
        self._settings = settings
        self._merged = [merged] if merged else []  # the common stream that every forecast is added to as well
        self.keys = keys
        self._acquire = redis.register_script(script_of("acquire"))
        self._hold = redis.register_script(script_of("hold"))
        self._attempt = redis.register_script(script_of("attempt"))
        self._change = redis.register_script(script_of("change"))
        self._clock = redis.register_script(script_of("clock"))
        self._retain = redis.register_script(script_of("retain"))
        self.purge = StreamPurge(redis, keys, settings.lag_group, self._merged)
        self._reader = EntryReader(redis, keys, settings)
        self._sender = CommitSender(redis, settings.wait_replicas)

    def acquire(self, owner: str) -> int | None:
        """Acquire the partition's lease; return its epoch, None while another worker holds it.

        Raises:
            StreamError: a key is of the wrong type.
        """
        own = self.keys
        keys = [own.lease, own.offset, own.readings, own.state, own.forecasts, own.dead]
        keys += [own.events, own.changed, own.orders, *self._merged]
        args: list[str | int] = [owner, self._lease_ms, self._settings.lag_group, round(LONGEST_LEASE_S * 1000)]
        args += [self._instance, int(self._fresh), self._others.ours if self._others else ""]
        with refusals_explained():
            epoch, *rest = cast("list[Any]", self._acquire(keys=keys, args=args))
            self.held_for_s = rest[0] / 1000 if rest else math.inf
            self.has_twin = epoch == TWIN
            if epoch > 0:
                self._fresh = False
                self._create_group()
        if rest and rest[1] is not None:
            meaning = f"the lease ends {self._settings.lease:g} s from now"
            log_correction(f"{self.keys.lease} expires_ms", rest[1], meaning)
        if rest and rest[3] and self._others:
            self._others.compare(*rest[2:])
        return epoch if epoch > 0 else None

    def awaits_nobody(self) -> bool:
        """Return whether `wait_for_group` names a consumer group that does not exist."""
        if not self._settings.wait_for_group:
            return False
        with refusals_explained():
            return not has_group(self._redis, self.keys.forecasts, self._settings.wait_for_group)

    def abandoned(self) -> bool:
        """Return whether the former holder did not release the lease: it died or hung."""
        with refusals_explained():
            return self._redis.hget(self.keys.lease, "abandoned") == b"1"

    def hold(self, epoch: int) -> bool:
        """Renew the lease; return False if it was lost."""
        with refusals_explained():
            return bool(self._hold(keys=[self.keys.lease], args=[epoch, self._lease_ms]))

    def release(self, epoch: int) -> None:
        """Release the lease, so that another worker can take it at once."""
        with refusals_explained():
            self._hold(keys=[self.keys.lease], args=[epoch, 0])

    def progress(self) -> Progress:
        """Read the committed progress of the partition; the lease must be held.

        Raises:
            Conflict: the offset was deleted.
        """
        with refusals_explained():
            values = self._redis.hmget(self.keys.offset, ["last", "read", "before"])
        last, read, before = cast("list[bytes | None]", values)
        if last is None:
            raise Conflict(f"{self.keys.offset} is gone: acquire the partition again")
        return Progress(last.decode(), (whole_number(read) or 0) - (whole_number(before) or 0))

    def states(self) -> Iterator[dict[str, bytes]]:
        """Yield the committed states of all series, some series at a time; the lease must be held."""
        return states_of(self._redis, self.keys.state)

    def read(self, last: str, block_ms: int | None) -> RawEntries:
        """Read the entries after `last`, waiting up to `block_ms` for the first; None does not wait.

        At most `batch` entries and about `batch_bytes` are returned. If the entries exceed `batch_bytes`, the next
        read asks for fewer.
        """
        return self._reader.read(last, block_ms)

    def read_ahead(self) -> None:
        """Request the next batch, if the last one was full.

        Call `lag` for the last batch first: entries that are sent and then trimmed would count as lost.
        """
        self._reader.read_ahead()

    def read_no_further(self) -> None:
        """Discard the read that was requested before a commit."""
        self._reader.forget_asked()

    def read_less(self, reads: int) -> None:
        """Halve the number of entries per read, until so many reads have gone well."""
        self._reader.portion.refused(reads)

    def answers(self) -> bool:
        """Return whether Redis answers at all."""
        return answers(self._redis)

    def lag(self, progress: Progress, batch: RawEntries) -> Lag:
        """Return the lag behind a batch that was read after `progress`."""
        return self._reader.lag(progress, batch)

    def recreated(self, last: str) -> RecreatedStream | None:
        """Return the recreated stream if its ids end before `last`, the last one answered; else None."""
        return self._reader.recreated(last)

    def attempt(self, epoch: int, started_from: str, size: int, pause_before: int = 0) -> Attempt:
        """Record in Redis that this many readings are about to be handled; uncommitted batches are retried in halves.

        Try number `pause_before` of a single reading is not recorded, since a pause must come first; 0: never pause.

        Raises:
            Fenced: another worker has the partition.
        """
        with refusals_explained():
            args: list[str | int] = [epoch, started_from, size, pause_before]
            size, tries = cast("list[int]", self._attempt(keys=[self.keys.lease], args=args))
        return Attempt(size, tries)

    def clear(self, epoch: int) -> None:
        """Delete the record of `attempt`: the readings were handled, whether or not they were committed.

        Raises:
            Fenced: another worker has the partition.
        """
        with refusals_explained():
            self._attempt(keys=[self.keys.lease], args=[epoch, "", 0, 0])

    def retain(self, epoch: int, since_ms: int, most: int = TRIMMED_AT_ONCE) -> bool:
        """Trim committed readings with ids older than `since_ms`; return False if there may be more.

        Raises:
            Fenced: another worker has the partition.
        """
        with refusals_explained():
            keys = [self.keys.lease, self.keys.offset, self.keys.readings]
            return bool(self._retain(keys=keys, args=[epoch, since_ms, most]))

    def close(self) -> None:
        """Give the connections back; the stream is not used any more."""
        self._reader.close()
        self._sender.close()

    def reconnect(self) -> None:
        """Close the connections: new ones may reach another server behind the same name."""
        self.read_no_further()
        self._sender.reconnect()
        if isinstance(self._redis, Redis):
            self._redis.connection_pool.disconnect()

    def commit(
        self,
        epoch: int,
        started_from: str,
        result: BatchResult,
        lag: Lag = NO_LAG,
        meanwhile: Meanwhile = None,
    ) -> None:
        """Publish a batch's forecasts and move the offset, atomically; the steps are numbered in commit.lua.

        Args:
            epoch: the epoch of our lease.
            started_from: the offset from which the batch was read.
            result: the batch's result.
            lag: the readings lost before the batch, and the correction of the stream's count.
            meanwhile: called while Redis commits. The next read is then requested before the commit is sent, since
                Redis runs commands one after the other.

        Raises:
            Fenced: another worker has the partition.
            Conflict: the offset has changed.
            StreamError: a key is of the wrong type, or `forecasts` holds foreign entries.
            Unavailable: Redis refuses temporarily, `wait_for_group` has not acknowledged enough forecasts, or too few
                replicas have the commit.
        """
        if meanwhile:
            self._reader.ask(result.last)
        own = self.keys
        keys = [own.lease, own.offset, own.readings, own.forecasts, own.dead, own.state, own.events]
        keys += [own.changed, *self._merged]
        settings = self._settings
        args: list[Any] = [epoch, started_from, result.last, self._lease_ms]
        args += [settings.forecasts_kept, settings.dead_kept, settings.events_kept]
        args += [settings.lag_group, settings.wait_for_group]
        args += result_arguments(result, lag)
        states = result.states
        packed = PackedArguments(encoded(result.forecasts) + states.packed, len(result.forecasts) + 2 * len(states))
        with refusals_explained():
            self._sender.send(keys, args, packed, meanwhile)

    def clock_s(self) -> float:
        """Return the time by the server's clock, in epoch seconds."""
        with refusals_explained():
            return float(cast("int", self._clock(keys=[self.keys.lease]))) / 1000

    def orders(self) -> list[Order]:
        """Return the orders that wait."""
        with refusals_explained():
            return list(orders_in(self._redis, self.keys))

    def refuse(self, order: Order, reason: str) -> None:
        """Mark an order as refused; the command that waits for it prints the reason."""
        with refusals_explained():
            self._redis.hset(self.keys.orders, order.id, replace(order, refused=reason).encode())

    def change_series(self, epoch: int, change: SeriesChange) -> None:
        """Delete or rename stored series, with their events; no batch may be under way. A repeated call has no effect.

        Raises:
            Fenced: another worker has the partition.
            StreamError: a key is of the wrong type.
        """
        own = self.keys
        keys = [own.lease, own.state, own.events, own.orders, own.muted, change.to or own.orders, own.changed]
        args = [epoch, change.order, self._settings.events_kept, change.handed, change.left, *change.arguments()]
        with refusals_explained():
            self._change(keys=keys, args=args)

    @property
    def _lease_ms(self) -> int:
        return round(self._settings.lease * 1000)

    def _create_group(self) -> None:
        try:
            self._redis.xgroup_create(self.keys.readings, self._settings.lag_group, id="0", mkstream=True)
        except ResponseError as exc:
            if not str(exc).startswith("BUSYGROUP"):
                raise
