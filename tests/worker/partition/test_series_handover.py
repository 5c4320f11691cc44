"""A series whose new name belongs to another partition is handed over, once, whatever ends a worker meanwhile."""

from contextlib import suppress
from typing import Any

import pytest
from redis import Redis

from tests.harness.models import make_model
from tests.worker.harness import NOW
from tidecast.client import Client
from tidecast.connection.records.orders import Order, leave_order, orders_in
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import Settings
from tidecast.wire import Event, Forecast, keys_of, partition_of
from worker.main import make_worker
from worker.metrics import Health
from worker.partition.stream import Stream

pytestmark = pytest.mark.settings(partitions=2, worker={"name": "w", "block": "1ms"})
KEYS = [keys_of(partition, 2) for partition in range(2)]
OLD = "a"
NEW = next(name for name in "bcdefgh" if partition_of(name, 2) != partition_of(OLD, 2))
FROM, TO = (KEYS[partition_of(name, 2)] for name in (OLD, NEW))
MOMENTS = ("before the first commit", "after the first commit", "before the second commit", "after the second commit")


class Killed(BaseException):
    """The end of a process, which no code handles."""


def answer(settings: Settings, *series: str) -> None:
    """Push a reading of each name, and let a new worker take both partitions and answer all."""
    with Client(settings.redis_url.get_secret_value(), partitions=2) as client:
        client.push_many((name, n * n % 17, 1000 * n) for n, name in enumerate(series))
    worker = make_worker(settings, Health())
    for n in range(12):
        worker.step(NOW + 2 * n)


def forecasts(redis: Redis) -> list[tuple[object, ...]]:
    """Return the forecasts of both names in the order of their readings, without names and ids."""
    made = [Forecast.decode(*entry) for keys in KEYS for entry in redis.xrange(keys.forecasts)]
    return sorted((f.origin, f.yhat, f.yhat_lower, f.kind, f.model, f.error) for f in made)


@pytest.mark.parametrize("moment", ["", *MOMENTS])
def test_a_series_goes_on_in_the_partition_of_its_new_name(
    redis: Redis, settings: Settings, store: ModelStore, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Its window, its records and its model; one commit takes the state out, another one puts it in."""
    store.publish(make_model(NEW, Spec(window=4, units=3)))
    answer(settings, *[NEW] * 40)
    undisturbed = forecasts(redis)
    redis.flushall()
    store.rename(NEW, OLD)
    answer(settings, *[OLD] * 20)
    leave_order(redis, FROM, Order(series=OLD, new=NEW, user="ann", host="desk"))
    change = Stream.change_series
    calls = 0

    def interrupted(self: Stream, *given: Any) -> None:
        nonlocal calls
        calls += 1
        if moment.startswith("before") and calls == 1 + moment.endswith("second commit"):
            raise Killed
        change(self, *given)
        if calls == 1 + moment.endswith("second commit"):
            raise Killed

    with monkeypatch.context() as patched, suppress(Killed):
        if moment:
            patched.setattr(Stream, "change_series", interrupted)
        answer(settings)
    answer(settings)
    assert (0, [NEW]) == (redis.hlen(FROM.state), store.series())
    with Client(settings.redis_url.get_secret_value(), partitions=2) as client:
        client.push_many((NEW, n * n % 17, 1000 * n) for n in range(20, 40))
    answer(settings)
    assert undisturbed == forecasts(redis)
    assert [] == [order for keys in KEYS for order in orders_in(redis, keys)]
    events = [Event.decode(*entry) for keys in KEYS for entry in redis.xrange(keys.events)]
    (renamed,) = [event for event in events if event.kind == "series_renamed"]
    assert (NEW, OLD, "ann") == (renamed.series, renamed.facts["old"], renamed.facts["user"])
