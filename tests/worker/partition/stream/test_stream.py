"""The worker's Redis commands against a real server: leases, reading by offset, and the group that shows its lag."""

import pytest
from redis import Redis

from tests.worker.partition.harness import everything, major, outcome, refused
from tidecast.connection.lag import Progress
from tidecast.errors import StreamError
from tidecast.settings import Settings, WorkerSettings
from tidecast.wire import keys_of
from worker.partition.stream import Stream


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
