"""The lag that the worker reports: readings not yet read, and the age of the last one against the newest."""

import time
from typing import Any

import pytest
from redis import Redis

from tests.worker.partition.harness import counted, major, outcome
from tidecast.connection.lag import Lag, Progress
from tidecast.settings import WorkerSettings
from tidecast.wire import keys_of
from worker.partition.stream import Stream

LATER = 1000  # milliseconds from one reading to the next


@pytest.fixture
def stream(redis: Redis) -> Stream:
    """Return a partition of ten readings: three are answered, and four make a batch."""
    stream = Stream(redis, keys_of(), WorkerSettings(batch=4))
    for n in range(1, 11):
        redis.xadd("readings", {"series": "a", "value": n}, id=f"{n * LATER}-0")
    stream.commit(stream.acquire("me") or 0, "0-0", outcome("3000-0", "1000-0", "2000-0", "3000-0"))
    return stream


def waiting(redis: Redis, number: int) -> int | None:
    """Return the number of waiting readings as documented: None before Redis 7, where it is unknown."""
    return number if major(redis) >= 7 else None


def xreads(redis: Redis) -> int:
    """Return how many XREAD commands the server has received."""
    stats: dict[str, Any] = redis.info("commandstats")  # type: ignore[assignment] # the synchronous client
    return int(stats["cmdstat_xread"]["calls"])


def test_what_is_beyond_the_batch_waits(stream: Stream, redis: Redis) -> None:
    """Counted and timed from the last reading of the batch."""
    lag = stream.lag(stream.progress(), stream.read("3000-0", None))
    assert Lag(waiting(redis, 3), 0, 3.0) == lag


def test_what_is_lost_does_not_wait(stream: Stream, redis: Redis) -> None:
    """Readings 4 and 5 are gone, 6 to 9 are the batch."""
    redis.xtrim("readings", minid="6000-0", approximate=False)
    lag = stream.lag(stream.progress(), stream.read("3000-0", None))
    assert Lag(1, counted(redis, 2), 1.0) == lag


def test_a_stream_that_began_anew_is_not_ahead_of_time(stream: Stream, redis: Redis) -> None:
    """Its newest reading is older than the batch in hand."""
    batch = stream.read("3000-0", None)
    redis.delete("readings")
    redis.xadd("readings", {"series": "a"}, id="1-0")
    assert 0.0 == stream.lag(stream.progress(), batch).behind_s


def test_what_was_read_ahead_and_trimmed_then_is_not_lost(stream: Stream, redis: Redis) -> None:
    """It is in memory and is answered next; a reading that was added and trimmed after it is lost behind it."""
    first = stream.read("3000-0", None)
    assert 0 == stream.lag(stream.progress(), first).lost
    before = xreads(redis)
    stream.read_ahead()
    while xreads(redis) == before:
        time.sleep(0.001)
    redis.xadd("readings", {"series": "a", "value": 11}, id="11000-0")
    redis.xtrim("readings", maxlen=0, approximate=False)
    ahead = stream.read("7000-0", None)
    assert ["8000-0", "9000-0", "10000-0"] == [entry_id for entry_id, _ in ahead]
    assert 0 == stream.lag(Progress("7000-0", 7), ahead).lost
    assert counted(redis, 1) == stream.lag(Progress("10000-0", 10), stream.read("10000-0", None)).lost
