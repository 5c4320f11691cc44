"""Iterations of both clients, whose steps run in a thread."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from redis import Redis

from tests.harness.forecasts import sent
from tests.harness.patience import PATIENCE_S
from tidecast.client import AsyncClient, Client
from tidecast.wire import Forecast


class Follower:
    """One iteration of a blocking or an asyncio client, whose steps run in a thread."""

    def __init__(self, url: str, *, asynchronous: bool, timeout_s: float = 5.0, **options: Any) -> None:
        self._threads = ThreadPoolExecutor(4)
        self._loop = asyncio.new_event_loop()
        self.client: Any = (AsyncClient if asynchronous else Client)(url, redis_timeout=timeout_s)
        self.asynchronous = asynchronous
        self._runs = self._threads.submit(self._loop.run_forever) if asynchronous else None
        self.items = self.client.forecasts("0", **options)

    def step(self) -> Any:
        """Begin one step; its future."""
        if self.asynchronous:
            return asyncio.run_coroutine_threadsafe(anext(self.items), self._loop)
        return self._threads.submit(next, self.items)

    def next_id(self) -> str:
        """Return the id of the next forecast."""
        return self.step().result(PATIENCE_S).id

    def end(self) -> None:
        """Close the iteration alone, from another thread or task than its own."""
        if self.asynchronous:
            asyncio.run_coroutine_threadsafe(self.items.aclose(), self._loop).result(PATIENCE_S)
        else:
            self.items.close()

    def close(self) -> None:
        """Close the client, from another thread or task than the iteration's."""
        if self.asynchronous:
            asyncio.run_coroutine_threadsafe(self.client.close(), self._loop).result(PATIENCE_S)
        else:
            self.client.close()

    def __enter__(self) -> "Follower":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        if self._runs:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._runs.result(PATIENCE_S)
        self._loop.close()
        self._threads.shutdown()


def publish(url: str, *ids: str) -> None:
    """Put forecasts on the stream, as a worker would."""
    with Redis.from_url(url, protocol=2) as redis:
        for entry_id in ids:
            forecast = Forecast(entry_id, "a", 2000, 1.5, 1.0, 2.0, 0.9, 1000, None, "naive", 1.25)
            redis.xadd("forecasts", sent(forecast), id=entry_id)


def waits(url: str) -> bool:
    """Return whether a client waits in XREAD."""
    with Redis.from_url(url, protocol=2) as redis:
        return any(connection["cmd"] == "xread" and "b" in connection["flags"] for connection in redis.client_list())


both = pytest.mark.parametrize("asynchronous", [False, True], ids=["blocking", "asyncio"])
