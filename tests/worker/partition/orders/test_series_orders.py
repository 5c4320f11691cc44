"""Series are deleted and renamed between two batches, once, whatever ends the worker meanwhile."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.harness.connections import connected
from tests.harness.models import make_model
from tests.worker.harness import NOW, add, forecasts, new_worker
from tests.worker.partition.orders.harness import KEYS, SPEC, Killed, answer, events, names_in, order, prepare
from tidecast.connection.records.orders import order_of, orders_in
from tidecast.models.store import ModelStore
from tidecast.settings import Settings
from tidecast.wire import Forecast
from worker.partition.stream import Stream

pytestmark = pytest.mark.settings(worker={"name": "w", "batch": 7, "block": "1ms"}, redis_timeout=2.0)
ANSWERED = 19  # readings of the series in `prepare`


def of(series: str, made: list[Forecast]) -> list[tuple[object, ...]]:
    """Return the forecasts of a series without its name."""
    return [(f.id, f.yhat, f.yhat_lower, f.kind, f.model, f.error, f.filled) for f in made if f.series == series]


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


def test_an_entry_that_is_no_order_does_not_stop_the_worker(redis: Redis, settings: Settings) -> None:
    """Whatever anybody wrote there."""
    raw: list[Any] = [b"x", b"{}", b'{"series": "a", "after": 3}', b'{"series": "a", "after": "b-c"}', b"[]"]
    for n, value in enumerate(raw):
        redis.hset("orders", str(n), value)
    add(redis, *range(1, 20))
    answer(settings)
    assert 19 == len(forecasts(redis))
    assert 5 == connected(settings).hlen("orders")
