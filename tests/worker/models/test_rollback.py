"""A worker compares a published champion with the former one, and rolls it back if it is worse."""

from collections.abc import Iterator

import pytest
from redis import Redis
from structlog.testing import capture_logs

from tests.tidecast.online.shadow_models import ENOUGH, ignorant, knowing, swinging
from tests.worker.harness import NOW, quick
from tidecast.connection import connect
from tidecast.models.store import ModelStore
from tidecast.settings import Settings
from tidecast.wire import Event, keys_of
from worker import model_loader
from worker.loop import Worker
from worker.metrics import Health
from worker.partition.stream import Stream

pytestmark = pytest.mark.settings(**quick(), retrain={"probation": ENOUGH})


@pytest.fixture
def worker(
    settings: Settings,
    redis: Redis,  # noqa: ARG001 - it empties the server
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Worker]:
    """Its connections end with the test. A model is loaded in every round: how many rounds there are is chance."""
    monkeypatch.setattr(model_loader, "LOADING_SHARE", 1e9)
    with connect(settings) as client:
        yield Worker(settings, [Stream(client, keys_of(), settings.worker)], ModelStore(settings.store), Health())


def serve(worker: Worker, redis: Redis, first: int, stop: int, now: float = NOW) -> None:
    """Push readings and have them answered."""
    with redis.pipeline() as together:
        for entry_id, fields in swinging(first, stop):
            together.xadd("readings", fields, id=entry_id)  # type: ignore[arg-type] # bytes are fine
        together.execute()
    left = stop - first
    while left:
        left -= worker.step(now) or 0


def events(redis: Redis) -> list[Event]:
    """Return all events."""
    return [Event.decode(*entry) for entry in redis.xrange("events")]


@pytest.fixture
def condemning(worker: Worker, settings: Settings, redis: Redis) -> ModelStore:
    """The store of a worker that has just found a published champion worse."""
    store = ModelStore(settings.store)
    store.publish(knowing())
    serve(worker, redis, 1, 21)
    store.publish(ignorant())
    serve(worker, redis, 21, 60, NOW + 1)
    assert 2 == store.champion("a")
    return store


def test_a_published_champion_that_is_worse_is_rolled_back_by_the_worker(
    worker: Worker, condemning: ModelStore, redis: Redis
) -> None:
    """The store changes within a second, the event comes once, and the former version answers."""
    with capture_logs() as logs:
        serve(worker, redis, 60, 61, NOW + 2)
        assert 1 == condemning.champion("a")
        serve(worker, redis, 61, 62, NOW + 3)
    assert ["champion rolled back"] == [line["event"] for line in logs if line["log_level"] == "warning"]
    assert b"1" == redis.xrevrange("forecasts", count=1)[0][1][b"model"]
    assert [("series_created", None), ("rolled_back", 2)] == [(event.kind, event.version) for event in events(redis)]


def test_who_promotes_by_hand_has_decided(worker: Worker, settings: Settings, redis: Redis) -> None:
    """That version is neither tried nor rolled back."""
    store = ModelStore(settings.store)
    store.publish(knowing())
    store.publish(ignorant(), promote=False)
    serve(worker, redis, 1, 21)
    store.promote("a", 2)
    serve(worker, redis, 21, 90, NOW + 1)
    assert (2, ["series_created"]) == (store.champion("a"), [event.kind for event in events(redis)])


def test_a_store_that_cannot_be_moved_back_is_tried_again_and_stops_no_forecast(
    worker: Worker, condemning: ModelStore, redis: Redis
) -> None:
    """The operator gets the remedy once."""
    (file,) = condemning.root.glob("series/*/000001.safetensors")
    aside = file.rename(file.with_suffix(".aside"))
    with capture_logs() as logs:
        serve(worker, redis, 60, 65, NOW + 2)
        serve(worker, redis, 65, 70, NOW + 3)
    assert ["champion not rolled back"] == [line["event"] for line in logs if line["log_level"] == "error"]
    assert (2, 69) == (condemning.champion("a"), redis.xlen("forecasts"))
    aside.rename(file)
    serve(worker, redis, 70, 71, NOW + 4)
    assert 1 == condemning.champion("a")
