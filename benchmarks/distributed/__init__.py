"""Train the same series in one process and on a scheduler of Dask with worker processes; compare time and models.

All times are processor time of all processes, so that other load on the machine counts little. Both sides begin warm:
the packages are imported and the graph of the networks is traced. With statsforecast installed, AutoETS and AutoARIMA
are fitted to some of the series.
"""

import argparse
import hashlib
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import numpy as np
import psutil

from benchmarks.distributed.statistics import statistical_figures
from benchmarks.harness.real import named_data, real_series, spread
from tests.trainer.runs.harness import DaskCluster
from tidecast.files.history import History
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import Settings, passed_settings
from trainer.pipeline import TrainOptions, train
from trainer.pretrain.families import FAMILIES
from trainer.pretrain.synthetic import draw
from trainer.verdict import Verdict

STEP_MS = 3_600_000
TTL_S = 300.0
WARM = 8  # series that a process trains before it is measured
ORPHANS_S = 10.0
MB = 2**20


def options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's own options."""
    parser.add_argument("--series", type=int, default=500, help="how many series")
    parser.add_argument("--readings", type=int, default=400, help="of each series")
    parser.add_argument("--workers", type=int, default=2, help="processes of Dask")
    parser.add_argument("--statistical", type=int, default=20, help="series for AutoETS and AutoARIMA; 0: none")
    parser.add_argument("--data", type=Path, default=named_data(), help="a directory of sets, for half of the series")


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Return the figures by name."""
    histories = _histories(args.series, args.readings, args.data)
    with tempfile.TemporaryDirectory() as folder:
        local = ModelStore(Path(folder) / "local")
        remote = ModelStore(Path(folder) / "remote")
        warm(str(Path(folder) / "warm"))
        local_s = _timed(lambda: train(histories, Spec(), _settings(), local, TrainOptions(now_ms=0)))[0]
        print(f"one process: {local_s:.0f} s of processor time for {len(histories)} series")
        figures = _on_a_cluster(histories, remote, Path(folder), args.workers)
        figures["files_different"] = len(_contents(local) ^ _contents(remote))
    figures["ratio_to_one_process"] = local_s / figures["processor_s"]
    return figures | statistical_figures(histories, args.statistical)


def warm(folder: str) -> None:
    """Train a few series in a store that nobody uses."""
    few = _made_up(WARM, 200)
    train(few, Spec(), _settings(), ModelStore(Path(folder)), TrainOptions(force=True, train_cohorts=False))


def _warm_all(address: str, workers: int, folder: Path) -> None:
    """Train a few series on each worker, so that all have imported what they need."""
    import distributed

    with distributed.Client(address, set_as_default=False) as client:
        client.wait_for_workers(workers)
        tasks = [
            client.submit(warm, str(folder / f"warm-{at}"), workers=[worker])
            for at, worker in enumerate(client.scheduler_info()["workers"])
        ]
        client.gather(tasks)


def _on_a_cluster(histories: Sequence[History], store: ModelStore, folder: Path, workers: int) -> dict[str, float]:
    with DaskCluster(folder, workers, TTL_S) as cluster:
        pids = [cluster.scheduler.pid, *(worker.pid for worker in cluster.workers)]
        processes = [psutil.Process(pid) for pid in pids]
        _warm_all(cluster.address, workers, folder)
        before = sum(map(_processor_s, processes))
        began = time.perf_counter()
        options = TrainOptions(now_ms=0, scheduler=cluster.address)
        driver_s, verdicts = _timed(lambda: train(histories, Spec(), _settings(), store, options))
        wall_s = time.perf_counter() - began
        processor_s = driver_s + sum(map(_processor_s, processes)) - before
        scheduler_mb = processes[0].memory_info().rss / MB
    orphans = len(psutil.wait_procs(processes, ORPHANS_S)[1])
    print(f"{workers} workers: {processor_s:.0f} s, the driver {driver_s:.0f} s of them; {wall_s:.0f} s by the clock")
    names = [verdict.series for verdict in verdicts]
    return {
        "series": len(histories),
        "series_per_minute_per_core": 60 * len(histories) / processor_s,
        "processor_s": processor_s,
        "driver_s": driver_s,
        "scheduler_mb": scheduler_mb,
        "verdicts_missing": len(histories) - len(set(names)),
        "verdicts_doubled": len(names) - len(set(names)) + sum(len(store.versions(name)) > 1 for name in names),
        "orphans": orphans,
    }


def _timed(work: Callable[[], list[Verdict]]) -> tuple[float, list[Verdict]]:
    """Return the processor time of this process for a piece of work, and its result."""
    before = time.process_time()
    verdicts = work()
    return time.process_time() - before, verdicts


def _processor_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _contents(store: ModelStore) -> set[tuple[str, str]]:
    """Return path and digest of each file of a store but the log, whose times differ."""
    files = [path for path in store.root.rglob("*") if path.is_file() and path.suffix != ".log"]
    return {(str(path.relative_to(store.root)), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files}


def _histories(count: int, readings: int, data: Path | None) -> list[History]:
    """Return made-up series; with data, half of them are open ones, which are repeated under new names."""
    given = spread(real_series(data, readings // 2, readings), count // 2) if data else []
    repeated = [replace(each, series=f"{n}/{each.series}") for n, each in zip(range(count // 2), cycle(given))]
    return [*repeated, *_made_up(count - len(repeated), readings)]


def _made_up(count: int, readings: int) -> list[History]:
    values = draw(np.random.default_rng(0), -(-count // len(FAMILIES)), readings).values[:count]
    ts = np.arange(readings) * STEP_MS
    return [History(f"made-up/{i}", ("value",), ts, row[:, None]) for i, row in enumerate(values.astype(float))]


def _settings() -> Settings:
    return passed_settings({})
