"""A partition's runs, step by step on a clock of the test's own, against a real server."""

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.worker.retraining.bench import FAILED, FINISHED, HOUR, NOW, Bench, go_on
from tests.worker.retraining.harness import check_each_due_ended_once, events, record
from tidecast.wire import keys_of
from worker.retraining import job as module
from worker.retraining.child import TrainingResult
from worker.retraining.job import BUSY_S, RENEWALS
from worker.retraining.job_state import TTL_S, Busy, Claim, JobState


def test_the_first_run_is_one_interval_after_the_first_start(bench: Bench) -> None:
    """Nothing happens before; afterwards the event and the record show the run."""
    job = bench.job()
    assert NOW + HOUR == job.step(go_on)
    bench.now += HOUR - 1
    assert NOW + HOUR == job.step(go_on)
    assert 0 == bench.trained
    bench.now += 1
    assert bench.now == job.step(go_on)
    assert NOW + 2 * HOUR == job.step(go_on)
    assert 1 == bench.trained
    assert [
        ("started", "the run due at 2026-02-25T07:13:20Z has started, try 1"),
        (
            "finished",
            "the run due at 2026-02-25T07:13:20Z has finished: "
            "3 series trained, 1 kept their model, 0 refused, 2 put off, in 1.5 s",
        ),
    ] == events(bench.redis)
    fields = record(bench.redis)
    assert ("every 1h", "finished", "1", "1") == (fields["trigger"], fields["state"], fields["tries"], fields["runs"])
    assert int(fields["started_ms"]) <= int(fields["ended_ms"])
    assert 1.0 == bench.health.registry.get_sample_value("tidecast_retrain_runs_total", {"result": "finished"})
    assert 1.0 == bench.health.registry.get_sample_value("tidecast_retrain_seconds_count")
    assert NOW + 2 * HOUR == bench.health.registry.get_sample_value("tidecast_retrain_next_timestamp_seconds")


def test_a_restart_neither_skips_nor_repeats(bench: Bench) -> None:
    """The next time comes from the record, whichever worker reads it."""
    bench.job().step(go_on)
    bench.now += HOUR / 2
    assert NOW + HOUR == bench.job("other").step(go_on)
    bench.now += HOUR / 2
    bench.job("third").step(go_on)
    assert NOW + 2 * HOUR == bench.job("fourth").step(go_on)
    assert 1 == bench.trained


def test_three_missed_due_times_run_once_and_the_events_say_so(bench: Bench) -> None:
    """A schedule that was missed several times trains once."""
    bench.job().step(go_on)
    bench.now += 4.5 * HOUR
    job = bench.job()
    job.step(go_on)
    assert NOW + 5 * HOUR == job.step(go_on)
    assert 1 == bench.trained
    assert ["started, try 1; 3 more due times went by before it", "went by meanwhile"] == [
        detail.partition("has ")[2] if kind == "started" else detail[-17:] for kind, detail in events(bench.redis)
    ]
    check_each_due_ended_once(bench.redis, 3_600_000)


def test_a_failed_run_is_tried_again_later_each_time_and_then_given_up(bench: Bench) -> None:
    """Four tries of one due time, one event that it failed, and the next due time stands."""
    job = bench.job(retries=3)
    job.step(go_on)
    bench.now += HOUR
    bench.outcome = FAILED
    pauses = []
    for _ in range(3):
        job.step(go_on)
        pauses.append(job.step(go_on) - bench.now)
        bench.now += pauses[-1]
    assert [10, 20, 40] == pauses
    job.step(go_on)
    assert NOW + 2 * HOUR == job.step(go_on)
    assert ["started"] * 4 + ["failed"] == [kind for kind, _ in events(bench.redis)]
    assert events(bench.redis)[-1][1].endswith(
        "has failed: it ended with exit code 1: its log has the cause; given up after 4 tries"
    )
    assert 1 == check_each_due_ended_once(bench.redis, 3_600_000)
    bench.now = NOW + 2 * HOUR
    bench.outcome = FINISHED
    job.step(go_on)
    assert "finished" == events(bench.redis)[-1][0]


def test_a_run_that_was_not_ended_is_gone_on_with(bench: Bench) -> None:
    """By the same owner at once, by another once its claim has run out; the due time stays the same."""
    bench.job().step(go_on)
    bench.now += HOUR
    due_ms = round(1000 * bench.now)
    abandoned = JobState(bench.redis, keys_of(), "w", 1000, ttl_s=60.0)
    assert Claim(due_ms, "t1", 1) == abandoned.claim(due_ms, "t1", 0)
    busy = JobState(bench.redis, keys_of(), "other", 1000).claim(due_ms, "t", 0)
    assert isinstance(busy, Busy)
    assert 0 < busy.for_s <= 60
    other = bench.job("other")
    assert bench.now + BUSY_S[1] == other.step(go_on)
    assert 0 == bench.trained
    bench.redis.hset("retrain", "expires_ms", 1)
    other.step(go_on)
    assert (1, "2") == (bench.trained, record(bench.redis)["tries"])
    assert not abandoned.finish(Claim(due_ms, "t1", 1), "late", due_ms, 0)
    assert not abandoned.beat(Claim(due_ms, "t1", 1))
    assert 1 == check_each_due_ended_once(bench.redis, 3_600_000)
    bench.now += HOUR
    abandoned.claim(due_ms + 3_600_000, "t2", 0)
    bench.job("w").step(go_on)
    assert 2 == bench.trained
    assert 2 == check_each_due_ended_once(bench.redis, 3_600_000)


