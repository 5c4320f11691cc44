"""Faults that concern several partitions: one does not cost the others, and an operator finds the cause."""

import math
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis import Redis
from structlog.testing import capture_logs

from tests.worker.harness import Impatient, sample
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.errors import StreamError
from tidecast.settings import Settings
from tidecast.wire import keys_of, partition_of
from worker.failures.backoff import Backoff
from worker.layout.router import Router
from worker.loop import Worker
from worker.main import make_worker
from worker.metrics import Health

PARTITIONS = 4
SERIES = {partition_of(name, PARTITIONS): name for name in "abcdefghijkl"}
ROUNDS = 20  # within them a partition is tried again
pytestmark = pytest.mark.settings(partitions=PARTITIONS, worker={"block": "1ms"}, redis_timeout=0.5)


@pytest.fixture(scope="module")
def redis_server(redis_program: str) -> Iterator[EmbeddedRedis]:
    """A server that may be ill-treated."""
    with EmbeddedRedis(redis_program) as running:
        yield running


@contextmanager
def frozen(redis: Redis) -> Iterator[None]:
    """Let the server answer nobody."""
    process = redis.info("server")["process_id"]
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def push(redis: Redis) -> None:
    """Push a reading to each partition."""
    for partition, series in SERIES.items():
        redis.xadd(keys_of(partition, PARTITIONS).readings, {"series": series, "value": 1})


def forecasts(redis: Redis) -> list[int]:
    """Return the number of forecasts of each partition."""
    kept = [keys_of(partition, PARTITIONS).forecasts for partition in range(PARTITIONS)]
    return [redis.xlen(key) if redis.type(key) == b"stream" else 0 for key in kept]


def readiness(health: Health) -> str:
    """Return the body of `/readyz`."""
    return b"".join(health._answer({"PATH_INFO": "/readyz"}, lambda *_: None)).decode()


def serving(settings: Settings, health: Health) -> Worker:
    """Return a worker that holds all partitions."""
    worker = make_worker(settings, health)
    worker.step(time.time())
    assert PARTITIONS == worker.held
    return worker


def rounds(worker: Worker) -> list[dict[str, object]]:
    """Let the worker go on for some rounds, without the pauses of the loop; return its log."""
    with capture_logs() as logs:
        for _ in range(ROUNDS):
            for consumer in worker._consumers:
                consumer.retry_at = consumer.tried_at = 0.0
            worker.step(time.time(), Impatient(9))
    return [dict(line) for line in logs]


def test_a_redis_that_does_not_answer_is_waited_for_once(settings: Settings, redis: Redis) -> None:
    """Not by each partition in turn: `/readyz` answers 503 after the first, and the end of the worker asks no more."""
    health = Health()
    worker = serving(settings, health)
    worker.step(time.time())  # it reads the known values now and then, here for the first time
    assert worker._membership
    worker._membership._joined_at = time.time()  # so that the first partition is the first to wait
    with frozen(redis), capture_logs() as logs:
        worker.step(time.time(), Impatient(9))
        assert 1 == sample(health, "tidecast_failures_total", kind="redis")
        assert "503 Service Unavailable: Redis does not answer in time" in readiness(health)
        worker.leave()
    released = next(line for line in logs if line["event"] == "leases not released, they will run out")
    assert "Redis does not answer in time" == released["error"]


@pytest.mark.parametrize("name", ["forecasts", "dead", "events", "changed", "orders"])
def test_a_key_of_another_type_does_not_reload_the_partition_again_and_again(
    settings: Settings, redis: Redis, name: str
) -> None:
    """Its states are loaded once it is gone; the log has the partition and the key, and the others are served."""
    health = Health()
    worker = serving(settings, health)
    key = getattr(keys_of(1, PARTITIONS), name)
    redis.set(key, "other")
    push(redis)
    if name == "orders":  # they are read now and then, and when a partition is acquired
        worker._consumers[1].drop("a test")
    logs = rounds(worker)
    assert [1, 1, 1] == forecasts(redis)[:1] + forecasts(redis)[2:]
    assert 0 == sum(line["event"] == "partition acquired" for line in logs)
    failures = [line for line in logs if line["event"] == "step failed"]
    assert {1} == {line["partition"] for line in failures}
    assert key in str(failures[-1]["error"])
    redis.delete(key)
    rounds(worker)
    assert [1, 1, 1, 1] == forecasts(redis)


