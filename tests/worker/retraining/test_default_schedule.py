"""The schedule of a plain worker: on where it can work, otherwise off with one log line; it never delays the start."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from structlog.testing import capture_logs

from tests.harness.patience import PATIENCE_S, until
from tests.harness.processes import forked_worker, worker_process
from tests.worker.harness import push
from tests.worker.retraining.harness import record
from tidecast.settings import Settings
from worker.retraining import late_schedule
from worker.retraining.late_schedule import LateSchedule

HIDER = """
import sys

class Hider:
    def find_spec(self, name, path=None, target=None):
        if name in ("tensorflow", "keras"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hider())
"""


def lines(process: Any) -> list[dict[str, Any]]:
    """Tell a worker to stop; return its log."""
    process.terminate()
    _, err = process.communicate(timeout=PATIENCE_S)
    assert 0 == process.returncode
    return [json.loads(line) for line in err.splitlines()]


def told(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the log lines about the schedule."""
    return [line for line in log if line["event"].startswith("schedule")]


@pytest.fixture
def without_tensorflow(tmp_path: Path) -> dict[str, str]:
    """The variables of a process that finds no TensorFlow."""
    folder = tmp_path / "hider"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(HIDER)
    return {"PYTHONPATH": str(folder)}


def test_a_plain_worker_keeps_a_schedule(settings: Settings, redis: Redis) -> None:
    """Its first run is six hours away, so that a worker started for a minute trains nothing."""
    with forked_worker(settings.redis_url.get_secret_value(), settings.store) as process:
        until(lambda: record(redis))
        log = lines(process)
    (line,) = told(log)
    assert ("schedule started", "every 6h", True) == (line["event"], line["trigger"], line["by_default"])
    kept = record(redis)
    seconds, _ = redis.time()
    assert "every 6h" == kept["trigger"]
    assert 6 * 3600 - PATIENCE_S < int(kept["next_ms"]) / 1000 - seconds <= 6 * 3600
    assert "state" not in kept


def test_a_schedule_that_was_asked_for_is_said_to_be_so(settings: Settings, redis: Redis) -> None:
    """The log shows which of the two it is."""
    with forked_worker(settings.redis_url.get_secret_value(), settings.store, RETRAIN__EVERY="2h") as process:
        until(lambda: record(redis))
        (line,) = told(lines(process))
    assert ("every 2h", False) == (line["trigger"], line["by_default"])


@pytest.mark.parametrize(
    ("variables", "store", "reason", "remedy"),
    [
        ({"RETRAIN__EVERY": "never"}, None, 'retrain.every is "never"', 'set it to a duration such as "6h"'),
        ({}, "/proc/models", "the store /proc/models cannot be written (", "let this user write there, or run"),
    ],
    ids=["never", "store"],
)
def test_a_worker_without_a_schedule_says_why_once_and_answers(
    settings: Settings, redis: Redis, variables: dict[str, str], store: str | None, reason: str, remedy: str
) -> None:
    """There is one line with the remedy, no entry in Redis, and readings are answered as usual."""
    ids = push(settings, 10)
    place = Path(store) if store else settings.store
    with forked_worker(settings.redis_url.get_secret_value(), place, **variables) as process:
        until(lambda: redis.xlen("forecasts") == len(ids))
        (line,) = told(lines(process))
    assert "schedule off" == line["event"]
    assert line["reason"].startswith(reason)
    assert line["remedy"].startswith(remedy)
    assert {} == record(redis)


