"""The worker: read, handle, commit, again and again."""

import math
import random
import threading
import time
from dataclasses import dataclass

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tidecast.errors import Conflict, Fenced, TidecastError
from tidecast.model import Model
from tidecast.settings import Settings, worker_name
from tidecast.store import ModelStore
from worker.forecaster import Forecaster, Outcome
from worker.health import Health
from worker.partitions import Partition
from worker.stream import Progress, Stream

BACKOFF_S = (0.05, 5.0)  # the first and the longest pause after a failure
MODELS_EVERY_S = 0.5  # how often the store is asked whether a champion moved

log = structlog.get_logger("tidecast.worker")


@dataclass(frozen=True, slots=True)
class _Batch:
    """A batch that was handled but whose commit is not yet known to have happened."""

    started_from: Progress
    outcome: Outcome
    lost: int


class Worker:
    """One partition's readings, answered for as long as the program runs."""

    def __init__(self, settings: Settings, stream: Stream, store: ModelStore, health: Health) -> None:
        self._settings = settings
        self._stream = stream
        self._store = store
        self._health = health
        self._partition = Partition(stream, worker_name(settings), settings.worker.lease_s)
        self._forecaster = Forecaster(settings.series)
        self._progress: Progress | None = None
        self._uncommitted: _Batch | None = None
        self._store_position = self._shared_position = 0
        self._models_at = -math.inf  # when the store was last asked
        self._failures = 0

    def run(self, stop: threading.Event, *, burst: bool = False) -> None:
        """Step until told to stop; with `burst`, until every reading in the stream is answered."""
        while not stop.is_set():
            answered = self._guarded_step(stop)
            if burst and answered == 0:
                break
        self._leave()

    def step(self, now: float) -> int | None:
        """One iteration: hold the lease, read, handle, commit; returns how many readings were answered.

        None means that the partition is another worker's for now. `now` is in epoch seconds.
        """
        self._notice_models(now)  # before any state is loaded: the champions say which features a series has
        if not self._partition.held and not self._take_over(now):
            return None
        if not self._partition.hold(now):
            raise Fenced("the lease ran out and another worker took the partition")
        if self._uncommitted is None:
            self._uncommitted = self._handle_next(now)
        return self._commit(now) if self._uncommitted else 0

    def _handle_next(self, now: float) -> _Batch | None:
        progress = self._progress
        if progress is None:
            raise Conflict("no offset is loaded: acquire the partition anew")
        with self._health.stage("read"):
            entries = self._stream.read(progress.last, self._settings.worker.block_ms)
        if not entries:
            return None
        lost = self._stream.lost(progress, entries)
        if lost:
            log.error("readings were trimmed before they were read", lost=lost, after=progress.last)
        with self._health.stage("handle"):
            outcome = self._forecaster.handle(entries, round(now * 1000))
        return _Batch(progress, outcome, lost)

    def _commit(self, now: float) -> int:
        batch, epoch = self._uncommitted, self._partition.epoch
        if batch is None or epoch is None:
            raise Fenced("there is no lease to commit under")
        with self._health.stage("commit"):
            self._stream.commit(epoch, batch.started_from.last, batch.outcome, batch.lost)
        self._partition.renewed(now)
        answered = sum(batch.outcome.counts.values())
        self._progress = Progress(batch.outcome.last, batch.started_from.read + answered + batch.lost)
        self._uncommitted = None
        self._health.committed(batch.outcome.counts, batch.lost, len(self._forecaster.states))
        return answered

    def _take_over(self, now: float) -> bool:
        progress = self._partition.acquire(now)
        if progress is None:
            return False
        self._forecaster.restore(self._stream.states())
        self._progress = progress  # last: without it no batch is read, so a half-loaded memory answers nothing
        log.info(
            "partition acquired",
            epoch=self._partition.epoch,
            after=progress.last,
            series=len(self._forecaster.states),
        )
        self._health.acquired()
        return True

    def _notice_models(self, now: float) -> None:
        if 0 <= now - self._models_at < MODELS_EVERY_S:  # below 0 the clock was set back
            return
        self._models_at = now
        # The shared networks first: a champion reads as many rows as its cohort's network asks for.
        self._shared_position, cohorts = self._store.shared.moves_since(self._shared_position)
        for cohort in cohorts:
            if found := self._load(self._store.shared, cohort):
                self._forecaster.adopt_shared(cohort, found[1])
        self._store_position, moved = self._store.moves_since(self._store_position)
        for series in moved:
            if found := self._load(self._store, series):
                self._forecaster.adopt(series, *found)
        if moved or cohorts:
            self._health.models.set(len(self._forecaster.engine))
            log.info("champions loaded", count=len(moved), shared=len(cohorts))

    def _load(self, store: ModelStore, name: str) -> tuple[int, Model] | None:
        try:
            return store.load(name)
        except TidecastError as exc:  # one bad file must not take the others' forecasts
            log.error("model not loaded", name=name, error=str(exc))
            self._health.failed("model")
            return None

    def _guarded_step(self, stop: threading.Event) -> int | None:
        try:
            answered = self.step(time.time())
        except (Fenced, Conflict) as exc:
            self._drop(str(exc))
            answered = None
        except (RedisConnectionError, RedisTimeoutError) as exc:
            # The commit may or may not have happened: it is sent again, and the script can tell.
            self._pause(stop, "redis", exc)
            return None
        except Exception as exc:
            # Whatever it was, memory may have moved on without a commit: start again from what Redis holds.
            self._drop(str(exc))
            self._pause(stop, "redis" if isinstance(exc, RedisError) else "step", exc)
            return None
        self._failures = 0
        if answered is None:
            stop.wait(self._settings.worker.block_ms / 1000)
        return answered

    def _drop(self, reason: str) -> None:
        """Lose the partition and all memory of it."""
        log.warning("partition dropped", reason=reason, epoch=self._partition.epoch)
        self._partition.lose()
        self._progress = self._uncommitted = None
        self._health.dropped()

    def _pause(self, stop: threading.Event, kind: str, exc: Exception) -> None:
        shortest, longest = BACKOFF_S
        delay = min(longest, shortest * 2 ** min(self._failures, 30)) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        self._failures += 1
        error = f"{type(exc).__name__}: {exc}"
        log.error("step failed", kind=kind, error=error, pause_s=round(delay, 3), exc_info=kind == "step")
        self._health.failed(kind)
        stop.wait(delay)

    def _leave(self) -> None:
        try:
            self._partition.release()
        except RedisError as exc:
            log.warning("lease not released, it will run out", error=str(exc))
        self._health.dropped()
        log.info("worker stopped")
