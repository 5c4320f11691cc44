"""Readings that were trimmed or deleted before they were read are counted as lost, others are not."""

from redis import Redis

from tests.worker.partition.harness import counted, outcome
from tidecast.connection.lag import Lag, Progress
from tidecast.settings import WorkerSettings
from tidecast.wire import keys_of
from worker.partition.stream import Stream


def test_readings_trimmed_before_they_were_read_are_counted(stream: Stream, redis: Redis, held: int) -> None:
    """Exactly the unread readings after the offset count as lost; answered ones do not."""
    stream.commit(held, "0-0", outcome("4-0", "1-0", "2-0", "3-0", "4-0"))
    redis.xtrim("readings", minid="8-0", approximate=False)
    batch = stream.read("4-0", None)
    assert ["8-0", "9-0", "10-0"] == [entry_id for entry_id, _ in batch]
    assert counted(redis, 3) == stream.lag(stream.progress(), batch).lost


def test_nothing_is_lost_while_the_last_answered_reading_is_there(stream: Stream, redis: Redis, held: int) -> None:
    """A stream trimmed only where it was answered."""
    stream.commit(held, "0-0", outcome("4-0", "1-0", "2-0", "3-0", "4-0"))
    redis.xtrim("readings", minid="4-0", approximate=False)
    assert 0 == stream.lag(stream.progress(), stream.read("4-0", None)).lost
    redis.xtrim("readings", minid="5-0", approximate=False)
    assert 0 == stream.lag(stream.progress(), stream.read("4-0", None)).lost


def test_readings_trimmed_after_they_were_read_are_not_lost(stream: Stream, redis: Redis, held: int) -> None:
    """The batch in hand counts as read, though the stream has lost it, and later ones are lost."""
    small = Stream(redis, keys_of(), WorkerSettings(batch=2))
    batch = small.read("0-0", None)
    redis.xtrim("readings", minid="2-0", approximate=False)
    assert 0 == stream.lag(stream.progress(), batch).lost
    redis.xtrim("readings", minid="6-0", approximate=False)
    assert counted(redis, 3) == stream.lag(stream.progress(), batch).lost
    redis.xtrim("readings", maxlen=0, approximate=False)
    assert counted(redis, 8) == stream.lag(stream.progress(), batch).lost
    stream.commit(held, "0-0", outcome("2-0", "1-0", "2-0"), Lag(lost=counted(redis, 8)))
    redis.xadd("readings", {"series": "a"}, id="11-0")
    assert 0 == stream.lag(stream.progress(), stream.read("2-0", None)).lost


def test_what_was_trimmed_before_the_first_worker_is_not_lost(stream: Stream, redis: Redis) -> None:
    """Readings from before the first worker were never promised an answer; those trimmed afterwards are lost."""
    for n in range(1, 11):
        redis.xadd("readings", {"series": "a"}, id=f"{n}-0")
    redis.xtrim("readings", maxlen=6, approximate=False)
    stream.acquire("me")
    assert 0 == stream.lag(stream.progress(), stream.read("0-0", None)).lost
    redis.xtrim("readings", maxlen=4, approximate=False)
    assert counted(redis, 2) == stream.lag(stream.progress(), stream.read("0-0", None)).lost


def test_an_offset_that_was_deleted_alone_is_known_from_the_group(stream: Stream, redis: Redis, held: int) -> None:
    """Starting over would repeat readings that the windows already hold, and would be refused for ever."""
    stream.commit(held, "0-0", outcome("4-0", "1-0", "2-0", "4-0", dead=("3-0",)))
    redis.delete("offset")
    assert stream.acquire("me") == held + 1
    assert Progress("4-0", counted(redis, 4)) == stream.progress()
    redis.xtrim("readings", minid="8-0", approximate=False)
    assert counted(redis, 3) == stream.lag(stream.progress(), stream.read("4-0", None)).lost


def test_whoever_deletes_the_states_too_begins_anew(stream: Stream, redis: Redis, held: int) -> None:
    """An operator who wants all readings answered again deletes everything but the readings."""
    stream.commit(held, "0-0", outcome("4-0", "1-0", "2-0", "3-0", "4-0"))
    redis.delete("offset", "state", "forecasts", "dead")
    stream.acquire("me")
    assert Progress("0-0", 0) == stream.progress()


def test_a_deleted_stream_has_lost_nothing_that_can_be_counted(stream: Stream, redis: Redis, held: int) -> None:
    """The batch in hand is answered all the same."""
    batch = stream.read("0-0", None)
    redis.delete("readings")
    assert 0 == stream.lag(stream.progress(), batch).lost
    stream.commit(held, "0-0", outcome("10-0", "10-0"))
    assert "10-0" == stream.progress().last
