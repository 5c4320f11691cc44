"""The one partition of an emptied server."""

import pytest
from redis import Redis

from tidecast.settings import WorkerSettings
from tidecast.wire import keys_of
from worker.partition.stream import Stream


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
