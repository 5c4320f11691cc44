"""Series are deleted and renamed between two batches, once, whatever ends the worker meanwhile."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs

from tests.harness.connections import connected
from tests.harness.models import make_model
from tests.worker.harness import NOW, add, forecasts, new_worker
from tidecast.connection.records.mutes import Mute, mute_series
from tidecast.connection.records.orders import Order, leave_order, order_of, orders_in
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import Settings
from tidecast.wire import EVENTS, Event, Forecast, keys_of
from worker.partition.stream import Stream
from worker.partition.stream_purge import StreamPurge

KEYS = keys_of()
pytestmark = pytest.mark.settings(worker={"name": "w", "batch": 7, "block": "1ms"}, redis_timeout=2.0)
SPEC = Spec(window=4, units=3)
ANSWERED = 19  # readings of the series in `prepare`


def order(redis: Redis, series: str, new: str | None = None, **more: bool) -> Order:
    """Leave an order as the command does."""
    return leave_order(redis, KEYS, Order(series=series, new=new, user="ann", host="desk", **more))


def answer(settings: Settings, rounds: int = 9, now: float = NOW) -> None:
    """Let a new worker take the partition and go on."""
    worker = new_worker(settings)
    for n in range(rounds):
        worker.step(now + 2 * n)


def events(redis: Redis, *kinds: str) -> list[Event]:
    """Return the events of these kinds."""
    decoded = (Event.decode(*entry) for entry in redis.xrange("events"))
    return [event for event in decoded if event.kind in kinds]


def names_in(redis: Redis) -> set[str]:
    """Return the series that Redis knows beside its streams."""
    fields = [*redis.hkeys("state"), *redis.hkeys("muted")]
    return {name.decode().partition("\x1f")[0] for name in fields}


def of(series: str, made: list[Forecast]) -> list[tuple[object, ...]]:
    """Return the forecasts of a series without its name."""
    return [(f.id, f.yhat, f.yhat_lower, f.kind, f.model, f.error, f.filled) for f in made if f.series == series]


def prepare(redis: Redis, settings: Settings, series: str) -> ModelStore:
    """Answer some readings of two series; one of them has two versions of a model, and is muted."""
    redis.flushall()
    store = ModelStore(settings.store)
    for name in store.series():
        store.delete(name)
    for seed in range(2):
        store.publish(make_model(series, SPEC, seed=seed))
    add(redis, *range(1, 40), series=(series, "other"))
    answer(settings)
    mute_series(redis, KEYS, series, Mute(1, None, "ann"))
    return store


@pytest.fixture
def undisturbed(redis: Redis, settings: Settings) -> list[tuple[object, ...]]:
    """The forecasts of a series that always had the name `b`."""
    prepare(redis, settings, "b")
    add(redis, *range(40, 80), series=("b", "other"))
    answer(settings)
    return of("b", forecasts(redis))[ANSWERED:]


def test_a_renamed_series_goes_on_as_if_it_had_always_had_the_name(
    redis: Redis, settings: Settings, undisturbed: list[tuple[object, ...]]
) -> None:
    """Its window, its experts' records, its model and its mute; the readings pushed before belong to the old name."""
    store = prepare(redis, settings, "a")
    worker = new_worker(settings)
    worker.step(NOW)
    add(redis, 40, series=("a", "other"))
    order(redis, "a", "b")
    add(redis, 41, series=("b", "other"))
    for n in range(3):
        worker.step(NOW + 2 * n)
    add(redis, *range(42, 80), series=("b", "other"))
    for n in range(9):
        worker.step(NOW + 2 * n)
    assert undisturbed == of("a", forecasts(redis))[ANSWERED:] + of("b", forecasts(redis))
    assert ({"b", "other"}, ["b"], [1, 2]) == (names_in(redis), store.series(), store.versions("b"))
    (renamed,) = events(redis, "series_renamed")
    assert renamed.facts == {
        "user": "ann", "host": "desk", "program": "command", "models": "moved", "old": "a", "new": "b"
    }  # fmt: skip
    assert [] == list(orders_in(redis, KEYS))


def test_a_deleted_series_begins_again_with_its_next_reading(redis: Redis, settings: Settings) -> None:
    """Nothing of it is left but entries of streams; the readings pushed before the order are answered first."""
    store = prepare(redis, settings, "a")
    worker = new_worker(settings)
    add(redis, *range(40, 60), series=("a", "other"))
    order(redis, "a")
    for n in range(9):
        worker.step(NOW + 2 * n)
    assert ({"other"}, []) == (names_in(redis), store.series())
    (deleted,) = events(redis, "series_deleted")
    assert ("a", "deleted") == (deleted.series, deleted.facts["models"])
    add(redis, *range(60, 62), series=("a", "other"))
    worker.step(NOW + 20)
    assert [None] == [made.model for made in forecasts(redis) if made.id == "60-0"]
    assert 2 == sum(event.series == "a" for event in events(redis, "series_created"))


