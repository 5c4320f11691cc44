"""Champions and shared networks that move while the worker runs: noticed without a restart, broken ones survived."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pytest
from redis import Redis
from structlog.testing import capture_logs

from tests.harness.models import make_model, make_shared
from tests.worker.harness import NOW, SPEC, Impatient, add, forecasts, new_worker, quick, sample
from tidecast.models.experts import LSTM, SHARED
from tidecast.models.model import FORMAT, Champion, Model, Models
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.online.engine import Engine
from tidecast.online.series.state import SeriesState
from tidecast.settings import Settings
from tidecast.wire import Forecast
from worker import loop, model_loader
from worker.loop import Worker
from worker.metrics import Health
from worker.partition.consumer import PartitionConsumer

pytestmark = pytest.mark.settings(**quick())


def last(redis: Redis) -> Forecast:
    """Return the newest forecast."""
    return forecasts(redis)[-1]


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


def test_a_pointer_that_cannot_be_read_does_not_keep_the_others_from_loading(
    worker: Worker, store: ModelStore, redis: Redis
) -> None:
    """The worker goes on too: the series is answered by the last value."""
    for name in ("a", "b"):
        store.publish(make_model(name, SPEC))
    pointer = store.root / "series" / hashlib.sha256(b"a").hexdigest() / "champion"
    pointer.unlink()
    pointer.mkdir()
    add(redis, 1, 2)
    worker.step(NOW)
    assert {"a": None, "b": 1} == {f.series: f.model for f in forecasts(redis)}


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


def test_a_store_that_cannot_be_read_stops_no_forecast(worker: Worker, store: ModelStore, redis: Redis) -> None:
    """Its disk may be away for a while: the log names the store and the remedy, and loaded models answer on."""
    store.publish(make_model("a", SPEC))
    add(redis, *range(1, 9))
    worker.step(NOW)
    (store.root / "moves.log").unlink()
    (store.root / "moves.log").symlink_to("moves.log")
    add(redis, *range(9, 17))
    with capture_logs() as log:
        for n in range(1, 4):
            worker.step(NOW + n, Impatient(9))
            worker.step(NOW + n + 0.1, Impatient(9))
    assert 16 == len(forecasts(redis))
    (line,) = (each for each in log if each["event"] == "step failed")
    assert line["error"].startswith(f"StoreError: the store {store.root} cannot be read")
    assert not line["exc_info"]


@pytest.mark.parametrize("broken", ["cut", "flipped", "empty", "gone", "format", "pointer", "folder"])
def test_a_broken_model_does_not_take_the_others_with_it(
    worker: Worker, store: ModelStore, redis: Redis, broken: str
) -> None:
    """Its series is forecast without a model, the next good version is loaded, and the others never notice."""
    for name in ("a", "m", "z"):
        store.publish(make_model(name, SPEC))
    file = store.root / "series" / hashlib.sha256(b"m").hexdigest() / "000001.safetensors"
    content = file.read_bytes()
    match broken:
        case "cut":
            file.write_bytes(content[: len(content) // 2])
        case "flipped":
            file.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
        case "empty":
            file.write_bytes(b"")
        case "gone":
            file.unlink()
        case "format":
            named = b'\\"format\\":%d'
            assert named % FORMAT in content
            file.write_bytes(content.replace(named % FORMAT, named % 99))
        case "pointer":
            (file.parent / "champion").write_bytes(b"\xff")
        case "folder":
            file.unlink()
            file.mkdir()
    series = ("a", "m", "z")
    add(redis, *range(1, 16), series=series)
    for n in range(3):
        worker.step(NOW + n)
    assert {"a": "lstm", "m": "pretrained", "z": "lstm"} == {f.series: f.kind for f in forecasts(redis)[-3:]}
    store.publish(make_model("m", SPEC, seed=2))
    add(redis, 16, 17, 18, series=series)
    worker.step(NOW + 9)
    assert {"a": "lstm", "m": "lstm", "z": "lstm"} == {f.series: f.kind for f in forecasts(redis)[-3:]}


def test_a_model_that_can_be_read_again_is_loaded_without_a_restart(
    worker: Worker, store: ModelStore, redis: Redis
) -> None:
    """The disk of the store, or the worker's right to read it, may have been away for a while."""
    store.publish(make_model("a", SPEC))
    file = store.folder("a") / "000001.safetensors"
    away = file.rename(store.root / "away")
    first = model_loader.AGAIN_S[0]
    add(redis, *range(1, 16), series=("a",))
    for later in (0.0, 1.0, first + 2, first + 3):  # and in vain again
        worker.step(NOW + later)
    away.rename(file)
    kinds = []
    for number, later in enumerate((2 * first, 3 * first + 4, 3 * first + 5), 16):
        add(redis, number, series=("a",))
        worker.step(NOW + later)
        kinds.append(last(redis).kind)
    assert ["pretrained", "lstm", "lstm"] == kinds


def test_an_unforeseen_error_costs_only_the_champion_that_has_it(
    settings: Settings, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that would be loaded together with it are loaded one by one; it is raised once and not repeated."""
    names = [f"s{i}" for i in range(6)]
    for name in names:
        store.publish(make_model(name, SPEC))
    health = Health()
    worker = new_worker(settings, health)
    put_all = Engine.put_all

    def fail(engine: Engine, champions: Sequence[Champion], models: Models) -> None:
        if any(champion.series == "s2" for champion in champions):
            raise ZeroDivisionError
        put_all(engine, champions, models)

    monkeypatch.setattr(Engine, "put_all", fail)
    with pytest.raises(ZeroDivisionError):
        worker.step(NOW)
    worker.step(NOW)
    assert 5.0 == sample(health, "tidecast_models")
    assert worker._engine.slot("s2") is None


def test_a_broken_new_version_leaves_the_old_one_answering(worker: Worker, store: ModelStore, redis: Redis) -> None:
    """A running worker keeps the old version."""
    store.publish(make_model("a", SPEC))
    add(redis, *range(1, 7), series=("a",))
    worker.step(NOW)
    store.publish(make_model("a", SPEC, seed=1), promote=False)
    next(store.root.rglob("000002.safetensors")).write_bytes(b"half")
    store.promote("a", 2)
    add(redis, 7, series=("a",))
    worker.step(NOW + 1)
    assert ("lstm", 1) == (last(redis).kind, last(redis).model)


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
