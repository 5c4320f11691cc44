"""Several partitions, one worker or many: shared fairly, handed over, taken over, and each reading answered once."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis import Redis

from tests.harness.models import make_model
from tests.harness.patience import PATIENCE_S, until
from tests.worker.harness import Impatient
from tidecast.client import Client
from tidecast.connection.partitions import server_ms
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import Settings
from tidecast.wire import Forecast, keys_of, layout_of, partition_of
from worker.loop import Worker
from worker.main import make_worker
from worker.membership import EVERY_S, OFTEN_S
from worker.metrics import Health
from worker.partition.stream import Stream
from worker.stop import Stop

PARTITIONS = 8
NOW = 1_700_000_000.0
SERIES = [f"series-{i}" for i in range(40)]
pytestmark = pytest.mark.settings(partitions=PARTITIONS, worker={"lease": 1.0, "block": "1ms"}, redis_timeout=2.0)


def push(settings: Settings, numbers: range) -> None:
    """Push one reading of every series for each number, a second apart."""
    with Client(settings.redis_url.get_secret_value(), partitions=PARTITIONS) as client:
        client.push_many((series, float(n), n * 1000) for n in numbers for series in SERIES)


def answered(redis: Redis) -> Counter[str]:
    """Return how many forecasts each series has, each from the partition that it belongs to."""
    made: Counter[str] = Counter()
    for i in range(PARTITIONS):
        for entry in redis.xrange(keys_of(i, PARTITIONS).forecasts):
            forecast = Forecast.decode(*entry)
            assert i == partition_of(forecast.series, PARTITIONS)
            made[forecast.series] += 1
    return made


def held(worker: Worker) -> int:
    """Return how many partitions a worker takes for its own."""
    return worker.held


@contextmanager
def running(worker: Worker) -> Iterator[Stop]:
    """A worker in a thread of its own, stopped in the end."""
    stop = Stop()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def test_one_worker_serves_all_partitions(settings: Settings, redis: Redis) -> None:
    """Every series is answered from its own partition, and by its model."""
    ModelStore(settings.store).publish(make_model(SERIES[0], Spec(window=2, units=3), span=(0, 0)))
    push(settings, range(1, 6))
    make_worker(settings, Health()).run(Stop(), burst=True)
    assert dict.fromkeys(SERIES, 5) == answered(redis)
    its = redis.xrange(keys_of(partition_of(SERIES[0], PARTITIONS), PARTITIONS).forecasts)
    kinds = [f.kind for entry in its if (f := Forecast.decode(*entry)).series == SERIES[0]]
    assert ["naive", "lstm", "lstm", "lstm", "lstm"] == kinds


@pytest.mark.settings(partitions=PARTITIONS, worker={"lease": 600.0, "block": "1ms"})
def test_a_worker_that_joins_gets_its_share_and_gives_it_back(settings: Settings, redis: Redis) -> None:
    """Four each; and all eight for the one that stays."""
    first, second = (make_worker(settings, Health()) for _ in range(2))
    first.step(NOW)
    assert (8, 0) == (held(first), held(second))
    second.step(NOW)
    first.step(NOW + EVERY_S)
    assert (4, 0) == (held(first), held(second))
    second.step(NOW + EVERY_S)
    assert (4, 4) == (held(first), held(second))
    second.leave()
    first.step(NOW + 2 * EVERY_S)
    assert (8, 0) == (held(first), held(second))
    assert redis.hkeys("workers")


def test_a_worker_acquires_no_more_than_its_share(settings: Settings, redis: Redis) -> None:  # noqa: ARG001 - empty
    """Though all partitions are free: another worker is about to acquire the rest."""
    other, worker = (make_worker(settings, Health()) for _ in range(2))
    assert other._membership
    other._membership.look(NOW)
    worker.step(NOW)
    assert held(worker) == PARTITIONS // 2


@pytest.mark.settings(partitions=PARTITIONS, worker={"lease": 600.0, "block": "1ms"})
def test_readings_of_a_partition_that_is_handed_over_are_answered_once(settings: Settings, redis: Redis) -> None:
    """While workers come and go."""
    workers = [make_worker(settings, Health()) for _ in range(3)]
    push(settings, range(1, 4))
    for i, n in enumerate(range(4, 40)):
        push(settings, range(n, n + 1))
        for worker in workers[: 1 + (i // 6) % 3]:
            worker.step(NOW + i * EVERY_S)
        if i % 6 == 5:
            workers[(i // 6) % 3].leave()
    for worker in workers:
        worker.leave()
    make_worker(settings, Health()).run(Stop(), burst=True)
    assert dict.fromkeys(SERIES, 39) == answered(redis)


def test_what_a_dead_worker_held_is_taken_over(settings: Settings, redis: Redis) -> None:
    """Its readings are answered by the other: a lease that is not renewed runs out."""
    dead = make_worker(settings, Health())
    dead.step(time.time())  # and never again
    assert held(dead) == PARTITIONS
    push(settings, range(1, 4))
    with running(make_worker(settings, Health())):
        until(lambda: sum(answered(redis).values()) == 3 * len(SERIES))
    assert dict.fromkeys(SERIES, 3) == answered(redis)


@pytest.mark.settings(partitions=PARTITIONS, worker={"lease": 600.0, "block": "1ms"})
def test_a_partition_is_tried_again_when_its_lease_runs_out(
    settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not only at the next regular try."""
    monkeypatch.setattr("worker.membership.EVERY_S", 100.0)
    worker = make_worker(settings, Health())
    now_ms = server_ms(redis)
    for keys in layout_of(settings).present():
        redis.hset(keys.lease, mapping={"owner": "dead", "expires_ms": now_ms + 50_000})
    worker.step(NOW)
    free_at = [consumer.free_at for consumer in worker._consumers]
    assert NOW < min(free_at) <= max(free_at) <= NOW + 50
    worker.step(min(free_at) - 0.001)
    assert 0 == held(worker)
    for keys in layout_of(settings).present():
        redis.hset(keys.lease, "expires_ms", now_ms)
    worker.step(max(free_at))
    assert PARTITIONS == held(worker)