class Killed(BaseException):
    """The end of a process, which no code handles."""


def raising(error: type[BaseException]) -> Callable[..., Any]:
    """Return a function that raises an error whatever it is given."""

    def function(*_: Any, **__: Any) -> Any:
        raise error

    return function


@pytest.mark.parametrize("lost", [Killed, RedisConnectionError], ids=["killed", "reply lost"])
@pytest.mark.parametrize("moment", ["before the store", "after the store", "after the commit"])
def test_an_interrupted_order_is_completed_once(
    redis: Redis,
    settings: Settings,
    undisturbed: list[tuple[object, ...]],
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
    lost: type[BaseException],
) -> None:
    """The next worker, or the same one after a lost connection, carries it out; there is one event."""
    store = prepare(redis, settings, "a")
    order(redis, "a", "b")
    owner, name, after = {
        "before the store": (ModelStore, "rename", False),
        "after the store": (Stream, "change_series", False),
        "after the commit": (Stream, "change_series", True),
    }[moment]
    run: Callable[..., Any] = getattr(owner, name)

    def interrupted(*given: Any, **more: Any) -> Any:
        if after:
            run(*given, **more)
        raise lost

    with monkeypatch.context() as patched, suppress(lost):
        patched.setattr(owner, name, interrupted)
        answer(settings)
    add(redis, *range(40, 80), series=("b", "other"))
    answer(settings)
    assert undisturbed == of("b", forecasts(redis))
    assert ({"b", "other"}, ["b"]) == (names_in(redis), store.series())
    assert 1 == len(events(redis, "series_renamed"))


@pytest.mark.parametrize("state", ["a", "b"])
def test_a_state_and_a_model_of_which_only_one_was_renamed_come_together(
    redis: Redis, settings: Settings, undisturbed: list[tuple[object, ...]], state: str
) -> None:
    """As after the restore of a backup in which one is older than the other."""
    store = prepare(redis, settings, state)
    if state == "a":
        store.rename("a", "b")
    else:
        store.rename("b", "a")
    order(redis, "a", "b")
    answer(settings)
    add(redis, *range(40, 80), series=("b", "other"))
    answer(settings)
    assert undisturbed == of("b", forecasts(redis))[-len(undisturbed) :]
    assert ({"b", "other"}, ["b"]) == (names_in(redis), store.series())


def test_the_name_of_another_series_is_refused_or_replaced(redis: Redis, settings: Settings) -> None:
    """The order stays with the reason, until the command has read it; `replacing` deletes the other series."""
    store = prepare(redis, settings, "a")
    store.publish(make_model("new", SPEC))
    for name, reason in (("other", "'other' has answered readings"), ("new", "has models of 'new' already")):
        refused = order(redis, "a", name)
        answer(settings)
        left = order_of(redis, KEYS, refused.id)
        assert left
        assert reason in str(left.refused)
    assert {"a", "other"} == names_in(redis)
    order(redis, "a", "other", replacing=True)
    answer(settings)
    assert ({"other"}, [1, 2]) == (names_in(redis), store.versions("other"))


def test_a_worker_that_may_not_write_the_store_leaves_the_models_to_the_command(
    redis: Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state is renamed all the same, and goes on with the model that is in memory."""
    prepare(redis, settings, "a")

    def forbidden(*_: object) -> None:
        raise PermissionError(13, "not yours")

    monkeypatch.setattr("tidecast.models.store.replace", forbidden)
    order(redis, "a", "b")
    answer(settings)
    (renamed,) = events(redis, "series_renamed")
    assert "kept" == renamed.facts["models"]
    assert {"b", "other"} == names_in(redis)


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


def test_entries_that_the_user_may_not_search_wait_for_the_right(redis: Redis, settings: Settings) -> None:
    """Meanwhile no step fails, readings are answered, and the log says what is missing once a minute."""
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


def test_an_entry_that_is_no_order_does_not_stop_the_worker(redis: Redis, settings: Settings) -> None:
    """Whatever anybody wrote there."""
    raw: list[Any] = [b"x", b"{}", b'{"series": "a", "after": 3}', b'{"series": "a", "after": "b-c"}', b"[]"]
    for n, value in enumerate(raw):
        redis.hset("orders", str(n), value)
    add(redis, *range(1, 20))
    answer(settings)
    assert 19 == len(forecasts(redis))
    assert 5 == connected(settings).hlen("orders")
