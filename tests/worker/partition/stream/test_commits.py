"""A commit publishes a batch as a whole, once and under a lease, or changes nothing."""

import pytest
from redis import Redis

from tests.worker.partition.harness import everything, forecast, outcome, refused
from tidecast.connection.lag import Lag, Progress
from tidecast.connection.partitions import offset_of
from tidecast.errors import Conflict, Fenced, StreamError
from tidecast.settings import WorkerSettings
from tidecast.wire import Forecast, keys_of
from worker.partition.stream import Stream

MAX_SEQ = 18_446_744_073_709_551_615


def test_a_commit_publishes_everything_together(stream: Stream, redis: Redis, held: int) -> None:
    """Forecasts and dead letters under their readings' ids, state, offset, counts."""
    stream.commit(held, "0-0", outcome("3-0", "1-0", "3-0", dead=("2-0",)))
    assert [b"1-0", b"3-0"] == [entry_id for entry_id, _ in redis.xrange("forecasts")]
    assert forecast("3-0") == Forecast.decode(*redis.xrange("forecasts")[1])
    assert [
        (b"2-0", {b"id": b"2-0", b"reason": b"bad_value", b"detail": b"why", b"original.value": b"x"})
    ] == redis.xrange("dead")
    assert {b"a": b"state after 3-0"} == redis.hgetall("state")
    assert Progress("3-0", 3) == stream.progress()
    assert {"read": 3, "lost": 0, "forecast": 2, "dead": 1} == offset_of(redis, keys_of()).counts


def test_counts_add_up_over_commits(stream: Stream, redis: Redis, held: int) -> None:
    """They sum to the number of readings read."""
    stream.commit(held, "0-0", outcome("3-0", "1-0", "3-0", dead=("2-0",)))
    stream.commit(held, "3-0", outcome("5-0", "4-0", "5-0"))
    stream.commit(held, "5-0", outcome("7-0", dead=("6-0",)), Lag(lost=4))
    assert {"read": 10, "lost": 4, "forecast": 4, "dead": 2} == offset_of(redis, keys_of()).counts


def test_commit_refuses_a_stale_epoch(stream: Stream, redis: Redis, held: int) -> None:
    """A worker that lost the partition writes nothing, whatever it had computed."""
    stream.release(held)
    stream.acquire("you")
    refused(redis, Fenced, lambda: stream.commit(held, "0-0", outcome("1-0", "1-0")))


def test_commit_refuses_without_a_lease(stream: Stream, redis: Redis, held: int) -> None:
    """A server that forgot everything forgot the lease too."""
    redis.delete("lease")
    refused(redis, Fenced, lambda: stream.commit(held, "0-0", outcome("1-0", "1-0")))


@pytest.mark.parametrize("started_from", ["1-0", "0-1", "00-0", "5-0"])
def test_commit_refuses_another_offset(stream: Stream, redis: Redis, held: int, started_from: str) -> None:
    """A batch fits exactly one place."""
    stream.commit(held, "0-0", outcome("3-0", "3-0"))
    error = refused(redis, Conflict, lambda: stream.commit(held, started_from, outcome("6-0", "6-0")))
    assert error == f"the offset is 3-0, the batch started from {started_from}"


def test_commit_refuses_when_the_offset_is_gone(stream: Stream, redis: Redis, held: int) -> None:
    """A deleted offset is a conflict, not the beginning of the world."""
    redis.delete("offset")
    refused(redis, Conflict, lambda: stream.commit(held, "0-0", outcome("6-0", "6-0")))
    with pytest.raises(Conflict, match="is gone"):
        stream.progress()


def test_a_commit_repeated_after_a_lost_reply_adds_nothing(stream: Stream, redis: Redis, held: int) -> None:
    """The second finds its own work done, also if more was read since."""
    batch = outcome("3-0", "1-0", "3-0", dead=("2-0",))
    stream.commit(held, "0-0", batch, Lag(lost=2))
    before = everything(redis)
    stream.commit(held, "0-0", batch, Lag(lost=2))
    assert before == everything(redis)


def test_a_commit_that_arrives_after_its_successor_is_refused(stream: Stream, redis: Redis, held: int) -> None:
    """A delayed copy of an old commit does not turn the clock back."""
    first = outcome("3-0", "3-0")
    stream.commit(held, "0-0", first)
    stream.commit(held, "3-0", outcome("5-0", "5-0"))
    refused(redis, Conflict, lambda: stream.commit(held, "0-0", first))


