"""Readings that were pushed without their partition are routed to it, each once and in order."""

from collections import defaultdict
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs

from tests.harness.connections import connected
from tests.worker.harness import sample
from tidecast.settings import Settings
from tidecast.wire import Layout, keys_of, partition_of
from worker.layout.router import Router
from worker.loop import Worker
from worker.main import make_worker
from worker.metrics import Health
from worker.stop import Stop

NOW = 1_700_000_000.0
PARTITIONS = 4


@pytest.fixture
def parted(settings: Settings) -> Settings:
    """Several partitions."""
    return settings.model_copy(update={"partitions": PARTITIONS})


@pytest.fixture
def health() -> Health:
    """The metrics of the worker."""
    return Health()


@pytest.fixture
def worker(parted: Settings, health: Health) -> Worker:
    """A worker that holds all of them."""
    return make_worker(parted, health)


def push(redis: Redis, count: int, start: int = 1) -> list[tuple[str, str]]:
    """Push readings as `redis-cli` does; return the series and the id of each."""
    pushed = []
    for n in range(start, start + count):
        series = f"s{n % 7}"
        entry_id = redis.xadd("readings", {"series": series, "value": n, "ts": 1000 * n}, id=f"{n}-0")
        pushed.append((series, entry_id.decode()))
    return pushed


def routed(redis: Redis) -> dict[str, list[str]]:
    """Return the ids of the readings in the partitions' streams, by series; each lies in its own partition."""
    ids: dict[str, list[str]] = defaultdict(list)
    for number in range(PARTITIONS):
        for entry_id, fields in redis.xrange(keys_of(number, PARTITIONS).readings):
            series = fields[b"series"].decode()
            assert number == partition_of(series, PARTITIONS)
            ids[series].append(entry_id.decode())
    return ids


