"""The schedule as a worker runs it: threads, children and parents that are killed, a Redis that is away."""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from apscheduler.executors.debug import DebugExecutor
from pydantic import SecretStr
from redis import Redis
from structlog.testing import capture_logs

from tests.harness.nursery import Forked
from tests.harness.patience import PATIENCE_S, until
from tests.harness.processes import forked_worker
from tests.worker.retraining import schedule_parent
from tests.worker.retraining.harness import FINISH, check_each_due_ended_once, events, gone, record, stand_in
from tidecast.connection import connect
from tidecast.connection.embedded import EmbeddedRedis, free_port
from tidecast.errors import SettingsError
from tidecast.settings import Settings, load_settings
from worker import main as program
from worker.metrics import Health
from worker.retraining import main as daemon
from worker.retraining import scheduler
from worker.retraining.scheduler import Schedule
from worker.retraining.triggers import timing_of

HANG = "os.kill(os.getpid(), signal.SIGSTOP)"  # it gets no signal, and misses the end of its parent


def writing(file: Path, then: str) -> str:
    """Return a stand-in that first writes its process number."""
    return (
        f"open({str(file)!r} + '~', 'w').write(str(os.getpid())); os.rename({str(file)!r} + '~', {str(file)!r})\n{then}"
    )


def pid_in(file: Path) -> int:
    """Return the process number that a stand-in has written; the file is taken away."""
    pid = until(lambda: file.exists() and file.read_text())
    file.unlink()
    return int(pid)


@contextmanager
def scheduled(settings: Settings, child: str, held: set[int] | None = None, **retrain: Any) -> Iterator[Schedule]:
    """Return a schedule that begins now, every second unless set otherwise."""
    chosen = settings.retrain.model_copy(update={"every": 1.0} | retrain)
    settings = settings.model_copy(update={"retrain": chosen})
    timing = timing_of(chosen)
    assert timing
    ours = {0} if held is None else held
    with Schedule(lambda: settings, timing, lambda: ours, "w", Health(), command=stand_in(child)) as running:
        yield running


def test_runs_come_one_after_the_other(settings: Settings, redis: Redis) -> None:
    """Each second, each with its events."""
    with scheduled(settings, FINISH):
        until(lambda: record(redis).get("runs") == "2")
    assert check_each_due_ended_once(redis, 1000) >= 2


def test_each_partition_has_its_own_runs(settings: Settings, redis: Redis) -> None:
    """Only held partitions have runs; the child gets the partition's number."""
    settings = settings.model_copy(update={"partitions": 3})
    child = 'print(\'{"trained": %d, "kept": 0, "refused": 0, "put_off": 0, "seconds": 0}\' % told[\'partition\'])'
    with scheduled(settings, child, {0, 2}):
        for partition in (0, 2):
            until(lambda key=f"{{{partition}}}:retrain": record(redis, key).get("runs"))  # type: ignore[misc] # its default
            finished = [detail for kind, detail in events(redis, f"{{{partition}}}:events") if kind == "finished"]
            assert f"has finished: {partition} series trained" in finished[0]
    assert not redis.exists("{1}:retrain")


def test_killed_children_skip_no_due_time_and_double_none(settings: Settings, redis: Redis, tmp_path: Path) -> None:
    """Twenty times with SIGKILL, before, in and after their work; then the schedule goes on."""
    file = tmp_path / "pid"
    chance = random.Random(3)
    with scheduled(settings, writing(file, f"time.sleep(0.03)\n{FINISH}")):
        for _ in range(20):
            pid = pid_in(file)
            time.sleep(chance.uniform(0, 0.04))
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        runs = int(record(redis).get("runs", 0))
        until(lambda: int(record(redis).get("runs", 0)) > runs)
    assert check_each_due_ended_once(redis, 1000) > runs
    kinds = [kind for kind, _ in events(redis)]
    assert kinds.count("started") > kinds.count("finished") + kinds.count("failed")


