"""The scripts of docs/how-to/backup.md: what they copy is consistent, and goes on where it was."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis

from tests.deploy.compose import ROOT
from tests.harness.connections import connected
from tests.harness.models import make_model
from tests.harness.patience import PATIENCE_S
from tests.worker.harness import NOW, add, counts_of, elsewhere, forecasts, new_worker
from tidecast.connection.embedded import EmbeddedRedis, bundled_server
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import Settings

SCRIPTS = ROOT / "deploy" / "backup"
SPEC = Spec(window=4, units=3)
pytestmark = pytest.mark.settings(worker={"name": "w", "block": "1ms"})


def run(script: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a script with redis-cli on the PATH."""
    path = f"{Path(bundled_server()).parent}:{os.environ['PATH']}"
    command = [str(SCRIPTS / script), *map(str, words)]
    environment = {**os.environ, "PATH": path}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def back_up(settings: Settings, folder: Path) -> Path:
    """Back up an installation; return the folder."""
    done = run("backup.sh", settings.redis_url.get_secret_value(), settings.store, folder)
    assert 0 == done.returncode, done.stderr
    return folder


@contextmanager
def restored(settings: Settings, folder: Path) -> Iterator[Settings]:
    """A new Redis and a new store with the content of a backup."""
    server = EmbeddedRedis()
    store = folder.parent / "restored"
    done = run("restore.sh", folder, server.folder, store)
    assert 0 == done.returncode, done.stderr
    with server:
        yield elsewhere(settings, server.url).model_copy(update={"store": store})


def answer(settings: Settings) -> None:
    """Let a new worker answer all readings."""
    worker = new_worker(settings)
    for n in range(4):
        worker.step(NOW + n)
    worker.leave()


def test_a_restored_installation_goes_on_as_the_one_that_was_backed_up(
    redis: Redis, settings: Settings, store: ModelStore, tmp_path: Path
) -> None:
    """The same forecasts of the readings since, which are pushed again, byte for byte."""
    for seed in range(2):
        store.publish(make_model("a", SPEC, seed=seed))
    add(redis, *range(1, 40))
    answer(settings)
    folder = back_up(settings, tmp_path / "monday")
    add(redis, *range(40, 80))
    answer(settings)
    with restored(settings, folder) as again:
        other = connected(again)
        add(other, *range(40, 80))
        answer(again)
        assert forecasts(redis) == forecasts(other)
        assert redis.hgetall("state") == other.hgetall("state")
        assert 1 == ModelStore(again.store).rollback("a")


@pytest.mark.parametrize("older", ["store", "redis"])
def test_a_store_and_a_redis_of_different_age_answer_every_reading(
    redis: Redis, settings: Settings, store: ModelStore, tmp_path: Path, older: str
) -> None:
    """The state of the newer model goes on with the older one, or the older state with the newer model."""
    store.publish(make_model("a", SPEC))
    add(redis, *range(1, 40))
    answer(settings)
    first = back_up(settings, tmp_path / "first")
    store.publish(make_model("a", SPEC, seed=1))
    add(redis, *range(40, 60))
    answer(settings)
    second = back_up(settings, tmp_path / "second")
    (second / "store.tar" if older == "store" else second / "dump.rdb").write_bytes(
        (first / ("store.tar" if older == "store" else "dump.rdb")).read_bytes()
    )
    with restored(settings, second) as again:
        other = connected(again)
        add(other, *range(60, 80))
        answer(again)
        made = forecasts(other)
        readings = counts_of(again)["read"]
        assert readings == counts_of(again)["forecast"] == len(made) == (79 if older == "store" else 59)
        assert {1 if older == "store" else 2} == {each.model for each in made[-20:] if each.series == "a"}


def test_the_scripts_overwrite_nothing(settings: Settings, redis: Redis, tmp_path: Path) -> None:  # noqa: ARG001 - it runs
    """An existing backup, data of a Redis, or a store; and each explains how it is used."""
    folder = back_up(settings, tmp_path / "monday")
    assert "exists: name a new directory" in run("backup.sh", "redis://x", settings.store, folder).stderr
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "appendonlydir").mkdir()
    assert "move it away first" in run("restore.sh", folder, tmp_path / "data", tmp_path / "store").stderr
    assert ["usage: backup.sh", "usage: restore.sh"] == [
        run(script).stderr[: len(script) + 7] for script in ("backup.sh", "restore.sh")
    ]
