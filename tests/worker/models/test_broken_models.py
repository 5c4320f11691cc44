"""Models, pointers and stores that cannot be read: the others answer on, and a mended one is loaded."""

import hashlib
from collections.abc import Sequence

import pytest
from redis import Redis
from structlog.testing import capture_logs

from tests.harness.models import make_model
from tests.worker.harness import NOW, SPEC, Impatient, add, forecasts, last, new_worker, quick, sample
from tidecast.models.model import FORMAT, Champion, Models
from tidecast.models.store import ModelStore
from tidecast.online.engine import Engine
from tidecast.settings import Settings
from worker import model_loader
from worker.loop import Worker
from worker.metrics import Health

pytestmark = pytest.mark.settings(**quick())


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


@pytest.mark.parametrize("left", ["nothing", "an empty folder"])
def test_a_store_that_is_taken_away_is_named_once(worker: Worker, store: ModelStore, redis: Redis, left: str) -> None:
    """Its disk is not mounted any more: the models in memory are used, and those of the store once it is back."""
    store.publish(make_model("a", SPEC))
    add(redis, *range(1, 9))
    worker.step(NOW)
    away = store.root.rename(store.root.with_suffix(".away"))
    if left == "an empty folder":
        store.root.mkdir()
    with capture_logs() as log:
        for n in range(1, 4):
            worker.step(NOW + n)
    (line,) = log
    assert ("the store is empty or another one", str(store.root)) == (line["event"], line["store"])
    if left == "an empty folder":
        store.root.rmdir()
    away.rename(store.root)
    store.publish(make_model("a", SPEC, seed=1))
    worker.step(NOW + 5)
    add(redis, *range(9, 17))
    worker.step(NOW + 6)
    assert {2} == {f.model for f in forecasts(redis) if f.series == "a" and int(f.id.partition("-")[0]) > 8}


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
