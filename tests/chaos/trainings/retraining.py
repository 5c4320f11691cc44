"""A worker whose schedule retrains all the time, while its child, or itself, is killed at random moments.

The real worker and the real child run: the moments are spread over a child's whole life, and most of that is the start
of TensorFlow. After every kill the store must be whole. At the end, the record and the events must hold every due time
once, and every reading must have been answered once.
"""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from redis import Redis

from tests.chaos.harness import EPOCH, start_worker
from tests.harness.models import make_model
from tests.harness.nursery import Forked
from tests.harness.patience import PATIENCE_S, until
from tests.worker.retraining.harness import check_each_due_ended_once, ended, events, gone, record
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.errors import TidecastError
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore

SERIES = 3
RECORDED = 120  # readings of each before the first run
EVERY_MS = 2000
PUSH_S = 0.05  # between two readings of each series
LATEST = 1.1  # of a child's life, the latest moment of a kill: some come just after its end
MOMENT_S = 0.001  # for one look at a process
CHILD, WORKER = "child", "worker"
SETTINGS = f"""
[worker]
name = "chaos"
lease = 1.0
block = "50ms"

[retrain]
every = "{EVERY_MS // 1000}s"
min_new = 8
retries = 3
low_priority = false

[train]
epochs = 1
shared_epochs = 0
"""


@dataclass(slots=True)
class Report:
    """How a run went."""

    child_kills: int = 0
    worker_kills: int = 0
    late: int = 0  # moments at which the child had come to its end
    runs: int = 0  # due times that ended
    failed: int = 0  # of them, those given up
    versions: int = 0  # made during the run
    readings: int = 0
    orphans: int = 0  # children that outlived their worker
    broken: int = 0  # versions or champions that could not be loaded
    schedule: int = 0  # due times skipped or doubled, or a record that disagrees with the events
    unanswered: int = 0  # readings without exactly one forecast
    notes: list[str] = field(default_factory=list)

    def violations(self) -> int:
        """Return the number of broken promises."""
        return self.orphans + self.broken + self.schedule + self.unanswered


def retraining_run(
    folder: Path, child_kills: int, worker_kills: int, seed: int, life_s: float | None = None, window: int = 6
) -> Report:
    """Kill so many children and so many workers, then let a run come to its end, and check.

    Args:
        folder: an empty one.
        child_kills: how many.
        worker_kills: how many.
        seed: of the order and the moments.
        life_s: how long a child lives; None: as long as the first one, which is left in peace.
        window: rows of the networks; with many, no network is trained, and the children do not start TensorFlow.
    """
    chance = random.Random(seed)
    victims = [CHILD] * child_kills + [WORKER] * worker_kills
    chance.shuffle(victims)
    store = _make_store(folder, window)
    report = Report()
    with EmbeddedRedis() as server, Redis.from_url(server.url, protocol=2) as redis:
        with _pushing(server.url, report):
            worker = start_worker(folder, server.url, log=folder / "worker.log")
            try:
                life_s = life_s or _life_s(worker, redis)
                while victims:
                    worker = _kill(folder, server.url, worker, victims, chance.uniform(0, LATEST) * life_s, report)
                    _check_store(store, report)
                _until_one_finished(redis)
            finally:
                _end(worker)
        _end(start_worker(folder, server.url, "--burst", log=folder / "worker.log"), signal.SIGCONT)
        _check_schedule(redis, report)
        _check_answers(redis, report)
    _check_store(store, report)
    report.versions = sum(len(store.versions(series)) - 1 for series in store.series())
    return report


def _make_store(folder: Path, window: int) -> ModelStore:
    store = ModelStore(folder / "models")
    for s in range(SERIES):
        store.publish(make_model(f"series-{s}", Spec(window=window, units=4), seed=s))
    (folder / "tidecast.toml").write_text(SETTINGS)
    return store


