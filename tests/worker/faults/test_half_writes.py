"""Scripts check every key before their first write: what cannot be written whole is not written at all."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError

from tests.worker.partition.harness import everything, outcome, refused
from tidecast.connection.repartitions import Repartition
from tidecast.errors import Conflict, StreamError, Unavailable
from tidecast.settings import Settings, WorkerSettings
from tidecast.wire import Event, keys_of, layout_of
from worker.failures.redis_failures import refusals_explained
from worker.layout.repartition import Repartitioner
from worker.layout.router import Router
from worker.layout.sources import RoutedStream
from worker.partition.series_change import SeriesChange
from worker.partition.stream import Stream
from worker.retraining.job_state import Claim, JobState

HIGHEST = 2**64 - 1
LAST_IDS = (f"{HIGHEST}-{HIGHEST}", f"{HIGHEST}-{HIGHEST - 1}")  # the second leaves room for one entry


def fill(redis: Redis, stream: str, last: str = LAST_IDS[0]) -> None:
    """Give a stream an entry after which hardly any other fits."""
    redis.xadd(stream, {"foreign": 1}, id=last)


@contextmanager
def without(redis: Redis, right: str) -> Iterator[None]:
    """Take the right to a command from the user."""
    redis.execute_command("ACL", "SETUSER", "default", f"-{right}")
    try:
        yield
    finally:
        redis.execute_command("ACL", "SETUSER", "default", f"+{right}")


WRITES = ("xadd", "hset", "hincrby", "hdel", "sadd")
ROUTED = tuple(keys_of(number, 2).routed.encode() for number in range(2))
READS = ("hget", "hmget", "type", "exists", "xinfo", "time")


@pytest.fixture
def stream(redis: Redis) -> Stream:
    """The one partition of an emptied server."""
    return Stream(redis, keys_of(), WorkerSettings())


@pytest.mark.parametrize("last", LAST_IDS)
@pytest.mark.parametrize("key", ["events", "all-forecasts"])
def test_a_commit_needs_room_for_all_its_entries(redis: Redis, key: str, last: str) -> None:
    """Redis gives no id after the highest one: the forecasts would be written, but no offset."""
    stream = Stream(redis, keys_of(), WorkerSettings(), merged="all-forecasts")
    held = stream.acquire("me") or 0
    redis.xadd("all-forecasts", {"id": 1}, id="5-0")  # so that the batch's entries get other ids
    fill(redis, key, last)
    batch = outcome("3-0", "1-0", "3-0")
    batch.events = [Event("stuck", "why", "a"), Event("stuck", "why", "b")]
    error = refused(redis, StreamError, lambda: stream.commit(held, "0-0", batch))
    assert error.startswith(f"{key} holds the highest ids")


@pytest.mark.parametrize("count", ["many", "inf", "nan", "", "9223372036854775807"])
@pytest.mark.parametrize("name", ["read", "forecast", "lost"])
def test_a_count_that_cannot_grow_is_corrected_at_the_next_acquisition(
    redis: Redis, stream: Stream, name: str, count: str
) -> None:
    """The commit would fail with forecasts and offset written; the worker drops the partition and takes it again."""
    held = stream.acquire("me") or 0
    redis.hset("offset", name, count)
    batch = outcome("3-0", "1-0", "3-0")
    error = refused(redis, Conflict, lambda: stream.commit(held, "0-0", batch))
    assert f"{name} in offset is not a count" == error
    stream.commit(stream.acquire("me") or 0, "0-0", batch)
    assert [b"2", b"2", b"0"] == redis.hmget("offset", ["read", "forecast", "lost"])


@pytest.mark.parametrize("last", LAST_IDS)
def test_a_change_of_series_needs_room_for_its_events(redis: Redis, stream: Stream, last: str) -> None:
    """The states would be deleted, and no event would say so."""
    held = stream.acquire("me") or 0
    redis.hset("state", "a", "state")
    fill(redis, "events", last)
    events = [Event("series_deleted", "why", name) for name in "ab"]
    change = SeriesChange([("a", "")], ["a"], events)
    error = refused(redis, StreamError, lambda: stream.change_series(held, change))
    assert error.startswith("events holds the highest ids")


def test_a_run_that_cannot_be_announced_is_neither_claimed_nor_settled(redis: Redis) -> None:
    """Record and events always agree."""
    state = JobState(redis, keys_of(), "me", events_kept=100)
    state.plan("interval 1h", 1000)
    fill(redis, "events")
    refused(redis, ResponseError, lambda: state.claim(1000, "token", 0))
    redis.delete("events")
    claim = state.claim(1000, "token", 0)
    assert isinstance(claim, Claim)
    fill(redis, "events")
    refused(redis, ResponseError, lambda: state.finish(claim, "done", 2000, 0))
    redis.delete("events")
    redis.set("events", "no stream")
    refused(redis, ResponseError, lambda: state.fail(claim, "lost", 2000, 0))


def test_a_run_is_given_back_whatever_its_number_of_tries_is(redis: Redis) -> None:
    """A number that was overwritten by hand does not stop the script halfway."""
    state = JobState(redis, keys_of(), "me", events_kept=100)
    state.plan("interval 1h", 1000)
    claim = state.claim(1000, "token", 0)
    assert isinstance(claim, Claim)
    redis.hset("retrain", "tries", "many")
    assert state.give_back(claim)
    assert [b"waiting", b"0", None] == redis.hmget("retrain", ["state", "tries", "owner"])


@pytest.mark.parametrize("broken", ["events", "epoch"])
def test_a_partition_is_not_closed_by_half(redis: Redis, settings: Settings, broken: str) -> None:
    """Without the event the history would lack the repartition; without the epoch commits would go on."""
    stream = Stream(redis, keys_of(), settings.worker)
    stream.acquire("me")
    if broken == "events":
        fill(redis, "events")
    else:
        redis.hset("lease", "epoch", "first")
    repartitioner = Repartitioner(redis, settings)
    repartition = Repartition(4, 1, 1, 0)

    def close() -> None:
        with refusals_explained():
            repartitioner._close_partition(layout_of(settings).keys(0), repartition)

    refused(redis, (ResponseError, StreamError), close)
    assert not redis.hget("offset", "closed")


def test_readings_are_not_routed_to_a_stream_that_takes_no_more(redis: Redis, settings: Settings) -> None:
    """Those before the highest id would be appended again and again, since nothing notes that they were."""
    router = Router(redis, settings.model_copy(update={"partitions": 2}))
    for number in range(2):
        fill(redis, keys_of(number, 2).readings, LAST_IDS[1])
    for n in (1, 2, 3, 4):
        redis.xadd("readings", {"series": f"s{n}", "value": n}, id=f"{n}-0")
    error = refused(redis, StreamError, router.step)
    assert "holds the highest ids" in error


# Rights


def commit(redis: Redis, settings: Settings) -> Callable[[], object]:
    """Return a commit of everything that there is to commit."""
    stream = Stream(redis, keys_of(), settings.worker, merged="all-forecasts")
    held = stream.acquire("me") or 0
    redis.sadd("changed", "the copy")
    batch = outcome("3-0", "1-0", "3-0", dead=("2-0",))
    batch.events = [Event("stuck", "why", "a")]
    return lambda: stream.commit(held, "0-0", batch)


def rename(redis: Redis, settings: Settings) -> Callable[[], object]:
    """Return a change of series that deletes and writes states."""
    stream = Stream(redis, keys_of(), settings.worker)
    held = stream.acquire("me") or 0
    redis.hset("state", "a", "state")
    redis.hset("muted", "a", "0")
    redis.hset("orders", "1", "order")
    redis.sadd("changed", "the copy")
    change = SeriesChange([("a", "b")], ["a"], [Event("series_renamed", "why", "a")], {"b": b"state"}, "1")
    return lambda: stream.change_series(held, change)


def begin_run(redis: Redis, _settings: Settings) -> Callable[[], object]:
    """Return the claim of a run."""
    state = JobState(redis, keys_of(), "me", events_kept=100)
    state.plan("interval 1h", 1000)
    return lambda: state.claim(1000, "token", 0)


def end_run(redis: Redis, settings: Settings) -> Callable[[], object]:
    """Return the end of a claimed run."""
    begin_run(redis, settings)()
    return lambda: JobState(redis, keys_of(), "me", events_kept=100).finish(Claim(1000, "token", 1), "done", 2000, 0)


def close(redis: Redis, settings: Settings) -> Callable[[], object]:
    """Return the end of a partition."""
    Stream(redis, keys_of(), settings.worker).acquire("me")
    repartitioner = Repartitioner(redis, settings)
    return lambda: repartitioner._close_partition(layout_of(settings).keys(0), Repartition(4, 1, 1, 0))


def route(redis: Redis, settings: Settings) -> Callable[[], object]:
    """Return a round of the router."""
    for n in (1, 2, 3, 4):
        redis.xadd("readings", {"series": "a", "value": n}, id=f"{n}-0")
    router = Router(redis, settings.model_copy(update={"partitions": 2}))
    router._read_highest(RoutedStream(keys_of()))
    return router.step


@pytest.mark.parametrize("right", [*READS, *WRITES])
@pytest.mark.parametrize("make", [commit, rename, begin_run, end_run, close, route])
def test_a_right_that_is_taken_away_stops_no_script_halfway(
    redis: Redis, settings: Settings, make: Callable[[Redis, Settings], Callable[[], object]], right: str
) -> None:
    """Redis checks each command of a script when it is called, so one may be refused after others have written."""
    act = make(redis, settings)
    before = told(redis)
    try:
        with without(redis, right), refusals_explained():
            act()
    except (Unavailable, NoPermissionError):
        assert before == told(redis)
        act()
    assert before != told(redis)


def told(redis: Redis) -> dict[bytes, object]:
    """Return all keys; not a renewed lease, nor the notes for a copy and a router, which may come before the writes."""
    held = everything(redis)
    lease = {name: raw for name, raw in redis.hgetall("lease").items() if name != b"expires_ms"}
    return {key: dump for key, dump in held.items() if key not in (b"changed", b"lease", *ROUTED)} | {b"lease": lease}
