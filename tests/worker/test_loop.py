"""The worker as a whole, step by step against a real server: taken over, killed, and cut off."""

from itertools import islice

import pytest
from redis import Redis
from structlog.testing import capture_logs

from tests.chaos.faults.proxy import Fault, Proxy
from tests.chaos.harness import COMMIT
from tests.harness.models import make_model
from tests.worker.harness import (
    NOW,
    SPEC,
    Impatient,
    add,
    counts_of,
    elsewhere,
    forecasts,
    new_worker,
    quick,
    running,
    sample,
    stream_of,
)
from tidecast.client import Client
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.errors import Fenced, StateError
from tidecast.models.store import ModelStore
from tidecast.settings import Settings
from tidecast.wire import Forecast
from worker.loop import Worker
from worker.metrics import Health
from worker.stop import Stop

pytestmark = pytest.mark.settings(**quick())


def undisturbed(redis: Redis, settings: Settings) -> list[Forecast]:
    """Return the forecasts of an undisturbed worker for the same readings; it empties the rest of the server."""
    redis.delete("forecasts", "dead", "state", "offset", "lease")
    new_worker(settings).run(Stop(), burst=True)
    return forecasts(redis)


def test_the_first_reading_of_an_unknown_series_is_answered_under_its_own_id(worker: Worker, redis: Redis) -> None:
    """By its own value, in the first step."""
    entry_id = redis.xadd("readings", {"series": "new", "value": 42.5})
    assert 1 == worker.step(NOW)
    (made,) = forecasts(redis)
    assert (str(entry_id.decode()), "new", 42.5, "naive") == (made.id, made.series, made.yhat, made.kind)


def test_a_step_answers_a_batch_at_most(worker: Worker, redis: Redis) -> None:
    """An empty stream is not a failure either."""
    add(redis, *range(1, 17))
    assert [7, 7, 2, 0, 0] == [worker.step(NOW + n) for n in range(5)]
    assert [f"{n}-0" for n in range(1, 17)] == [f.id for f in forecasts(redis)]


def test_a_partition_that_another_holds_is_left_alone(worker: Worker, settings: Settings, redis: Redis) -> None:
    """No key is read or written until its lease is free."""
    add(redis, 1)
    stream = stream_of(settings)
    stream.acquire("other")
    assert worker.step(NOW) is None
    assert [] == forecasts(redis)
    stream.release(1)
    assert 1 == worker.step(NOW)


def test_burst_ends_once_every_reading_is_answered(worker: Worker, settings: Settings, redis: Redis) -> None:
    """Over many batches; the lease is given back, so that the next worker need not wait."""
    add(redis, *range(1, 31))
    worker.run(Stop(), burst=True)
    assert 30 == len(forecasts(redis))
    assert stream_of(settings).acquire("next") is not None


def test_told_to_stop_before_it_starts_a_worker_does_nothing(worker: Worker, redis: Redis) -> None:
    """It does not even take the lease."""
    add(redis, 1)
    stop = Stop()
    stop.set()
    worker.run(stop)
    assert 0 == redis.exists("lease", "forecasts")


def test_bad_readings_are_dead_and_the_stream_goes_on(settings: Settings, redis: Redis) -> None:
    """Even one without any known field, under the highest id; the metrics sum to the readings."""
    health = Health()
    add(redis, 1, 3, series=("a",))
    redis.xadd("readings", {b"\xff": b"\xff"}, id="4-0")
    add(redis, 5, series=("a",))
    redis.xadd("readings", {"series": "a", "value": 1, "ts": 5000}, id="6-0")
    redis.xadd("readings", {"series": "a", "value": 1, "ts": 1}, id="7-0")
    redis.xadd("readings", {"series": "a", "value": 1, "ts": "soon"}, id="18446744073709551615-1")
    new_worker(settings, health).run(Stop(), burst=True)
    assert [b"4-0", b"18446744073709551615-1"] == [entry_id for entry_id, _ in redis.xrange("dead")]
    counts = {
        name: sample(health, "tidecast_readings_total", disposition=name)
        for name in ("forecast", "duplicate", "late", "dead")
    }
    assert {"forecast": 3.0, "duplicate": 1.0, "late": 1.0, "dead": 2.0} == counts