@contextmanager
def _pushing(url: str, report: Report) -> Iterator[None]:
    """A history at once, and then readings all the time."""
    rng = np.random.default_rng(0)
    stop = threading.Event()

    def push(redis: Redis, step: int) -> None:
        with redis.pipeline(transaction=False) as pipeline:
            for s in range(SERIES):
                y = 50 + 10 * np.sin(2 * np.pi * step / 24 + s) + rng.normal()
                pipeline.xadd("readings", {"series": f"series-{s}", "ts": EPOCH + 1000 * step, "value": f"{y:.3f}"})
            pipeline.execute()
        report.readings += SERIES

    def go_on(step: int = RECORDED) -> None:
        while not stop.wait(PUSH_S):
            push(redis, step)
            step += 1

    with Redis.from_url(url, protocol=2) as redis:
        for step in range(RECORDED):
            push(redis, step)
        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def _life_s(worker: Forked, redis: Redis) -> float:
    """Return how long the first child lives if it is not killed."""
    child = _child(worker)
    until(lambda: not child.is_running() or gone(child.pid, MOMENT_S))
    life_s = time.time() - child.create_time()
    until(lambda: _count(redis, "finished"))
    return life_s


def _kill(folder: Path, url: str, worker: Forked, victims: list[str], moment_s: float, report: Report) -> Forked:
    """Kill the next victim, that long after the birth of a child; return the worker that is there then."""
    child = _child(worker)
    time.sleep(max(0.0, child.create_time() + moment_s - time.time()))
    if victims[-1] == CHILD:
        if gone(child.pid, MOMENT_S):
            report.late += 1  # and the next moment is another child's
            return worker
        with suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)
        report.child_kills += 1
    else:
        worker.kill()
        worker.wait()
        report.worker_kills += 1
        if not gone(child.pid):
            report.orphans += 1
            report.notes.append(f"child {child.pid} outlived its worker")
        worker = start_worker(folder, url, log=folder / "worker.log")
    victims.pop()
    until(lambda: gone(child.pid, MOMENT_S))
    return worker


def _child(worker: Forked) -> psutil.Process:
    def living() -> psutil.Process | None:
        if worker.poll() is not None:
            raise RuntimeError(f"the worker ended with exit code {worker.returncode}")
        return next((each for each in psutil.Process(worker.pid).children() if not gone(each.pid, MOMENT_S)), None)

    child = until(living)
    assert isinstance(child, psutil.Process)
    return child


def _until_one_finished(redis: Redis) -> None:
    """Wait until a run that begins now has finished."""
    begun = _count(redis, "finished")
    until(lambda: _count(redis, "finished") > begun)


def _count(redis: Redis, kind: str) -> int:
    return sum(name == kind for name, _ in events(redis))


def _end(worker: Forked, how: signal.Signals = signal.SIGTERM) -> None:
    if worker.poll() is None:
        worker.send_signal(how)
    if worker.wait(PATIENCE_S) not in (0, -signal.SIGKILL):
        raise RuntimeError(f"the worker ended with exit code {worker.returncode}")


def _check_store(store: ModelStore, report: Report) -> None:
    """Every version of every series can be loaded, the champion among them."""
    for series in store.series():
        numbers = store.versions(series)
        for number in {*numbers, store.champion(series)}:
            try:
                assert number in numbers
                store.load(series, number)
            except (TidecastError, OSError, AssertionError) as exc:
                report.broken += 1
                report.notes.append(f"{series}, version {number}: {type(exc).__name__} {exc}")


def _check_schedule(redis: Redis, report: Report) -> None:
    report.runs = len(ended(redis))
    report.failed = _count(redis, "failed")
    try:
        check_each_due_ended_once(redis, EVERY_MS)
    except AssertionError as exc:
        report.schedule += 1
        report.notes.append(f"the events {ended(redis)} and the record {record(redis)} do not agree: {exc}")


def _check_answers(redis: Redis, report: Report) -> None:
    pushed, answered = ([at for at, _ in redis.xrange(key)] for key in ("readings", "forecasts"))
    report.unanswered = len({*pushed} ^ {*answered}) + len(answered) - len({*answered})
    assert report.readings == len(pushed)