@pytest.mark.parametrize(("hurried", "taken"), [(False, 0), (True, PARTITIONS)])
@pytest.mark.settings(partitions=PARTITIONS, worker={"lease": 600.0, "block": "1ms"})
def test_a_free_partition_is_taken_sooner_during_a_repartition(
    settings: Settings, redis: Redis, *, hurried: bool, taken: int
) -> None:
    """No reading of a closed partition is answered meanwhile, so a worker does not wait for half a second."""
    make_worker(settings, Health()).step(NOW)
    worker = make_worker(settings, Health())
    worker._layouts = None  # which would look for a repartition
    assert worker._membership
    worker._membership.hurried = hurried
    worker.step(NOW)
    assert held(worker) == 0
    redis.delete(*(keys_of(i, PARTITIONS).lease for i in range(PARTITIONS)))
    worker.step(NOW + 2 * OFTEN_S)
    assert held(worker) == taken


def test_what_a_worker_gives_up_politely_is_served_at_once(settings: Settings, redis: Redis) -> None:
    """The other worker does not wait for the lease to run out, which would take minutes."""
    slow = settings.model_copy(update={"worker": settings.worker.model_copy(update={"lease": 600.0})})
    leaving = make_worker(slow, Health())
    staying = make_worker(slow, Health())
    with running(staying):
        with running(leaving):
            until(lambda: held(leaving) == held(staying) == PARTITIONS // 2)
        push(settings, range(1, 3))
        until(lambda: sum(answered(redis).values()) == 2 * len(SERIES))


def test_burst_waits_for_a_partition_that_a_dead_worker_still_holds(settings: Settings, redis: Redis) -> None:
    """It is this worker's share, and may have readings yet."""
    Stream(redis, keys_of(3, PARTITIONS), settings.worker).acquire("dead")
    push(settings, range(1, 3))
    make_worker(settings, Health()).run(Stop(), burst=True)
    assert dict.fromkeys(SERIES, 2) == answered(redis)


def test_burst_waits_for_a_partition_that_was_put_off(settings: Settings, redis: Redis) -> None:
    """Its batch is kept until Redis takes it, when the others have had nothing left to do for long."""
    waiting = {"forecasts_kept": 1, "wait_for_group": "plant"}
    patient = settings.model_copy(update={"worker": settings.worker.model_copy(update=waiting)})
    push(settings, range(1, 3))
    make_worker(patient, Health()).run(Stop(), burst=True)
    key = keys_of(partition_of(SERIES[0], PARTITIONS), PARTITIONS).forecasts

    class Reading(Stop):
        """A stop at whose third wait the consumer group appears, with all entries read."""

        waits = 0

        def wait(self, seconds: float) -> bool:
            self.waits += 1
            if self.waits == 3:
                redis.xgroup_create(key, "plant", id="$")
            return super().wait(seconds)

    push(settings, range(3, 4))
    for name in {keys_of(i, PARTITIONS).forecasts for i in range(PARTITIONS)} - {key}:
        redis.xgroup_create(name, "plant", id="$")
    make_worker(patient, Health()).run(Reading(), burst=True)
    assert 3000 == max(Forecast.decode(*entry).origin for entry in redis.xrange(key))


def test_after_a_success_the_next_pause_is_short_again(settings: Settings, redis: Redis) -> None:
    """This holds for the failures that all partitions share, too."""
    worker = make_worker(settings, Health())
    redis.set("workers", "mine")
    worker.run(long := Impatient(6))
    redis.delete("workers")
    worker.run(Stop(), burst=True)
    worker.step(0.0)  # the clock is set: the other workers are counted at once
    redis.set("workers", "mine")
    worker.run(short := Impatient(1))
    assert short.longest_s <= 0.05 < 0.2 < long.longest_s  # half a lease at most


def test_a_reading_in_the_wrong_partition_is_a_dead_letter_that_says_where(settings: Settings, redis: Redis) -> None:
    """Its window lies elsewhere: to answer here would answer from another one."""
    series = SERIES[0]
    its = partition_of(series, PARTITIONS)
    wrong = keys_of((its + 1) % PARTITIONS, PARTITIONS)
    redis.xadd(wrong.readings, {"series": series, "value": 1})
    make_worker(settings, Health()).run(Stop(), burst=True)
    ((_, letter),) = redis.xrange(wrong.dead)
    assert b"wrong_partition" == letter[b"reason"]
    assert f"belongs to partition {its}".encode() in letter[b"detail"]
    assert Counter() == answered(redis)
