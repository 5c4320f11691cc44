"""Workers that were given one name by mistake: one of them works, and the other logs what is wrong."""

import pytest
from redis import Redis
from structlog.testing import capture_logs

from tests.worker.harness import NOW, Impatient, add, forecasts, new_worker, stream_of
from tidecast.errors import Fenced
from tidecast.settings import SeriesSettings, Settings
from worker.partition.stream_warnings import WARN_EVERY_S
from worker.stop import Stop

NAMED = "another worker has the same name"
pytestmark = pytest.mark.settings(worker={"block": "1ms", "name": "one", "lease": 60.0})


def test_a_worker_whose_name_another_has_stands_by_and_says_so_once(settings: Settings, redis: Redis) -> None:
    """Otherwise they would take the partition from each other at every step, without any warning."""
    first = new_worker(settings)
    second = new_worker(settings)
    add(redis, 1)
    assert 1 == first.step(NOW)
    add(redis, 2)
    assert 1 == second.step(NOW)
    with pytest.raises(Fenced):
        first.step(NOW + 30)
    with capture_logs() as log:
        for n in range(31, 41):
            add(redis, n)
            assert first.step(NOW + n) is None
            assert 1 == second.step(NOW + n)
    (line,) = (line for line in log if line["event"] == NAMED)
    assert ("error", "one", 0) == (line["log_level"], line["name"], line["partition"])
    assert "a worker.name of its own" in line["remedy"]
    assert 12 == len(forecasts(redis))
    assert b"2" == redis.hget("lease", "epoch")
    with capture_logs() as log:
        first.step(NOW + 40 + WARN_EVERY_S)
    assert [NAMED] == [line["event"] for line in log]


@pytest.mark.usefixtures("redis")
def test_a_worker_that_stands_by_with_other_settings_names_them_once(settings: Settings) -> None:
    """Otherwise the form of a forecast would depend, in silence, on the worker that answers."""
    kept = settings.worker.model_copy(update={"name": "two", "forecasts_kept": 5000})
    series = SeriesSettings(horizon=3)
    first = new_worker(settings)
    second = new_worker(settings.model_copy(update={"worker": kept, "series": series}))
    first.step(NOW)
    with capture_logs() as log:
        for n in range(1, 4):
            second.step(NOW + n)
    (line,) = log
    assert ("warning", "another worker has other settings") == (line["log_level"], line["event"])
    series_differ, worker_differs = line["differences"].split("; ")
    assert "series.horizon is 3 for two and 1 for one" == series_differ
    assert "worker.forecasts_kept is 5000 for two and 1000000 for one" == worker_differs


def test_workers_with_equal_settings_report_nothing(settings: Settings, redis: Redis) -> None:
    """Their names, threads and addresses may differ."""
    first = new_worker(settings)
    second = new_worker(settings.model_copy(update={"worker": settings.worker.model_copy(update={"name": "two"})}))
    first.step(NOW)
    with capture_logs() as log:
        second.step(NOW + 1)
    assert [] == log
    assert redis.hget("lease", "other") is None


def test_the_one_that_stood_by_takes_over_when_the_other_leaves(settings: Settings, redis: Redis) -> None:
    """This holds after a crash too: its lease runs out, as any other's."""
    first, second, third = (new_worker(settings) for _ in range(3))
    first.step(NOW)
    second.step(NOW)
    with pytest.raises(Fenced):
        first.step(NOW + 30)
    second.leave()
    add(redis, 1)
    assert 1 == first.step(NOW + 31)
    third.step(NOW)
    redis.hset("lease", "expires_ms", 0)
    add(redis, 2)
    with pytest.raises(Fenced):
        first.step(NOW + 61)
    assert 1 == first.step(NOW + 62)


def test_a_worker_that_is_started_again_takes_its_own_lease_back_at_once(settings: Settings, redis: Redis) -> None:
    """This is the purpose of the name: the one before it was killed."""
    for n in range(1, 4):
        add(redis, n)
        with capture_logs() as log:
            assert 1 == new_worker(settings).step(NOW)  # and gone
        assert not any(line["event"] == NAMED for line in log)
    new_worker(settings).run(Stop(), burst=True)
    assert 3 == len(forecasts(redis))


def test_a_worker_takes_its_own_lease_back_after_a_failure(settings: Settings, redis: Redis) -> None:
    """A worker is not its own twin, and a lease from an older version has no identity to compare."""
    stream = stream_of(settings)
    assert 1 == stream.acquire("one")
    assert (2, False) == (stream.acquire("one"), stream.has_twin)
    redis.hdel("lease", "instance")
    assert (3, False) == (stream.acquire("one"), stream.has_twin)


def test_a_group_that_is_waited_for_and_does_not_exist_is_said_at_the_start(settings: Settings, redis: Redis) -> None:
    """The remedy is logged again when no reading can be answered any more."""
    waiting = {"wait_for_group": "plant", "forecasts_kept": 3, "batch": 2}
    patient = settings.model_copy(update={"worker": settings.worker.model_copy(update=waiting)})
    add(redis, *range(1, 9))
    with capture_logs() as log:
        new_worker(patient).run(Impatient(12), burst=True)
    warned = [line for line in log if line["event"] == "the consumer group that is waited for does not exist"]
    assert [("warning", "plant")] == [(line["log_level"], line["group"]) for line in warned]
    errors = [line["error"] for line in log if line["log_level"] == "error"]
    assert errors
    assert all("XGROUP CREATE forecasts plant 0" in error for error in errors)
    redis.xgroup_create("forecasts", "plant", id="$")
    with capture_logs() as log:
        new_worker(patient).run(Impatient(12), burst=True)
    assert not any("does not exist" in line["event"] for line in log)
