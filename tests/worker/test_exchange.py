"""The next batch that is asked for together with a commit: the same readings, the same counts, one write."""

import time
from collections.abc import Callable

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from tests.worker.test_stream import counted, outcome
from tidecast.embedded import EmbeddedRedis
from tidecast.errors import Conflict, Fenced, Unavailable
from tidecast.settings import WorkerSettings
from tidecast.wire import keys_of
from worker.backlog import Backlog, Progress
from worker.exchange import Exchange
from worker.scripts import script_of
from worker.stream import Stream

FIRST = Progress("2-0", 2)  # once two readings are committed


@pytest.fixture
def stream(redis: Redis) -> Stream:
    """Two readings to commit, on a server that knows the script."""
    redis.script_load(script_of("commit"))
    add(redis, 1, 2)
    return Stream(redis, keys_of(), WorkerSettings(batch=4))


def add(redis: Redis, *numbers: int) -> None:
    """Push readings under ids that say their numbers."""
    for n in numbers:
        redis.xadd("readings", {"series": "a", "value": n}, id=f"{n}-0")


def commit(stream: Stream, wait_ms: int = 1000) -> None:
    """Commit the two, and ask for more."""
    stream.commit(stream.acquire("me") or 0, "0-0", outcome("2-0", "1-0", "2-0"), 0, wait_ms)


def calls(redis: Redis, command: str) -> int:
    """How often a server was asked something."""
    stats = redis.info("commandstats")
    return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])  # type: ignore[union-attr] # not asynchronous


def test_what_was_asked_for_with_the_commit_is_read_as_ever(stream: Stream, redis: Redis) -> None:
    """Entries, ids and what lies beyond, without another word to Redis."""
    add(redis, 3, 4, 5, 6, 7)
    commit(stream)
    before = calls(redis, "xread"), calls(redis, "xinfo|stream") or calls(redis, "xinfo")
    batch = stream.read("2-0", 1000)
    backlog = stream.backlog(FIRST, batch)
    assert before == (calls(redis, "xread"), calls(redis, "xinfo|stream") or calls(redis, "xinfo"))
    other = Stream(redis, keys_of(), WorkerSettings(batch=4))
    assert other.read("2-0", None) == batch
    assert other.backlog(FIRST, batch) == backlog


def test_readings_that_come_later_are_waited_for(stream: Stream, redis_server: EmbeddedRedis) -> None:
    """As long as was asked; without waiting there is nothing until they come."""
    commit(stream, 5000)
    assert [] == stream.read("2-0", None)
    with Redis.from_url(redis_server.url) as other:
        other.xadd("readings", {"series": "a", "value": 3}, id="3-0")
    assert [("3-0", {b"series": b"a", b"value": b"3"})] == stream.read("2-0", 5000)


def test_where_nothing_came_in_time_it_is_asked_again(stream: Stream, redis: Redis) -> None:
    """The next read is one of its own."""
    commit(stream, 1)
    assert [] == stream.read("2-0", 1)
    add(redis, 3)
    assert ["3-0"] == [entry_id for entry_id, _ in stream.read("2-0", 1)]


def test_what_was_trimmed_before_it_was_read_is_counted(stream: Stream, redis: Redis) -> None:
    """Readings 3 and 4 are gone when 5 comes."""
    commit(stream, 1)
    add(redis, 3, 4, 5)
    redis.xtrim("readings", minid="5-0", approximate=False)
    stream.read("2-0", 1)
    stream.commit(1, "2-0", outcome("2-1"), 0, 1000)
    batch = stream.read("2-1", 1000)
    assert Backlog(counted(redis, 2), 0 if counted(redis, 2) else None, 0.0) == stream.backlog(FIRST, batch)


def test_a_stream_that_is_deleted_meanwhile_has_no_backlog(stream: Stream, redis: Redis) -> None:
    """And is waited for."""
    commit(stream, 300)
    redis.delete("readings")
    assert [] == stream.read("2-0", 300)


def test_a_server_that_lost_its_scripts_is_given_them_again(stream: Stream, redis: Redis) -> None:
    """As after a restart: the commit happens, once."""
    redis.script_flush()
    commit(stream)
    assert 2 == redis.xlen("forecasts")
    add(redis, 3)
    assert ["3-0"] == [entry_id for entry_id, _ in stream.read("2-0", None)]


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda redis: redis.hset("lease", "epoch", 9), Fenced),
        (lambda redis: redis.hset("offset", "last", "1-0"), Conflict),
        (lambda redis: redis.config_set("min-replicas-to-write", 1), Unavailable),
    ],
)
def test_a_commit_that_is_refused_says_so_and_leaves_nothing_behind(
    stream: Stream, redis: Redis, spoil: Callable[[Redis], object], error: type[Exception]
) -> None:
    """The reply to its read does not pass for another command's."""
    epoch = stream.acquire("me") or 0
    spoil(redis)
    try:
        with pytest.raises(error):
            stream.commit(epoch, "0-0", outcome("2-0", "1-0", "2-0"), 0, 1000)
    finally:
        redis.config_set("min-replicas-to-write", 0)
    assert 0 == redis.xlen("forecasts")
    add(redis, 3)
    assert ["1-0", "2-0", "3-0"] == [entry_id for entry_id, _ in stream.read("0-0", 1)]


def test_another_place_than_the_one_asked_for_is_read_anew(stream: Stream, redis: Redis) -> None:
    """As after the partition was lost and taken again."""
    add(redis, 3)
    commit(stream)
    assert ["1-0", "2-0", "3-0"] == [entry_id for entry_id, _ in stream.read("0-0", 1)]


def test_new_connections_ask_anew(stream: Stream, redis: Redis) -> None:
    """After a failover nothing comes over the old ones."""
    commit(stream)
    stream.reconnect()
    add(redis, 3)
    assert ["3-0"] == [entry_id for entry_id, _ in stream.read("2-0", 1)]


def test_a_server_that_goes_away_is_an_error_and_is_found_again(stream: Stream, redis: Redis) -> None:
    """What was asked for is forgotten."""
    commit(stream, 5000)
    redis.client_kill_filter(_type="normal", skipme=True)
    with pytest.raises(RedisConnectionError):
        stream.read("2-0", 5000)
    add(redis, 3)
    assert ["3-0"] == [entry_id for entry_id, _ in stream.read("2-0", 1)]


def test_replies_come_one_by_one_and_errors_as_errors(redis: Redis) -> None:
    """In the order of the commands; a connection that was closed begins anew."""
    exchange = Exchange(redis)
    exchange.send(("PING",), ("GET", "state:none"), ("HGET", "nothing"), ("ECHO", b"\xff"))
    assert (b"PONG", None) == (exchange.reply(), exchange.reply())
    with pytest.raises(ResponseError, match="wrong number"):
        exchange.reply()
    exchange.close()
    exchange.send(
        ("ECHO", 7),
    )
    deadline = time.monotonic() + 5
    while not exchange.has_reply():
        assert time.monotonic() < deadline
    assert b"7" == exchange.reply()
