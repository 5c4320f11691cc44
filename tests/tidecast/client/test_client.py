"""The client against a real server: pushing, following, waiting, and its errors."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from threading import Timer
from typing import Any

import numpy as np
import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.harness.forecasts import sent
from tidecast.client import AsyncClient, Client
from tidecast.settings import Settings
from tidecast.wire import Forecast, Layout, keys_of, partition_of


@pytest.fixture
def client(settings: Settings, redis: Redis) -> Iterator[Client]:  # noqa: ARG001 - it empties the server
    """A client of the emptied server."""
    with Client(settings.redis_url.get_secret_value()) as client:
        yield client


def publish(redis: Redis, entry_id: str, series: str = "a", key: str = "forecasts") -> Forecast:
    """Put a forecast on the stream, as a worker would."""
    forecast = Forecast(entry_id, series, 2000, 1.5, 1.0, 2.0, 0.9, 1000, None, "naive", 1.25)
    redis.xadd(key, sent(forecast), id=entry_id)
    return forecast


def test_a_pushed_value_is_an_entry_of_readings(client: Client, redis: Redis) -> None:
    """Exactly the fields that redis-cli would send."""
    entry_id = client.push("boiler-7", 42.1)
    assert [(entry_id.encode(), {b"series": b"boiler-7", b"value": b"42.1"})] == redis.xrange("readings")


@pytest.mark.parametrize(
    ("ts", "expected"),
    [
        (1_700_000_000_000, b"1700000000000"),
        (np.int64(1_700_000_000_000), b"1700000000000"),
        (datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC), b"2023-11-14T22:13:20+00:00"),
        (0, b"0"),
    ],
)
def test_a_time_goes_along_as_milliseconds_or_iso_8601(
    client: Client, redis: Redis, ts: int | datetime, expected: bytes
) -> None:
    """NumPy's integers too."""
    client.push("a", {"load": 1, "wind": np.float32(0.5), "text": "1e3"}, ts)
    assert {b"series": b"a", b"ts": expected, b"load": b"1.0", b"wind": b"0.5", b"text": b"1e3"} == redis.xrange(
        "readings"
    )[0][1]


def test_many_readings_go_in_their_order(client: Client, redis: Redis) -> None:
    """More than one pipeline's worth, with and without times; the ids come back in the same order."""
    readings = [("a", float(i)) if i % 2 else ("a", float(i), i) for i in range(2500)]
    ids = client.push_many(iter(readings))
    entries = redis.xrange("readings")
    assert ids == [entry_id.decode() for entry_id, _ in entries]
    assert [float(i) for i in range(2500)] == [float(fields[b"value"]) for _, fields in entries]
    assert [] == client.push_many([])


def test_a_series_readings_go_to_its_partition(settings: Settings, redis: Redis) -> None:
    """With several partitions the client finds the stream by itself, and follows the forecasts of all."""
    with Client(settings.redis_url.get_secret_value(), partitions=4, namespace="plant") as client:
        client.push_many([(name, 1.0) for name in "abcdefgh"])
        for name in "abcdefgh":
            keys = keys_of(partition_of(name, 4), 4, "plant")
            assert name.encode() in {fields[b"series"] for _, fields in redis.xrange(keys.readings)}
            publish(redis, f"{ord(name)}-1", name, keys.forecasts)
        forecasts = client.forecasts("0", block_ms=1, stop_when_idle=True)
        assert set("abcdefgh") == {forecast.series for forecast in forecasts}


def test_forecasts_since_an_id_come_once_and_in_order(client: Client, redis: Redis) -> None:
    """From the oldest with 0, after a given one with its id, across several reads."""
    made = [publish(redis, f"{i}-0") for i in range(1, 2302)]
    assert made == list(client.forecasts("0", block_ms=1, stop_when_idle=True))
    assert made[-1:] == list(client.forecasts("2300-0", block_ms=1, stop_when_idle=True))


@pytest.mark.parametrize("before", [0, 2])
def test_live_does_not_miss_what_is_published_right_after_the_call(client: Client, redis: Redis, before: int) -> None:
    """`$` means this very moment, even before the iteration begins, on an empty stream too."""
    for i in range(before):
        publish(redis, f"{i + 1}-0")
    live = client.forecasts()
    made = [publish(redis, "7-0"), publish(redis, "8-0")]
    assert made == list(islice(live, 2))


