"""The worker's main loop: serve a fair share of the partitions, one after the other."""

import math
import random
import time
from collections.abc import Callable, Sequence

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tidecast.errors import Conflict, Fenced, TidecastError, Unavailable
from tidecast.models.model import Model
from tidecast.models.store import ModelStore
from tidecast.online.engine import Engine
from tidecast.online.forecaster import Forecaster
from tidecast.settings import Settings, worker_name, worker_threads
from tidecast.wire import partition_of
from worker.acl import explain
from worker.membership import EVERY_S, Membership
from worker.metrics import Health
from worker.partition.consumer import PartitionConsumer
from worker.partition.lease import Partition
from worker.partition.poison import PauseNeeded
from worker.partition.stream import Stream
from worker.repeats import Repeats
from worker.stop import Stop

STALE = ("READONLY", "MASTERDOWN")  # after a failover an old connection leads to a server that is now a replica
BACKOFF_S = (0.05, 5.0)  # the first and the longest pause after a failure
MODELS_EVERY_S = 0.5  # how often the store is checked for new champions
LOADING_SHARE = 0.05  # share of the time for loading new champions while readings flow
CREDIT_S = 0.0005  # most loading time in one round while readings flow: one or two models
QUIET_S = 0.02  # after this long without a reading, the flow has stopped
IDLE_LOADING_S = 0.005  # loading time in one round while partitions are held but no readings flow
FREE_LOADING_S = 0.5  # the same while no partition is held: no reading waits, but a signal may
IDLE_S = 0.01  # pause between two rounds over several partitions without readings

log = structlog.get_logger("tidecast.worker")


