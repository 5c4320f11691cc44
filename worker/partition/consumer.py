"""Consume one partition in a loop: hold the lease, read, handle, commit."""

import math
import time
from collections import deque
from collections.abc import Callable
from functools import partial

import structlog

from tidecast.connection.lag import Lag, Progress
from tidecast.errors import Conflict, Fenced, StreamError
from tidecast.online.forecaster import Forecaster
from tidecast.settings import WorkerSettings
from tidecast.start import LastingObjects
from worker.known_stream import KnownStream
from worker.metrics import Health
from worker.partition.batch_sender import BatchSender, TooLarge
from worker.partition.dead_warnings import DeadLetterWarnings
from worker.partition.handled_batch import HandledBatch
from worker.partition.lease import PartitionLease
from worker.partition.poison import PoisonGuard
from worker.partition.series_orders import SeriesOrders
from worker.partition.silence_watch import SilenceWatch
from worker.partition.stream import Stream
from worker.partition.stream_warnings import StreamWarnings

RETAIN_EVERY_S = 10.0  # how often old readings are trimmed
LOOK_EVERY_S = 1.0  # without readings: how often to check whether the stream was recreated
DRIFTS_NAMED = 10  # most drifts named in a log line

LOST = "another worker took the partition when the lease ran out, or the lease was deleted"

log = structlog.get_logger("tidecast.worker")


