"""A schedule that runs by default gives way to one that was asked for, and takes over once nobody keeps that."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.worker.retraining.bench import FINISHED, HOUR, NOW, Bench, go_on
from tests.worker.retraining.harness import record
from worker.retraining.child import TrainingResult
from worker.retraining.job import YIELD_S, RetrainJob
from worker.retraining.job_state import LEFT_MS


def yielding(bench: Bench) -> RetrainJob:
    """Return a job whose schedule is the default."""
    job = bench.job(every="6h")
    job._timing = replace(job._timing, yields=True)
    return job


def test_a_schedule_by_default_begins_where_there_is_no_other(bench: Bench) -> None:
    """It keeps its own record."""
    job = yielding(bench)
    assert NOW + 6 * HOUR == job.step(go_on)
    bench.now += 6 * HOUR
    job.step(go_on)
    assert 1 == bench.trained
    assert NOW + 12 * HOUR == yielding(bench).step(go_on)


def test_a_schedule_by_default_gives_way_to_one_that_was_asked_for(bench: Bench) -> None:
    """Two schedules that overwrite each other's due time would never train."""
    chosen = bench.job("daemon", every="8h")
    assert NOW + 8 * HOUR == chosen.step(go_on)
    job = yielding(bench)
    for _ in range(8):
        assert bench.now + YIELD_S == job.step(go_on)
        assert math.isnan(bench.health.registry.get_sample_value("tidecast_retrain_next_timestamp_seconds") or 0.0)
        bench.now += HOUR
    chosen.step(go_on)
    assert (1, "every 8h") == (bench.trained, record(bench.redis)["trigger"])
    assert NOW + 16 * HOUR == chosen.step(go_on)


def test_a_schedule_that_was_asked_for_takes_the_record_from_one_by_default(bench: Bench) -> None:
    """Also where the default came first."""
    job = yielding(bench)
    job.step(go_on)
    chosen = bench.job("daemon", every=None, cron="0 7 * * *")
    assert NOW + 2800 == chosen.step(go_on)
    assert bench.now + YIELD_S == job.step(go_on)


@pytest.mark.parametrize(("overdue_s", "begins"), [(LEFT_MS / 1000 - 1, False), (LEFT_MS / 1000 + 1, True)])
def test_a_schedule_by_default_takes_over_from_one_that_nobody_keeps(
    bench: Bench, overdue_s: float, begins: bool
) -> None:
    """A setting that was taken out, or a daemon that is gone, must not end retraining for good."""
    bench.job("gone").step(go_on)
    bench.now += HOUR + overdue_s
    expected = bench.now // 1 + 6 * HOUR if begins else bench.now + YIELD_S
    assert expected == yielding(bench).step(go_on)


def test_a_schedule_by_default_leaves_another_ones_run_alone(bench: Bench) -> None:
    """However long it lasts: it renews its claim."""
    job = bench.job("daemon")
    job.step(go_on)
    bench.now += HOUR

    def train(_cancelled: Callable[[], bool]) -> TrainingResult:
        bench.now += 3 * HOUR
        bench.redis.hset("retrain", "expires_ms", round(1000 * bench.now))
        assert bench.now + YIELD_S == yielding(bench).step(go_on)
        return FINISHED

    bench.outcome = train
    job.step(go_on)
    job.step(go_on)
    assert "every 1h" == record(bench.redis)["trigger"]