class Worker:
    """A worker that answers the readings of one or more partitions until it is stopped.

    Args:
        settings: how to read, commit and hold leases.
        streams: one for each partition, in their order.
        store: the model store with the champions.
        health: the metrics.
        roster: the other workers; None if there is one partition, whose lease alone decides who serves it.
    """

    def __init__(
        self,
        settings: Settings,
        streams: Sequence[Stream],
        store: ModelStore,
        health: Health,
        membership: Membership | None = None,
    ) -> None:
        name = worker_name(settings)
        lease_s = settings.worker.lease_s
        self._settings = settings
        self._store = store
        self._health = health
        self._membership = membership
        self._engine = Engine(worker_threads(settings))
        self._consumers = [
            PartitionConsumer(
                i,
                stream,
                Partition(stream, name, lease_s),
                self._forecaster(i, len(streams)),
                health,
                settings.worker,
            )
            for i, stream in enumerate(streams)
        ]
        self._first = random.randrange(len(streams))  # noqa: S311 - workers start at different partitions
        self._store_position = self._shared_position = 0
        self._models_at = -math.inf  # when the store was last checked
        self._moved: dict[str, None] = {}  # series whose champions are still to be loaded, the latest change last
        self._credit_s = 0.0  # remaining loading time; below 0 after a model that took longer
        self._credit_at = time.monotonic()  # when the credit was last increased
        self._answered_at = -math.inf  # when a round last answered readings, by the monotonic clock
        self._adopted = 0  # champions loaded since the last log line about them
        self._stuck: dict[str, int] = {}  # series and versions that could not be rolled back
        self._failures = 0  # consecutive failures of what all partitions share: the roster and the store
        self._pauses = 0
        self._repeats = Repeats()
        self._share = len(streams)

    def run(self, stop: Stop, *, burst: bool = False) -> None:
        """Serve until `stop` is set; with `burst`, until every reading of the held partitions is answered."""
        while not stop.is_set():
            answered = self._guarded_round(stop)
            if burst and answered == 0:
                break
        self.leave()

    def step(self, now: float) -> int | None:
        """Serve each partition once; return the number of readings answered, None if no partition is held.

        `now` is in epoch seconds. An error in a partition is raised here; `run` handles it and continues.
        """
        self._notice_models(now)
        if self._loading:
            return None
        answered = _sum([consumer.step(now, self._block_ms) for consumer in self._due(now)])
        self._note_flow(answered)
        self._health.holding(self.held, self._series())
        return answered

    def leave(self) -> None:
        """Release every partition, so that other workers can take them at once."""
        try:
            for consumer in self._consumers:
                if consumer.held:
                    consumer.leave()
            if self._membership:
                self._membership.leave()
        except (RedisError, Unavailable) as exc:
            log.warning("leases not released, they will run out", error=str(exc))
        self._health.holding(0, 0)
        log.info("worker stopped")

    @property
    def held(self) -> int:
        """Return how many partitions this worker believes it owns; each commit checks it."""
        return sum(consumer.held for consumer in self._consumers)

    def partitions_held(self) -> frozenset[int]:
        """Return the numbers of the held partitions; safe to call from other threads."""
        return frozenset(consumer.number for consumer in self._consumers if consumer.held)

    @property
    def _loading(self) -> bool:
        """Whether champions must be loaded before any state: they determine the features of a series."""
        return bool(self._moved) and not self.held

    @property
    def _block_ms(self) -> int | None:
        """Return how long a read waits for readings; None for no wait, if there is other work.

        While readings flow and champions wait to be loaded, a read waits `QUIET_S`: after that the flow has stopped.
        Polling without a wait took processor time from the senders.
        """
        if len(self._consumers) > 1 or (self._moved and not self._flowing):
            return None
        longest = self._settings.worker.block_ms
        return min(longest, round(1000 * QUIET_S)) if self._moved else longest

    @property
    def _flowing(self) -> bool:
        """Whether readings are arriving; a single round without readings does not end the flow."""
        return self.held > 0 and time.monotonic() - self._answered_at < QUIET_S

    def _note_flow(self, answered: int | None) -> None:
        if answered:
            self._answered_at = time.monotonic()

    def _forecaster(self, partition: int, partitions: int) -> Forecaster:
        return Forecaster(self._settings.series, self._engine, partition, partitions, self._settings.retrain.probation)

    def _due(self, now: float) -> list[PartitionConsumer]:
        """Return the partitions to serve or to acquire, after releasing those beyond the fair share."""
        if self._membership is None:
            return self._consumers
        self._share = share = self._membership.share(len(self._consumers), now)
        held = [consumer for consumer in self._consumers if consumer.held]
        for consumer in held[share:]:
            consumer.leave()
            log.info("partition handed over", partition=consumer.number)
        due = held[:share]
        missing = share - len(held)
        rotated = self._consumers[self._first :] + self._consumers[: self._first]
        free = [consumer for consumer in rotated if not consumer.held and not 0 <= now - consumer.tried_at < EVERY_S]
        return due + (free if missing > 0 else [])

    def _guarded_round(self, stop: Stop) -> int | None:
        """Serve every partition that is due; a failure in one does not delay the others."""
        now = time.time()
        pauses = self._pauses
        try:
            self._notice_models(now)
            if self._loading:
                return None
            due = self._due(now)
        except Exception as exc:  # the roster's Redis or the store's disk is unavailable
            self._failures += 1
            delay = self._pause_s(self._failures)
            self._report(_kind(exc), exc, delay)
            stop.wait(delay)
            return None
        self._failures = 0
        answered: list[int | None] = []
        for consumer in due:
            if stop.is_set():
                break
            if not consumer.held and self.held >= self._share:
                continue  # this round has already acquired the fair share
            answered.append(None if time.monotonic() < consumer.retry_at else self._guarded_step(consumer, stop))
        self._health.holding(self.held, self._series())
        total = _sum(answered)
        self._note_flow(total)
        if total is None and self._pauses == pauses:  # no partition is held; after a failure there was a pause already
            stop.wait(self._settings.worker.block_ms / 1000)
        elif total == 0 and len(self._consumers) > 1:
            stop.wait(IDLE_S)
        # Partitions that we skipped, dropped or do not own yet may still hold readings.
        return None if total == 0 and (None in answered or self.held < self._share) else total

    def _guarded_step(self, consumer: PartitionConsumer, stop: Stop) -> int | None:
        try:
            answered = consumer.step(time.time(), self._block_ms)
        except PauseNeeded as exc:
            pause_s = self._settings.worker.lease_s / 2  # the lease outlives it
            log.warning(
                "a reading is tried once more after a pause", partition=consumer.number, why=str(exc), pause_s=pause_s
            )
            self._pauses += 1
            self._put_off(consumer, stop, pause_s)
            return None
        except (Fenced, Conflict) as exc:
            consumer.drop(str(exc))
            self._health.failed("fenced" if isinstance(exc, Fenced) else "conflict")
            return None
        except (RedisConnectionError, RedisTimeoutError) as exc:
            # The commit may or may not have happened: it is sent again, and the script detects a repeat.
            self._put_off(consumer, stop, self._failed(consumer, "redis", exc)[0])
            return None
        except Unavailable as exc:
            # Redis changed nothing: the handled batch is kept, and sent again once Redis accepts it.
            if exc.code in STALE:
                consumer.reconnect()
            self._put_off(consumer, stop, self._failed(consumer, "refused", exc)[0])
            return None
        except Exception as exc:
            # The state in memory may be ahead of the last commit: start again from the state in Redis.
            delay, logged = self._failed(consumer, _kind(exc), exc)
            if consumer.held:
                consumer.drop(str(exc), logged=logged)
            self._put_off(consumer, stop, delay)
            return None
        consumer.failures = 0
        return answered

    def _notice_models(self, now: float) -> None:
        """Check the store for new champions every `MODELS_EVERY_S`, and load them."""
        cohorts = 0
        self._adopt_shadows()
        if not 0 <= now - self._models_at < MODELS_EVERY_S:  # below 0 the clock was set back
            self._models_at = now
            self._credit_s = CREDIT_S  # a new change does not wait because of earlier loading
            # The shared networks first: a champion reads as many rows as its cohort's network needs.
            cohorts = self._adopt_networks()
            self._store_position, moved = self._store.moves_since(self._store_position)
            self._moved |= dict.fromkeys(moved)
            self._roll_back()
        if self._moved or cohorts:
            self._adopted += self._adopt_champions()
            if not self._moved:  # logging and listing all models in each round would take longer than the loading
                self._health.serving(self._engine.made_ms)
                log.info("champions loaded", count=self._adopted, shared=cohorts)
                self._adopted = 0

    def _adopt_networks(self) -> int:
        """Load the cohort networks that changed; return how many cohorts changed."""
        self._shared_position, cohorts = self._store.shared.moves_since(self._shared_position)
        for cohort in cohorts:
            if loaded := self._load(self._store.shared, cohort):
                self._engine.put_shared(cohort, loaded[1])
        if cohorts:
            for consumer in self._consumers:
                consumer.forecaster.refit()
        return len(cohorts)

    def _adopt_champions(self) -> int:
        """Load new champions for as long as this round allows; return how many were loaded."""
        waiting = len(self._moved)
        self._engine.expect(max(waiting, len(self._engine)))
        # Not in threads: only hashing and reading the file run without Python's lock. At the start, two threads took
        # longer than one. While readings flowed, one thread doubled the delay of every forecast.
        if waiting:
            self._load_for_a_while(self._adopt_newest)
        return waiting - len(self._moved)

    def _adopt_shadows(self) -> None:
        """Load former champions to run beside their successors on trial, for as long as this round allows."""
        if not any(consumer.forecaster.trials.lacking for consumer in self._consumers):
            return
        self._load_for_a_while(self._accompany_next)

    def _accompany_next(self) -> bool:
        """Load the former champion of one series on trial; return whether there are more."""
        lacking = [(consumer.forecaster, consumer.forecaster.trials.lacking) for consumer in self._consumers]
        forecaster, former = next((forecaster, versions) for forecaster, versions in lacking if versions)
        series, version = next(iter(former.items()))
        if loaded := self._load(self._store, series, version):
            forecaster.accompany(series, *loaded)
        else:
            forecaster.clear(series)
        return any(versions for _, versions in lacking)

    def _adopt_newest(self) -> bool:
        """Load the champion that changed last; return whether there are more.

        A champion promoted by hand does not wait for a thousand that changed before it.
        """
        self._adopt(self._moved.popitem()[0])  # removed first: an unforeseen error must not repeat endlessly
        return bool(self._moved)

    def _load_for_a_while(self, load_one: Callable[[], bool]) -> None:
        """Call `load_one` while it returns that there are more models and there is time.

        While readings flow, loading gets a fixed share of the time. A model that takes longer delays the next one.
        Loading at least one model in each round took a fifth of the time at 5,000 readings a second. The worker could
        not spare it there, and the delay of every forecast was four times as long.
        """
        began = time.monotonic()
        flowing = self._flowing
        self._credit_s = min(CREDIT_S, self._credit_s + LOADING_SHARE * (began - self._credit_at))
        self._credit_at = began
        allowed_s = self._credit_s if flowing else IDLE_LOADING_S if self.held else FREE_LOADING_S
        if allowed_s <= 0:
            return
        while load_one() and time.monotonic() - began < allowed_s:
            pass
        if flowing:
            self._credit_s -= time.monotonic() - began

    def _roll_back(self) -> None:
        """Switch back to the former champion of each series whose new champion performs worse."""
        for consumer in self._consumers:
            condemned = consumer.forecaster.trials.condemned
            for series, (version, former) in list(condemned.items()):
                try:
                    if self._store.champion(series) == version:
                        self._store.promote(series, former)
                        log.warning("champion rolled back", series=series, version=version, former=former)
                    del condemned[series]
                except (TidecastError, OSError) as exc:  # tried again in the next round, logged once
                    if self._stuck.get(series) != version:
                        remedy = "let this worker write the store, or use `tidecast models promote`"
                        log.error("champion not rolled back", series=series, error=str(exc), remedy=remedy)
                    self._stuck[series] = version

    def _adopt(self, series: str) -> None:
        """Load a series' champion and forecast with it from now on."""
        try:
            pointer = self._store.pointer(series)
            version, model = self._store.load(series, pointer and pointer.version)
        except (TidecastError, OSError) as exc:
            self._refuse(series, exc)
            return
        forecaster = self._consumers[partition_of(series, len(self._consumers))].forecaster
        forecaster.adopt(series, version, model, published=bool(pointer and pointer.published))

    def _load(self, store: ModelStore, name: str, version: int | None = None) -> tuple[int, Model] | None:
        try:
            return store.load(name, version)
        except (TidecastError, OSError) as exc:
            self._refuse(name, exc)
            return None

    def _refuse(self, name: str, exc: Exception) -> None:
        """Log that a model cannot be loaded; the other series are still forecast."""
        log.error("model not loaded", name=name, error=str(exc))
        self._health.failed("model")

    def _series(self) -> int:
        return sum(len(consumer.forecaster.states) for consumer in self._consumers)

    def _failed(self, consumer: PartitionConsumer, kind: str, exc: Exception) -> tuple[float, bool]:
        """Count a partition's failure; return the pause in seconds, and whether the failure was logged."""
        consumer.failures += 1
        delay = self._pause_s(consumer.failures)
        return delay, self._report(kind, exc, delay)

    def _put_off(self, consumer: PartitionConsumer, stop: Stop, delay: float) -> None:
        """Retry a partition after a delay; if there are others, they are served meanwhile."""
        if len(self._consumers) == 1:
            stop.wait(delay)
        else:
            consumer.retry_at = time.monotonic() + delay

    def _pause_s(self, failures: int) -> float:
        """Return the pause after this many consecutive failures: longer each time, but too short to lose a lease."""
        shortest, longest = BACKOFF_S
        longest = min(longest, self._settings.worker.lease_s / 2)
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - workers must not retry at the same time
        return jitter * min(longest, shortest * 2.0 ** min(failures - 1, 30))

    def _report(self, kind: str, exc: Exception, pause_s: float) -> bool:
        """Count a failure, and log it unless an equal one was logged recently; return whether it was logged."""
        self._pauses += 1
        self._health.failed(kind)
        error = explain(exc) if isinstance(exc, RedisError) else f"{type(exc).__name__}: {exc}"
        times = self._repeats.times(f"{kind} {error}")
        if times:
            unforeseen = kind == "step" and not isinstance(exc, TidecastError)
            log.error(
                "step failed", kind=kind, error=error, pause_s=round(pause_s, 3), times=times, exc_info=unforeseen
            )
        return times > 0


def _kind(exc: Exception) -> str:
    if isinstance(exc, Unavailable):
        return "refused"
    return "redis" if isinstance(exc, RedisError) else "step"


def _sum(answered: Sequence[int | None]) -> int | None:
    """Return the number of readings answered, None if no partition was held."""
    counts = [number for number in answered if number is not None]
    return sum(counts) if counts else None
