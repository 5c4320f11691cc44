"""The worker's Redis commands against a real server: leases, reading by offset, the atomic commit."""

import pytest
from redis import Redis

from tests.worker.partition.harness import counted, everything, forecast, major, outcome, refused
from tidecast.connection.lag import Lag, Progress
from tidecast.connection.partitions import offset_of
from tidecast.errors import Conflict, Fenced, StreamError
from tidecast.settings import Settings, WorkerSettings
from tidecast.wire import Forecast, keys_of
from worker.partition.stream import Stream

MAX_SEQ = 18_446_744_073_709_551_615


@pytest.fixture
def stream(redis: Redis) -> Stream:
    """The one partition of an emptied server."""
    return Stream(redis, keys_of(), WorkerSettings())


@pytest.fixture
def held(redis: Redis, stream: Stream) -> int:
    """An epoch under which ten readings, `1-0` to `10-0`, may be answered."""
    for n in range(1, 11):
        redis.xadd("readings", {"series": "a", "value": n}, id=f"{n}-0")
    epoch = stream.acquire("me")
    assert epoch is not None
    return epoch


# Leases


def test_a_free_partition_is_taken_under_the_first_epoch(stream: Stream, redis: Redis) -> None:
    """An empty server is enough: the stream, the group and the offset come into being."""
    assert 1 == stream.acquire("me")
    assert Progress("0-0", 0) == stream.progress()
    assert [b"tidecast"] == [group["name"] for group in redis.xinfo_groups("readings")]
    assert [] == [some for some in stream.states() if some]


def test_a_foreign_lease_is_respected_while_it_runs(stream: Stream) -> None:
    """Another owner waits; the owner itself comes back at once, under a new epoch."""
    assert 1 == stream.acquire("me")
    assert stream.acquire("you") is None
    assert 2 == stream.acquire("me")


def test_an_expired_lease_is_free(stream: Stream, redis: Redis) -> None:
    """By the server's clock."""
    assert 1 == stream.acquire("me")
    now_s, now_us = redis.time()
    redis.hset("lease", "expires_ms", now_s * 1000 + now_us // 1000)
    assert 2 == stream.acquire("you")
    assert not stream.hold(1)
    assert stream.hold(2)


def test_a_released_lease_is_free_at_once(stream: Stream) -> None:
    """Politeness costs the next worker no waiting, and never takes another's lease away."""
    stream.acquire("me")
    stream.release(1)
    assert 2 == stream.acquire("you")
    stream.release(1)
    assert stream.acquire("me") is None


def test_holding_moves_the_expiry_by_the_servers_clock(stream: Stream, redis: Redis) -> None:
    """A lease lives lease_s from its last sign of life."""
    stream.acquire("me")
    redis.hset("lease", "expires_ms", 0)
    assert stream.hold(1)
    seconds, microseconds = redis.time()
    left_ms = int(redis.hget("lease", "expires_ms") or 0) - (seconds * 1000 + microseconds // 1000)
    assert 4000 < left_ms <= 5000


def test_taking_a_partition_over_keeps_its_offset(stream: Stream, held: int) -> None:
    """The next worker goes on where the last one committed."""
    stream.commit(held, "0-0", outcome("4-0", "1-0", "4-0"))
    stream.release(held)
    assert held + 1 == stream.acquire("you")
    assert Progress("4-0", 2) == stream.progress()
    assert [{"a": b"state after 4-0"}] == [some for some in stream.states() if some]


@pytest.mark.parametrize(("key", "kind"), [("readings", "stream"), ("lease", "hash"), ("offset", "hash")])
def test_a_key_of_another_type_is_one_sentence(stream: Stream, redis: Redis, key: str, kind: str) -> None:
    """The message names the key and the remedy, and no change is half made."""
    redis.set(key, "x")
    error = refused(redis, StreamError, lambda: stream.acquire("me"))
    assert error == f"{key} is not a {kind}: rename or delete that key, or use another namespace"


# Reading


def test_readings_come_from_the_offset_in_batches(redis: Redis) -> None:
    """Bytes stay bytes, and nothing shared changes."""
    stream = Stream(redis, keys_of(), WorkerSettings(batch=2))
    for n in range(1, 4):
        redis.xadd("readings", {b"series": b"\xff", b"value": b"%d" % n}, id=f"{n}-0")
    before = everything(redis)
    assert ["1-0", "2-0"] == [entry_id for entry_id, _ in stream.read("0-0", None)]
    assert [("3-0", {b"series": b"\xff", b"value": b"3"})] == list(stream.read("2-0", None))
    assert not stream.read("3-0", 1)
    assert before == everything(redis)


# Committing


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


def test_the_passive_group_shows_position_and_lag(stream: Stream, redis: Redis, held: int) -> None:
    """XINFO GROUPS reports true figures; before Redis 7 there is a position only."""
    stream.commit(held, "0-0", outcome("4-0", "1-0", "2-0", "3-0", "4-0"))
    (group,) = redis.xinfo_groups("readings")
    assert (b"tidecast", b"4-0", 0) == (group["name"], group["last-delivered-id"], group["pending"])
    if major(redis) >= 7:
        assert (4, 6) == (group["entries-read"], group["lag"])
    else:
        assert "entries-read" not in group


def test_a_destroyed_group_stops_nothing(stream: Stream, redis: Redis, held: int) -> None:
    """The group only shows; nothing depends on it."""
    redis.xgroup_destroy("readings", "tidecast")
    stream.commit(held, "0-0", outcome("1-0", "1-0"))
    assert "1-0" == stream.progress().last


def test_a_group_that_went_with_its_stream_comes_back(stream: Stream, redis: Redis, held: int) -> None:
    """If the readings are deleted, those pushed afterwards show their lag as before."""
    redis.delete("readings")
    redis.xadd("readings", {"series": "a"}, id="11-0")
    stream.commit(held, "0-0", outcome("11-0", "11-0"))
    (group,) = redis.xinfo_groups("readings")
    assert (b"tidecast", b"11-0") == (group["name"], group["last-delivered-id"])


def test_scripts_that_the_server_forgot_are_sent_again(stream: Stream, redis: Redis, held: int) -> None:
    """A restart or SCRIPT FLUSH loses them."""
    redis.script_flush()
    stream.commit(held, "0-0", outcome("1-0", "1-0"))
    assert stream.hold(held)


def test_a_namespace_keeps_two_workers_apart(redis: Redis, settings: Settings) -> None:
    """Every key has the prefix."""
    first = Stream(redis, keys_of(namespace="one"), settings.worker)
    second = Stream(redis, keys_of(namespace="two"), settings.worker)
    for each in (first, second):
        each.commit(each.acquire("me") or 0, "0-0", outcome("1-0", "1-0", dead=("1-0",)))
    assert {
        f"{space}:{name}"
        for space in ("one", "two")
        for name in ("readings", "forecasts", "dead", "state", "offset", "lease")
    } == {key.decode() for key in redis.scan_iter()}


# Lost readings


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
