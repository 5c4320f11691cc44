"""Networks of cohorts that come, move and break while the worker runs."""

import numpy as np
import pytest
from redis import Redis

from tests.harness.models import make_model, make_shared
from tests.worker.harness import NOW, SPEC, add, quick
from tidecast.models.experts import LSTM, SHARED
from tidecast.models.model import Model
from tidecast.models.store import ModelStore
from tidecast.online.series.state import SeriesState
from worker import model_loader
from worker.loop import Worker

pytestmark = pytest.mark.settings(**quick())


def untrained(cohort: str, seed: int = 0) -> Model:
    """Return a cohort's network that forecasts the last value, as its output layer is still at zero."""
    network = make_shared(cohort, seed=seed)
    silent = {name: w * (not name.startswith("dense")) for name, w in network.weights.items()}
    return Model(network.header, silent, network.panel)


def answered(redis: Redis, series: str) -> list[bool]:
    """Return the experts that answered the series' last reading, from its state."""
    raw = redis.hget("state", series)
    assert raw is not None
    return np.isfinite(SeriesState.decode(raw).answers).tolist()  # type: ignore[arg-type,no-any-return] # the synchronous client


def test_a_cohorts_network_answers_for_young_series_and_for_those_with_a_model(
    worker: Worker, store: ModelStore, redis: Redis
) -> None:
    """Published, it is found without a restart; replaced by a broken one, it goes on."""
    store.publish(make_model("a", SPEC, shared="seconds"))
    add(redis, *range(1, 7), series=("a",))
    worker.step(NOW)
    assert [True, False] == [answered(redis, "a")[expert] for expert in (LSTM, SHARED)]
    store.shared.publish(untrained("seconds"))
    add(redis, *range(7, 14), series=("a",))
    worker.step(NOW + 1)
    assert [True, True] == [answered(redis, "a")[expert] for expert in (LSTM, SHARED)]
    add(redis, *range(14, 21), series=("b",))
    worker.step(NOW + 2)
    assert [False, True] == [answered(redis, "b")[expert] for expert in (LSTM, SHARED)]
    store.shared.publish(untrained("seconds", seed=1), promote=False)
    next((store.root / "shared").rglob("000002.safetensors")).write_bytes(b"half")
    store.shared.promote("seconds", 2)
    add(redis, 21, series=("b",))
    worker.step(NOW + 3)
    assert answered(redis, "b")[SHARED]


def test_a_cohorts_network_that_can_be_read_again_is_loaded_without_a_restart(
    worker: Worker, store: ModelStore, redis: Redis
) -> None:
    """As a champion is; until then the series have the other experts."""
    store.publish(make_model("a", SPEC, shared="seconds"))
    store.shared.publish(untrained("seconds"))
    file = next((store.root / "shared").rglob("000001.safetensors"))
    away = file.rename(store.root / "away")
    add(redis, *range(1, 16), series=("a",))
    first = model_loader.AGAIN_S[0]
    for later in (0.0, 1.0, first + 2, first + 3):  # and in vain again
        worker.step(NOW + later)
    away.rename(file)
    has_answered = []
    for number, later in enumerate((2 * first, 3 * first + 4, 3 * first + 5), 16):
        add(redis, number, series=("a",))
        worker.step(NOW + later)
        has_answered.append(answered(redis, "a")[SHARED])
    assert [False, True, True] == has_answered


def test_a_cohorts_network_is_no_series(store: ModelStore) -> None:
    """The store lists it beside the series, never among them."""
    store.shared.publish(untrained("seconds"))
    assert ([], ["seconds"]) == (store.series(), store.shared.served())
    assert (0, []) == store.moves_since(0)
