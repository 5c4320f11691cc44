"""Experts of the users' own under a worker on a real Redis: bad ones cost themselves, and no reading."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from redis import Redis

from tests.harness.models import make_model
from tests.harness.patience import until
from tests.worker.harness import NOW, SPEC, counts_of, forecasts, new_worker, sample
from tests.worker.own_experts.harness import EXPERTS_FILE, source_settings
from tidecast.models.experts import OWN
from tidecast.models.own_model import OwnModel
from tidecast.models.store import ModelStore
from tidecast.settings import Settings
from tidecast.wire import Event
from worker.loop import Worker
from worker.metrics import Health

BAD = ("Raises", "Hangs", "Nan", "Hungry", "Dies")


@contextmanager
def serving(settings: Settings, store: ModelStore, file: Path, *names: str) -> Iterator[tuple[Worker, Health]]:
    """Yield a worker with a model for each series, whose own expert has a good record."""
    file.write_text(EXPERTS_FILE)
    for name in names:
        model = make_model(f"{name}-1", SPEC)
        model.panel.errors[:, OWN] = 0.01
        store.publish(replace(model, own=OwnModel(f"{file}:{name}", 2, b"")))
    health = Health()
    experts = source_settings(file, "500ms")
    worker = new_worker(settings.model_copy(update={"experts": experts}), health)
    try:
        yield worker, health
    finally:
        worker.leave()


def push(redis: Redis, second: int, *names: str) -> None:
    """Push a reading of each series."""
    for name in names:
        redis.xadd("readings", {"series": f"{name}-1", "value": second % 7, "ts": 1000 * second})


def test_an_own_expert_leads_the_forecast(settings: Settings, store: ModelStore, redis: Redis, tmp_path: Path) -> None:
    """With the best record it has most of the weight, and its cost is counted."""
    with serving(settings, store, tmp_path / "experts.py", "Twice") as (worker, health):
        seconds = iter(range(2000, 10_000))

        def leads() -> bool:
            push(redis, next(seconds), "Twice")
            worker.step(NOW)
            return forecasts(redis)[-1].kind == "own"

        until(leads)
        newest = forecasts(redis)[-1]
        assert newest.y is not None
        assert abs(newest.yhat - 2 * newest.y) < 1.0
        assert sample(health, "tidecast_own_expert_forecasts_total") >= 1


def test_bad_experts_lose_no_reading_and_are_reported_once_each(
    settings: Settings, store: ModelStore, redis: Redis, tmp_path: Path
) -> None:
    """They raise, hang, answer NaN, take all memory or end their process; the series are answered all the same."""
    with serving(settings, store, tmp_path / "experts.py", *BAD) as (worker, health):
        seconds = iter(range(2000, 100_000))
        pushed = 0

        def failed() -> list[Event]:
            return [
                event
                for entry in redis.xrange("events") or ()
                if (event := Event.decode(*entry)).kind == "expert_failed"
            ]

        def all_have_failed() -> bool:
            nonlocal pushed
            push(redis, next(seconds), *BAD)
            pushed += len(BAD)
            worker.step(NOW)
            return len(failed()) >= len(BAD)

        until(all_have_failed)
        for _ in range(5):
            push(redis, next(seconds), *BAD)
            pushed += len(BAD)
            worker.step(NOW)
        assert counts_of(settings)["forecast"] == pushed == len(forecasts(redis))
        assert sorted(event.series or "" for event in failed()) == sorted(f"{name}-1" for name in BAD)
        assert {forecast.kind for forecast in forecasts(redis)} & {"own"} == set()
        assert np.isfinite([forecast.yhat for forecast in forecasts(redis)]).all()
        assert sample(health, "tidecast_own_expert_failures_total") == len(BAD)
