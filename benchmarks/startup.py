"""Measure the time from the start of a worker with many models until it is ready and has made its first forecast.

The yardstick is reading the bytes of the model files, which every start must do. The files and the series' states exist
before, as after a restart. docs/benchmarks.md describes the measurement.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from redis import Redis

from benchmarks.harness.contestants import Contestant
from benchmarks.harness.models import publish_models
from benchmarks.harness.processes import starting_worker
from benchmarks.harness.readings import Readings
from tidecast.connection.embedded import EmbeddedRedis, free_port
from tidecast.models.store import ModelStore
from tidecast.settings import SeriesSettings
from tidecast.tools.readiness import TIMEOUT_S, probe
from tidecast.tools.sizing.trial_models import id_of
from tidecast.wire import keys_of

LINE = "ready after {:.2f} s, the first forecast after {:.2f} s; the files' bytes take {:.2f} s"
POLL_S = 0.1  # between two probes, which cost the worker some milliseconds each


def options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's own options."""
    parser.add_argument("--series", type=int, default=10_000, help="with a model each")
    parser.add_argument("--rounds", type=int, default=5)


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Start a worker in each round, print its line, and return the medians."""
    keys = keys_of()
    readings = Readings(args.series)
    with (
        tempfile.TemporaryDirectory() as name,
        EmbeddedRedis() as server,
        Redis.from_url(server.url, protocol=2) as redis,
    ):
        folder = Path(name)
        publish_models(ModelStore(folder / "models"), args.series)
        readings.fill(redis, keys.state, SeriesSettings().rows_kept)
        rounds = []
        for number in range(args.rounds):
            reading = number * args.series  # in each round the next reading of the first series
            readings.push(redis, keys.readings, reading, reading + 1)
            read_s = _timed(lambda: _read(folder / "models"))
            rounds.append((*_start(server, folder, redis, readings, reading), read_s))
            print(LINE.format(*rounds[-1]), flush=True)
    return {
        "seconds": median(max(ready, first) for ready, first, _ in rounds),
        "ready_s": median(ready for ready, _, _ in rounds),
        "first_forecast_s": median(first for _, first, _ in rounds),
        "read_s": median(read for _, _, read in rounds),
        "ratio_to_read": median(max(ready, first) / read for ready, first, read in rounds),
    }


def _start(server: EmbeddedRedis, folder: Path, redis: Redis, readings: Readings, reading: int) -> tuple[float, float]:
    """Start a worker; return the seconds until it is ready, and until a waiting reading has its forecast."""
    port = free_port()
    began = time.perf_counter()
    with starting_worker(server.url, folder, ("--health-port", str(port))) as process:
        worker = Contestant("worker", process, folder / "worker.log", redis, keys_of(), readings, reading + 1)
        ready_s = first_s = 0.0
        while not (ready_s and first_s):
            took = time.perf_counter() - began
            ready_s = ready_s or (took if probe(f"http://127.0.0.1:{port}")[0] else 0.0)
            first_s = first_s or (took if worker.newest(worker.keys.forecasts) == id_of(reading) else 0.0)
            if process.poll() is not None or took > TIMEOUT_S:
                raise RuntimeError(f"the worker does not start: {worker.log_end()}")
            time.sleep(POLL_S)
        return ready_s, first_s


def _read(folder: Path) -> None:
    for path in folder.glob("series/*/*.safetensors"):
        path.read_bytes()


def _timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
