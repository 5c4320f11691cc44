"""The entries of a deleted or renamed series leave the streams, page by page, once no consumer needs them."""

from contextlib import suppress
from typing import Any

import pytest
from redis import Redis
from structlog.testing import capture_logs

from tests.worker.harness import NOW, add, forecasts, new_worker
from tests.worker.partition.orders.harness import KEYS, Killed, answer, events, order, prepare
from tidecast.connection.records.orders import orders_in
from tidecast.settings import Settings
from tidecast.wire import EVENTS
from worker.partition.stream_purge import StreamPurge

pytestmark = pytest.mark.settings(worker={"name": "w", "batch": 7, "block": "1ms"}, redis_timeout=2.0)


def entries_of(redis: Redis, series: str) -> list[tuple[str, bytes]]:
    """Return the entries of a series, without the events on its name, as (stream, id)."""
    raw = series.encode()
    return [
        (key, entry_id)
        for key in ("readings", "forecasts", "dead", "events")
        for entry_id, fields in redis.xrange(key)
        if raw in (fields.get(b"series"), fields.get(b"original.series"))
        and fields.get(b"kind") not in (b"series_deleted", b"series_renamed")
    ]


@pytest.mark.parametrize("new", [None, "b"])
@pytest.mark.parametrize("killed", ["", "before", "after"])
def test_the_entries_of_a_former_name_are_deleted_from_all_streams(
    redis: Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch, new: str | None, killed: str
) -> None:
    """Page by page, whatever is killed; those of other series and of a later series of that name stay."""
    prepare(redis, settings, "a")
    redis.xadd("readings", {"series": "a", "value": "x"}, id="40-0")
    answer(settings)
    others = entries_of(redis, "other")
    order(redis, "a", new, purging=True)
    redis.xadd("readings", {"series": "a", "value": 1}, id="41-0")
    monkeypatch.setattr("worker.partition.stream_purge.SEARCHED_AT_ONCE", 7)
    delete = StreamPurge.delete

    def interrupted(self: StreamPurge, *given: Any) -> None:
        if killed == "after":
            delete(self, *given)
        raise Killed

    if killed:
        monkeypatch.setattr(StreamPurge, "delete", interrupted)
        for _ in range(3):
            with suppress(Killed):
                answer(settings)
        monkeypatch.setattr(StreamPurge, "delete", delete)
    answer(settings, rounds=40)
    assert [("readings", b"41-0"), ("forecasts", b"41-0")] == entries_of(redis, "a")[:2]
    assert ["series_created"] == [event.kind for event in events(redis, *EVENTS) if event.series == "a"][-1:]
    assert others == entries_of(redis, "other")
    assert 1 == len(events(redis, "series_renamed" if new else "series_deleted"))
    assert [] == list(orders_in(redis, KEYS))


def test_entries_that_a_consumer_group_needs_are_deleted_after_it_has_acknowledged_them(
    redis: Redis, settings: Settings
) -> None:
    """A consumer misses no forecast; the order stays as long."""
    prepare(redis, settings, "a")
    redis.xgroup_create("forecasts", "billing", id="0")
    read = [entry_id for entry_id, _ in redis.xreadgroup("billing", "one", {"forecasts": ">"}, count=20)[0][1]]
    redis.xack("forecasts", "billing", *read[:10])
    order(redis, "a", purging=True)
    answer(settings, rounds=40)
    assert read[11] == min(entry_id for key, entry_id in entries_of(redis, "a") if key == "forecasts")
    redis.xack("forecasts", "billing", *read)
    rest = [entry_id for entry_id, _ in redis.xreadgroup("billing", "one", {"forecasts": ">"})[0][1]]
    answer(settings, rounds=40)
    assert rest[1] == min(entry_id for _, entry_id in entries_of(redis, "a"))
    redis.xack("forecasts", "billing", *rest)
    answer(settings, rounds=40)
    assert [] == entries_of(redis, "a") == list(orders_in(redis, KEYS))


def test_entries_that_the_user_may_not_search_wait_for_the_right(redis: Redis, settings: Settings) -> None:
    """Until then no step fails, readings are answered, and the log names the missing right once a minute."""
    prepare(redis, settings, "a")
    order(redis, "a", purging=True)
    worker = new_worker(settings)
    redis.execute_command("ACL", "SETUSER", "default", "-xrange")
    try:
        with capture_logs() as lines:
            for later in range(10):
                add(redis, 100 + later, series=("b",))
                worker.step(NOW + 2 * later)
    finally:
        redis.execute_command("ACL", "SETUSER", "default", "+xrange")
    assert ["a"] == [line["series"] for line in lines if line["event"] == "entries not deleted"]
    assert 10 == len([made for made in forecasts(redis) if made.series == "b"])
    for later in range(80, 120):
        worker.step(NOW + later)
    assert "a" not in {made.series for made in forecasts(redis)}
