"""The worker's main loop: serve a fair share of the partitions, one after the other."""

import math
import time
from collections.abc import Sequence

import structlog
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tidecast.models.store import ModelStore
from tidecast.online.engine import Engine
from tidecast.online.forecaster import Forecaster
from tidecast.settings import Settings, worker_name, worker_threads
from tidecast.wire import Layout, layout_of
from worker.census import Census
from worker.failures.redis_failures import is_stale, refusals_explained
from worker.failures.step_failures import Failures
from worker.fair_share import FairShare
from worker.known_stream import KnownStream
from worker.layout.layouts import Layouts, Parts
from worker.layout.router import Router
from worker.membership import Membership
from worker.metrics import Health
from worker.model_loader import ModelLoader
from worker.own_experts.pool import ExpertPool
from worker.partition.consumer import PartitionConsumer
from worker.partition.lease import PartitionLease
from worker.partition.series_orders import SeriesOrders
from worker.partition.stream import Stream
from worker.stop import Stop

QUIET_S = 0.02  # after this long without a reading, the flow has stopped
IDLE_S = 0.01  # pause between two rounds over several partitions without readings

log = structlog.get_logger("tidecast.worker")


class Worker:
    """A worker that answers the readings of one or more partitions until it is stopped.

    Args:
        settings: how to read, commit and hold leases.
        streams: one for each partition, in their order.
        store: the model store with the champions.
        health: the metrics.
        membership: the other workers; None for a worker without others.
        router: of readings that were pushed elsewhere than to their partition; None if there is nowhere else.
        layouts: makes the worker follow the number of partitions; None: it stays.
        known: the values that are known ahead; None without any.
    """

    def __init__(
        self,
        settings: Settings,
        streams: Sequence[Stream],
        store: ModelStore,
        health: Health,
        membership: Membership | None = None,
        router: Router | None = None,
        layouts: Layouts | None = None,
        known: KnownStream | None = None,
    ) -> None:
        self._store = store
        self._health = health
        self._membership = membership
        self._layouts = layouts
        self._known = known
        self._own = ExpertPool(settings.experts, health.own_experts)
        self._engine = Engine(worker_threads(settings))
        self._models = ModelLoader(store, self._engine, health)
        self._take(Parts(settings, streams, router))
        self._census = Census(lambda: (consumer.forecaster.states for consumer in self._consumers))
        self._answered_at = -math.inf  # when a round last answered readings, by the monotonic clock
        self._failures = Failures(health, settings.worker.lease)
        self._paused = False  # whether a partition has failed in the current round, and waits for its retry
        self._stop: Stop | None = None  # that of the current round

    def _take(self, parts: Parts) -> None:
        """Serve the partitions of a layout."""
        self._parts = parts
        self._settings = settings = parts.settings
        count = len(parts.streams)
        forecasters = [self._forecaster(i, count) for i in range(count)]
        self._models.forecasters = forecasters
        name = worker_name(settings)
        self._consumers: list[PartitionConsumer] = []
        for i, (stream, forecaster) in enumerate(zip(parts.streams, forecasters, strict=True)):
            lease = PartitionLease(stream, name, settings.worker.lease)
            orders = SeriesOrders(stream, forecaster, self._store, settings)
            consumer = PartitionConsumer(i, stream, lease, forecaster, self._health, orders, settings.worker)
            consumer.known = self._known
            consumer.keep_alive = self._keep_alive
            self._consumers.append(consumer)
        self._health.partitions.set(count)
        self._share = FairShare(self._consumers, self._membership)

    def _forecaster(self, partition: int, partitions: int) -> Forecaster:
        settings = self._settings
        probation = settings.retrain.probation
        forecaster = Forecaster(
            settings.series, self._engine, partition, partitions, probation, settings.anomalies, self._own
        )
        if self._known:
            forecaster.known = self._known.values
        return forecaster

    def _follow(self, layout: Layout) -> None:
        """Leave the partitions of the former layout, which are closed, for those of the present one."""
        if self._layouts is None or layout == layout_of(self._settings):
            return
        for consumer in self._consumers:
            if consumer.held:
                consumer.drop("the number of partitions has changed", logged=False)
        self._parts.close()
        self._take(self._layouts.parts(self._settings, layout))

    def _keep_alive(self, now: float) -> bool:
        """Renew all leases and the registration while a partition is loaded; return False if the worker must stop."""
        if self._membership:
            self._membership.look(now)
        for consumer in self._consumers:
            consumer.renew(now)
        return self._stop is None or not self._stop.is_set()

    def run(self, stop: Stop, *, burst: bool = False) -> None:
        """Serve until `stop` is set; with `burst`, until every reading of the held partitions is answered."""
        while not stop.is_set():
            answered = self.step(time.time(), stop)
            if burst and answered == 0:
                break
        self.leave()

    def step(self, now: float, stop: Stop | None = None) -> int | None:
        """Serve every partition that is due once; a failure in one does not delay the others.

        Args:
            now: epoch seconds.
            stop: ends the round early, and wakes it from a pause. Without it the round never pauses, and raises errors
                instead of handling them.

        Returns:
            The number of readings answered. None: no partition is held, or readings may wait in one not served.
        """
        self._paused = False
        self._stop = stop
        try:
            due = self._due(now)
        except Exception as exc:  # the Redis of the membership or the store's disk is unavailable
            if stop is None:
                raise
            self._wait_after(exc, stop)
            return None
        if due is None:
            return None
        self._failures.shared = 0
        self._move(stop)
        answered = self._serve(due, now, stop)
        routed = self._route(stop)  # after it, as a partition that was just acquired is routed at once
        numbers = [number for number in answered if number is not None]
        total = sum(numbers) + routed if numbers else None
        if total:
            self._answered_at = time.monotonic()
        self._count_series()
        if stop:
            self._idle(total, stop)
        # Partitions that we skipped, dropped or do not own yet may still hold readings.
        waits = None in answered or not self._share.complete or self._hurried
        return None if total == 0 and waits else total

    def _due(self, now: float) -> Sequence[PartitionConsumer] | None:
        """Look at the store, the layout and the known values; return the partitions to serve or to acquire.

        None: champions must be loaded before any state, since they determine the features of a series.
        """
        self._models.update(now, held=self.held > 0, flowing=self._flowing)
        if self._models.pending and not self.held:
            return None
        with refusals_explained():
            if self._layouts is not None:
                self._follow(self._layouts.look(now))
            due = self._share.due(now)
        if self._known and self.held:
            self._known.look(time.monotonic())
        return due

    def _serve(self, due: Sequence[PartitionConsumer], now: float, stop: Stop | None) -> list[int | None]:
        """Return the number of readings answered for each partition; None for one that is not held or failed."""
        answered: list[int | None] = []
        for consumer in due:
            if stop and stop.is_set():
                break
            if not consumer.held and self._share.complete:
                continue  # this round has already acquired the fair share
            answered.append(self._try_step(consumer, stop) if stop else consumer.step(now, self._block_ms))
        return answered

    def _try_step(self, consumer: PartitionConsumer, stop: Stop) -> int | None:
        """Return the number of readings answered; after a failure None, and the partition is served again later."""
        if time.monotonic() < consumer.retry_at:
            return None
        try:
            answered = consumer.step(time.time(), self._block_ms)
        except Exception as exc:
            pause_s = self._failures.of_partition(consumer, exc)
            self._show_readiness()
            if pause_s is not None:
                self._put_off(consumer, stop, pause_s)
                self._put_others_off(consumer, exc)
            elif self._membership:  # perhaps because of a repartition
                self._membership.look_soon()
            return None
        consumer.failures = 0
        self._failures.silent = False
        return answered

    def _put_off(self, consumer: PartitionConsumer, stop: Stop, pause_s: float) -> None:
        """Retry a partition after a pause; if there are others, they are served meanwhile."""
        self._paused = True
        if len(self._consumers) == 1:
            stop.wait(pause_s)
        else:
            consumer.retry_at = time.monotonic() + pause_s

    def _put_others_off(self, consumer: PartitionConsumer, exc: Exception) -> None:
        """Retry the other partitions as late, if Redis has not answered in time: each would wait as long in turn."""
        if isinstance(exc, RedisTimeoutError) and not self._settings.redis_cluster:
            self._failures.silent = True
            for other in self._consumers:
                other.wait_like(consumer)

    def _wait_after(self, exc: Exception, stop: Stop) -> None:
        """Report a failure of what all partitions share, and pause after it."""
        pause_s = self._failures.of_all(exc)
        self._show_readiness()
        if is_stale(exc):
            for consumer in self._consumers:
                consumer.reconnect()
        stop.wait(pause_s)

    def _idle(self, total: int | None, stop: Stop) -> None:
        """Wait after a round without readings, unless a failure has paused it already."""
        if total is None and not self._paused:
            stop.wait(self._idle_s(time.time()))
        elif total == 0 and len(self._consumers) > 1:
            stop.wait(IDLE_S)

    def _idle_s(self, now: float) -> float:
        """Return how long to wait after a round without a partition: at most until the first lease runs out."""
        if self._hurried:
            return IDLE_S
        free_at = min((consumer.free_at for consumer in self._consumers if not consumer.held), default=math.inf)
        return min(self._settings.worker.block, max(IDLE_S, free_at - now))

    def _route(self, stop: Stop | None) -> int:
        """Route readings to their partitions, if this worker holds partition 0; return their number."""
        router = self._parts.router
        if router is None or not self._consumers[0].held or self._failures.silent or (stop and stop.is_set()):
            return 0
        try:
            routed = router.try_step()
        except Exception as exc:
            if stop is None:
                raise
            self._failures.report(exc, router.pause_s, part="routing")
            return 0
        self._health.routed(routed)
        return routed

    def _move(self, stop: Stop | None) -> None:
        """Work on a repartition for a moment, if there is one."""
        if self._layouts is None:
            return
        try:
            self._layouts.move(self._settings)
        except Exception as exc:
            if stop is None:
                raise
            self._failures.report(exc, 0.0, part="repartition")

    def _count_series(self) -> None:
        """Record whether partitions are served, and from time to time how many series are in which condition."""
        self._show_readiness()
        counts = self._census.step(time.monotonic())
        if counts is not None:
            self._health.series(counts)
            self._health.without_known.set(sum(consumer.forecaster.without_known() for consumer in self._consumers))

    def _show_readiness(self) -> None:
        """Let `/readyz` show whether a partition is held and served: not while each one fails, or routing does."""
        router = self._parts.router
        shared = self._failures.shared or (router and self._consumers[0].held and router.failures)
        served = not shared and any(each.held and not each.failures for each in self._consumers)
        failing = shared or any(each.failures for each in self._consumers)
        self._health.holding(self.held, self._failures.newest if failing and not served else "")

    def leave(self) -> None:
        """Release every partition, so that other workers can take them at once."""
        try:
            if self._failures.silent:  # each command would take its time limit
                raise RedisTimeoutError("Redis does not answer in time")
            for consumer in self._consumers:
                consumer.leave_if_possible()
            if self._membership:
                self._membership.leave()
        except RedisError as exc:
            log.warning("leases not released, they will run out", error=str(exc))
        self._own.close()
        self._health.holding(0)
        self._health.series({})
        log.info("worker stopped")

    @property
    def held(self) -> int:
        """Return how many partitions this worker believes it owns; each commit checks it."""
        return sum(consumer.held for consumer in self._consumers)

    def partitions_held(self) -> frozenset[int]:
        """Return the numbers of the held partitions; safe to call from other threads."""
        return frozenset(consumer.number for consumer in self._consumers if consumer.held)

    @property
    def settings(self) -> Settings:
        """Return the settings with the present layout; safe to call from other threads."""
        return self._settings

    @property
    def _hurried(self) -> bool:
        """Whether a repartition is under way, so that this worker must not wait for long."""
        return self._membership is not None and self._membership.hurried

    @property
    def _block_ms(self) -> int | None:
        """Return how long a read waits for readings; None for no wait, if there is other work.

        While readings flow and champions wait to be loaded, a read waits `QUIET_S`: after that the flow has stopped.
        Polling without a wait took processor time from the senders.
        """
        if len(self._consumers) > 1 or self._hurried or (self._models.pending and not self._flowing):
            return None
        longest_s = self._settings.worker.block
        return max(1, round(1000 * (min(longest_s, QUIET_S) if self._models.pending else longest_s)))

    @property
    def _flowing(self) -> bool:
        """Whether readings are arriving; a single round without readings does not end the flow."""
        return self.held > 0 and time.monotonic() - self._answered_at < QUIET_S
