"""The run of retraining: its trainings, events and files, and its end with its parent."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from redis import Redis

from tests.harness.models import make_model
from tests.harness.patience import PATIENCE_S
from tidecast.errors import SettingsError
from tidecast.files.history import History
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import Settings, passed_settings
from tidecast.wire import EVENTS, Event, partition_of
from trainer import pipeline
from trainer.parent import ORPHANED
from trainer.pipeline import TrainOptions
from trainer.retrain.histories import StoredVersions
from trainer.retrain.live_stats import drifts_since, live_errors
from trainer.retrain.main import BAD_SETTINGS, ENDED
from trainer.retrain.run import RetrainRequest, Summary, _train, run
from trainer.tuning.tune import TUNED, Trained, Tuned

# One epoch, no network of a cohort, and no stepping aside: the suite is in haste.
QUICK = {"epochs": 1, "shared_epochs": 0}
pytestmark = [pytest.mark.keras, pytest.mark.settings(train=QUICK, retrain={"low_priority": False})]

TS = 1_700_000_000_000
STEP = 60_000
SERIES = ("a", "b", "c")


def changed(settings: Settings, **groups: dict[str, Any]) -> Settings:
    """Return the settings with some entries of groups changed."""
    return settings.model_copy(
        update={name: getattr(settings, name).model_copy(update=entries) for name, entries in groups.items()}
    )


def send(redis: Redis, readings: range, series: tuple[str, ...] = SERIES, prefix: str = "", **more: float) -> None:
    """Append waves with noise, and let them be committed."""
    last = None
    with redis.pipeline(transaction=False) as pipeline:
        for i in readings:
            for at, name in enumerate(series):
                value = np.sin(i / 4 + at) + 0.1 * np.random.default_rng((i, at)).normal()
                last = f"{TS + STEP * i}-{at + 1}"
                fields = {"series": name, "ts": TS + STEP * i, "value": float(value), **more}
                pipeline.xadd(f"{prefix}readings", fields, id=last)  # type: ignore[arg-type] # any of them will do
        pipeline.execute()
    redis.hset(f"{prefix}offset", "last", str(last))


def events(redis: Redis, key: str = "events") -> list[Event]:
    """Return all events."""
    return [Event.decode(*entry) for entry in redis.xrange(key)]  # type: ignore[union-attr] # the synchronous client


def told(settings: Settings, **job: Any) -> bytes:
    """Return the line that a child is given."""
    given = settings.model_dump(mode="json") | {"redis_url": settings.redis_url.get_secret_value()}
    return json.dumps({"settings": given, "partition": 0, "series": [], "force": False} | job).encode() + b"\n"


@contextmanager
def child(line: bytes, folder: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A run as a process, killed at the end if it is still there."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "trainer.retrain.main"]
    environment = os.environ | variables
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=folder, env=environment) as process:
        try:
            assert process.stdin is not None
            process.stdin.write(line)
            process.stdin.flush()
            yield process
        finally:
            process.kill()


def reach(process: subprocess.Popen[bytes], event: str) -> None:
    """Wait for a line of the log."""
    assert process.stderr is not None
    while json.loads(process.stderr.readline())["event"] != event:
        pass


def test_a_run_from_end_to_end(settings: Settings, redis: Redis, store: ModelStore, tmp_path: Path) -> None:
    """As a process: every series gets a model, every verdict is an event, the summary comes last, the log is JSON.

    The environment and the settings file are ignored. The readings are too few for networks, and so for TensorFlow.
    """
    send(redis, range(110))
    (tmp_path / "tidecast.toml").write_text("nonsense = 1\n")
    given = changed(settings, retrain={"min_history": 100})
    with child(told(given), tmp_path, TIDECAST_NAMESPACE="other", TIDECAST_RETRAIN__MIN_HISTORY="200") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        out = process.stdout.read()
        log = process.stderr.read().decode()
        assert ENDED == process.wait(), log
    summary = json.loads(out.splitlines()[-1])
    assert summary["seconds"] > 0
    verdicts = events(redis)
    assert set(SERIES) == {event.series for event in verdicts}
    promoted = {event.series for event in verdicts if event.kind == "promoted"}
    assert promoted == set(store.served())
    assert {"trained": len(promoted), "kept": 0, "refused": 3 - len(promoted), "put_off": 0} == {
        name: summary[name] for name in ("trained", "kept", "refused", "put_off")
    }
    assert all("MAE" in event.detail and event.version == 1 and event.kind in EVENTS for event in verdicts)
    assert all(json.loads(line)["event"] for line in log.splitlines())


def test_only_what_is_due_is_trained_and_goes_on_from_its_champion(
    settings: Settings, redis: Redis, store: ModelStore
) -> None:
    """A second run finds nothing to do; one with enough new readings starts from the champions' weights."""
    send(redis, range(220))
    first = run(settings, RetrainRequest(0))
    assert 3 == first.trained + first.refused
    assert (0, 0, 0, 0) == counts(run(settings, RetrainRequest(0)))
    send(redis, range(220, 290), ("a",))
    assert 1 == sum(counts(run(settings, RetrainRequest(0))))
    assert [1, 2] == store.versions("a")
    assert [1] == store.versions("b")
    assert ["a"] == [event.series for event in events(redis)][3:]


