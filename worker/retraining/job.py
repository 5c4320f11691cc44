"""Run one partition's retraining jobs, one after the other: plan, claim, train, settle."""

import os
import random
import time
from collections.abc import Callable
from functools import partial

import structlog
from redis.exceptions import RedisError

from tidecast.settings import RetrainSettings
from worker.failures.stored_times import corrections
from worker.metrics import Health
from worker.retraining.child import TrainingResult
from worker.retraining.job_state import Busy, Claim, JobState, Plan
from worker.retraining.triggers import Timing

YIELD_S = 60.0  # a schedule that yields to another one checks again after this time
BUSY_S = (0.05, 5.0)  # shortest and longest time until a run of another owner is checked again
RENEWALS = 3  # renewals within the lifetime of a claim
SURE = 0.8  # share of a claim's lifetime: without a renewal for this long, the child is killed before another starts

Train = Callable[[Callable[[], bool]], TrainingResult]  # its argument returns whether to stop

log = structlog.get_logger("tidecast.worker")


class RetrainJob:
    """The retraining job of one partition, kept while the partition is ours.

    Args:
        partition: its number.
        record: the job state in Redis.
        timing: when runs are due.
        settings: the number of retries, and the random delay.
        train: runs the child.
        health: the metrics.
        clock: returns epoch seconds.
    """

    def __init__(
        self,
        partition: int,
        record: JobState,
        timing: Timing,
        settings: RetrainSettings,
        train: Train,
        health: Health,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._partition = partition
        self._record = record
        self._timing = timing
        self._settings = settings
        self._train = train
        self._health = health
        self._clock = clock
        self._token = ""  # the token of a claim whose reply may have been lost
        self._unsaid: Callable[[], bool] | None = None  # writes the result of a run that is not in Redis yet
        self._other = ""  # the trigger of the schedule that this one yields to
        self._drawn = (-1, 0)  # a due time, and the start of its run after a random delay

    def step(self, cancelled: Callable[[], bool]) -> float:
        """Run the job if it is due; return when to call this again, in epoch seconds.

        Raises:
            RedisError: Redis does not answer; the result of a finished run is written in the next call.
        """
        self._say()
        now_ms = self._now_ms()
        if self._gives_way(now_ms):
            return now_ms / 1000 + YIELD_S
        plan = self._plan(now_ms)
        at_ms = plan.at_ms if plan.unended else self._begin_ms(plan.next_ms, now_ms)
        self._health.retraining.next_run(self._partition, max(at_ms, now_ms) / 1000)
        if at_ms > now_ms:
            return at_ms / 1000
        self._token = self._token or os.urandom(8).hex()
        due_ms = plan.claimable_ms
        claim = self._record.claim(due_ms, self._token, self._timing.missed(due_ms, now_ms))
        self._token = ""
        if isinstance(claim, Busy):
            return now_ms / 1000 + min(BUSY_S[1], max(BUSY_S[0], claim.for_s))
        self._run(claim, cancelled)
        self._say()
        return self._clock()

    def _gives_way(self, now_ms: int) -> bool:
        """Return whether this default schedule yields to another one of the partition."""
        other = self._record.other_trigger(self._timing.text, now_ms) if self._timing.yields else ""
        if other != self._other and other:
            log.info(
                "schedule off, another one is set", partition=self._partition, trigger=self._timing.text, other=other
            )
        self._other = other
        if other:
            self._health.retraining.next_run(self._partition, None)  # a time that has passed would look like a late run
        return bool(other)

    def _plan(self, now_ms: int) -> Plan:
        """Read the plan, and correct implausible times."""
        text = self._timing.text
        first_ms = self._timing.first(now_ms)
        record = self._record.plan(text, first_ms)
        if wrong := corrections(record, self._timing, now_ms):
            record = self._record.plan(text, first_ms, wrong)
        return Plan.of(record)

    def _run(self, claim: Claim, cancelled: Callable[[], bool]) -> None:
        """Train, and write the result to Redis."""
        if claim.tries > self._settings.retries + 1:  # the last try has no result: its parent was killed as well
            self._settle(claim, TrainingResult(failure="the process that watched it was killed each time"), 0.0)
            return
        log.info("retraining started", partition=self._partition, due_ms=claim.due_ms, tries=claim.tries)
        began = time.monotonic()
        outcome = self._train(self._watched(claim, cancelled))
        self._settle(claim, outcome, time.monotonic() - began)

    def _settle(self, claim: Claim, outcome: TrainingResult, seconds: float) -> None:
        due_ms = claim.due_ms
        now_ms = self._now_ms()
        next_ms = self._timing.after(due_ms, now_ms)
        missed = self._timing.missed(due_ms, now_ms)
        if outcome.summary:
            kind = "finished"
            self._unsaid = partial(self._record.finish, claim, str(outcome.summary), next_ms, missed)
        elif outcome.cancelled:
            kind = "cancelled"
            self._unsaid = partial(self._record.give_back, claim)
        elif claim.tries <= self._settings.retries:
            kind = "retried"
            retry_ms = now_ms + self._timing.pause_ms(claim.tries, due_ms)
            self._unsaid = partial(self._record.put_off, claim, outcome.failure, retry_ms)
        else:
            kind = "failed"
            reason = f"{outcome.failure}; given up after {claim.tries} tries"
            self._unsaid = partial(self._record.fail, claim, reason, next_ms, missed)
        write = log.info if kind in ("finished", "cancelled") else log.error
        detail = str(outcome.summary) if outcome.summary else outcome.failure
        write(f"retraining {kind}", partition=self._partition, due_ms=due_ms, tries=claim.tries, detail=detail)
        self._health.retraining.ended(kind, seconds)

    def _say(self) -> None:
        """Write the result of the last run to Redis, if it is not there yet."""
        if self._unsaid:
            if not self._unsaid():
                log.warning("result discarded, another process has the run", partition=self._partition)
            self._unsaid = None

    def _watched(self, claim: Claim, cancelled: Callable[[], bool]) -> Callable[[], bool]:
        """Return a function that renews the claim when due, and returns whether to stop the child.

        The child is stopped if the job is cancelled or the claim is lost.
        """
        tried = renewed = time.monotonic()

        def lost() -> bool:
            nonlocal tried, renewed
            if cancelled():
                return True
            now = time.monotonic()
            if now - tried < self._record.ttl_s / RENEWALS:
                return now - renewed > SURE * self._record.ttl_s
            tried = now
            try:
                if not self._record.beat(claim):
                    return True
                renewed = now
            except RedisError as exc:
                log.warning("retraining cannot renew its claim", partition=self._partition, error=type(exc).__name__)
            return now - renewed > SURE * self._record.ttl_s

        return lost

    def _begin_ms(self, due_ms: int, now_ms: int) -> int:
        """Return the start of the run of a due time, after a random delay that is drawn once per due time."""
        if self._drawn[0] != due_ms:
            jitter_ms = round(1000 * random.uniform(0, self._settings.jitter))  # noqa: S311 - no secret
            self._drawn = (due_ms, max(due_ms, now_ms) + jitter_ms)
        return self._drawn[1]

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)