def by_series(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the ids by series."""
    ids: dict[str, list[str]] = defaultdict(list)
    for series, entry_id in pairs:
        ids[series].append(entry_id)
    return ids


def answered(redis: Redis, kind: str = "forecasts") -> list[tuple[bytes, dict[bytes, bytes]]]:
    """Return the entries of an output stream of all partitions."""
    return [entry for number in range(PARTITIONS) for entry in redis.xrange(getattr(keys_of(number, 4), kind))]


def test_readings_without_their_partition_are_answered_once(redis: Redis, worker: Worker, health: Health) -> None:
    """Under the ids that their producer got; the common stream is empty then, and a metric has counted them."""
    pushed = push(redis, 100)
    worker.step(NOW)
    pushed += push(redis, 100, start=101)
    while worker.step(NOW + 1):
        pass
    assert by_series(pushed) == routed(redis)
    assert sorted(pushed) == sorted((f[b"series"].decode(), i.decode()) for i, f in answered(redis))
    assert 0 == redis.xlen("readings")
    assert 200 == sample(health, "tidecast_routed_total")


def die_before_trimming(parted: Settings, monkeypatch: pytest.MonkeyPatch) -> Router:
    """Return a router that has routed what there is and did not come to trim it."""
    router = Router(connected(parted), parted)
    with monkeypatch.context() as patched:
        patched.setattr(router._redis, "xtrim", _lost)
        with pytest.raises(RedisConnectionError):
            router.step()
    return router


def _lost(*_: Any, **__: Any) -> None:
    raise RedisConnectionError("gone")


def test_a_router_that_died_before_it_trimmed_routes_nothing_twice(
    redis: Redis, parted: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one skips what the partitions have."""
    pushed = push(redis, 50)
    first = die_before_trimming(parted, monkeypatch)
    pushed += push(redis, 50, start=51)
    assert 100 == Router(connected(parted), parted).step()
    assert 0 == first.step()
    assert by_series(pushed) == routed(redis)


def test_without_its_guard_a_router_would_route_twice(
    redis: Redis, parted: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the stored id that prevents it, so the test above can fail."""
    pushed = push(redis, 50)
    die_before_trimming(parted, monkeypatch)
    for number in range(PARTITIONS):
        redis.delete(keys_of(number, PARTITIONS).routed)
    Router(connected(parted), parted).step()
    assert 2 * len(pushed) == sum(map(len, routed(redis).values()))


def test_two_routers_at_once_route_each_reading_once(redis: Redis, parted: Settings) -> None:
    """For a moment two workers may believe that they hold partition 0."""
    routers = [Router(connected(parted), parted) for _ in range(2)]
    pushed = []
    for n in range(10):
        pushed += push(redis, 10, start=1 + 10 * n)
        late = routers[n % 2]
        stale = {source: late._read(source) for source in late._find_sources()}
        routers[1 - n % 2].step()
        late._route_batches(stale)
    assert by_series(pushed) == routed(redis)


def test_readings_that_were_sent_to_their_partition_stay_in_order(redis: Redis, parted: Settings) -> None:
    """A reading that comes later through the common stream gets a new id if its own is too low by then."""
    push(redis, 1)
    key = keys_of(partition_of("s1", PARTITIONS), PARTITIONS).readings
    redis.xadd(key, {"series": "s1", "value": 0}, id="9-0")
    Router(connected(parted), parted).step()
    assert ["9-0"] == routed(redis)["s1"][:1]
    assert 2 == len(routed(redis)["s1"])


def test_a_stream_that_was_deleted_and_started_again_is_routed(redis: Redis, parted: Settings) -> None:
    """Its ids are lower than those routed before."""
    router = Router(connected(parted), parted)
    push(redis, 5, start=100)
    assert 5 == router.step()
    redis.delete("readings")
    push(redis, 5)
    assert 5 == router.step()
    assert 10 == sum(map(len, routed(redis).values()))


@pytest.mark.parametrize(("newest_first", "order"), [(True, ["1", "2"]), (False, ["2", "1"])])
def test_readings_that_were_routed_before_a_repartition_stay_first(
    redis: Redis, settings: Settings, newest_first: bool, order: list[str]
) -> None:
    """They have higher ids in a newer stream than those that still wait in an older one; without that they change."""
    layout = Layout((1, 2, 3))
    redis.set("partitions", layout.encode())
    waiting = {layout.generations()[1][partition_of("a", 2)].readings: "9-0", "readings": "5-0"}
    for value, (stream, entry_id) in enumerate(waiting.items(), 1):
        redis.xadd(stream, {"series": "a", "value": value}, id=entry_id)
    router = Router(redis, settings.with_partitions(layout.numbers))
    router._sources = router._find_sources()
    if not newest_first:
        router._first.clear()
    while router.step():
        pass
    assert order == [fields[b"value"].decode() for _, fields in redis.xrange(layout.keys_for("a").readings)]


def test_what_is_no_reading_becomes_a_dead_letter(redis: Redis, worker: Worker) -> None:
    """Without a name, with an invalid name, with too many fields, or too large."""
    many = {str(n): n for n in range(9000)}
    for fields in ({"value": 1}, {"series": b"\xff", "value": 1}, many, {"series": "a", "value": "9" * 70_000}):
        redis.xadd("readings", fields)  # type: ignore[arg-type] # as any client may do
    redis.xadd("readings", many | {"series": "b", "value": 1})
    for second in range(3):
        worker.step(NOW + second)
    reasons = sorted(fields[b"reason"].decode() for _, fields in answered(redis, "dead"))
    assert ["bad_series", "no_series", "too_large", "too_large", "too_large"] == reasons


def test_readings_that_one_partition_answered_are_not_answered_again(redis: Redis, parted: Settings) -> None:
    """They are kept for training; the log has the remedy."""
    push(redis, 5)
    redis.hset("offset", "last", "5-0")
    with capture_logs() as logs:
        assert 0 == Router(connected(parted), parted).step()
    assert (5, {}) == (redis.xlen("readings"), dict(routed(redis)))
    assert "readings are not routed, as a worker of one partition has answered this stream" == logs[0]["event"]


def test_a_failing_router_does_not_stop_the_partitions(redis: Redis, worker: Worker) -> None:
    """The key may belong to another program."""
    redis.set("readings", "other")
    redis.xadd(keys_of(partition_of("a", PARTITIONS), PARTITIONS).readings, {"series": "a", "value": 1})
    for _ in range(3):
        worker.step(NOW, Stop())
    assert 1 == len(answered(redis))


@pytest.mark.settings(forecasts={"merged": True})
def test_all_forecasts_are_in_one_stream_if_wanted(redis: Redis, worker: Worker) -> None:
    """Each once, with the id of its reading in a field, and under it unless another partition was faster."""
    pushed = push(redis, 100)
    while worker.step(NOW) != 0:
        pass
    merged = {fields[b"id"].decode(): fields for _, fields in redis.xrange("forecasts")}
    assert sorted(pushed) == sorted((fields[b"series"].decode(), entry_id) for entry_id, fields in merged.items())
    for entry_id, fields in answered(redis):
        assert fields == {name: text for name, text in merged[entry_id.decode()].items() if name != b"id"}
    assert 100 == redis.xlen("forecasts")


def test_a_worker_ends_a_burst_only_when_routed_readings_are_answered(redis: Redis, worker: Worker) -> None:
    """Those that waited before its start, too."""
    pushed = push(redis, 30)
    worker.run(Stop(), burst=True)
    assert len(pushed) == len(answered(redis))
