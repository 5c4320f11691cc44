"""Series that were silent for too long are deleted, by the clock that gives the ids."""

import time

import pytest
from redis import Redis

from tests.worker.harness import NOW, add, new_worker
from tests.worker.partition.orders.harness import Killed, events, names_in, prepare, raising
from tidecast.settings import Settings
from worker.partition.stream import Stream

pytestmark = pytest.mark.settings(worker={"name": "w", "batch": 7, "block": "1ms"}, redis_timeout=2.0)


@pytest.mark.parametrize("killed", [False, True])
def test_a_series_that_was_silent_for_too_long_expires_once(
    redis: Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    """With its models; not in the first hour after an acquisition, and not while a reading of it waits."""
    given = settings.model_copy(update={"series": settings.series.model_copy(update={"expire": 7200.0})})
    store = prepare(redis, settings, "a")
    add(redis, 40, series=("b",))
    worker = new_worker(given)
    for later in (0, 3000):
        worker.step(NOW + later)
    assert {"a", "b", "other"} == names_in(redis)
    redis.xadd("readings", {"series": "b", "value": 1}, id=f"{round((NOW + 3601) * 1000)}-0")
    if killed:
        worker.step(NOW + 3602)
        with monkeypatch.context() as patched:
            patched.setattr(Stream, "change_series", raising(Killed))
            with pytest.raises(Killed):
                worker.step(NOW + 3602.5)
        worker = new_worker(given)
        worker.step(NOW + 3604)
    for later in (3602, 3604, 7300, 7301):
        worker.step(NOW + later)
    assert ({"b"}, []) == (names_in(redis), store.series())
    expired = events(redis, "series_expired")
    assert ["a", "other"] == sorted(str(event.series) for event in expired)
    assert {("worker", 38 if event.series == "a" else 39) for event in expired} == {
        (event.facts["program"], event.facts["since"]) for event in expired
    }


def test_a_clock_that_is_wrong_deletes_no_series(redis: Redis, settings: Settings) -> None:
    """The worker's clock is set ten years ahead: by the clock of Redis, which gives the ids, the series is alive."""
    given = settings.model_copy(update={"series": settings.series.model_copy(update={"expire": 7200.0})})
    worker = new_worker(given)
    redis.xadd("readings", {"series": "a", "value": 1})
    worker.step(time.time())
    for later in range(5):
        worker.step(time.time() + 10 * 365 * 86_400 + 1000 * later)
    assert {"a"} == names_in(redis)
