"""Iterations that last longer than a connection: Redis restarts, clients close, steps are cancelled, ids are gone."""

import asyncio
import contextlib
import math
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.harness.patience import PATIENCE_S, until
from tests.tidecast.client.harness import Follower, both, publish, waits
from tidecast.client import AsyncClient, Client
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.errors import ClosedError, SettingsError, StreamError, TidecastError

AWAY, BACK = "Redis does not answer, trying again", "Redis is back after"


@pytest.fixture
def durable(redis_program: str) -> Iterator[EmbeddedRedis]:
    """A server of the test's own that keeps its data over a restart."""
    with EmbeddedRedis(redis_program, ("--appendonly", "yes", "--appendfsync", "always")) as running:
        yield running


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidecast.client.following.PAUSES_S", (0.01, 0.01))


@both
def test_an_iteration_goes_on_when_redis_restarts(
    durable: EmbeddedRedis, caplog: pytest.LogCaptureFixture, asynchronous: bool
) -> None:
    """From the last forecast on, none twice and none left out; the outage is logged once."""
    publish(durable.url, "1-0", "2-0")
    with Follower(durable.url, asynchronous=asynchronous) as follower:
        assert ["1-0", "2-0"] == [follower.next_id(), follower.next_id()]
        for turn in range(3, 5):
            coming = follower.step()
            until(lambda: waits(durable.url))
            caplog.clear()
            durable.kill()
            until(lambda: AWAY in caplog.text)
            durable.start()
            publish(durable.url, f"{turn}-0")
            assert f"{turn}-0" == coming.result(PATIENCE_S).id
            assert (1, 1) == (caplog.text.count(AWAY), caplog.text.count(BACK))


@both
def test_a_connection_that_is_closed_is_opened_again_quietly(
    url: str, redis: Redis, caplog: pytest.LogCaptureFixture, asynchronous: bool
) -> None:
    """A server with `timeout` closes idle ones all the time: nothing to report."""
    publish(url, "1-0")
    with Follower(url, asynchronous=asynchronous) as follower:
        assert "1-0" == follower.next_id()
        coming = follower.step()
        until(lambda: waits(url))
        redis.client_kill_filter(_type="normal", skipme=True)
        publish(url, "2-0")
        assert "2-0" == coming.result(PATIENCE_S).id
    assert "" == caplog.text


@both
def test_an_iteration_waits_while_a_failover_refuses_reads(
    durable: EmbeddedRedis, caplog: pytest.LogCaptureFixture, asynchronous: bool
) -> None:
    """MASTERDOWN comes and goes."""
    with (
        Redis.from_url(durable.url, protocol=2) as operator,
        Follower(durable.url, asynchronous=asynchronous) as follower,
    ):
        publish(durable.url, "1-0")
        assert "1-0" == follower.next_id()
        operator.config_set("replica-serve-stale-data", "no")
        operator.replicaof("127.0.0.1", 1)
        coming = follower.step()
        until(lambda: AWAY in caplog.text)
        operator.replicaof("NO", "ONE")
        publish(durable.url, "2-0")
        assert "2-0" == coming.result(PATIENCE_S).id


@both
@pytest.mark.parametrize("options", [{"give_up_s": 0}, {"give_up_s": 0.05}, {"block_ms": 1, "stop_when_idle": True}])
def test_redis_that_stays_away_is_an_error_where_the_iteration_is_to_end(
    durable: EmbeddedRedis, asynchronous: bool, options: dict[str, Any]
) -> None:
    """An end without a word would look as if all had been read; and the next step tries again."""
    publish(durable.url, "1-0")
    with Follower(durable.url, asynchronous=asynchronous, timeout_s=2.0, **options) as follower:
        assert "1-0" == follower.next_id()
        durable.kill()
        with pytest.raises(RedisConnectionError):
            follower.next_id()
        durable.start()
        publish(durable.url, "2-0")
        assert "2-0" == follower.next_id()