def test_killed_parents_skip_no_due_time_and_double_none(settings: Settings, redis: Redis, tmp_path: Path) -> None:
    """Six for one partition, five of them killed while their child trains: the others go on, and no child is left."""
    environment = os.environ | {
        "TIDECAST_REDIS_URL": settings.redis_url.get_secret_value(),
        "TIDECAST_RETRAIN__EVERY": "1s",
        "TIDECAST_RETRAIN__RETRIES": "9",
    }
    file = tmp_path / "pid"
    chance = random.Random(5)
    children = []
    # As the trainer, it ends itself when its standard input does.
    watch = "import threading\nthreading.Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start()"
    child = f"{watch}\ntime.sleep(0.05)\n{FINISH}"
    with ExitStack() as stack:
        parents = {}
        for name in "abcdef":
            command = ["parent", name, "0.4", writing(file, child)]
            parents[name] = stack.enter_context(Forked(schedule_parent.__name__, command, tmp_path, environment))
            stack.callback(parents[name].kill)
        for parent in parents.values():
            assert parent.stderr
            assert "started\n" in parent.stderr  # it is read up to there
        file.unlink(missing_ok=True)
        while len(parents) > 1:
            children.append(pid_in(file))
            time.sleep(chance.uniform(0, 0.08))
            parents.pop(until(lambda: {record(redis).get("owner")} & parents.keys()).pop()).kill()
        runs = int(record(redis).get("runs", 0))
        until(lambda: int(record(redis).get("runs", 0)) > runs)
        (last,) = parents.values()
        last.terminate()
        modules = last.communicate(timeout=PATIENCE_S)[1].split()
    assert check_each_due_ended_once(redis, 1000) > runs
    assert all(gone(pid) for pid in children)
    assert "worker.retraining.scheduler" in modules
    assert not {"trainer", "tensorflow", "keras"} & set(modules)


@pytest.mark.parametrize("way", ["stop", "lost", "told"])
def test_a_child_ends_with_the_schedule_or_the_partition(
    settings: Settings, redis: Redis, tmp_path: Path, way: str
) -> None:
    """Even one that stands still and would never end; its run is given back, and no try is spent."""
    file = tmp_path / "pid"
    held = {0}
    flag = []
    settings = settings.model_copy(update={"retrain": settings.retrain.model_copy(update={"every": 1.0})})
    timing = timing_of(settings.retrain)
    assert timing
    command = stand_in(writing(file, HANG))
    schedule = Schedule(
        lambda: settings, timing, lambda: set(held), "w", Health(), command=command, asked_to_stop=lambda: bool(flag)
    )
    schedule.start()
    pid = pid_in(file)
    if way == "lost":
        held.clear()
    elif way == "told":
        flag.append(1)
    else:
        schedule.stop()
    assert gone(pid)
    until(lambda: record(redis)["state"] == "waiting")
    assert "0" == record(redis)["tries"]
    if way == "lost":
        held.add(0)
        assert pid_in(file)
    schedule.stop()


def test_a_hung_child_is_tried_again_after_its_time_limit(settings: Settings, redis: Redis, tmp_path: Path) -> None:
    """The due time stays the same, and counts as one."""
    file = tmp_path / "been"
    child = f"if not os.path.exists({str(file)!r}):\n    open({str(file)!r}, 'w').close()\n    {HANG}\n{FINISH}"
    with scheduled(settings, child, timeout=1.0):
        until(lambda: record(redis).get("runs"))
        assert "2" == record(redis)["tries"]
    assert 1 == check_each_due_ended_once(redis, 1000)


def test_without_redis_the_schedule_waits_and_then_begins(settings: Settings, tmp_path: Path) -> None:
    """It ends when it is stopped, with Redis or without."""
    away = load_settings(redis_url=f"redis://127.0.0.1:{free_port()}/0", store=tmp_path)
    with scheduled(away, FINISH):
        time.sleep(0.2)
    late = EmbeddedRedis()
    there = settings.model_copy(update={"redis_url": load_settings(redis_url=late.url).redis_url})
    with scheduled(there, FINISH):
        time.sleep(0.2)
        with late, connect(there) as redis:
            until(lambda: record(redis).get("runs"))


def test_a_redis_that_goes_away_in_a_run_loses_no_due_time(settings: Settings, redis: Redis, tmp_path: Path) -> None:
    """The result of the run is recorded once Redis is back."""
    file = tmp_path / "pid"
    with scheduled(settings, writing(file, f"time.sleep(0.3)\n{FINISH}")):
        pid_in(file)
        redis.execute_command("CLIENT", "PAUSE", 1800, "ALL")
        until(lambda: check_each_due_ended_once(redis, 1000) >= 2)
    assert ["started", "finished"] == [kind for kind, _ in events(redis)][:2]


