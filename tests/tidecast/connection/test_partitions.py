"""The figures of a partition, on a real Redis: above all how many readings wait."""

import pytest
from redis import Redis

from tests.worker.partition.harness import major, outcome
from tidecast.connection.partitions import offset_of, owner_of, read_lag, run_of, server_ms, total, workers
from tidecast.settings import WorkerSettings
from tidecast.wire import keys_of
from worker.partition.stream import Stream

KEYS = keys_of()


def push(redis: Redis, *numbers: int) -> None:
    """Push readings with the ids `1-0`, `2-0` and so on."""
    for number in numbers:
        redis.xadd("readings", {"series": "a", "value": number}, id=f"{number}-0")


def answer(redis: Redis, *numbers: int) -> None:
    """Answer these as a worker does, after its earlier answers."""
    stream = Stream(redis, KEYS, WorkerSettings(batch=100))
    epoch = stream.acquire("me")
    assert epoch is not None
    progress = stream.progress()
    ids = [f"{number}-0" for number in numbers]
    batch = stream.read(progress.last, None)[: len(ids)]
    assert ids == batch.ids
    stream.commit(epoch, progress.last, outcome(ids[-1], *ids), stream.lag(progress, batch))


def lag(redis: Redis) -> int | None:
    """Return the lag of the only partition."""
    return read_lag(redis, KEYS, offset_of(redis, KEYS)).unread


def counted(redis: Redis, number: int) -> int | None:
    """Return the count for a stream that still holds answered readings: None before Redis 7, where it is unknown."""
    return number if major(redis) >= 7 else None


@pytest.fixture
def three_of_ten(redis: Redis) -> Redis:
    """Add ten readings; the first three are answered."""
    push(redis, *range(1, 11))
    answer(redis, 1, 2, 3)
    return redis


def test_readings_wait_until_they_are_answered(three_of_ten: Redis) -> None:
    """The number is that of the added and unread readings, and 0 once all are answered, whatever the version."""
    assert counted(three_of_ten, 7) == lag(three_of_ten)
    push(three_of_ten, 11)
    assert counted(three_of_ten, 8) == lag(three_of_ten)
    answer(three_of_ten, *range(4, 12))
    assert 0 == lag(three_of_ten)


def test_the_passive_group_has_no_part_in_it(three_of_ten: Redis) -> None:
    """It is there for others to look at, and may be set elsewhere or be gone."""
    three_of_ten.xgroup_setid("readings", "tidecast", "10-0")
    assert counted(three_of_ten, 7) == lag(three_of_ten)
    three_of_ten.xgroup_destroy("readings", "tidecast")
    assert counted(three_of_ten, 7) == lag(three_of_ten)


def test_what_was_answered_and_trimmed_changes_nothing(three_of_ten: Redis) -> None:
    """Some of it or all; once all is gone, no version needs a count."""
    three_of_ten.xtrim("readings", minid="3-0", approximate=False)
    assert counted(three_of_ten, 7) == lag(three_of_ten)
    three_of_ten.xtrim("readings", minid="4-0", approximate=False)
    assert 7 == lag(three_of_ten)


def test_what_was_trimmed_before_it_was_read_waits_no_more(three_of_ten: Redis) -> None:
    """Neither before the worker has noticed, nor after it has counted them as lost."""
    three_of_ten.xtrim("readings", minid="7-0", approximate=False)
    assert 4 == lag(three_of_ten)
    answer(three_of_ten, 7, 8)
    assert (counted(three_of_ten, 3) or 0) == offset_of(three_of_ten, KEYS).counts["lost"]
    assert counted(three_of_ten, 2) == lag(three_of_ten)
    three_of_ten.xtrim("readings", maxlen=0, approximate=False)
    assert 0 == lag(three_of_ten)


def test_before_the_first_worker_all_that_is_there_waits(redis: Redis) -> None:
    """Readings that had been trimmed by then do not count."""
    assert 0 == lag(redis)
    push(redis, *range(1, 11))
    redis.xtrim("readings", maxlen=6, approximate=False)
    assert 6 == lag(redis)
    answer(redis, 5, 6)
    assert counted(redis, 4) == lag(redis)


def test_of_a_stream_that_was_begun_anew_nothing_wrong_is_said(three_of_ten: Redis) -> None:
    """Its count restarted too: at first all readings wait, then one of them, then none."""
    three_of_ten.delete("readings")
    assert 0 == lag(three_of_ten)
    push(three_of_ten, 11, 12)
    assert 2 == lag(three_of_ten)
    answer(three_of_ten, 11)
    assert counted(three_of_ten, 1) == lag(three_of_ten)
    answer(three_of_ten, 12)
    assert 0 == lag(three_of_ten)


def test_the_lag_of_all_is_known_if_that_of_each_is() -> None:
    """Otherwise the sum would be too small."""
    assert (5, 0, None) == (total([2, 0, 3]), total([]), total([2, None]))


def test_readings_are_counted_by_how_they_ended(three_of_ten: Redis) -> None:
    """Read or lost readings have not ended."""
    three_of_ten.hincrby("offset", "lost", 5)
    three_of_ten.hincrby("offset", "late", 2)
    offset = offset_of(three_of_ten, KEYS)
    assert ("3-0", 5, 5) == (offset.last, offset.answered, offset.counts["lost"])


def test_a_worker_is_alive_on_the_roster_or_by_its_lease(redis: Redis) -> None:
    """By Redis' clock, and each of them once."""
    now_ms = server_ms(redis)
    redis.hset("workers", mapping={"one": now_ms + 60_000, "two": now_ms + 60_000, "gone": now_ms - 1})
    redis.hset("lease", mapping={"epoch": 1, "owner": "two", "expires_ms": now_ms + 60_000})
    owner = owner_of(redis, KEYS, now_ms)
    assert ("two", {"one", "two"}) == (owner, workers(redis, "", [owner, None], now_ms))
    assert {"one", "two", "three"} == workers(redis, "", ["three"], now_ms)
    assert owner_of(redis, KEYS, now_ms + 60_000) is None
    assert set() == workers(redis, "", [None], now_ms + 60_000)


def test_a_run_that_waits_is_next_when_it_is_tried_again(redis: Redis) -> None:
    """The next run is the retry, not the due time after it; without a schedule no run follows."""
    assert run_of(redis, 0, KEYS) is None
    redis.hset("retrain", mapping={"trigger": "every 6h", "state": "waiting", "next_ms": 9, "retry_ms": 5})
    run = run_of(redis, 0, KEYS)
    assert run is not None
    assert ("every 6h", "waiting", 5, 0, "") == (run.trigger, run.state, run.next_ms, run.ended_ms, run.owner)