@both
def test_an_error_that_waiting_does_not_mend_is_raised_at_once(durable: EmbeddedRedis, asynchronous: bool) -> None:
    """A password that is refused, a key of another type."""
    publish(durable.url, "1-0")
    with (
        Redis.from_url(durable.url, protocol=2) as operator,
        Follower(durable.url, asynchronous=asynchronous) as follower,
    ):
        assert "1-0" == follower.next_id()
        operator.delete("forecasts")
        operator.set("forecasts", "text")
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            follower.next_id()
        operator.config_set("requirepass", "secret")
        operator.client_kill_filter(_type="normal", skipme=True)
        with pytest.raises(AuthenticationError):
            follower.next_id()


@both
@pytest.mark.parametrize("away", [True, False])
def test_closing_the_client_ends_its_iterations_with_a_clear_error(
    durable: EmbeddedRedis, caplog: pytest.LogCaptureFixture, asynchronous: bool, away: bool
) -> None:
    """Silence would look like an end, and a new connection would never be closed."""
    with Follower(durable.url, asynchronous=asynchronous) as follower:
        coming = follower.step()
        until(lambda: waits(durable.url))
        if away:
            durable.kill()
            until(lambda: AWAY in caplog.text)
        follower.close()
        for _ in range(2):
            with pytest.raises(ClosedError, match="the client is closed: open another one"):
                coming.result(PATIENCE_S)
            coming = follower.step()
        assert coming.exception(PATIENCE_S)


@both
def test_closing_an_iteration_ends_the_step_that_waits(durable: EmbeddedRedis, asynchronous: bool) -> None:
    """Its thread or task would otherwise wait for ever; the client stays open."""
    with Follower(durable.url, asynchronous=asynchronous, block_ms=50) as follower:
        coming = follower.step()
        until(lambda: waits(durable.url))
        follower.end()
        publish(durable.url, "1-0")
        assert isinstance(coming.exception(PATIENCE_S), StopAsyncIteration if asynchronous else StopIteration)
        assert follower.client.forecasts("0")


def test_a_closed_client_is_not_opened_again_unawares(url: str, redis: Redis) -> None:
    """Every method raises the error, also of the asyncio client."""
    client = Client(url)
    client.push("a", 1.0)
    client.close()
    client.close()
    for attempt in (
        lambda: client.push("a", 1.0),
        lambda: client.push_many([("a", 1.0)]),
        client.forecasts,
        client.events,
    ):
        with pytest.raises(ClosedError):
            attempt()

    async def use() -> None:
        async with AsyncClient(url) as other:
            await other.push("a", 1.0)
        await other.close()
        for attempt in (
            other.push("a", 1.0),
            other.push_many([("a", 1.0)]),
            anext(other.forecasts()),
            anext(other.events()),
        ):
            with pytest.raises(ClosedError):
                await attempt

    asyncio.run(use())
    assert 2 == redis.xlen("readings")


@pytest.mark.parametrize("runs", [2, 3])
def test_an_asyncio_client_serves_one_event_loop_after_the_other(url: str, redis: Redis, runs: int) -> None:
    """Its connections end with their loop; an iteration goes on in the next one."""
    client = AsyncClient(url)
    forecasts = client.forecasts("0")

    async def use() -> str:
        await client.push("a", 1.0)
        await client.push_many([("a", 2.0)])
        return (await anext(forecasts)).id

    publish(url, *(f"{i}-0" for i in range(1, runs + 1)))
    assert [f"{i}-0" for i in range(1, runs + 1)] == [asyncio.run(use()) for _ in range(runs)]
    assert 2 * runs == redis.xlen("readings")
    until(lambda: 1 == len(redis.client_list()))
    asyncio.run(client.close())


def test_two_event_loops_at_once_are_refused(url: str) -> None:
    """Connections of one loop do not work in another: a clear error instead of a strange one."""
    client = AsyncClient(url)
    first = asyncio.new_event_loop()
    second = asyncio.new_event_loop()
    try:
        first.run_until_complete(client.push("a", 1.0))
        with pytest.raises(TidecastError, match="in use by another event loop: make one for each loop"):
            second.run_until_complete(client.push("a", 1.0))
        first.run_until_complete(client.close())
    finally:
        first.close()
        second.close()