def test_partitions_that_cannot_be_listed_are_logged_and_listed_again_soon(settings: Settings, redis: Redis) -> None:
    """The layout in Redis may be damaged: once it is repaired, runs go on at once, and not an hour later."""
    settings = settings.model_copy(update={"retrain": settings.retrain.model_copy(update={"every": 1.0})})
    timing = timing_of(settings.retrain)
    assert timing
    damaged = []

    def held() -> set[int]:
        if damaged:
            raise SettingsError("no layout")
        return {0}

    with capture_logs() as lines, Schedule(lambda: settings, timing, held, "w", Health(), command=stand_in(FINISH)):
        until(lambda: record(redis).get("runs"))
        damaged.append(1)
        until(lambda: {line.get("partition") for line in lines if line["event"] == "retraining waits"} == {0, None})
        runs = int(record(redis)["runs"])
        damaged.clear()
        until(lambda: int(record(redis)["runs"]) > runs)


def test_a_worker_with_a_schedule_holds_no_tensorflow_and_stops_as_ever(settings: Settings, redis: Redis) -> None:
    """Neither its modules nor its memory; SIGTERM ends it while its child may train."""
    variables = {"RETRAIN__EVERY": "1s", "RETRAIN__MIN_NEW": "8"}
    with forked_worker(settings.redis_url.get_secret_value(), settings.store, **variables) as process:
        until(lambda: "started" in [kind for kind, _ in events(redis)])
        assert "tensorflow" not in Path(f"/proc/{process.pid}/maps").read_text()
        process.terminate()
        assert 0 == process.wait(PATIENCE_S)
    assert record(redis)["trigger"] == "every 1s"


def test_a_schedule_that_cannot_be_kept_is_said_before_the_worker_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong trigger, or packages that are not installed; by the dry run too."""
    both = load_settings(retrain={"every": "6h", "cron": "0 3 * * *"})
    fine = load_settings(retrain={"every": "6h"})
    for start in (program.run, program.check, daemon.run):
        with pytest.raises(SettingsError, match="both set"):
            start(both)
    with pytest.raises(SettingsError, match=r'no schedule to run: retrain\.every is "never"'):
        daemon.run(load_settings(retrain={"every": "never"}))
    monkeypatch.setattr("tidecast.schedule_choice.find_spec", lambda _name: None)
    for start in (program.run, program.check, daemon.run):
        with pytest.raises(SettingsError, match="pip install"):
            start(fine)


def test_a_look_that_ends_at_once_is_followed_by_the_next_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time is set before APScheduler reads it: it was six hours where half a second was meant."""
    monkeypatch.setattr(scheduler, "ThreadPoolExecutor", lambda _threads: DebugExecutor())  # ends before it is queried
    looks: list[int] = []

    def step(_schedule: Schedule, partition: int) -> float:
        looks.append(partition)
        return time.time() + 0.01

    monkeypatch.setattr(Schedule, "_step", step)
    with scheduled(settings, FINISH, every=6 * 3600.0):
        until(lambda: len(looks) > 10)


def test_a_schedule_shows_what_keeps_it_from_its_work(settings: Settings) -> None:
    """`/readyz` of `tidecast retrain --daemon` answers 503 with it."""
    partitions: list[set[int]] = []
    timing = timing_of(settings.retrain.model_copy(update={"every": 3600.0}))
    assert timing
    schedule = Schedule(lambda: settings, timing, lambda: partitions[0], "me", Health())
    schedule.reconcile()
    assert "list index out of range" == schedule.failing
    partitions.append(set())
    schedule.reconcile()
    assert not schedule.failing
    away = settings.model_copy(update={"redis_url": SecretStr(f"redis://127.0.0.1:{free_port()}")})
    places = [away, settings]
    schedule = Schedule(lambda: places[0], timing, lambda: {0}, "me", Health())
    schedule._step(0)
    assert "Connection refused" in schedule.failing
    places.pop(0)
    schedule._redis = None
    schedule._jobs.clear()
    schedule._step(0)
    assert not schedule.failing
