"""The weights of the experts over time, computed again from the window that a worker has stored."""

import numpy as np
import pytest
from redis import Redis

from dashboard.data.outlook import weights_of
from dashboard.data.weights import MOST_SHOWN, WeightReader
from tests.harness.models import make_model
from tests.worker.harness import new_worker
from tidecast import code_cache
from tidecast.models.experts import EXPERTS
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
    weights = WeightReader(settings).look("a")
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


def test_without_a_window_or_compiled_code_there_are_none(
    settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To compile would hold up all viewers for seconds."""
    assert WeightReader(settings).look("a") is None
    redis.xadd("readings", {"series": "a", "value": 1, "ts": 10**12})
    redis.xadd("readings", {"series": "a", "value": 2, "ts": 10**12 + STEP_MS})
    new_worker(settings).step(1.7e9)

    def missing(*_: object) -> None:
        raise code_cache.NotKeptError

    monkeypatch.setattr(WeightReader, "_answered_again", missing)
    assert WeightReader(settings).look("a") is None
