"""The weights of the experts over time, computed again from the window that a worker has stored."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from redis import Redis

from dashboard.data.outlook import weights_of
from dashboard.data.weights import MOST_SHOWN, WeightReader
from tests.harness.models import make_model
from tests.worker.harness import new_worker
from tests.worker.own_experts.harness import EXPERTS_FILE, source_settings
from tidecast import code_cache
from tidecast.models.experts import EXPERTS, OWN
from tidecast.models.own_model import OwnModel
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import Settings

STEP_MS = 1000


@pytest.mark.settings(worker={"block": "1ms"})
@pytest.mark.parametrize("trained", [False, True])
def test_the_weights_are_those_of_the_worker(
    redis: Redis, settings: Settings, store: ModelStore, *, trained: bool
) -> None:
    """While the window holds all readings; only the newest are shown."""
    if trained:
        store.publish(make_model("a", Spec(window=4, units=3)))
    values = 20 + np.sin(np.arange(300) / 9) + np.random.default_rng(1).normal(size=300)
    for n, value in enumerate(values.tolist()):
        redis.xadd("readings", {"series": "a", "value": repr(value), "ts": 10**12 + STEP_MS * n})
    worker = new_worker(settings)
    while worker.step(1.7e9) != 0:
        pass
    weights = WeightReader(settings).read("a")
    assert weights
    assert (MOST_SHOWN, len(EXPERTS)) == weights.weights.shape
    assert 10**12 + STEP_MS * 299 == weights.ts[-1]
    stored, _ = weights_of(redis.hget("state", "a"))
    shown = {name: weight for name, weight in zip(EXPERTS, weights.weights[-1].tolist(), strict=True) if weight}
    assert pytest.approx(stored, abs=0.02) == {name: shown.get(name, 0.0) for name in stored}
    later = weights.with_newest(weights.ts[-1] + STEP_MS, {"naive": 1.0})
    assert (1.0, MOST_SHOWN) == (later.weights[-1, 0], len(later.ts))
    again = later.with_newest(later.ts[-1], {"lstm": 1.0})
    assert (0.0, MOST_SHOWN) == (again.weights[-1, 0], len(again.ts))


def test_an_own_expert_has_its_weight_over_time(
    redis: Redis, settings: Settings, store: ModelStore, tmp_path: Path
) -> None:
    """It is called apart, with all windows at once; one that fails or is not in the settings has no weight."""
    file = tmp_path / "experts.py"
    file.write_text(EXPERTS_FILE)
    for name in ("Twice", "Dies"):
        model = make_model(f"{name}-1", Spec(window=4, units=3))
        model.panel.errors[:, OWN] = 0.01
        store.publish(replace(model, own=OwnModel(f"{file}:{name}", 2, b"")))
        for n in range(60):
            redis.xadd("readings", {"series": f"{name}-1", "value": n % 7, "ts": 10**12 + STEP_MS * n})
    worker = new_worker(settings)
    while worker.step(1.7e9) != 0:
        pass
    named = WeightReader(settings.model_copy(update={"experts": source_settings(file, "1s")}))
    for reader, series, has_own in (
        (named, "Twice-1", True),
        (named, "Dies-1", False),
        (WeightReader(settings), "Twice-1", False),
    ):
        weights = reader.read(series)
        assert weights
        assert has_own == (weights.weights[:, OWN].max() > 0.1)


def test_without_a_window_or_compiled_code_there_are_none(
    settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To compile would hold up all viewers for seconds."""
    assert WeightReader(settings).read("a") is None
    redis.xadd("readings", {"series": "a", "value": 1, "ts": 10**12})
    redis.xadd("readings", {"series": "a", "value": 2, "ts": 10**12 + STEP_MS})
    new_worker(settings).step(1.7e9)

    def missing(*_: object) -> None:
        raise code_cache.NotKeptError

    monkeypatch.setattr(WeightReader, "_answered_again", missing)
    assert WeightReader(settings).read("a") is None
