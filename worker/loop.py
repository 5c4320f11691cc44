"""The worker's main loop: serve a fair share of the partitions, one after the other."""

import math
import random
import time
from collections.abc import Sequence

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tidecast.errors import Conflict, Fenced, Unavailable
from tidecast.models.store import ModelStore
from tidecast.online.engine import Engine
from tidecast.online.forecaster import Forecaster
from tidecast.settings import Settings, worker_name, worker_threads
from tidecast.wire import Layout, layout_of
from worker.backoff import Backoff
from worker.census import Census
from worker.known_stream import KnownStream
from worker.layout.layouts import Layouts, Parts
from worker.layout.router import Router
from worker.membership import Membership
from worker.metrics import Health
from worker.model_loader import ModelLoader
from worker.own_experts.pool import ExpertPool
from worker.partition.consumer import PartitionConsumer
from worker.partition.lease import PartitionLease
from worker.partition.poison import PauseNeeded
from worker.partition.series_orders import SeriesOrders
from worker.partition.stream import Stream
from worker.redis_failures import FailureLog, is_stale, refusals_explained
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
        self._failures = 0  # consecutive failures of what all partitions share: membership and the store
        self._silent = False  # whether Redis did not answer in time, and has not answered since
        self._backoff = Backoff(settings.worker.lease)
        self._pauses = 0
        self._stop: Stop | None = None  # that of the current round
        self._failure_log = FailureLog(health)

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
        self._first = random.randrange(count)  # noqa: S311 - workers start at different partitions
        self._share = count

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
        pauses = self._pauses
        self._stop = stop
        try:
            self._models.update(now, held=self.held > 0, flowing=self._flowing)
            if self._loading:
                return None
            with refusals_explained():
                due = self._due(now)
            if self._known and self.held:
                self._known.look(time.monotonic())
        except Exception as exc:  # the Redis of the membership or the store's disk is unavailable
            if stop is None:
                raise
            self._wait_after(exc, stop)
            return None
        self._failures = 0
        self._move(stop)
        answered = self._serve(due, now, stop)
        routed = self._route(stop)  # after it, as a partition that was just acquired is routed at once
        numbers = [number for number in answered if number is not None]
        total = sum(numbers) + routed if numbers else None
        if total:
            self._answered_at = time.monotonic()
        self._count_series()
        if stop is not None and total is None and self._pauses == pauses:  # after a failure there was a pause already
            stop.wait(self._idle_s(time.time()))
        elif stop is not None and total == 0 and len(self._consumers) > 1:
            stop.wait(IDLE_S)
        # Partitions that we skipped, dropped or do not own yet may still hold readings.
        waits = None in answered or self.held < self._share or self._hurried
        return None if total == 0 and waits else total

    def _wait_after(self, exc: Exception, stop: Stop) -> None:
        """Report a failure of what all partitions share, and pause after it."""
        self._failures += 1
        delay = self._backoff.pause_s(self._failures)
        self._silent = isinstance(exc, RedisTimeoutError)
        self._report(exc, delay)
        if is_stale(exc):
            for consumer in self._consumers:
                consumer.reconnect()
        stop.wait(delay)

    def _idle_s(self, now: float) -> float:
        """Return how long to wait after a round without a partition: at most until the first lease runs out."""
        if self._hurried:
            return IDLE_S
        free_at = min((consumer.free_at for consumer in self._consumers if not consumer.held), default=math.inf)
        return min(self._settings.worker.block, max(IDLE_S, free_at - now))

    def _route(self, stop: Stop | None) -> int:
        """Route readings to their partitions, if this worker holds partition 0; return their number."""
        router = self._parts.router
        if router is None or not self._consumers[0].held or (stop is not None and stop.is_set()):
            return 0
        try:
            routed = router.try_step()
        except Exception as exc:
            if stop is None:
                raise
            self._report(exc, router.pause_s, part="routing")
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
            self._report(exc, 0.0, part="repartition")

    def leave(self) -> None:
        """Release every partition, so that other workers can take them at once."""
        try:
            if self._silent:  # each command would take its time limit
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
    def _loading(self) -> bool:
        """Whether champions must be loaded before any state: they determine the features of a series."""
        return self._models.pending and not self.held

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

    def _due(self, now: float) -> list[PartitionConsumer]:
        """Return the partitions to serve or to acquire, after releasing those beyond the fair share."""
        if self._layouts is not None:
            self._follow(self._layouts.look(now))
        if self._membership is None or len(self._consumers) == 1:
            return self._consumers
        self._share = share = self._membership.share(len(self._consumers))
        held = [consumer for consumer in self._consumers if consumer.held]
        for consumer in held[share:]:
            consumer.leave()
            log.info("partition handed over", partition=consumer.number)
        due = held[:share]
        missing = share - len(held)
        rotated = self._consumers[self._first :] + self._consumers[: self._first]
        every_s = self._membership.every_s
        free = [
            consumer
            for consumer in rotated
            if not consumer.held and (now >= consumer.free_at or not 0 <= now - consumer.tried_at < every_s)
        ]
        return due + (free if missing > 0 else [])

    def _serve(self, due: Sequence[PartitionConsumer], now: float, stop: Stop | None) -> list[int | None]:
        """Return the number of readings answered for each partition; None for one that is not held or failed."""
        answered: list[int | None] = []
        for consumer in due:
            if stop is None:
                answered.append(consumer.step(now, self._block_ms))
                continue
            if stop.is_set():
                break
            if not consumer.held and self.held >= self._share:
                continue  # this round has already acquired the fair share
            answered.append(None if time.monotonic() < consumer.retry_at else self._guarded_step(consumer, stop))
        return answered

    def _guarded_step(self, consumer: PartitionConsumer, stop: Stop) -> int | None:
        try:
            answered = consumer.step(time.time(), self._block_ms)
        except PauseNeeded as exc:
            pause_s = self._settings.worker.lease / 2  # the lease outlives it
            log.warning(
                "a reading is tried once more after a pause", partition=consumer.number, why=str(exc), pause_s=pause_s
            )
            self._pauses += 1
            self._put_off(consumer, stop, pause_s)
            return None
        except (Fenced, Conflict) as exc:
            consumer.drop(str(exc))
            self._health.failed("fenced" if isinstance(exc, Fenced) else "conflict")
            if self._membership:  # perhaps because of a repartition
                self._membership.look_soon()
            return None
        except (RedisConnectionError, RedisTimeoutError) as exc:
            # The commit may or may not have happened: it is sent again, and the script detects a repeat.
            self._put_off(consumer, stop, self._failed(consumer, exc)[0])
            self._put_others_off(consumer, exc)
            return None
        except Unavailable as exc:
            # Redis changed nothing: the handled batch is kept, and sent again once Redis accepts it.
            if is_stale(exc):
                consumer.reconnect()
            self._put_off(consumer, stop, self._failed(consumer, exc)[0])
            return None
        except Exception as exc:
            # The state in memory may be ahead of the last commit: start again from the state in Redis.
            delay, logged = self._failed(consumer, exc)
            if consumer.held:
                consumer.drop(str(exc), logged=logged)
            self._put_off(consumer, stop, delay)
            return None
        consumer.failures = 0
        self._silent = False
        return answered

    def _count_series(self) -> None:
        """Record whether partitions are served, and from time to time how many series are in which condition."""
        self._show_readiness()
        counts = self._census.step(time.monotonic())
        if counts is not None:
            self._health.series(counts)
            self._health.without_known.set(sum(consumer.forecaster.without_known() for consumer in self._consumers))

    def _failed(self, consumer: PartitionConsumer, exc: Exception) -> tuple[float, bool]:
        """Count a partition's failure; return the pause in seconds, and whether the failure was logged."""
        consumer.failures += 1
        delay = self._backoff.pause_s(consumer.failures)
        return delay, self._report(exc, delay, partition=consumer.number)

    def _put_off(self, consumer: PartitionConsumer, stop: Stop, delay: float) -> None:
        """Retry a partition after a delay; if there are others, they are served meanwhile."""
        if len(self._consumers) == 1:
            stop.wait(delay)
        else:
            consumer.retry_at = time.monotonic() + delay

    def _put_others_off(self, consumer: PartitionConsumer, exc: Exception) -> None:
        """Retry the other partitions as late, if Redis has not answered in time: each would wait as long in turn."""
        if isinstance(exc, RedisTimeoutError) and not self._settings.redis_cluster:
            self._silent = True
            for other in self._consumers:
                other.wait_like(consumer)

    def _report(self, exc: Exception, pause_s: float, **place: int | str) -> bool:
        """Count a failure, and log it unless an equal one was logged recently; return whether it was logged."""
        self._pauses += 1
        logged = self._failure_log.report(exc, pause_s, **place)
        self._show_readiness()
        return logged

    def _show_readiness(self) -> None:
        """Let `/readyz` show whether a partition is held and served: not while each one fails, or routing does."""
        shared = self._failures or (self._parts.router and self._consumers[0].held and self._parts.router.failures)
        served = not shared and any(each.held and not each.failures for each in self._consumers)
        failing = shared or any(each.failures for each in self._consumers)
        self._health.holding(self.held, self._failure_log.newest if failing and not served else "")
