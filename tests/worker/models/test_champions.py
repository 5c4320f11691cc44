"""Champions that move while the worker runs: noticed without a restart, loaded little by little, broken ones apart."""

import pytest
from redis import Redis

from tests.harness.models import make_model
from tests.worker.harness import NOW, SPEC, add, forecasts, last, new_worker, quick, sample
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import Settings
from worker import loop, model_loader
from worker.loop import Worker
from worker.metrics import Health
from worker.partition.consumer import PartitionConsumer

pytestmark = pytest.mark.settings(**quick())


def test_a_published_model_answers_from_the_next_batch_on(worker: Worker, store: ModelStore, redis: Redis) -> None:
    """Without a restart: published, replaced, and moved back by hand."""
    for n in range(1, 6):
        add(redis, n, series=("a",))
        worker.step(NOW)
    versions = [last(redis).model]
    for n, change in enumerate(
        [
            lambda: store.publish(make_model("a", SPEC)),
            lambda: store.publish(make_model("a", Spec(window=3, units=9, layers=2))),
            lambda: store.promote("a", 1),
        ],
        1,
    ):
        change()
        add(redis, 5 + n, series=("a",))
        worker.step(NOW + n)
        versions.append(last(redis).model)
    assert [None, 1, 2, 1] == versions


def test_a_clock_that_is_set_back_does_not_hide_a_model(worker: Worker, store: ModelStore, redis: Redis) -> None:
    """The interval between looks into the store depends on elapsed time, not on the time of day."""
    add(redis, *range(1, 7), series=("a",))
    worker.step(NOW)
    store.publish(make_model("a", SPEC))
    add(redis, 7, series=("a",))
    worker.step(NOW - 3600)
    assert "lstm" == last(redis).kind


