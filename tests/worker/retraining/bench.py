"""A partition's runs on a clock of the test's own, with children whose results are given."""

from collections.abc import Callable
from typing import Any

from redis import Redis

from tidecast.settings import RetrainSettings
from tidecast.wire import keys_of
from worker.metrics import Health
from worker.retraining.child import RunReport, TrainingResult
from worker.retraining.job import RetrainJob
from worker.retraining.job_state import JobState
from worker.retraining.triggers import timing_of

NOW = 1_772_000_000.0
HOUR = 3600.0
FINISHED = TrainingResult(RunReport(3, 1, 0, 2, 1.5))
FAILED = TrainingResult(failure="it ended with exit code 1: its log has the cause")


class Bench:
    """A clock, a child whose results are given, and jobs that share a record."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.now = NOW
        self.health = Health()
        self.outcome: TrainingResult | Callable[[Callable[[], bool]], TrainingResult] = FINISHED
        self.trained = 0

    def job(
        self, owner: str = "w", ttl_s: float = 15.0, kind: type[JobState] = JobState, **settings: Any
    ) -> RetrainJob:
        """Return a job that begins now."""
        chosen = RetrainSettings(**({"every": "1h"} | settings))
        timing = timing_of(chosen)
        assert timing
        kept = kind(self.redis, keys_of(), owner, 1000, ttl_s)
        return RetrainJob(0, kept, timing, chosen, self._train, self.health, lambda: self.now)

    def _train(self, cancelled: Callable[[], bool]) -> TrainingResult:
        self.trained += 1
        return self.outcome if isinstance(self.outcome, TrainingResult) else self.outcome(cancelled)


def go_on() -> bool:
    """Never cancel."""
    return False
