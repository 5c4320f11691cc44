"""A partition with many series takes longer to load than a lease lasts: the worker stays alive for the others."""

import time
from collections.abc import Iterator
from itertools import count
from types import SimpleNamespace

import pytest
from redis import Redis

from tests.harness.connections import connected
from tests.worker.harness import NOW, quick
from tidecast.client import Client
from tidecast.errors import Fenced
from tidecast.settings import Settings
from tidecast.wire import layout_of
from worker.loop import Worker
from worker.main import make_worker
from worker.metrics import Health
from worker.partition import consumer as program
from worker.stop import Stop

pytestmark = pytest.mark.settings(**quick())


@pytest.fixture
def answered(redis: Redis, settings: Settings) -> Settings:
    """Settings of an installation with states in two partitions, whose worker has left."""
    parted = settings.model_copy(update={"partitions": 2})
    with Client(parted.redis_url.get_secret_value(), partitions=2) as client:
        client.push_many((f"s{n % 9}", float(n), 1000 * n) for n in range(1, 40))
    first = make_worker(parted, Health())
    while sum(redis.xlen(keys.forecasts) for keys in layout_of(parted).present()) < 39:
        first.step(NOW)
    first.leave()
    return parted


def loading(worker: Worker, meanwhile: dict[str, dict[str, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let fields of Redis change whenever some states are loaded, each time a lease later."""
    redis = connected(worker.settings)
    clock = count(0, worker.settings.worker.lease)
    own = SimpleNamespace(monotonic=lambda: next(clock), perf_counter=time.perf_counter)
    monkeypatch.setattr(program, "time", own)
    for each in worker._consumers:
        states = each._stream.states

        def slow(states=states) -> Iterator[dict[str, bytes]]:  # type: ignore[no-untyped-def] # its default binds the loop variable
            for some in states():
                for key, fields in meanwhile.items():
                    if redis.exists(key):
                        redis.hset(key, mapping=fields)
                yield some

        monkeypatch.setattr(each._stream, "states", slow)


def test_leases_and_the_registration_are_renewed_while_states_are_loaded(
    answered: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers took a large partition from each other in turn, and neither came to answer a reading."""
    named = answered.model_copy(update={"worker": answered.worker.model_copy(update={"name": "w"})})
    worker = make_worker(named, Health())
    leases = [keys.lease for keys in layout_of(answered).present()]
    loading(worker, {**{key: {"expires_ms": 1} for key in leases}, "workers": {"w": 1}}, monkeypatch)
    worker.step(NOW)
    assert 2 == worker.held
    now_ms = redis.time()[0] * 1000
    assert all(int(redis.hget(key, "expires_ms") or 0) > now_ms for key in leases)
    assert int(redis.hget("workers", "w") or 0) > now_ms


def test_a_partition_that_is_lost_while_it_is_loaded_is_dropped(
    answered: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker took it when this one was frozen: half of its states must not be used."""
    worker = make_worker(answered, Health())
    first = layout_of(answered).keys(0)
    loading(worker, {first.lease: {"epoch": 99}}, monkeypatch)
    with pytest.raises(Fenced):
        worker.step(NOW)
    assert not worker._consumers[0].held
    assert not worker._consumers[0].forecaster.states


def test_a_worker_that_must_stop_does_not_load_to_the_end(
    answered: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An orchestrator kills it otherwise, and its partitions wait until the leases have run out."""
    worker = make_worker(answered, Health())
    stop = Stop()
    yielded = []
    for each in worker._consumers:

        def states(states=each._stream.states) -> Iterator[dict[str, bytes]]:  # type: ignore[no-untyped-def] # its default binds the loop variable
            for some in states():
                stop.set()
                yielded.append(some)
                yield some

        monkeypatch.setattr(each._stream, "states", states)
    worker.run(stop)
    assert [{}] == yielded
    assert not any(redis.hget(keys.lease, "owner") for keys in layout_of(answered).present())
