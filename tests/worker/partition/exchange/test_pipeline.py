"""Reading while Redis commits: the next readings arrive during the commit, and each reply goes to its own command."""

from collections.abc import Callable
from unittest import mock

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from tests.worker.partition.harness import counted, outcome
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.connection.lag import Lag, Progress
from tidecast.errors import Conflict, Fenced, Unavailable
from tidecast.online.raw_entries import RawEntries
from tidecast.settings import WorkerSettings
from tidecast.wire import keys_of
from worker.partition.exchange.pipeline import PipelinedConnection
from worker.partition.stream import Stream
from worker.scripts import script_of

FIRST = Progress("2-0", 2)  # once two readings are committed


@pytest.fixture
def stream(redis: Redis) -> Stream:
    """Return a stream with two readings to commit, on a server that has the script loaded."""
    redis.script_load(script_of("commit"))
    add(redis, 1, 2)
    return Stream(redis, keys_of(), WorkerSettings(batch=4))


def add(redis: Redis, *numbers: int) -> None:
    """Push readings; each id is the reading's number."""
    for n in numbers:
        redis.xadd("readings", {"series": "a", "value": n}, id=f"{n}-0")


def commit(stream: Stream, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Commit the two."""
    stream.commit(stream.acquire("me") or 0, "0-0", outcome("2-0", "1-0", "2-0"), meanwhile=meanwhile)


def reading(stream: Stream, replies: list[RawEntries]) -> Callable[[], None]:
    """Return a function that reads on and keeps the entries."""
    return lambda: replies.append(stream.read("2-0", None))


def calls(redis: Redis) -> tuple[int, ...]:
    """Return how many reads, and how many queries of the stream's state, the server has received."""
    stats = redis.info("commandstats")
    counters = (stats.get(f"cmdstat_{name}", {"calls": 0}) for name in ("xread", "xinfo|stream", "xinfo"))
    return tuple(int(counter["calls"]) for counter in counters)


def numbers(entries: RawEntries) -> list[str]:
    """Return the entries' ids."""
    return entries.ids


def test_the_next_readings_are_there_while_redis_commits(stream: Stream, redis: Redis) -> None:
    """The entries, their ids and the lag are those that a separate read would return."""
    add(redis, 3, 4, 5, 6, 7)
    reads: list[RawEntries] = []
    commit(stream, reading(stream, reads))
    before = calls(redis)
    lag = stream.lag(FIRST, reads[0])
    assert before == calls(redis)
    other = Stream(redis, keys_of(), WorkerSettings(batch=4))
    assert [list(other.read("2-0", None))] == [list(read) for read in reads]
    assert other.lag(FIRST, reads[0]) == lag


def test_what_was_not_taken_meanwhile_is_taken_by_the_next_read(stream: Stream, redis: Redis) -> None:
    """The reading after it is taken by the read after that."""
    add(redis, 3)
    commit(stream)
    assert ["3-0"] == numbers(stream.read("2-0", 1000))
    add(redis, 4)
    assert ["4-0"] == numbers(stream.read("3-0", 1000))


def test_where_nothing_was_there_it_is_waited_for(stream: Stream, redis: Redis) -> None:
    """Without waiting there is nothing."""
    reads: list[RawEntries] = []
    commit(stream, reading(stream, reads))
    assert [[]] == [numbers(read) for read in reads]
    add(redis, 3)
    assert ["3-0"] == numbers(stream.read("2-0", 1000))
    stream.commit(1, "2-0", outcome("3-0", "3-0"), meanwhile=lambda: None)
    add(redis, 4)
    assert ["4-0"] == numbers(stream.read("3-0", 1000))


def test_what_was_trimmed_before_it_was_read_is_counted(stream: Stream, redis: Redis) -> None:
    """Readings 3 and 4 are gone when 5 is read."""
    add(redis, 3, 4, 5)
    redis.xtrim("readings", minid="5-0", approximate=False)
    reads: list[RawEntries] = []
    commit(stream, reading(stream, reads))
    assert ["5-0"] == numbers(reads[0])
    assert Lag(0, counted(redis, 2), 0.0) == stream.lag(FIRST, reads[0])


def test_a_stream_that_was_deleted_has_no_lag(stream: Stream, redis: Redis) -> None:
    """The worker waits for it."""
    epoch = stream.acquire("me") or 0
    redis.delete("readings")
    stream.commit(epoch, "0-0", outcome("2-0", "1-0", "2-0"), meanwhile=lambda: None)
    assert not stream.read("2-0", 1)


def test_a_server_that_lost_its_scripts_is_given_them_again(stream: Stream, redis: Redis) -> None:
    """As after a restart: the commit and the read beside it happen once each."""
    redis.script_flush()
    add(redis, 3)
    reads: list[RawEntries] = []
    commit(stream, reading(stream, reads))
    assert (2, ["3-0"]) == (redis.xlen("forecasts"), [number for read in reads for number in numbers(read)])


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda redis: redis.hset("lease", "epoch", 9), Fenced),
        (lambda redis: redis.hset("offset", "last", "1-0"), Conflict),
        (lambda redis: redis.config_set("min-replicas-to-write", 1), Unavailable),
    ],
)
def test_a_commit_that_is_refused_says_so_after_what_was_done_meanwhile(
    stream: Stream, redis: Redis, spoil: Callable[[Redis], object], error: type[Exception]
) -> None:
    """No write happened, and the next commit gets its own reply."""
    epoch = stream.acquire("me") or 0
    done = list[RawEntries]()
    spoil(redis)
    try:
        with pytest.raises(error):
            stream.commit(epoch, "0-0", outcome("2-0", "1-0", "2-0"), meanwhile=reading(stream, done))
    finally:
        redis.config_set("min-replicas-to-write", 0)
    assert ([[]], 0) == ([numbers(read) for read in done], redis.xlen("forecasts"))
    redis.hset("lease", "epoch", epoch)
    redis.hset("offset", "last", "0-0")
    stream.commit(epoch, "0-0", outcome("2-0", "1-0", "2-0"), meanwhile=lambda: None)
    assert 2 == redis.xlen("forecasts")