def test_a_worker_without_the_training_packages_says_how_to_get_a_schedule(
    settings: Settings, redis: Redis, without_tensorflow: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plain installation is the usual one of a worker: it starts, and names both ways to retrain."""
    for name, value in without_tensorflow.items():
        monkeypatch.setenv(name, value)
    with worker_process(settings.redis_url.get_secret_value(), settings.store) as process:
        until(lambda: redis.exists("lease"))
        (line,) = told(lines(process))
    assert "schedule off" == line["event"]
    assert "the training packages are not installed (keras, tensorflow)" == line["reason"]
    assert (
        "pip install 'tidecast[train]', or run the schedule elsewhere with `tidecast retrain --daemon`"
        == line["remedy"]
    )
    assert {} == record(redis)


@pytest.mark.parametrize("words", [("worker",), ("retrain",)], ids=" ".join)
def test_a_schedule_that_was_asked_for_without_the_packages_is_an_error(
    settings: Settings, without_tensorflow: dict[str, str], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """It ends with exit code 2 and one sentence: an operator who sets a schedule relies on it."""
    for name, value in {**without_tensorflow, "TIDECAST_RETRAIN__EVERY": "6h"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TIDECAST_REDIS_URL", settings.redis_url.get_secret_value())
    command = [Path(sys.executable).with_name("tidecast"), *words, "--store", settings.store]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (2, 1) == (done.returncode, done.stderr.count("\n"))
    assert "not installed (keras, tensorflow): pip install 'tidecast[train]'" in done.stderr


@pytest.mark.parametrize("words", [("worker", "--burst"), ("worker", "--check")], ids=" ".join)
def test_a_worker_that_ends_by_itself_keeps_no_schedule(
    settings: Settings, redis: Redis, words: tuple[str, ...]
) -> None:
    """It would train nothing before it ends, so it does not log the schedule either."""
    push(settings, 10)
    with forked_worker(settings.redis_url.get_secret_value(), settings.store, *words[1:]) as process:
        _, err = process.communicate(timeout=PATIENCE_S)
    assert 0 == process.returncode
    assert "schedule" not in err
    assert {} == record(redis)


def test_the_worker_imports_no_scheduler_before_it_is_ready() -> None:
    """The import takes a quarter of a second, and the first reading would wait for it."""
    program = "import sys, worker.main; print(any(name.startswith('apscheduler') for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "False\n" == done.stdout


class Recorder:
    """A schedule that records its calls."""

    def __init__(self, noted: list[str]) -> None:
        self._noted = noted

    def start(self) -> None:
        """Note it."""
        self._noted.append("start")

    def stop(self) -> None:
        """Note it."""
        self._noted.append("stop")


def making(noted: list[str]) -> Callable[[], Any]:
    """Note where and when the schedule is made."""

    def make() -> Any:
        noted.append(threading.current_thread().name)
        return Recorder(noted)

    return make


def test_a_schedule_begins_when_the_worker_is_ready_on_another_thread() -> None:
    """It ends with the block."""
    noted: list[str] = []
    ready = threading.Event()
    with LateSchedule(making(noted), ready):
        assert [] == noted
        ready.set()
        until(lambda: "start" in noted)
    assert ["schedule", "start", "stop"] == noted


def test_a_worker_that_ends_before_it_is_ready_makes_no_schedule() -> None:
    """Such as one that waits for Redis, or for a partition."""
    noted: list[str] = []
    with LateSchedule(making(noted), threading.Event()):
        pass
    assert [] == noted


def test_a_worker_that_ends_while_the_schedule_is_made_does_not_start_it() -> None:
    """Its imports take a while; started later, it would speak after the worker's last word."""
    noted: list[str] = []
    making_it = threading.Event()
    ended = threading.Event()

    def make() -> Any:
        making_it.set()
        assert ended.wait(PATIENCE_S)
        return making(noted)()

    ready = threading.Event()
    ready.set()
    late = LateSchedule(make, ready)
    with late:
        assert making_it.wait(PATIENCE_S)
        late._ended.set()
        ended.set()
    assert ["schedule"] == noted


def test_a_schedule_that_cannot_be_made_does_not_end_the_worker() -> None:
    """A damaged installation costs the schedule alone, and the log reports it."""

    def fail() -> Any:
        raise ImportError("no module named apscheduler")

    ready = threading.Event()
    ready.set()
    with capture_logs() as logs, LateSchedule(fail, ready):
        until(lambda: "schedule not started" in [line["event"] for line in logs])


def test_a_schedule_that_could_not_be_made_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process without a free file descriptor gets some later, and may run for months without a retraining."""
    monkeypatch.setattr(late_schedule, "AGAIN_S", 0.001)
    noted: list[str] = []
    make = making(noted)

    def fail_twice() -> Any:
        schedule = make()
        if len(noted) < 3:
            raise OSError("too many open files")
        return schedule

    ready = threading.Event()
    ready.set()
    with LateSchedule(fail_twice, ready):
        until(lambda: "start" in noted)
    assert ["schedule", "schedule", "schedule", "start", "stop"] == noted
