"""Schedule retraining: APScheduler's threads, with a job for each partition that is ours.

The due times are in Redis (`job_state.py`), and `job.py` runs them; an APScheduler job only returns its next time.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any, Self

import structlog
from apscheduler.events import EVENT_JOB_EXECUTED
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.interval import IntervalTrigger
from redis import Redis
from redis.exceptions import RedisError

from tidecast.connection import connect
from tidecast.settings import Settings
from tidecast.wire import Keys, layout_of
from worker.failures.acl import explain
from worker.failures.log_limiter import LogLimiter
from worker.failures.redis_failures import reconnect_if_stale
from worker.metrics import Health
from worker.retraining import child
from worker.retraining.job import RetrainJob
from worker.retraining.job_state import TTL_S, JobState
from worker.retraining.triggers import Timing

LOOK_S = 3600.0  # the job of a partition runs at least once an hour
RECONCILE_S = 1.0  # how often to update the set of partitions that are ours
ANSWER_S = 1.0  # timeout of the schedule's Redis commands, which limits how long a stop waits
STOP_S = 2.0  # how long a stop waits for the child's end and for writing its result
BACKOFF_S = (0.5, 30.0)  # the first and the longest pause after a failure
RECONCILING = "reconcile"  # a job with its own executor, so that it does not wait for the runs

log = structlog.get_logger("tidecast.worker")


class Schedule:
    """A scheduler that retrains our partitions when they are due, on its own threads, one child at a time.

    Args:
        settings: returns where Redis is and how to retrain, with the present number of partitions; called from other
            threads.
        timing: when runs are due.
        held: returns the partitions that are ours now; called from other threads.
        owner: the name in the claims; after a restart the same owner continues its runs at once.
        health: the metrics.
        asked_to_stop: returns whether the program must stop; called ten times a second while a child runs.
        command: the command that starts the child.
        ttl_s: the lifetime of a claim without a renewal.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        timing: Timing,
        held: Callable[[], Collection[int]],
        owner: str,
        health: Health,
        *,
        asked_to_stop: Callable[[], bool] = lambda: False,
        command: Sequence[str] = child.COMMAND,
        ttl_s: float = TTL_S,
    ) -> None:
        self._settings = settings
        self._timing = timing
        self._held = held
        self._owner = owner
        self._health = health
        self._asked_to_stop = asked_to_stop
        self._command = command
        self._ttl_s = ttl_s
        self._redis: Redis | None = None
        self._ours: set[int] = set()  # the partitions that have a job
        self._jobs: dict[Keys, RetrainJob] = {}  # used only by the thread of the runs
        self._failures = 0  # consecutive
        self._failing: dict[int | None, str] = {}  # the last error of each partition, or of the look for partitions
        self._limiter = LogLimiter()
        self._stopping = threading.Event()
        self._running = threading.Lock()  # held while a job runs
        # We log errors in jobs ourselves; APScheduler's other messages are about runs longer than their interval.
        logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(1), RECONCILING: ThreadPoolExecutor(1)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone=UTC,
        )

    def start(self) -> None:
        """Start the scheduler; return at once, without waiting for Redis."""
        self._scheduler.add_listener(self._come_again, EVENT_JOB_EXECUTED)
        every = IntervalTrigger(seconds=RECONCILE_S, timezone=UTC)
        self._scheduler.add_job(
            self.reconcile, every, id=RECONCILING, executor=RECONCILING, next_run_time=_datetime(time.time())
        )
        self._scheduler.start()
        log.info("schedule started", trigger=self._timing.text, by_default=self._timing.yields)

    def stop(self) -> None:
        """Stop the scheduler and the child; its run is released, if Redis answers soon."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._scheduler.shutdown(wait=False)
        if self._running.acquire(timeout=STOP_S):
            self._running.release()
            if self._redis is not None:
                self._redis.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def failing(self) -> str:
        """Return an error that keeps the schedule from its work; empty without one."""
        return next(iter([*self._failing.values()]), "")

    def reconcile(self) -> None:
        """Add a job for each new partition, and remove the jobs of lost partitions."""
        try:
            held = set(self._held())
        except Exception as exc:  # APScheduler, whose log is off, calls this again
            self._report(exc, RECONCILE_S)
            self._failing[None] = str(exc)
            return
        self._failing.pop(None, None)
        for lost in self._ours - held:
            with suppress(JobLookupError):
                self._scheduler.remove_job(str(lost))
            self._health.retraining.next_run(lost, None)
            self._failing.pop(lost, None)
        for new in held - self._ours:
            # At once: the step reads from Redis when the next run is due.
            begin = _datetime(time.time())
            again = _Again()
            self._scheduler.add_job(partial(self._look, new, again), again, id=str(new), next_run_time=begin)
        self._ours = held

    def _job(self, partition: int, settings: Settings) -> RetrainJob:
        if self._redis is None:
            answer_s = min(ANSWER_S, settings.redis_timeout)
            self._redis = connect(settings.model_copy(update={"redis_timeout": answer_s}))
        keys = layout_of(settings).keys(partition)
        record = JobState(self._redis, keys, self._owner, settings.worker.events_kept, self._ttl_s)

        def train(cancelled: Callable[[], bool]) -> child.TrainingResult:
            return child.run(settings, partition, cancelled=cancelled, command=self._command)

        return RetrainJob(partition, record, self._timing, settings.retrain, train, self._health)

    def _look(self, partition: int, again: "_Again") -> float:
        """Run a partition's job; return when to run it again, in epoch seconds."""
        again.at = min(self._step(partition), time.time() + LOOK_S)
        return again.at

    def _step(self, partition: int) -> float:
        """Retrain a partition if it is due; return the time of the next action, in epoch seconds."""

        def cancelled() -> bool:
            return self._stopping.is_set() or self._asked_to_stop() or partition not in self._held()

        with self._running:
            try:
                if cancelled():
                    return time.time() + RECONCILE_S
                settings = self._settings()
                keys = layout_of(settings).keys(partition)
                if keys not in self._jobs:
                    self._jobs[keys] = self._job(partition, settings)
                at = self._jobs[keys].step(cancelled)
            except Exception as exc:  # the thread must survive every error
                reconnect_if_stale(self._redis, exc)
                self._failing[partition] = explain(exc) if isinstance(exc, RedisError) else str(exc)
                return time.time() + self._pause_s(partition, exc)
            self._failures = 0
            self._failing.pop(partition, None)
            return at

    def _pause_s(self, partition: int, exc: Exception) -> float:
        """Log a failure and return the pause after it: longer each time."""
        shortest, longest = BACKOFF_S
        pause_s: float = min(longest, shortest * 2.0 ** min(self._failures, 30))
        self._failures += 1
        self._report(exc, pause_s, partition=partition)
        return pause_s

    def _report(self, exc: Exception, pause_s: float, **place: int) -> None:
        """Log a failure, unless an equal one was logged recently; `place` is the partition, if it is about one."""
        away = isinstance(exc, RedisError)
        error = explain(exc) if isinstance(exc, RedisError) else f"{type(exc).__name__}: {exc}"
        if times := self._limiter.count(f"{place} {error}"):
            log.error("retraining waits", **place, error=error, pause_s=pause_s, times=times, exc_info=not away)

    def _come_again(self, event: Any) -> None:
        """Reschedule a job at the time that its run returned; `_Again` did not have that time during the run.

        APScheduler sends the event once the job counts as ended. Before that, it would refuse a time in the past.
        """
        if event.job_id != RECONCILING and not self._stopping.is_set():
            with suppress(JobLookupError):  # the partition was lost meanwhile
                self._scheduler.modify_job(event.job_id, next_run_time=_datetime(event.retval))


class _Again(BaseTrigger):  # type: ignore[misc] # the library is untyped
    """A trigger that fires at the time that the last run of the job returned.

    APScheduler calls it right after it has passed the job to a thread. A short run and its event are over by then, so
    a fixed interval would overwrite the time that the event has set.
    """

    def __init__(self) -> None:
        self.at = 0.0  # epoch seconds

    def get_next_fire_time(self, previous: datetime, now: datetime) -> datetime:
        """Return the time set since the job began; else a time late enough for the event to arrive first."""
        at = _datetime(self.at)
        return at if at > previous else now + timedelta(seconds=LOOK_S)


def _datetime(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