def test_a_due_time_that_has_ended_is_never_run_again(bench: Bench) -> None:
    """A worker that still expects it gets a refusal."""
    job = bench.job()
    job.step(go_on)
    bench.now += HOUR
    job.step(go_on)
    late = JobState(bench.redis, keys_of(), "late", 1000)
    claimed = late.claim(round(1000 * (NOW + HOUR)), "t", 0)
    assert not isinstance(claimed, Claim)
    assert 0 == claimed.for_s


def test_a_run_that_kills_its_parent_each_time_is_given_up(bench: Bench) -> None:
    """Otherwise no other due time would ever come."""
    bench.job().step(go_on)
    bench.now += HOUR

    def die(_cancelled: Callable[[], bool]) -> TrainingResult:
        raise SystemExit

    bench.outcome = die
    for _ in range(3):
        with pytest.raises(SystemExit):
            bench.job(retries=2).step(go_on)
    bench.job(retries=2).step(go_on)
    assert "the process that watched it was killed each time" in events(bench.redis)[-1][1]
    assert NOW + 2 * HOUR == bench.job(retries=2).step(go_on)


def test_another_trigger_sets_the_next_time_anew(bench: Bench) -> None:
    """From now on; the same again changes nothing."""
    bench.job().step(go_on)
    bench.now += HOUR / 2
    assert bench.now + 7200 == bench.job(every="2h").step(go_on)
    bench.now += 60
    assert bench.now - 60 + 7200 == bench.job(every="2h").step(go_on)
    assert "every 2h" == record(bench.redis)["trigger"]
    assert NOW + 2800 == bench.job(every=None, cron="0 7 * * *").step(go_on)


def test_a_run_that_is_given_back_costs_no_try(bench: Bench) -> None:
    """Being stopped is not failing: the next owner of the partition runs the job at once."""
    bench.job().step(go_on)
    bench.now += HOUR
    bench.outcome = TrainingResult()
    for _ in range(5):
        bench.job("one").step(go_on)
    assert ("waiting", "0") == (record(bench.redis)["state"], record(bench.redis)["tries"])
    bench.outcome = FINISHED
    bench.job("two").step(go_on)
    assert 1 == check_each_due_ended_once(bench.redis, 3_600_000)


def test_a_child_is_told_to_stop_once_its_run_is_anothers(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked about now and then, by renewing the claim."""
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: bench.now))
    bench.job().step(go_on)
    bench.now += HOUR
    stopped = []
    renewed = []

    def ask(cancelled: Callable[[], bool]) -> None:
        bench.redis.hset("retrain", "expires_ms", 1)
        stopped.append(cancelled())
        renewed.append("1" != record(bench.redis)["expires_ms"])

    def train(cancelled: Callable[[], bool]) -> TrainingResult:
        ask(cancelled)
        bench.now += TTL_S / RENEWALS
        ask(cancelled)
        bench.redis.hset("retrain", "token", "another")
        ask(cancelled)
        bench.now += TTL_S / RENEWALS
        ask(cancelled)
        return TrainingResult()

    bench.outcome = train
    bench.job(ttl_s=TTL_S).step(go_on)
    assert [False, False, False, True] == stopped
    assert [False, True, False, False] == renewed
    assert "running" == record(bench.redis)["state"]


def test_jitter_puts_a_run_off_and_stays_what_it_is(bench: Bench) -> None:
    """Up to so long, also where the due time is past."""
    job = bench.job(jitter=600)
    at = job.step(go_on)
    assert NOW + HOUR < at <= NOW + HOUR + 600
    assert at == job.step(go_on)
    bench.now += 3 * HOUR
    late = bench.job(jitter=600).step(go_on)
    assert bench.now < late <= bench.now + 600
    assert 0 == bench.trained


class Flaky(JobState):
    """A record over a line that breaks: before a script has run, or before its reply is there."""

    breaks = random.Random(7)

    def _broken(self, run: Callable[[], Any]) -> Any:
        chance = self.breaks.random()
        if chance < 0.15:
            raise RedisConnectionError("before")
        result = run()
        if chance < 0.3:
            raise RedisConnectionError("after")
        return result

    def plan(self, *args: Any) -> Any:  # noqa: D102 - as the record's
        return self._broken(lambda: super(Flaky, self).plan(*args))

    def claim(self, *args: Any) -> Any:  # noqa: D102 - as the record's
        return self._broken(lambda: super(Flaky, self).claim(*args))

    def _settled(self, *args: Any) -> Any:
        return self._broken(lambda: super(Flaky, self)._settled(*args))


def test_lost_replies_and_dying_parents_skip_no_due_time_and_double_none(bench: Bench) -> None:
    """Three parents, hundreds of steps: lines that break, parents and children that die at random moments."""
    chance = random.Random(11)

    def train(_cancelled: Callable[[], bool]) -> TrainingResult:
        if chance.random() < 0.2:
            raise SystemExit
        return chance.choice([FINISHED, FINISHED, FAILED, TrainingResult()])

    bench.outcome = train
    owners = ["a", "b", "c"]
    jobs = [bench.job(owner, ttl_s=0.002, kind=Flaky, every="1m") for owner in owners]
    for _ in range(1500):
        which = chance.randrange(3)
        bench.now += chance.choice([0, 0, 1, 5, 20, 90])
        try:
            jobs[which].step(go_on)
        except RedisConnectionError:
            pass
        except SystemExit:
            jobs[which] = bench.job(owners[which], ttl_s=0.002, kind=Flaky, every="1m")
    assert check_each_due_ended_once(bench.redis, 60_000) > 100