def test_following_waits_for_what_is_still_to_come(client: Client, redis: Redis) -> None:
    """Idle reads in between end nothing."""
    live = client.forecasts(block_ms=1)
    late = Timer(0.05, publish, (redis, "9-0"))
    late.start()
    assert "9-0" == next(live).id
    late.join()


@pytest.mark.usefixtures("redis")
def test_waiting_longer_than_a_command_may_take_is_no_failure(settings: Settings) -> None:
    """A long wait is split into reads that end within the time limit."""
    with Client(settings.redis_url.get_secret_value(), redis_timeout=2.0) as client:
        assert [] == list(client.forecasts("0", block_ms=2100, stop_when_idle=True))


def test_the_number_of_partitions_in_redis_counts(settings: Settings, redis: Redis) -> None:
    """No reading goes to a partition that no worker reads."""
    redis.set("plant:partitions", 8)
    key = keys_of(partition_of("a", 8), 8, "plant").readings
    with Client(settings.redis_url.get_secret_value(), partitions=4, namespace="plant") as client:
        ids = [client.push("a", 1.0), *client.push_many([("a", 2.0)])]
    assert ids == [entry_id.decode() for entry_id, _ in redis.xrange(key)]


async def test_for_the_asyncio_client_too(settings: Settings, redis: Redis) -> None:
    """With one partition too."""
    redis.set("partitions", 8)
    async with AsyncClient(settings.redis_url.get_secret_value()) as client:
        ids = [await client.push("a", 1.0), *await client.push_many([("a", 2.0)])]
    assert ids == [entry_id.decode() for entry_id, _ in redis.xrange(keys_of(partition_of("a", 8), 8).readings)]


def test_the_number_of_partitions_is_not_asked_for_at_every_push(client: Client, redis: Redis) -> None:
    """It is looked up from time to time, as a repartition may change it."""
    redis.config_resetstat()
    for _ in range(5):
        client.push("a", 1.0)
    assert 1 == redis.info("commandstats")["cmdstat_get"]["calls"]