def test_a_series_that_is_asked_for_is_trained_by_force(settings: Settings, redis: Redis, store: ModelStore) -> None:
    """On the same readings too."""
    send(redis, range(220))
    run(settings, RetrainRequest(0, ("a",)))
    assert ["a"] == store.series()
    run(settings, RetrainRequest(0, ("a",), force=True))
    assert [1, 2] == store.versions("a")


def test_the_same_seed_trains_the_same_bytes_again_and_another_does_not(
    settings: Settings, redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retraining run can be repeated in an empty store; the file also holds the time of its creation, fixed here."""
    send(redis, range(220), ("a",))
    monkeypatch.setattr(pipeline, "time", SimpleNamespace(time=lambda: TS / 1000))
    files = []
    for i, seed in enumerate((5, 5, 6)):
        seeded = changed(settings, train={"seed": seed}).model_copy(update={"store": tmp_path / str(i)})
        assert 1 == run(seeded, RetrainRequest(0)).trained
        (file,) = (tmp_path / str(i)).rglob("*.safetensors")
        files.append(file.read_bytes())
    assert files[0] == files[1] != files[2]


def test_a_pattern_and_a_partition_bound_what_is_read(settings: Settings, redis: Redis, store: ModelStore) -> None:
    """Readings of others are not even looked at."""
    given = changed(settings, retrain={"pattern": "[ab]*"}).model_copy(update={"partitions": 2})
    mine = [f"{letter}{i}" for letter in "Aabc" for i in range(20) if partition_of(f"{letter}{i}", 2) == 1]
    chosen = next(name for name in mine if name[0] == "a")
    send(redis, range(210), (chosen, *(next(n for n in mine if n[0] == letter) for letter in "cA")), "{1}:")
    redis.xadd("{0}:readings", {"series": "b", "value": "no number"}, id=f"{TS}-0")
    redis.hset("{0}:offset", "last", f"{TS}-0")
    run(given, RetrainRequest(1))
    assert [chosen] == store.series()
    assert [chosen] == [event.series for event in events(redis, "{1}:events")]


def test_the_tuned_learning_rate_is_that_of_the_tuned_shape_alone(
    settings: Settings, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another champion's shape was not searched with it."""
    rates: dict[str, float] = {}
    tuned = Trained(spec=Spec(units=5), learning_rate=0.5, val_loss=1, tail_mae=1, tail_mae_last_value=1)
    store.root.mkdir(parents=True)
    (store.root / TUNED).write_text(Tuned(series="a", chosen=tuned, default=tuned).model_dump_json())
    champion = StoredVersions(make_model("other", Spec(units=7)).header)
    monkeypatch.setattr(
        "trainer.retrain.run.train",
        lambda given, _spec, settings, *_: rates.update({given[0].series: settings.train.learning_rate}),
    )
    histories = [History(name, ("value",), np.arange(2), np.zeros((2, 1))) for name in ("new", "other")]
    _train(histories, {"other": champion}, settings, store, TrainOptions())
    assert {"new": 0.5, "other": settings.train.learning_rate} == rates


def test_a_champion_keeps_its_features(settings: Settings, redis: Redis, store: ModelStore) -> None:
    """Without them it could not be compared; where they are missing it stays."""
    spec = make_model("a").spec.model_copy(update={"features": ("value", "wind")})
    store.publish(make_model("a", spec, span=(0, 1)))
    store.publish(make_model("b", spec, span=(0, 1)))
    send(redis, range(220), ("a",), wind=1.0)
    with redis.pipeline(transaction=False) as pipeline:
        send(redis, range(220, 440), ("b",))
        pipeline.execute()
    summary = run(settings, RetrainRequest(0))
    assert 2 == sum(counts(summary))
    assert spec == store.load("a", 2)[1].spec
    assert [1] == store.versions("b")
    (lacking,) = [event for event in events(redis) if event.series == "b"]
    assert ("refused", True) == (lacking.kind, "lack wind" in lacking.detail)


def test_the_cohorts_network_stays_in_use(settings: Settings, redis: Redis, store: ModelStore) -> None:
    """A retrained model keeps its shared expert, and the network is not trained with every chunk."""
    network = make_model("value every 60 s", step_ms=STEP * 1.001)
    store.shared.publish(network)
    send(redis, range(220))
    run(settings, RetrainRequest(0))
    assert {"value every 60 s"} == {store.load(name, 1)[1].header.shared for name in SERIES}
    assert [1] == store.shared.versions("value every 60 s")


def test_what_does_not_fit_into_the_budget_is_put_off(
    settings: Settings, redis: Redis, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock moves ten seconds at each look, and the reading takes some of them; the first chunk sets the pace."""
    monkeypatch.setattr("trainer.retrain.run.FIRST", 1)
    send(redis, range(220))
    ticks = count(0, 10)
    summary = run(changed(settings, retrain={"budget": 60.0}), RetrainRequest(0), lambda: float(next(ticks)))
    assert (1, 2) == (summary.trained + summary.refused, summary.put_off)
    assert 1 == len(events(redis))
    late = run(changed(settings, retrain={"budget": 0.0}), RetrainRequest(0))
    assert (0, 0, 0, 2) == counts(late)
    assert 1 == len(store.series())


def test_drift_and_errors_are_those_of_the_champion(redis: Redis) -> None:
    """Older events, other versions' forecasts and other series count for nothing; the newest so many are read."""
    for ms, kind, series in [
        (5, "drift", "a"),
        (10, "level_changed", "a"),
        (11, "drift", "b"),
        (12, "series_created", "a"),
    ]:
        redis.xadd("events", dict(zip(*[iter(Event(kind, "", series).encode())] * 2, strict=True)), id=f"{ms}-1")
    assert {"a": 1} == drifts_since(redis, "events", {"a": 10, "c": 1})
    for i in range(30):
        fields = {"series": "ab"[i % 2], "model": 1 + i // 20, "error": (-1) ** i * (i // 10)}
        redis.xadd("forecasts", fields if i != 25 else {"series": "b", "y": 1})  # type: ignore[arg-type] # any will do
    assert {"a": 0.5} == live_errors(redis, "forecasts", {"a": 1, "b": 2, "c": 1})
    assert {"a": 0.625} == live_errors(redis, "forecasts", {"a": 1}, most=26)
    assert {} == live_errors(redis, "forecasts", {"a": 1}, most=20)


def test_settings_that_are_told_are_taken_from_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for a group nor for one entry of it; an unknown one is an error."""
    monkeypatch.setenv("TIDECAST_WORKER__BATCH", "7")
    assert 1000 == passed_settings({"worker": {"block": 0.005}}).worker.batch
    with pytest.raises(SettingsError, match=r"worker\.speed"):
        passed_settings({"worker": {"speed": 1}})


def test_a_line_that_makes_no_sense_is_said_in_the_log(tmp_path: Path) -> None:
    """With the exit code of bad settings, and without the password."""
    with child(b'{"settings": {"redis_url": "redis://:hunter2@h:1", "speed": 1}}\n', tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        out = process.stdout.read()
        log = process.stderr.read()
        process.wait()
    assert (BAD_SETTINGS, b"") == (process.returncode, out)
    assert b"hunter2" not in log


def test_everybody_else_comes_first(settings: Settings, tmp_path: Path) -> None:
    """This happens before any slow import, unless the settings differ."""
    usual = os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)
    lowest = min(usual[0] + 19, 19)
    for aside, expected in ((True, (lowest, os.SCHED_IDLE)), (False, usual)):
        with child(told(changed(settings, retrain={"low_priority": aside})), tmp_path) as process:
            reach(process, "training process started")
            assert expected == (os.getpriority(os.PRIO_PROCESS, process.pid), os.sched_getscheduler(process.pid))


@pytest.mark.parametrize("own", [True, False])
def test_its_session_comes_after_the_others_unless_others_share_it(own: bool) -> None:
    """Where Linux groups sessions, priorities count only within one; a session of others is left alone."""
    look = "print(AUTOGROUP.read_text().strip() if AUTOGROUP.exists() else '')"
    program = f"from trainer.retrain.main import AUTOGROUP, step_aside; {look}; step_aside(); {look}"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, start_new_session=own, check=True)
    before, after = result.stdout.decode().splitlines()
    assert not after or after.endswith("nice 19") if own else before == after


def test_a_run_ends_with_its_parent(settings: Settings, redis: Redis, tmp_path: Path) -> None:
    """The end of its standard input ends it in the middle of a training that would take minutes."""
    send(redis, range(220))
    long = changed(settings, train={"epochs": 10_000, "patience": 10_000})
    with child(told(long), tmp_path) as process:
        assert process.stdin is not None
        reach(process, "series due")
        time.sleep(1.0)
        process.stdin.close()
        assert ORPHANED == process.wait(PATIENCE_S)


def killed(settings: Settings, redis: Redis, folder: Path, kills: int) -> None:
    """Kill so many runs at random moments: each leaves a store that loads, and champions that are whole."""
    rng = np.random.default_rng(0)
    store = ModelStore(settings.store)
    sent = 220
    send(redis, range(sent))
    for _ in range(kills):
        with child(told(settings, force=True), folder) as process:
            reach(process, "series due")
            time.sleep(float(rng.uniform(0, 3)))
            process.kill()
        for name in store.series():
            assert store.champion(name) in (None, *store.versions(name))
            for version in store.versions(name):
                store.load(name, version)
        assert {event.series for event in events(redis)} <= set(store.series())
        send(redis, range(sent, sent + 60))
        sent += 60
    assert 3 == sum(counts(run(settings, RetrainRequest(0, force=True))))


def test_a_killed_run_leaves_a_store_that_loads(settings: Settings, redis: Redis, tmp_path: Path) -> None:
    """Wherever it was; and the next run goes on."""
    killed(settings, redis, tmp_path, kills=1)


def counts(summary: Summary) -> tuple[int, int, int, int]:
    """Return how many series were trained, kept, refused and put off."""
    return summary.trained, summary.kept, summary.refused, summary.put_off
