"""A series that sends nothing more: one event, whatever fails, and one when it is back."""

from collections.abc import Iterator
from functools import partial

import pytest
from redis import Redis

from tests.worker.partition.harness import outcome
from tidecast.settings import Settings, WorkerSettings
from tidecast.wire import Event, keys_of
from worker.loop import Worker
from worker.main import make_worker
from worker.metrics import Health
from worker.partition import silence_watch
from worker.partition.clock_offset import ClockOffset
from worker.partition.exchange.commit_sender import CommitSender
from worker.partition.stream import Stream

BEGUN_MS = 1_700_000_000_000
STEP_MS = 60_000
pytestmark = pytest.mark.settings(worker={"block": "1ms"})


def push(redis: Redis, numbers: range, series: str = "a", every_ms: int = STEP_MS) -> None:
    """Add readings whose times are a step apart, as if they had arrived every so often."""
    for n in numbers:
        fields = {"series": series, "value": str(n % 7), "ts": str(BEGUN_MS + n * STEP_MS)}
        redis.xadd("readings", fields, id=f"{BEGUN_MS + n * every_ms}-{n}")


def _seconds(step: float) -> float:
    return (BEGUN_MS + step * STEP_MS) / 1000


def serve(worker: Worker, *steps: float) -> None:
    """Run the worker at these times, in steps of the series."""
    for step in steps:
        worker.step(_seconds(step))


def told(redis: Redis) -> list[str]:
    """Return the kinds of the events about silence."""
    events = (Event.decode(*entry) for entry in redis.xrange("events"))
    return [event.kind for event in events if event.kind in ("silent", "back")]


@pytest.fixture
def worker(settings: Settings, redis: Redis) -> Iterator[Worker]:
    """A worker that has answered a hundred live readings, the last one at step 99."""
    push(redis, range(100))
    made = make_worker(settings, Health())
    serve(made, 99, 99.5)
    yield made
    made.leave()


def test_a_silent_series_is_reported_within_three_steps_and_once(
    worker: Worker, settings: Settings, redis: Redis
) -> None:
    """A worker that takes over knows it from the state; the first reading after that reports that it is back."""
    serve(worker, 101, 101.1)
    assert [] == told(redis)
    serve(worker, 102, 102.1, 130)
    assert ["silent"] == told(redis)
    (event,) = [e for e in (Event.decode(*entry) for entry in redis.xrange("events")) if e.kind == "silent"]
    assert BEGUN_MS + 99 * STEP_MS == event.facts["since"]
    worker.leave()
    serve(next_worker := make_worker(settings, Health()), 131, 140)
    push(redis, range(141, 143))
    serve(next_worker, 143, 143.1)
    assert ["silent", "back"] == told(redis)
    next_worker.leave()


def test_a_reading_that_was_waiting_reports_a_silence_as_the_clock_would_have(worker: Worker, redis: Redis) -> None:
    """A worker that was away finds both in the stream; the events do not depend on how long it was away."""
    push(redis, range(110, 112))
    serve(worker, 200, 200.1)
    assert ["silent", "back", "silent"] == told(redis)


def test_readings_in_bulk_and_other_series_do_not_make_a_series_silent(settings: Settings, redis: Redis) -> None:
    """A history is sent as fast as possible: its times say nothing about when the next reading will come."""
    push(redis, range(100), "history", every_ms=5)
    worker = make_worker(settings, Health())
    serve(worker, 1, 1.1)
    push(redis, range(2, 60), "live")
    serve(worker, 60, 60.1, 61)
    assert [] == told(redis)
    worker.leave()


@pytest.mark.parametrize("whose", ["worker", "redis"])
def test_a_clock_that_is_set_does_not_make_series_silent_for_ever(worker: Worker, redis: Redis, whose: str) -> None:
    """The worker's is set forward by an hour, or that of Redis back, whose ids then stand still for an hour.

    The first look after that may be wrong. Then a reading arrives, and the clocks are compared again.
    """
    for n in range(100, 160):
        clock = n - 60 if whose == "worker" and n < 120 else n
        clock_of_redis = min(n + 60, 179) if whose == "redis" else n
        fields = {"series": "a", "value": str(n % 7), "ts": str(BEGUN_MS + n * STEP_MS)}
        serve(worker, clock - 0.005)  # it waits for the reading
        redis.xadd("readings", fields, id=f"{BEGUN_MS + clock_of_redis * STEP_MS}-{n}")  # type: ignore[arg-type] # or numbers
        serve(worker, clock, clock + 0.5)
    assert told(redis)[2:] == []


@pytest.mark.parametrize("set_by", [120, -120])
def test_a_clock_that_is_set_makes_no_series_silent(
    settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch, set_by: int
) -> None:
    """Otherwise each series would be reported as silent and as back; a silence that comes later is found.

    A step may still have the time from before the clock was set.
    """
    clocks = {"set": 99.0, "steady": 99.0}  # in steps of the series
    offset = partial(ClockOffset, lambda: _seconds(clocks["set"]), lambda: _seconds(clocks["steady"]))
    monkeypatch.setattr(silence_watch, "ClockOffset", offset)
    push(redis, range(100))
    worker = make_worker(settings, Health())
    serve(worker, 99, 99.5)
    clocks |= {"set": 99.6 + set_by, "steady": 99.6}
    serve(worker, 99.6)
    push(redis, range(100, 101))
    serve(worker, 100, 100)
    for n in range(5):
        clocks |= {"set": 100.1 + n / 10 + set_by, "steady": 100.1 + n / 10}
        serve(worker, clocks["set"])
    assert [] == told(redis)
    clocks |= {"set": 104 + set_by, "steady": 104}
    serve(worker, clocks["set"], clocks["set"])
    assert ["silent"] == told(redis)
    worker.leave()


def test_a_commit_without_readings_is_repeated_without_effect(redis: Redis) -> None:
    """Its reply may be lost: the state that it has written shows that it took place."""
    stream = Stream(redis, keys_of(), WorkerSettings())
    epoch = stream.acquire("w")
    assert epoch
    stream.commit(epoch, "0-0", outcome("5-0", "5-0"))
    silence = outcome("5-0", states={"a": b"silent"})
    silence.events = [Event("silent", "no reading", "a")]
    for _ in range(2):
        stream.commit(epoch, "5-0", silence)
    assert 1 == redis.xlen("events")
    assert b"silent" == redis.hget("state", "a")


def test_a_lost_reply_does_not_double_the_event(worker: Worker, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit took place, the connection broke before the reply: the worker sends the same bytes again."""
    send = CommitSender._send_beside
    lost = []

    def losing(self: CommitSender, *args: object) -> None:
        send(self, *args)  # type: ignore[arg-type] # as it was called
        if not lost:
            lost.append(1)
            raise ConnectionError

    monkeypatch.setattr(CommitSender, "_send_beside", losing)
    with pytest.raises(ConnectionError):
        serve(worker, 120)
    serve(worker, 121, 122)
    assert ["silent"] == told(redis)