def test_a_fenced_worker_drops_its_memory_and_the_next_goes_on(settings: Settings, redis: Redis) -> None:
    """Two workers in turn, the first losing its lease unawares: together they answer as one would have."""
    ModelStore(settings.store).publish(make_model("a", SPEC))
    add(redis, *range(1, 15))
    first = new_worker(settings)
    second = new_worker(settings)
    assert 7 == first.step(NOW)
    redis.hset("lease", "expires_ms", 0)
    assert 7 == second.step(NOW)
    add(redis, *range(15, 26))
    with pytest.raises(Fenced):
        first.step(NOW + 0.1)
    assert 14 == len(forecasts(redis))
    second.run(Stop(), burst=True)
    add(redis, *range(26, 40))
    first.run(Stop(), burst=True)
    made = forecasts(redis)
    assert [f"{n}-0" for n in range(1, 40)] == [f.id for f in made]
    assert undisturbed(redis, settings) == made


def test_a_lease_that_was_taken_is_noticed_without_readings(settings: Settings, redis: Redis) -> None:
    """An idle worker notices when it renews the lease."""
    first = new_worker(settings)
    second = new_worker(settings)
    first.step(NOW)
    redis.hset("lease", "expires_ms", 0)
    second.step(NOW)
    with pytest.raises(Fenced):
        first.step(NOW + settings.worker.lease)


def test_a_server_that_forgot_everything_is_begun_anew(worker: Worker, settings: Settings, redis: Redis) -> None:
    """FLUSHALL under a running worker: it notices, and answers the readings after it."""
    add(redis, 1, 2, 3)
    assert 3 == worker.step(NOW)
    redis.flushall()
    add(redis, 1, 2)
    with pytest.raises(Fenced):  # as soon as it renews its lease
        worker.step(NOW + settings.worker.lease)
    worker.run(Stop(), burst=True)
    assert undisturbed(redis, settings) == forecasts(redis)


def test_a_state_of_another_version_is_never_overwritten(worker: Worker, redis: Redis) -> None:
    """The worker refuses to answer rather than to forget."""
    add(redis, 1)
    redis.hset("state", "a", b"\xfe rest")
    with pytest.raises(StateError, match="state format 254"):
        worker.step(NOW)
    worker.run(Impatient(5))
    assert b"\xfe rest" == redis.hget("state", "a")
    assert [] == forecasts(redis)


# Lost connections


def test_commits_whose_replies_are_lost_happen_once(
    settings: Settings, redis: Redis, redis_server: EmbeddedRedis
) -> None:
    """The worker cannot know, so it sends them again; no reading is doubled or skipped."""
    health = Health()
    with Proxy(redis_server.port) as proxy:
        worker = new_worker(elsewhere(settings, proxy.url), health)
        for first in (1, 14, 27):
            add(redis, *range(first, first + 13))
            proxy.arm(Fault("drop_reply", COMMIT))
            worker.run(Stop(), burst=True)
            assert 0 == proxy.armed
    made = forecasts(redis)
    assert [f"{n}-0" for n in range(1, 40)] == [f.id for f in made]
    assert {"read": 39, "lost": 0, "forecast": 39} == counts_of(settings)
    assert 3.0 == sample(health, "tidecast_failures_total", kind="redis")
    assert 39.0 == sample(health, "tidecast_readings_total", disposition="forecast")
    assert undisturbed(redis, settings) == made


def test_a_killed_server_that_comes_back_finds_its_worker_going_on(
    redis_program: str, settings: Settings, store: ModelStore
) -> None:
    """With an append-only file no reading is lost, and the forecasts equal those of a quiet day, to the last bit."""
    durable = ("--appendonly", "yes", "--appendfsync", "always")
    for name in ("a", "b"):
        store.publish(make_model(name, SPEC))
    with EmbeddedRedis(redis_program, durable) as server:
        settings = elsewhere(settings, server.url)
        with Redis.from_url(server.url, protocol=2) as redis, Client(server.url) as client:
            with running(new_worker(settings)):
                for start in (1, 101, 201):
                    add(redis, *range(start, start + 100))
                    since = client.forecasts(f"{start - 1}-0")
                    list(islice(since, 50 if start < 201 else 100))
                    if start < 201:
                        server.kill()
                        server.start()
            made = forecasts(redis)
            assert [f"{n}-0" for n in range(1, 301)] == [f.id for f in made]
            assert {"read": 300, "lost": 0, "forecast": 300} == counts_of(settings)
            assert undisturbed(redis, settings) == made


