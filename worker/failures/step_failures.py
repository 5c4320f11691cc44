"""Handle the failures of a worker's steps: count and log each, keep or drop the state in memory, and time the retry."""

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tidecast.errors import Conflict, Fenced, TidecastError, Unavailable
from worker.failures.acl import explain
from worker.failures.backoff import Backoff
from worker.failures.log_limiter import LogLimiter
from worker.failures.redis_failures import is_stale
from worker.metrics import Health
from worker.partition.consumer import PartitionConsumer
from worker.partition.poison import PauseNeeded

log = structlog.get_logger("tidecast.worker")


class Failures:
    """The failures of a worker's steps, equal ones logged less and less often.

    Args:
        health: the metrics.
        lease_s: the length of a lease; no pause is as long as that.

    Attributes:
        newest: the last failure as text; empty before the first.
        shared: consecutive failures of what all partitions share: membership and the store.
        silent: whether Redis did not answer in time, and has not answered since.
    """

    def __init__(self, health: Health, lease_s: float) -> None:
        self.newest = ""
        self.shared = 0
        self.silent = False
        self._health = health
        self._lease_s = lease_s
        self._backoff = Backoff(lease_s)
        self._limiter = LogLimiter()

    def of_all(self, exc: Exception) -> float:
        """Report a failure of what all partitions share; return the pause after it in seconds."""
        self.shared += 1
        self.silent = isinstance(exc, RedisTimeoutError)
        pause_s = self._backoff.pause_s(self.shared)
        self.report(exc, pause_s)
        return pause_s

    def of_partition(self, consumer: PartitionConsumer, exc: Exception) -> float | None:
        """Handle the failed step of a partition.

        Returns:
            The pause before its next step, in seconds. None: the partition was lost, so there is nothing to retry.
        """
        if isinstance(exc, PauseNeeded):
            pause_s = self._lease_s / 2  # the lease outlives it
            what = "a reading is tried once more after a pause"
            log.warning(what, partition=consumer.number, why=str(exc), pause_s=pause_s)
            return pause_s
        if isinstance(exc, Fenced | Conflict):
            consumer.drop(str(exc))
            self._health.failed("fenced" if isinstance(exc, Fenced) else "conflict")
            return None
        consumer.failures += 1
        pause_s = self._backoff.pause_s(consumer.failures)
        logged = self.report(exc, pause_s, partition=consumer.number)
        if isinstance(exc, RedisConnectionError | RedisTimeoutError | Unavailable):
            # The handled batch is kept and sent again: if it was committed all the same, the script detects the repeat.
            if is_stale(exc):
                consumer.reconnect()
        elif consumer.held:
            # The state in memory may be ahead of the last commit: start again from the state in Redis.
            consumer.drop(str(exc), logged=logged)
        return pause_s

    def report(self, exc: Exception, pause_s: float, **place: int | str) -> bool:
        """Count a failure, and log it unless an equal one was logged recently; return whether it was logged.

        Args:
            exc: the failure.
            pause_s: how long the worker waits before it tries again, in seconds.
            place: the partition or the part of the worker that has failed. It is logged unless Redis as a whole may be
                the cause, since all partitions fail then.
        """
        kind = _kind_of(exc)
        self._health.failed(kind)
        self.newest = explain(exc) if isinstance(exc, RedisError) else f"{type(exc).__name__}: {exc}"
        shown = place if kind == "step" else {}
        times = self._limiter.count(f"{kind} {shown} {self.newest}")
        if times:
            unforeseen = kind == "step" and not isinstance(exc, TidecastError)
            what = {"kind": kind, **shown, "error": self.newest, "pause_s": round(pause_s, 3), "times": times}
            log.error("step failed", **what, exc_info=unforeseen)
        return times > 0


def _kind_of(exc: Exception) -> str:
    """Return the kind of a failed step, as the log and the metrics name it."""
    if isinstance(exc, Unavailable):
        return "refused"
    return "redis" if isinstance(exc, RedisError) else "step"
