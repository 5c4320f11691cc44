"""A worker that waits until replicas have its commits."""

import pytest
from redis import Redis

from tests.worker.partition.harness import outcome
from tidecast.errors import Unavailable
from tidecast.settings import WorkerSettings
from tidecast.wire import keys_of
from worker.partition.stream import Stream


def test_a_commit_that_no_replica_has_is_sent_again(redis: Redis) -> None:
    """It is in Redis, and writes nothing the second time; the worker does not go on meanwhile."""
    redis.xadd("readings", {"series": "a", "value": 1}, id="1-0")
    waiting = Stream(redis, keys_of(), WorkerSettings(wait_replicas=1))
    epoch = waiting.acquire("me")
    assert epoch
    for _ in range(2):
        with pytest.raises(Unavailable, match="0 of 1 replicas have confirmed the last commit"):
            waiting.commit(epoch, "0-0", outcome("1-0", "1-0"), meanwhile=lambda: None)
    assert ("1-0", 1) == (waiting.progress().last, redis.xlen("forecasts"))
