"""The clients against a real Redis Cluster: several servers, slots that move, servers that go away."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from threading import Timer
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.harness.forecasts import sent
from tests.harness.servers.cluster import EmbeddedCluster
from tidecast.client import AsyncClient, Client
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.errors import SettingsError
from tidecast.settings import Settings
from tidecast.wire import Forecast, keys_of, partition_of

PARTITIONS = 8
CLUSTER: dict[str, Any] = {"redis_cluster": True, "partitions": PARTITIONS}
# One series for each partition.
SERIES = sorted({partition_of(f"s{i}", PARTITIONS): f"s{i}" for i in range(100)}.values())
EMPTY = 3  # the number of the server that holds no slot at first
pytestmark = pytest.mark.settings(**CLUSTER)


@pytest.fixture(scope="module")
def redis_server(redis_program: str) -> Iterator[EmbeddedCluster]:
    """One cluster for the module: three masters, and a server that holds no slot."""
    with EmbeddedCluster(redis_program, empty=1) as running:
        yield running


@pytest.fixture
def client(settings: Settings, redis_server: EmbeddedCluster) -> Iterator[Client]:  # noqa: ARG001 - it empties the servers
    """A client of the emptied cluster."""
    with Client(redis_server.url, **CLUSTER) as client:
        yield client


def publish(redis: Any, entry_id: str, series: str) -> Forecast:
    """Put a forecast on its partition's stream, as a worker would."""
    forecast = Forecast(entry_id, series, 2000, 1.5, 1.0, 2.0, 0.9, 1000, None, "naive", 1.25)
    redis.xadd(forecasts_of(series), sent(forecast), id=entry_id)
    return forecast


def forecasts_of(series: str) -> str:
    """Return the stream that a series' forecasts are on."""
    return keys_of(partition_of(series, PARTITIONS), PARTITIONS).forecasts


def readings_of(series: str) -> str:
    """Return the stream that a series' readings are on."""
    return keys_of(partition_of(series, PARTITIONS), PARTITIONS).readings


def test_the_partitions_are_spread_over_the_servers(redis_server: EmbeddedCluster) -> None:
    """The next tests would prove little on one server."""
    assert {0, 1, 2} == {redis_server.owner_of(keys_of(i, PARTITIONS).readings) for i in range(PARTITIONS)}


def test_pushed_readings_arrive_once_and_in_their_order(client: Client, redis: Any) -> None:
    """One and many, on every server; the ids come back in the order of the readings."""
    readings = [(name, float(i)) for i in range(300) for name in SERIES]
    ids = [client.push(SERIES[0], -1.0), *client.push_many(readings)]
    for name in SERIES:
        entries = [entry for entry in redis.xrange(readings_of(name)) if entry[1][b"series"] == name.encode()]
        values = [float(i) for i in range(300)]
        assert ([-1.0, *values] if name == SERIES[0] else values) == [float(fields[b"value"]) for _, fields in entries]
        mine = [
            entry_id
            for entry_id, (series, _) in zip(ids, [(SERIES[0], -1.0), *readings], strict=True)
            if series == name
        ]
        assert mine == [entry_id.decode() for entry_id, _ in entries]


def test_forecasts_of_all_partitions_are_followed(client: Client, redis: Any) -> None:
    """Old ones, and those that come later, whichever partition is idle."""
    made = [publish(redis, f"{i}-1", name) for i in range(1, 4) for name in SERIES]
    forecasts = list(client.forecasts("0", block_ms=1, stop_when_idle=True))
    assert sorted(made, key=str) == sorted(forecasts, key=str)
    live = client.forecasts(block_ms=2000)
    late = Timer(0.05, publish, (redis, "9-0", SERIES[4]))
    late.start()
    assert "9-0" == next(live).id
    late.join()


async def test_the_asyncio_client_does_the_same(redis_server: EmbeddedCluster, redis: Any) -> None:
    """Push, push many, follow from the oldest and live."""
    async with AsyncClient(redis_server.url, **CLUSTER) as client:
        first = await client.push(SERIES[0], 1.0)
        more = await client.push_many([(SERIES[0], 2.0), (SERIES[1], {"value": 3.0}, 5)])
        assert [first, more[0]] == [entry_id.decode() for entry_id, _ in redis.xrange(readings_of(SERIES[0]))]
        assert [more[1]] == [entry_id.decode() for entry_id, _ in redis.xrange(readings_of(SERIES[1]))]
        made = [publish(redis, "5-0", name) for name in SERIES]
        forecasts = [forecast async for forecast in client.forecasts("0", block_ms=1, stop_when_idle=True)]
        assert sorted(made, key=str) == sorted(forecasts, key=str)
        live = client.forecasts(block_ms=2000)
        coming = asyncio.ensure_future(anext(live))
        for i in range(6, 1000):
            if coming.done():
                break
            publish(redis, f"{i}-0", SERIES[2])
            await asyncio.sleep(0.01)
        assert SERIES[2] == coming.result().series
        await live.aclose()