def test_a_client_follows_a_repartition_once_its_readings_have_left(
    client: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reading must not overtake those before it; a follower reads the former streams to their ends first."""
    monkeypatch.setattr("tidecast.client.addresses.RECHECK_S", 0.0)
    monkeypatch.setattr("tidecast.client.client.MOVE_S", 0.0)
    monkeypatch.setattr("tidecast.client.addresses.WAIT_EVERY_S", 0.0)
    redis.set("partitions", 1)
    first = client.push("a", 1.0)
    old = publish(redis, "9-0")
    new = publish(redis, "8-0", key="{1.1}:forecasts")
    redis.xadd("forecasts", {**redis.xrange("{1.1}:forecasts")[0][1], "id": "8-0"})  # a copy: `forecasts.merged`
    redis.set("partitions", "1,2")
    second = client.push("a", 2.0)
    assert [first, second] == [entry_id.decode() for entry_id, _ in redis.xrange("readings")]
    redis.hset("offset", "last", first)
    redis.xdel("readings", second)
    key = Layout((1, 2)).keys_for("a").readings
    assert client.push("a", 3.0) == redis.xrange(key)[0][0].decode()
    assert [old, new] == list(client.forecasts("0", block_ms=1, stop_when_idle=True))


async def test_pushes_do_not_wait_again_and_again_for_slow_routing(
    settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A producer whose every push waits falls behind its readings; after one wait in vain it pushes as before."""
    url = settings.redis_url.get_secret_value()
    monkeypatch.setattr("tidecast.client.addresses.RECHECK_S", 0.0)
    monkeypatch.setattr("tidecast.client.addresses.WAIT_EVERY_S", 60.0)
    for name in ("client", "async_client"):
        monkeypatch.setattr(f"tidecast.client.{name}.MOVE_S", 0.0)
    with Client(url) as client:
        async with AsyncClient(url) as async_client:
            redis.set("partitions", 1)
            client.push("a", 1.0)
            await async_client.push("a", 1.0)
            redis.set("partitions", "1,2")
            redis.config_resetstat()
            for value in (2.0, 3.0, 4.0):
                client.push("a", value)
                await async_client.push("a", value)
            assert 2 == redis.info("commandstats")["cmdstat_xrange"]["calls"]


@pytest.fixture
def producer_url(settings: Settings, redis: Redis) -> Iterator[str]:
    """The address of the server for a user with the rights of a producer."""
    redis.execute_command("ACL", "SETUSER", "producer", "on", "nopass", "~*", "-@all", "+xadd", "+get")
    yield settings.redis_url.get_secret_value().replace("redis://", "redis://producer:any@")
    redis.execute_command("ACL", "DELUSER", "producer")


async def test_a_producer_without_the_right_to_look_does_not_try_at_every_push(
    producer_url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a repartition it pushes to the closed partition, whose readings are routed, in one round trip each."""
    monkeypatch.setattr("tidecast.client.addresses.RECHECK_S", 0.0)
    monkeypatch.setattr("tidecast.client.addresses.WAIT_EVERY_S", 60.0)
    redis.set("partitions", 1)
    with Client(producer_url) as client:
        async with AsyncClient(producer_url) as async_client:
            client.push("a", 1.0)
            await async_client.push("a", 1.0)
            redis.set("partitions", "1,2")
            redis.config_resetstat()
            for value in (2.0, 3.0, 4.0):
                client.push("a", value)
                await async_client.push("a", value)
    assert 8 == redis.xlen("readings")
    assert 2 == redis.info("commandstats")["cmdstat_xrevrange"]["rejected_calls"]


def test_a_push_with_a_slow_reply_does_not_hide_that_of_another_thread(
    client: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older reply arrives last; the other thread's reading, which is newer, must not be overtaken."""
    monkeypatch.setattr("tidecast.client.addresses.RECHECK_S", 0.0)
    monkeypatch.setattr("tidecast.client.client.MOVE_S", 0.0)
    redis.set("partitions", 1)
    add = Redis.xadd

    def add_slowly(connection: Redis, *args: Any) -> Any:
        monkeypatch.setattr(Redis, "xadd", add)
        first = add(connection, *args)
        client.push("a", 2.0)  # of the other thread
        return first

    monkeypatch.setattr(Redis, "xadd", add_slowly)
    redis.hset("offset", "last", client.push("a", 1.0))
    redis.set("partitions", "1,2")
    client.push("a", 3.0)
    assert [b"1.0", b"2.0", b"3.0"] == [fields[b"value"] for _, fields in redis.xrange("readings")]


async def test_a_new_producer_goes_to_the_present_partitions_at_once(producer_url: str, redis: Redis) -> None:
    """After several repartitions, too: it has pushed nothing that its readings might overtake."""
    redis.set("partitions", "1,2,4")
    with Client(producer_url) as client:
        ids = [client.push("a", 1.0)]
    async with AsyncClient(producer_url) as async_client:
        ids.append(await async_client.push("a", 2.0))
    assert ids == [entry_id.decode() for entry_id, _ in redis.xrange(Layout((1, 2, 4)).keys_for("a").readings)]


async def test_the_asyncio_client_does_the_same(settings: Settings, redis: Redis) -> None:
    """Push, push many, follow from an id and live."""
    async with AsyncClient(settings.redis_url.get_secret_value()) as client:
        first = await client.push("a", 1.0)
        more = await client.push_many([("a", 2.0), ("b", {"value": 3.0}, 5)])
        assert [first, *more] == [entry_id.decode() for entry_id, _ in redis.xrange("readings")]
        made = [publish(redis, "5-0"), publish(redis, "6-0")]
        assert made == [forecast async for forecast in client.forecasts("0", block_ms=1, stop_when_idle=True)]
        live = client.forecasts(block_ms=1000)
        coming = asyncio.ensure_future(anext(live))
        while not coming.done():
            made.append(publish(redis, f"{len(made) + 5}-0"))
            await asyncio.sleep(0.01)
        assert coming.result() in made[2:]
        await live.aclose()


@pytest.mark.usefixtures("redis")
async def test_the_asyncio_client_waits_longer_than_a_command_may_take(settings: Settings) -> None:
    """As the blocking one."""
    async with AsyncClient(settings.redis_url.get_secret_value(), redis_timeout=2.0) as client:
        assert [] == [forecast async for forecast in client.forecasts("0", block_ms=2100, stop_when_idle=True)]


def test_a_push_without_a_server_fails_at_once() -> None:
    """No push is repeated without the caller's knowledge."""
    with Client("redis://127.0.0.1:1/0") as client, pytest.raises(RedisError):
        client.push("a", 1.0)