def test_all_champions_known_at_the_start_answer_before_the_worker_is_ready(
    settings: Settings, store: ModelStore, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long they take to load, and in whatever order they come: the first reading finds its model."""
    monkeypatch.setattr(model_loader, "LOADING_SHARE", 0.0)
    names = [f"s{i}" for i in range(8)]
    for i, name in enumerate(names):
        store.publish(make_model(name, SPEC, seed=i))
    health = Health()
    add(redis, *range(1, 5), series=("s7",))
    new_worker(settings, health).step(NOW)
    assert health.ready.is_set()
    assert (8.0, "lstm") == (sample(health, "tidecast_models"), last(redis).kind)


def test_champions_that_move_while_readings_flow_are_loaded_little_by_little(
    settings: Settings, store: ModelStore, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest move first, readings in between; so a model that was moved by hand does not wait for the others."""
    monkeypatch.setattr(model_loader, "LOADING_SHARE", 0.0)
    monkeypatch.setattr(model_loader, "CREDIT_S", 1e-9)  # or a fast machine loads several in one round
    monkeypatch.setattr(model_loader, "IDLE_LOADING_S", 1e-9)
    monkeypatch.setattr(loop, "QUIET_S", 60)
    health = Health()
    moving = ("c", "a", "b")
    worker = new_worker(settings, health)
    store.publish(make_model("z", SPEC))
    worker.step(NOW)
    for name in moving:
        store.publish(make_model(name, SPEC))
    versions = []
    for n in range(4):
        if n == 1:
            store.publish(make_model("b", SPEC, seed=1))
        add(redis, *range(3 * n + 1, 3 * n + 4), series=moving)
        assert 3 == worker.step(NOW + 1 + n)
        versions.append({f.series: f.model for f in forecasts(redis)[-3:]})
    assert [
        {"c": None, "a": None, "b": 1},
        {"c": None, "a": None, "b": 2},
        {"c": None, "a": 1, "b": 2},
        {"c": 1, "a": 1, "b": 2},
    ] == versions
    assert 4.0 == sample(health, "tidecast_models")


def test_what_a_model_took_beyond_the_share_is_paid_back_before_the_next(
    settings: Settings, store: ModelStore, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This holds while readings flow; while none come, there is time for all models."""
    monkeypatch.setattr(model_loader, "LOADING_SHARE", 0.0)
    monkeypatch.setattr(model_loader, "CREDIT_S", 1e-9)
    monkeypatch.setattr(loop, "QUIET_S", 60)
    worker = new_worker(settings)
    moving = ("a", "b", "c")
    add(redis, *range(1, 4), series=moving)
    worker.step(NOW)
    for name in moving:
        store.publish(make_model(name, SPEC))
    known = []
    for n, now in enumerate((NOW + 1, NOW + 1.1, NOW + 1.2), 1):
        add(redis, *range(3 * n + 1, 3 * n + 4), series=moving)
        worker.step(now)
        known.append(sum(forecast.model is not None for forecast in forecasts(redis)[-3:]))
    assert [1, 1, 1] == known
    monkeypatch.setattr(loop, "QUIET_S", 0)
    worker.step(NOW + 1.3)
    add(redis, *range(13, 16), series=moving)
    worker.step(NOW + 1.45)
    assert [1, 1, 1] == [forecast.model for forecast in forecasts(redis)[-3:]]


def test_a_read_waits_for_readings_that_flow_although_champions_are_to_be_loaded_yet(
    settings: Settings, store: ModelStore, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no readings flow, it does not wait: then loading the champions is the only work."""
    waits: list[int | None] = []
    step = PartitionConsumer.step

    def noted(lane: PartitionConsumer, now: float, block_ms: int | None) -> int | None:
        waits.append(block_ms)
        return step(lane, now, block_ms)

    monkeypatch.setattr(PartitionConsumer, "step", noted)
    monkeypatch.setattr(model_loader, "LOADING_SHARE", 0.0)
    monkeypatch.setattr(model_loader, "CREDIT_S", 1e-9)
    monkeypatch.setattr(model_loader, "IDLE_LOADING_S", 1e-9)
    worker = new_worker(settings)
    worker.step(NOW)
    for name in ("a", "b", "c", "d", "e"):
        store.publish(make_model(name, SPEC))
    monkeypatch.setattr(loop, "QUIET_S", 60)
    worker.step(NOW + 1)
    add(redis, 1, series=("a",))
    worker.step(NOW + 1.1)
    worker.step(NOW + 1.2)
    monkeypatch.setattr(loop, "QUIET_S", 0)
    worker.step(NOW + 1.3)
    block_ms = round(1000 * settings.worker.block)
    assert [block_ms, None, None, block_ms, None] == waits


def test_a_worker_that_lost_its_partition_takes_it_again_with_all_champions(
    settings: Settings, store: ModelStore, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No reading waits then, and the champions define the features of the states that it loads."""
    monkeypatch.setattr(model_loader, "LOADING_SHARE", 0.0)
    worker = new_worker(settings)
    worker.step(NOW)
    for name in ("a", "b", "c"):
        store.publish(make_model(name, SPEC))
    worker.step(NOW + 1)
    worker.leave()
    add(redis, *range(1, 4), series=("a", "b", "c"))
    worker.step(NOW + 1.1)
    assert [1, 1, 1] == [f.model for f in forecasts(redis)]


def test_a_worker_that_still_loads_takes_no_lease_yet(
    settings: Settings, store: ModelStore, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten thousand champions take seconds: it loads for a while, checks the stop flag, and goes on loading."""
    monkeypatch.setattr(model_loader, "FREE_LOADING_S", 1e-9)
    for name in ("a", "b", "c"):
        store.publish(make_model(name, SPEC))
    add(redis, *range(1, 4), series=("a", "b", "c"))
    worker = new_worker(settings)
    assert [None, None, 3] == [worker.step(NOW), worker.step(NOW), worker.step(NOW)]
    assert [1, 1, 1] == [f.model for f in forecasts(redis)]