def test_a_server_may_be_away_for_as_long_as_it_likes(settings: Settings) -> None:
    """After more than a thousand failures the worker still tries, at most some seconds apart."""
    health = Health()
    stop = Impatient(1100)
    new_worker(elsewhere(settings, "redis://127.0.0.1:1/0"), health).run(stop)
    assert 1100.0 == sample(health, "tidecast_failures_total", kind="redis")
    assert 1.25 <= stop.longest_s <= 2.5  # half a lease: it does not run out during the wait


def test_after_a_success_the_next_pause_is_short_again(worker: Worker, redis: Redis) -> None:
    """Only failures in a row make it longer."""
    add(redis, 1)
    redis.set("dead", "mine")
    worker.run(long := Impatient(6))
    redis.delete("dead")
    worker.run(Stop(), burst=True)
    add(redis, 2)
    redis.set("dead", "mine")
    worker.run(short := Impatient(1))
    assert short.longest_s <= 0.05 < 0.5 < long.longest_s


def test_lost_readings_are_counted_and_the_rest_is_answered(settings: Settings, redis: Redis) -> None:
    """Trimmed past the offset while no worker ran: known from Redis 7 on, documented as 0 before."""
    health = Health()
    add(redis, *range(1, 8))
    new_worker(settings).run(Stop(), burst=True)
    add(redis, *range(8, 31))
    redis.xtrim("readings", minid="21-0", approximate=False)
    new_worker(settings, health).run(Stop(), burst=True)
    lost = 13 if int(redis.info("server")["redis_version"].split(".")[0]) >= 7 else 0
    assert {"read": 17 + lost, "lost": lost, "forecast": 17} == counts_of(settings)
    assert float(lost) == sample(health, "tidecast_readings_lost_total")
    assert [*range(1, 8), *range(21, 31)] == [int(f.id.partition("-")[0]) for f in forecasts(redis)]


@pytest.mark.usefixtures("redis")
def test_a_worker_is_ready_while_it_holds_the_partition(settings: Settings) -> None:
    """It is not ready before, nor after it has left."""
    health = Health()
    worker = new_worker(settings, health)
    assert not health.ready.is_set()
    worker.step(NOW)
    assert health.ready.is_set()
    assert 1.0 == sample(health, "tidecast_partitions_held")
    worker.run(Stop(), burst=True)
    assert not health.ready.is_set()
    assert 0.0 == sample(health, "tidecast_partitions_held")


@pytest.mark.settings(**quick(500))
def test_a_drift_is_told_once_its_batch_is_committed(settings: Settings, redis: Redis) -> None:
    """The worker whose commit succeeded logs it, with the series and the reading; one that was refused counts
    nothing.
    """
    healths = (Health(), Health())
    first, second = (new_worker(settings, health) for health in healths)

    def push(numbers: range, level: float) -> None:
        for n in numbers:
            redis.xadd("readings", {"series": "a", "value": n * n % 17 + level, "ts": n * 1000}, id=f"{n}-0")

    push(range(1, 301), 0)
    assert 300 == first.step(NOW)
    redis.hset("lease", "expires_ms", 0)
    assert 0 == second.step(NOW)
    push(range(301, 401), 300)
    with pytest.raises(Fenced):
        first.step(NOW + 0.1)
    with capture_logs() as log:
        assert 100 == second.step(NOW + 0.1)
    assert [0.0, 1.0] == [sample(health, "tidecast_drifts_total", kind="level") for health in healths]
    (line,) = (each for each in log if each["event"] == "series have changed")
    assert (0, 1, "level of a at 3") == (line["partition"], line["drifts"], line["some"][0][:15])
