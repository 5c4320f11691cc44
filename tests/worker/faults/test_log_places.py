"""The places of a program's log: whatever happens to them, the program's work goes on."""

import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from redis import Redis

from tests.harness.nursery import Forked
from tests.harness.patience import PATIENCE_S, until
from tests.harness.processes import TIDECAST
from tests.harness.programs.pipes import full_pipe
from tests.worker.retraining import daemon
from tests.worker.retraining.harness import FINISH
from tidecast import log
from tidecast.client import Client
from tidecast.log import LineWriter
from tidecast.settings import Settings
from worker.metrics import Health

PLACES = ["full disk", "pipe that nobody reads", "pipe whose reader has gone"]


@contextmanager
def started(
    place: str, settings: Settings, folder: Path, *words: str, module: str = "tidecast.cli.main", **variables: str
) -> Iterator[Forked]:
    """A program whose standard error takes no line, killed at the end if it still runs."""
    url = settings.redis_url.get_secret_value()
    store = str(settings.store)
    named = {"TIDECAST_REDIS_URL": url, "TIDECAST_STORE": store}
    environment = os.environ | named | {f"TIDECAST_{name}": value for name, value in variables.items()}
    with full_pipe(folder / "fifo") as fifo:
        path = {"full disk": Path("/dev/full"), "pipe that nobody reads": fifo}.get(place)
        with Forked(module, ["tidecast", *words], Path.cwd(), environment, path) as process:
            if process.stderr:
                process.stderr.close()
            try:
                yield process
            finally:
                process.kill()


def push(settings: Settings, count: int = 20) -> list[str]:
    """Push readings; returns their ids."""
    with Client(settings.redis_url.get_secret_value()) as client:
        return client.push_many(("a", float(n), 1000 * n) for n in range(1, count + 1))


def answered(redis: Redis) -> list[str]:
    """Return the ids of all forecasts."""
    return [entry_id.decode() for entry_id, _ in redis.xrange("forecasts")]


@pytest.mark.parametrize("place", PLACES)
def test_a_worker_answers_every_reading_whatever_becomes_of_its_log(
    place: str, settings: Settings, redis: Redis, tmp_path: Path
) -> None:
    """A line that cannot be written is worth less than a reading; the exit code is that of the work."""
    ids = push(settings)
    with started(place, settings, tmp_path, "worker", "--burst") as process:
        assert 0 == process.wait(PATIENCE_S)
    assert ids == answered(redis)


@pytest.mark.parametrize("place", PLACES)
def test_a_worker_whose_commits_fail_goes_on_without_its_log(
    place: str, settings: Settings, redis: Redis, tmp_path: Path
) -> None:
    """Errors are when most is logged: a key that is in the way, and once it is gone, every answer."""
    redis.set("forecasts", "in the way")
    ids = push(settings)
    with started(place, settings, tmp_path, "worker", WORKER__BLOCK="20ms") as process:
        until(lambda: redis.exists("workers") or process.poll() is not None)
        redis.delete("forecasts")
        until(lambda: ids == answered(redis) or process.poll() is not None)
        assert process.poll() is None
        process.terminate()
        assert 0 == process.wait(PATIENCE_S)
    assert ids == answered(redis)


@pytest.mark.parametrize("place", PLACES)
def test_the_schedule_is_kept_without_a_log(place: str, settings: Settings, redis: Redis, tmp_path: Path) -> None:
    """The daemon logs from several threads, and passes on the child's lines, however many they are."""
    child = f"sys.stderr.write('a line of the child\\n' * 20_000)\n{FINISH}"
    with started(place, settings, tmp_path, child, module=daemon.__name__, RETRAIN__EVERY="1s") as process:
        until(lambda: int(redis.hget("retrain", "runs") or 0) >= 1 or process.poll() is not None)
        assert process.poll() is None
        process.terminate()
        assert 0 == process.wait(PATIENCE_S)


@pytest.mark.parametrize(("redirection", "closed"), [("2>&-", [2]), ("<&- >&- 2>&-", [0, 1, 2])])
def test_a_worker_started_without_standard_streams_gives_their_numbers_to_nothing_else(
    redirection: str, closed: list[int], settings: Settings, redis: Redis
) -> None:
    """Otherwise the connection to Redis would be number 2, and a library's errors would go to Redis."""
    ids = push(settings)
    words = [str(TIDECAST), "worker", "--redis", settings.redis_url.get_secret_value(), "--store", str(settings.store)]
    with subprocess.Popen(["/bin/sh", "-c", f"exec {shlex.join(words)} {redirection}"]) as process:
        try:
            until(lambda: ids == answered(redis) or process.poll() is not None)
            assert {os.devnull} == {str(Path(f"/proc/{process.pid}/fd/{number}").readlink()) for number in closed}
        finally:
            process.terminate()
    assert 0 == process.returncode


def test_lost_lines_are_counted_among_the_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator without the log has at least the figure; it exists before the first line is lost."""
    monkeypatch.setattr(log, "_writer", LineWriter(None))
    registry: CollectorRegistry = Health().registry
    assert 0 == registry.get_sample_value("tidecast_log_lines_lost_total")
    log.write_line("lost")
    assert 1 == registry.get_sample_value("tidecast_log_lines_lost_total")