def test_a_partition_that_has_failed_is_left_alone_until_its_pause_is_over(
    settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are served meanwhile, again and again."""
    monkeypatch.setattr(Backoff, "pause_s", lambda *_: 60.0)
    health = Health()
    worker = serving(settings, health)
    redis.set(keys_of(1, PARTITIONS).forecasts, "other")
    for _ in range(3):
        push(redis)
        worker.step(time.time(), Impatient(9))
    assert [3, 0, 3, 3] == forecasts(redis)
    assert 1 == sample(health, "tidecast_failures_total", kind="step")


def test_after_the_loss_of_a_partition_the_worker_looks_for_a_repartition(settings: Settings, redis: Redis) -> None:
    """Not only at the next regular look, as its readings wait."""
    worker = serving(settings, Health())
    redis.hset(keys_of(1, PARTITIONS).lease, "epoch", 99)
    push(redis)
    worker.step(time.time(), Impatient(9))
    assert [1, 0, 1, 1] == forecasts(redis)
    assert worker._membership
    assert worker._membership._joined_at == -math.inf


def test_a_lease_that_cannot_be_released_does_not_keep_the_others(settings: Settings, redis: Redis) -> None:
    """The worker ends as always, so that others can take its other partitions at once."""
    worker = serving(settings, Health())
    broken = keys_of(1, PARTITIONS).lease
    redis.delete(broken)
    redis.set(broken, "other")
    with capture_logs() as logs:
        worker.leave()
    assert "worker stopped" == logs[-1]["event"]
    leases = [keys_of(partition, PARTITIONS).lease for partition in (0, 2, 3)]
    assert [None] * 3 == [redis.hget(lease, "owner") for lease in leases]
    assert {} == redis.hgetall("workers")


def test_a_lease_that_cannot_be_handed_over_does_not_keep_the_others(settings: Settings, redis: Redis) -> None:
    """When another worker joins, the share that stays with this one is still answered."""
    worker = serving(settings, Health())
    make_worker(settings, Health()).step(time.time())
    assert worker._membership
    worker._membership.look_soon()
    broken = keys_of(3, PARTITIONS).lease
    redis.delete(broken)
    redis.set(broken, "other")
    push(redis)
    logs = rounds(worker)
    assert [1, 1, 0, 0] == forecasts(redis)
    assert 2 == worker.held
    assert [3] == [line["partition"] for line in logs if line["event"] == "partition dropped"]


def test_a_worker_that_cannot_route_is_not_ready(settings: Settings, redis: Redis) -> None:
    """Readings wait for it alone; its own partitions are served meanwhile."""
    health = Health()
    worker = serving(settings, health)
    routed = keys_of(1, PARTITIONS).routed
    redis.set(routed, "other")
    redis.xadd("readings", {"series": SERIES[1], "value": 1})
    push(redis)
    logs = rounds(worker)
    assert [1, 1, 1, 1] == forecasts(redis)
    assert {"routing"} == {line.get("part") for line in logs if line["event"] == "step failed"}
    assert readiness(health).startswith("503 Service Unavailable: StreamError: a key is not of the type")
    redis.delete(routed)
    worker._parts.router._retry_at = 0.0  # type: ignore[union-attr] # there is a router
    rounds(worker)
    assert readiness(health).startswith("200")
    assert [1, 2, 1, 1] == forecasts(redis)


def test_the_pauses_of_routing_grow(settings: Settings, redis: Redis) -> None:
    """A key of another type is not tried twenty times a second for days."""
    redis.set(keys_of(1, PARTITIONS).routed, "other")
    redis.xadd("readings", {"series": SERIES[1], "value": 1})
    router = Router(redis, settings)
    pauses = []
    for _ in range(8):
        router._retry_at = 0.0
        with pytest.raises(StreamError):
            router.try_step()
        pauses.append(router.pause_s)
    assert 0 == router.try_step()
    assert 20 * pauses[0] < pauses[-1] <= settings.worker.lease / 2