@pytest.mark.parametrize("target", [1, EMPTY])
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_slot_that_moves_is_followed(
    redis_server: EmbeddedCluster, redis: Any, target: int, asynchronous: bool
) -> None:
    """During the move and after it, also to a server that was not known yet; no reading is lost or repeated."""
    key = readings_of(SERIES[0])
    redis_server.move(key, 0)
    client = Client(redis_server.url, **CLUSTER)
    other = AsyncClient(redis_server.url, **CLUSTER)
    pushed = 0

    async def push() -> None:
        nonlocal pushed
        values = [(SERIES[0], float(pushed + i)) for i in range(3)]
        await other.push(SERIES[0], values[0][1]) if asynchronous else client.push(SERIES[0], values[0][1])
        await other.push_many(values[1:]) if asynchronous else client.push_many(values[1:])
        pushed += 3

    await push()
    moving = asyncio.ensure_future(asyncio.to_thread(redis_server.move, key, target, 0.1))
    while not moving.done():
        await push()
        await asyncio.sleep(0.01)
    await moving
    await push()
    assert pushed > 9
    assert [float(i) for i in range(pushed)] == [float(fields[b"value"]) for _, fields in redis.xrange(key)]
    publish(redis, "7-0", SERIES[0])
    assert ["7-0"] == [forecast.id for forecast in client.forecasts("0", block_ms=1, stop_when_idle=True)]
    redis_server.move(key, 0)
    client.close()
    await other.close()


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_what_may_have_arrived_is_not_pushed_again(
    redis_server: EmbeddedCluster, redis: Any, asynchronous: bool, many: bool
) -> None:
    """A server that does not answer in time has got each reading once, whatever the rest of the cluster could do."""
    silent = redis_server.servers[redis_server.owner_of(readings_of(SERIES[0]))].pid
    assert silent
    hasty: dict[str, Any] = CLUSTER | {"redis_timeout": 1.5}
    async with AsyncClient(redis_server.url, **hasty) as other:
        with Client(redis_server.url, **hasty) as client:

            async def push(value: float) -> None:
                if asynchronous:
                    await (other.push_many([(SERIES[0], value)]) if many else other.push(SERIES[0], value))
                else:
                    client.push_many([(SERIES[0], value)]) if many else client.push(SERIES[0], value)

            await push(0.0)
            os.kill(silent, signal.SIGSTOP)
            try:
                with pytest.raises(RedisTimeoutError):
                    await push(1.0)
            finally:
                os.kill(silent, signal.SIGCONT)
            await push(2.0)
    assert [0.0, 1.0, 2.0] == [float(fields[b"value"]) for _, fields in redis.xrange(readings_of(SERIES[0]))]


async def test_without_a_server_a_push_fails_at_once_and_a_client_is_made_all_the_same() -> None:
    """Redis may be down when a producer starts; both clients raise the same kind of error."""
    where: dict[str, Any] = {"url": "redis://127.0.0.1:1", "redis_cluster": True, "partitions": 2}
    async with AsyncClient(**where) as other:
        with Client(**where) as client:
            for _ in range(2):
                with pytest.raises(RedisConnectionError):
                    client.push(SERIES[0], 1.0)
                with pytest.raises(RedisConnectionError):
                    await other.push(SERIES[0], 1.0)


async def test_a_server_that_is_no_cluster_is_said_with_the_remedy(redis_program: str) -> None:
    """The setting is wrong, not Redis."""
    sentence = "names no Redis Cluster: leave it false"
    with EmbeddedRedis(redis_program) as alone:
        with Client(alone.url, **CLUSTER) as client, pytest.raises(SettingsError, match=sentence):
            client.push(SERIES[0], 1.0)
        async with AsyncClient(alone.url, **CLUSTER) as other:
            with pytest.raises(SettingsError, match=sentence):
                await other.push(SERIES[0], 1.0)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("url", "partitions", "sentence"),
    [
        ("redis://h:1", 1, "setting partitions is 1, but in a Redis Cluster .* set partitions to 2 or more"),
        ("redis://h:1/3", 2, "has only database 0"),
        ("unix:///run/redis", 2, "has only database 0"),
    ],
)
def test_what_a_cluster_cannot_do_is_said_at_once(kind: type, url: str, partitions: int, sentence: str) -> None:
    """Before anything is sent."""
    with pytest.raises(SettingsError, match=sentence):
        kind(url, redis_cluster=True, partitions=partitions)


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_an_iteration_goes_on_when_a_server_restarts(
    redis_server: EmbeddedCluster, redis: Any, caplog: pytest.LogCaptureFixture, asynchronous: bool
) -> None:
    """After the last forecast of each partition; the outage is logged."""
    server = redis_server.servers[redis_server.owner_of(forecasts_of(SERIES[0]))]
    with Client(redis_server.url, **CLUSTER) as client:
        async with AsyncClient(redis_server.url, **CLUSTER) as other:
            publish(redis, "1-0", SERIES[0])
            mine = client.forecasts("0")
            remote = other.forecasts("0")

            async def step() -> str:
                return (await (anext(remote) if asynchronous else asyncio.to_thread(next, mine))).id

            assert "1-0" == await step()
            coming = asyncio.ensure_future(step())
            server.kill()
            while "Redis does not answer" not in caplog.text:
                await asyncio.sleep(0.01)
            server.start()
            while "2-0" not in {entry_id for entry_id, _ in published(redis)}:
                await asyncio.sleep(0.01)
            assert "2-0" == await coming


def published(redis: Any) -> list[tuple[str, Any]]:
    """Publish a forecast, on a server that may still be joining its cluster; return the stream's entries."""
    with suppress(RedisConnectionError, ResponseError):
        publish(redis, "2-0", SERIES[0])
    with suppress(RedisConnectionError):
        return [(entry_id.decode(), fields) for entry_id, fields in redis.xrange(forecasts_of(SERIES[0]))]
    return []