class PartitionConsumer:
    """The consumer of one partition: its lease, and the state of its series while the lease is held."""

    def __init__(
        self,
        number: int,
        stream: Stream,
        lease: PartitionLease,
        forecaster: Forecaster,
        health: Health,
        orders: SeriesOrders,
        settings: WorkerSettings,
    ) -> None:
        self.number = number
        self.forecaster = forecaster
        self.tried_at = -float("inf")  # when this worker last tried to acquire the lease
        self.free_at = math.inf  # when the lease of another worker runs out that is not renewed
        self.retry_at = -float("inf")  # not served before this time after a failure, by the monotonic clock
        self.failures = 0  # consecutive
        self.known: KnownStream | None = None  # the values that are known ahead, for models that read them
        # Called while states are loaded, with epoch seconds; returns whether to go on with it.
        self.keep_alive: Callable[[float], bool] = self.renew
        self._stream = stream
        self._lease = lease
        self._health = health
        self._orders = orders
        self._settings = settings
        self._poison_guard = PoisonGuard(stream, settings.batch)
        self._sender = BatchSender(stream, health, self._poison_guard)
        self._warnings = StreamWarnings(number, health)
        self._dead_warnings = DeadLetterWarnings(number)
        self._retained_at = -float("inf")
        self._looked_at = -float("inf")
        self._silences = SilenceWatch(forecaster)
        self._progress: Progress | None = None  # after the last handled batch
        self._answered_to = "0-0"  # the last offset that Redis has confirmed
        self._uncommitted: deque[HandledBatch] = deque()  # at most two: the later is handled while the earlier is sent

    @property
    def held(self) -> bool:
        """Whether this worker believes that it holds the lease; each commit checks it."""
        return self._lease.held

    def step(self, now: float, block_ms: int | None) -> int | None:
        """Run one iteration; return the number of readings answered, None if another worker holds the partition.

        Args:
            now: epoch seconds.
            block_ms: how long to wait for readings; None for no wait.
        """
        if not self.held and not self._take_over(now):
            return None
        if self.failures:
            self._silences.failed(now)
        if not self._lease.hold(now):
            raise Fenced(LOST)
        self._orders.look(now)
        self._dead_warnings.warn(now)
        if not self._uncommitted:
            self._carry_out_orders(drained=False)
            self._handle_next(now, None if self._orders.purge_due(now) else block_ms)
        if not self._uncommitted:
            self._carry_out_orders(drained=True)
        if not self._uncommitted and self._released_to_start_again(now):
            return None
        try:
            answered = self._commit_next(now) if self._uncommitted else 0
        except TooLarge as exc:
            log.warning("a commit is too large for Redis", partition=self.number, error=str(exc))
            self._health.failed("redis")
            self.leave()  # the readings are read again, fewer at once
            return None
        if self._lease.epoch is not None:
            self._orders.purge(self._lease.epoch, now)
        self._retain(now)
        return answered

    def renew(self, now: float) -> bool:
        """Renew the lease if it is held and due; drop a partition that was lost; return whether it is held."""
        if self.held and not self._lease.hold(now):
            self.drop(LOST)
        return self.held

    def drop(self, reason: str, *, logged: bool = True) -> None:
        """Forget the lost partition and its state; log it if `logged` is set."""
        if logged:
            log.warning("partition dropped", partition=self.number, reason=reason, epoch=self._lease.epoch)
        self._health.lease_changed("lost")
        self._lease.lose()
        self._forget()

    def leave(self) -> None:
        """Release the partition, so that another worker can take it at once.

        A batch that was handled but not committed is not lost: the next worker handles it again.
        """
        self._lease.release()
        self._health.lease_changed("released")
        self._forget()

    def leave_if_possible(self) -> None:
        """Release the partition if it is held; a key of another type costs this partition alone."""
        try:
            if self.held:
                self.leave()
        except StreamError as exc:
            log.warning("lease not released, it will run out", partition=self.number, error=str(exc))

    def wait_like(self, other: "PartitionConsumer") -> None:
        """Wait as long as another partition to which Redis has not answered, if this one is held."""
        if self.held:
            self.failures = other.failures
            self.retry_at = other.retry_at

    def reconnect(self) -> None:
        """Use new connections to Redis from now on."""
        self._stream.reconnect()

    def _forget(self) -> None:
        self._progress = None
        self._silences.clock.forget()
        self._uncommitted.clear()
        self._stream.read_no_further()
        self._orders.forget()
        self.forecaster.restore({})
        self._poison_guard.end()
        self._health.lag(self.number, None)
        self._warnings.forget()

    def _carry_out_orders(self, *, drained: bool) -> None:
        """Carry out orders on series; after a failure, start again from the states in Redis."""
        epoch = self._lease.epoch
        if not self._orders.waiting or epoch is None or self._progress is None:
            return
        try:
            self._orders.carry_out(epoch, self._progress, drained=drained)
        except Fenced:
            raise
        except Exception:
            self.drop("an order on a series failed", logged=False)
            raise

    def _handle_next(self, now: float, block_ms: int | None) -> None:
        """Read and handle the next batch, if there is one; it is committed later."""
        progress = self._progress
        epoch = self._lease.epoch
        if progress is None or epoch is None:
            raise Conflict("no offset is loaded: acquire the partition anew")
        began = time.monotonic()
        with self._health.stage("read"):
            entries = self._stream.read(progress.last, block_ms)
        read_at = now + time.monotonic() - began
        if not entries:
            self._silences.clock.waited(read_at)
            self._health.lag(self.number, self._warnings.lag)
            if result := self._silences.look(progress.last, now):
                self._uncommitted.append(HandledBatch(progress, result, Lag()))
            return
        if self.known and self.forecaster.engine.reads_known:
            self.known.read_until(int(entries.places.ms.max()))
        self._silences.clock.compare(read_at, int(entries.places.ms[-1]))
        self._warnings.ids_ahead(entries.ids[-1], now)
        chosen, result = self._poison_guard.choose(epoch, progress.last, entries)
        lag = self._stream.lag(progress, chosen)
        self._health.lag(self.number, lag)
        self._stream.read_ahead()
        self._warnings.miscounted(lag, progress.last)
        self._warnings.lost(lag.lost, progress.last, now)
        if result:
            log.error("a reading was set aside", partition=self.number, id=result.last, detail=result.dead[0].detail)
        else:
            with self._health.stage("handle"):
                result = self.forecaster.handle(chosen, round(now * 1000))
        batch = HandledBatch(progress, result, lag)
        self._uncommitted.append(batch)
        self._progress = batch.ends_at

    def _commit_next(self, now: float) -> int:
        """Commit the earliest batch, and handle the next one meanwhile if there is one.

        Redis takes a fifth of the time of a batch, and handling the next batch does not depend on it. If the partition
        is lost, both batches are dropped. If Redis was away, both are sent one after the other.
        """
        batch = self._uncommitted[0]
        epoch = self._lease.epoch
        if epoch is None:
            raise Fenced("there is no lease to commit under")
        alone = len(self._uncommitted) == 1 and not self._poison_guard.awake and not self._orders.waiting
        self._sender.send(batch, epoch, partial(self._handle_next, now, None) if alone else None)
        self._uncommitted.popleft()
        self._answered_to = batch.result.last
        self._lease.renewed(now)
        self._note(batch, now)
        return batch.answered

    def _note(self, batch: HandledBatch, now: float) -> None:
        """Record a committed batch in the metrics, and log its drifts and its dead letters."""
        result = batch.result
        self._health.committed(result.counts, batch.lag.lost, result.intervals, result.drifts, result.events)
        self._dead_warnings.add(result.dead)
        self._dead_warnings.warn(now)
        if result.drifts:  # one line a batch: a thousand series may change at once
            some = [f"{drift.kind} of {drift.series} at {drift.id}" for drift in result.drifts[:DRIFTS_NAMED]]
            log.info("series have changed", partition=self.number, drifts=len(result.drifts), some=some)

    def _take_over(self, now: float) -> bool:
        self.tried_at = now
        self.free_at = math.inf
        progress = self._lease.acquire(now)
        self.free_at = now + self._stream.held_for_s
        if progress is None:
            if self._stream.has_twin:
                self._warnings.twin(self._lease.owner, now)
            return False
        if not self._load_states(now):
            return False
        if self._stream.abandoned():
            self._poison_guard.begin()
        self._orders.begin(now)
        self._warnings.lost_data(self._answered_to, progress.last)
        self._answered_to = progress.last
        self._progress = progress  # set last: without it no batch is read, so half-loaded states are never used
        log.info(
            "partition acquired",
            partition=self.number,
            epoch=self._lease.epoch,
            after=progress.last,
            series=len(self.forecaster.states),
        )
        self._health.lease_changed("acquired")
        if self._stream.awaits_nobody():
            self._warnings.group(self._settings.wait_for_group)
        return True

    def _load_states(self, now: float) -> bool:
        """Load the states of all series, and renew leases meanwhile: this may take longer than a lease lasts.

        Returns:
            False if the worker must stop; the partition is released.

        Raises:
            Fenced: another worker has taken the partition meanwhile.
        """
        began = time.monotonic()
        self.forecaster.restore({})
        with LastingObjects():
            for some in self._stream.states():
                self.forecaster.remember(some)
                goes_on = self.keep_alive(now + time.monotonic() - began)
                if not self.held:
                    raise Fenced(LOST)
                if not goes_on:
                    self.leave()
                    return False
        return True

    def _released_to_start_again(self, now: float) -> bool:
        """Check whether the stream was recreated with lower ids, which reads never return; then release the partition.

        Acquiring the partition again moves the offset under a new epoch, so a commit that is still on its way is
        refused. If forecasts or dead letters with higher ids are in the way, the partition waits. The check runs
        every `LOOK_EVERY_S`; return whether the partition was released.
        """
        if self._progress is None or 0 <= now - self._looked_at < LOOK_EVERY_S:
            return False
        self._looked_at = now
        recreated = self._stream.recreated(self._progress.last)
        if recreated and (stored := self._stream.progress().last) != self._progress.last:  # both are of an older backup
            raise Conflict(f"the offset is {stored}, but the worker has answered to {self._progress.last}")
        self._warnings.recreated(recreated, self._progress.last, now)
        if recreated is None or recreated.in_the_way:
            return False
        self._health.recreated()
        self._answered_to = "0-0"
        self.leave()
        return True

    def _retain(self, now: float) -> None:
        """Trim answered readings older than `retention`, every `RETAIN_EVERY_S`."""
        kept_s = self._settings.retention
        epoch = self._lease.epoch
        if kept_s is None or epoch is None or 0 <= now - self._retained_at < RETAIN_EVERY_S:
            return
        if self._stream.retain(epoch, max(0, round((now - kept_s) * 1000))):
            self._retained_at = now
