"""Anything odd about a stream of readings is logged once, and shown while it lasts."""

import time

import pytest
from redis import Redis
from structlog.testing import capture_logs

from tests.harness.patience import until
from tests.worker.harness import NOW, Impatient, forecasts, new_worker, sample
from tidecast.connection.lag import Lag
from tidecast.settings import Settings
from worker.metrics import Health
from worker.partition.stream import Stream
from worker.partition.stream_warnings import WARN_EVERY_S

WARNING = "entry ids are ahead of the clock"


def push(redis: Redis, entry_id: str = "*") -> None:
    """Append a reading without a time."""
    redis.xadd("readings", {"series": "x", "value": 4}, id=entry_id)


@pytest.mark.parametrize("ahead_ms", [90_000, 7_200_000, 75 * 365 * 86_400_000, 2**63])
def test_readings_after_an_id_ahead_of_the_clock_are_answered_and_a_warning_is_given(
    settings: Settings, redis: Redis, ahead_ms: int
) -> None:
    """Redis gives no lower id again: all later readings would be duplicates, without any warning."""
    health = Health()
    worker = new_worker(settings, health)
    now_ms = round(time.time() * 1000)  # the server has this clock too
    push(redis, f"{now_ms + ahead_ms}-0")
    with capture_logs() as log:
        for n in range(3):
            push(redis)
            worker.step(now_ms / 1000 + n)
    assert [0, 1, 1000, 2000] == [made.origin - now_ms for made in forecasts(redis)]
    (line,) = (line for line in log if line["event"] == WARNING)
    assert (0, "warning", ahead_ms // 1000) == (line["partition"], line["log_level"], line["ahead_s"])
    assert ahead_ms / 1000 - 2 == pytest.approx(sample(health, "tidecast_ids_ahead_seconds"))
    worker.leave()
    assert 0.0 == sample(health, "tidecast_ids_ahead_seconds")


def test_the_warning_is_repeated_every_hour_while_it_lasts(settings: Settings, redis: Redis) -> None:
    """A line for each batch would hide the rest of the log."""
    worker = new_worker(settings)
    push(redis, "4102444800000-0")
    times = [NOW + n * WARN_EVERY_S / 4 for n in range(9)]
    with capture_logs() as log:
        for now in times:
            push(redis)
            worker.step(now)
    assert 3 == sum(line["event"] == WARNING for line in log)


def test_ids_that_are_the_time_or_a_little_ahead_are_not_warned_of(settings: Settings, redis: Redis) -> None:
    """The clocks of two machines differ."""
    worker = new_worker(settings)
    with capture_logs() as log:
        for ahead_ms in (-1_000_000, 0, 60_000):
            push(redis, f"{round(NOW * 1000) + ahead_ms}-0")
            worker.step(NOW)
    assert [] == [line for line in log if line["event"] == WARNING]
    assert 3 == len(forecasts(redis))


def test_readings_that_are_lost_in_each_batch_are_one_line_a_minute(
    settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is too slow for its producers loses some all the time; the lines count them all."""
    monkeypatch.setattr(Stream, "lag", lambda *_: Lag(lost=5))
    worker = new_worker(settings)
    with capture_logs() as log:
        for n in range(121):
            push(redis)
            worker.step(NOW + n)
    lines = [line for line in log if line["event"] == "readings were trimmed before they were read"]
    assert [(0, 5), (0, 300), (0, 300)] == [(line["partition"], line["lost"]) for line in lines]


@pytest.mark.parametrize("loss", ["everything", "the last writes"])
def test_redis_that_has_lost_data_is_named_in_the_log(settings: Settings, redis: Redis, loss: str) -> None:
    """The partition is taken again in silence otherwise, and nobody would look for the cause."""
    worker = new_worker(settings)
    for n in (1, 2, 3):
        push(redis, f"{n}-0")
        worker.step(NOW, Impatient(9))
    with capture_logs() as log:
        if loss == "everything":
            redis.flushall()
        else:
            redis.hset("offset", "last", "1-0")
            redis.delete("forecasts")
        push(redis, "4-0")
        for n in range(1, 4):
            worker.step(NOW + 10 * n, Impatient(9))
    (line,) = (each for each in log if each["event"] == "Redis has lost data")
    assert ("3-0", {"everything": "0-0"}.get(loss, "1-0")) == (line["answered_to"], line["offset"])


def test_a_worker_that_takes_its_partition_again_reports_no_loss(settings: Settings, redis: Redis) -> None:
    """Nor one whose partition another worker has served meanwhile."""
    worker = new_worker(settings)
    other = new_worker(settings)
    with capture_logs() as log:
        for n in range(1, 7):
            push(redis, f"{n}-0")
            turn = worker if n % 2 else other
            until(lambda turn=turn: turn.step(time.time(), Impatient(9)))
            turn.leave()
    assert 6 == len(forecasts(redis))
    assert not [each for each in log if each["event"] == "Redis has lost data"]