async def test_a_step_that_is_cancelled_loses_nothing(url: str) -> None:
    """A caller that waits with a time limit may go on afterwards; the client serves all the while."""
    async with AsyncClient(url) as client:
        forecasts = client.forecasts("0")
        for i in range(1, 4):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(forecasts), 0.02)
            await client.push("a", 1.0)
            publish(url, f"{i}-0")
            assert f"{i}-0" == (await anext(forecasts)).id
        await forecasts.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(forecasts)


async def test_a_step_ends_though_its_cancellation_was_dropped(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.11 drops one that comes at the moment when a command has been sent; the step read on for ever."""

    async def dropping(_connection: Any, _position: Any, **_options: Any) -> list[Any]:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.2)
        return []

    async with AsyncClient(url) as client:
        forecasts = client.forecasts("0")
        with monkeypatch.context() as patch:
            patch.setattr("redis.asyncio.Redis.xread", dropping)
            step = asyncio.ensure_future(anext(forecasts))
            await asyncio.sleep(0.1)
            step.cancel()
            await asyncio.wait({step}, timeout=PATIENCE_S)
            assert step.cancelled()
        publish(url, "1-0")
        assert "1-0" == (await anext(forecasts)).id


async def test_a_push_of_many_ends_though_its_cancellation_was_dropped(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The part that was sent may have arrived; the following ones are not sent."""
    parts = []

    async def dropping(pipeline: Any) -> list[bytes]:
        parts.append(len(pipeline.command_stack))
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.2)
        return [b"1-0"] * parts[-1]

    monkeypatch.setattr("redis.asyncio.client.Pipeline.execute", dropping)
    async with AsyncClient(url) as client:
        push = asyncio.ensure_future(client.push_many(("a", float(i)) for i in range(100_000)))
        while not parts:
            await asyncio.sleep(0.01)
        push.cancel()
        await asyncio.wait({push}, timeout=PATIENCE_S)
    assert push.cancelled()
    assert sum(parts) < 100_000


@both
def test_two_iterations_at_once_get_all_each_and_a_shared_one_gives_each_once(url: str, asynchronous: bool) -> None:
    """Threads or tasks that share an iteration share its forecasts."""
    publish(url, *(f"{i}-0" for i in range(1, 9)))
    with Follower(url, asynchronous=asynchronous) as follower:
        other = follower.client.forecasts("0")
        mine = follower.items
        follower.items = other
        assert [f"{i}-0" for i in range(1, 9)] == [follower.next_id() for _ in range(8)]
        follower.items = mine
        steps = [follower.step() for _ in range(8)]
        assert [f"{i}-0" for i in range(1, 9)] == sorted(step.result(PATIENCE_S).id for step in steps)


@both
def test_after_a_foreign_entry_the_next_step_goes_on(url: str, redis: Redis, asynchronous: bool) -> None:
    """The error names it; it does not end the iteration in silence."""
    publish(url, "1-0")
    redis.xadd("forecasts", {"series": "a"}, id="2-0")
    publish(url, "3-0")
    with Follower(url, asynchronous=asynchronous) as follower:
        assert "1-0" == follower.next_id()
        with pytest.raises(StreamError, match="2-0"):
            follower.next_id()
        assert "3-0" == follower.next_id()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        *(({"block_ms": wrong}, "block_ms is") for wrong in (0, -1, math.nan, math.inf, "5", None, True)),
        *(({"give_up_s": wrong}, "give_up_s is") for wrong in (-1, math.nan, "5", False)),
        *(
            ({"since": wrong}, "since is")
            for wrong in ("abc", "", None, "1-", "-1", "1-2-3", 1.5, "1e3", "9" * 30, True)
        ),
    ],
)
def test_an_argument_out_of_range_is_refused_at_the_call(url: str, options: dict[str, Any], sentence: str) -> None:
    """Both clients check it, before any request to Redis."""
    for kind in (Client, AsyncClient):
        client: Any = kind(url)
        for method in (client.forecasts, client.events):
            with pytest.raises(SettingsError, match=sentence):
                method(**options)