def test_what_goes_wrong_meanwhile_is_raised_once_the_commit_has_its_reply(stream: Stream, redis: Redis) -> None:
    """Sent again, it is known to have happened."""

    def fail() -> None:
        raise ValueError("a batch that cannot be handled")

    with pytest.raises(ValueError, match="cannot be handled"):
        commit(stream, fail)
    assert 2 == redis.xlen("forecasts")
    stream.commit(1, "0-0", outcome("2-0", "1-0", "2-0"), meanwhile=lambda: None)
    assert 2 == redis.xlen("forecasts")


def test_a_refused_commit_counts_for_more_than_what_goes_wrong_meanwhile(stream: Stream, redis: Redis) -> None:
    """A worker that has lost the partition need not look for a fault in another's batch."""

    def fail() -> None:
        raise ValueError("a batch that cannot be handled")

    epoch = stream.acquire("me") or 0
    redis.hset("lease", "epoch", 9)
    with pytest.raises(Fenced):
        stream.commit(epoch, "0-0", outcome("2-0", "1-0", "2-0"), meanwhile=fail)


def test_another_place_than_the_one_asked_for_is_read_anew(stream: Stream, redis: Redis) -> None:
    """As after the partition was lost and taken again; the old reply is discarded."""
    add(redis, 3)
    commit(stream)
    stream.read_no_further()
    assert ["1-0", "2-0", "3-0"] == numbers(stream.read("0-0", 1))


def test_new_connections_ask_anew(stream: Stream, redis: Redis) -> None:
    """After a failover nothing comes over the old ones."""
    commit(stream)
    stream.reconnect()
    add(redis, 3)
    assert ["3-0"] == numbers(stream.read("2-0", 1))


def test_a_connection_that_was_closed_while_idle_is_made_anew(stream: Stream, redis: Redis) -> None:
    """The setting `timeout`, an operator or a proxy closed it: no command was under way, so no warning is needed."""
    commit(stream)
    redis.client_kill_filter(_type="normal", skipme=True)
    add(redis, 3)
    stream.commit(1, "2-0", outcome("3-0", "3-0"), meanwhile=lambda: None)
    assert 3 == redis.xlen("forecasts")
    redis.client_kill_filter(_type="normal", skipme=True)
    assert not stream.read("3-0", None)


def test_a_read_that_was_asked_for_and_whose_connection_is_closed_is_made_again(stream: Stream, redis: Redis) -> None:
    """It has changed nothing, and its reply is gone."""
    add(redis, 3)
    with mock.patch.object(PipelinedConnection, "reply", side_effect=[b"COMMITTED", RedisConnectionError("closed")]):
        commit(stream, lambda: None)
        assert ["3-0"] == numbers(stream.read("2-0", None))


def test_a_server_that_goes_away_is_an_error_and_is_found_again(redis_program: str) -> None:
    """A commit that was on its way is sent again, and happens once."""
    with EmbeddedRedis(redis_program, ("--appendonly", "yes", "--appendfsync", "always")) as server:
        redis = Redis.from_url(server.url, protocol=2)
        add(redis, 1, 2)
        stream = Stream(redis, keys_of(), WorkerSettings(batch=4))
        commit(stream)
        server.kill()
        with pytest.raises(RedisConnectionError):
            stream.commit(1, "2-0", outcome("3-0", "3-0"), meanwhile=lambda: None)
        server.start()
        add(redis, 3)
        stream.commit(1, "2-0", outcome("3-0", "3-0"), meanwhile=lambda: None)
        assert 3 == redis.xlen("forecasts")
        assert not stream.read("3-0", None)


def test_replies_come_one_by_one_and_errors_as_errors(redis: Redis) -> None:
    """Replies come in the order of the commands; a connection that was closed is opened again."""
    pipelined = PipelinedConnection(redis)
    pipelined.send(("PING",), ("GET", "state:none"), ("HGET", "nothing"), ("ECHO", b"\xff"))
    assert (b"PONG", None) == (pipelined.reply(), pipelined.reply())
    with pytest.raises(ResponseError, match="wrong number"):
        pipelined.reply()
    pipelined.close()
    pipelined.send(
        ("ECHO", 7),
    )
    assert b"7" == pipelined.reply()
