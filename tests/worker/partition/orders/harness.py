"""Series with models and mutes, and orders to delete or rename them."""

from collections.abc import Callable
from typing import Any

from redis import Redis

from tests.harness.models import make_model
from tests.worker.harness import NOW, add, new_worker
from tidecast.connection.records.mutes import Mute, mute_series
from tidecast.connection.records.orders import Order, leave_order
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import Settings
from tidecast.wire import Event, keys_of

KEYS = keys_of()
SPEC = Spec(window=4, units=3)


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


class Killed(BaseException):
    """The end of a process, which no code handles."""


def raising(error: type[BaseException]) -> Callable[..., Any]:
    """Return a function that raises an error whatever it is given."""

    def function(*_: Any, **__: Any) -> Any:
        raise error

    return function