@pytest.mark.parametrize("key", ["forecasts", "dead", "state"])
def test_commit_refuses_a_key_of_another_type_before_any_write(
    stream: Stream, redis: Redis, held: int, key: str
) -> None:
    """All or nothing: the sentence names the key, and every other is as before."""
    redis.set(key, "mine")
    batch = outcome("3-0", "1-0", dead=("2-0", "3-0"))
    error = refused(redis, StreamError, lambda: stream.commit(held, "0-0", batch))
    assert error.startswith(f"{key} is not a ")
    assert error.endswith("rename or delete that key, or use another namespace")


@pytest.mark.parametrize("key", ["forecasts", "dead"])
@pytest.mark.parametrize("newest", ["2-0", "7-0", f"1-{MAX_SEQ}", f"{MAX_SEQ}-0"])
def test_commit_refuses_streams_that_are_ahead_before_any_write(
    stream: Stream, redis: Redis, held: int, key: str, newest: str
) -> None:
    """A foreign entry beyond the batch's first id would stop the script halfway: it is found before."""
    redis.xadd(key, {"foreign": 1}, id=newest)
    batch = outcome("3-0", "1-0", "3-0", dead=("1-0",))
    error = refused(redis, StreamError, lambda: stream.commit(held, "0-0", batch))
    assert error.startswith(f"{key} already holds entries up to {newest}")


def test_a_foreign_entry_that_was_deleted_still_counts(stream: Stream, redis: Redis, held: int) -> None:
    """A stream remembers its last id though it is empty."""
    redis.xadd("forecasts", {"foreign": 1}, id="9-0")
    redis.xdel("forecasts", "9-0")
    refused(redis, StreamError, lambda: stream.commit(held, "0-0", outcome("3-0", "3-0")))


@pytest.mark.parametrize(
    "ids",
    [
        ("9-0", "10-0"),
        ("1-9", "1-10"),
        (f"1-{MAX_SEQ - 1}", f"1-{MAX_SEQ}"),
        (f"{MAX_SEQ - 1}-5", f"{MAX_SEQ}-4"),
        ("9007199254740992-0", "9007199254740993-0"),
        ("1-9007199254740992", "1-9007199254740993"),
    ],
)
def test_ids_are_compared_as_the_numbers_they_are(stream: Stream, redis: Redis, ids: tuple[str, str]) -> None:
    """Neither as text nor as floating point, which hold no 64 bits."""
    epoch = stream.acquire("me") or 0
    stream.commit(epoch, "0-0", outcome(ids[0], ids[0], dead=(ids[0],)))
    stream.commit(epoch, ids[0], outcome(ids[1], ids[1], dead=(ids[1],)))
    assert list(ids) == [entry_id.decode() for entry_id, _ in redis.xrange("forecasts")]
    assert ids[1] == stream.progress().last


def test_the_largest_batch_fits_one_commit(stream: Stream, redis: Redis, held: int) -> None:
    """Ten thousand forecasts with as many series' states, beyond what a Lua stack holds at once."""
    ids = [f"{n}-0" for n in range(1, 10_001)]
    stream.commit(held, "0-0", outcome(ids[-1], *ids, states={f"s{n}": b"x" * 40 for n in range(10_000)}))
    assert (10_000, 10_000) == (redis.xlen("forecasts"), redis.hlen("state"))
    assert b"x" * 40 == redis.hget("state", "s9999")


def test_streams_are_kept_at_their_lengths(redis: Redis) -> None:
    """Old forecasts and dead letters go."""
    stream = Stream(redis, keys_of(), WorkerSettings(forecasts_kept=100, dead_kept=50))
    epoch = stream.acquire("me") or 0
    ids = [f"{n}-0" for n in range(1, 1001)]
    stream.commit(epoch, "0-0", outcome(ids[-1], *ids, dead=tuple(ids)))
    assert (100, 50) == (redis.xlen("forecasts"), redis.xlen("dead"))


def test_a_commit_is_a_sign_of_life(stream: Stream, redis: Redis, held: int) -> None:
    """A busy worker needs no other to keep its lease."""
    redis.hset("lease", "expires_ms", 0)
    stream.commit(held, "0-0", outcome("1-0", "1-0"))
    assert stream.acquire("you") is None
