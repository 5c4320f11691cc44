"""Measure the memory of a worker with many models, over the bytes of their weights and of their series' windows.

Those bytes are the yardstick: the networks' weights as float32, and the rows kept of each series as float64. The memory
is measured once every model has made a forecast. docs/benchmarks.md describes the measurement.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import median

import psutil

from benchmarks.harness.contestants import serving
from benchmarks.harness.models import bytes_of_weights, bytes_of_windows, publish_models
from benchmarks.harness.readings import Readings
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.models.store import ModelStore

MB = 1e6
PROGRAM_MB = 200.0  # memory that a worker may take without any model
SWEEPS = 3  # readings of each series before the memory is measured


def options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's own options."""
    parser.add_argument("--series", type=int, default=10_000, help="with a model each")
    parser.add_argument("--rounds", type=int, default=5)


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Measure one worker after the other, print a line for each, and return the medians."""
    bytes_mb = (bytes_of_weights(args.series) + bytes_of_windows(args.series)) / MB
    rss = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        publish_models(ModelStore(folder / "models"), args.series)
        for _ in range(args.rounds):
            with EmbeddedRedis() as server, serving(server, folder, Readings(args.series)) as worker:
                worker.warm_up(SWEEPS * args.series)
                rss.append(psutil.Process(worker.process.pid).memory_info().rss / MB)
            print(f"{rss[-1]:,.0f} MB resident, {bytes_mb:,.0f} MB of weights and windows", flush=True)
    rss_mb = median(rss)
    return {"ratio": (rss_mb - PROGRAM_MB) / bytes_mb, "rss_mb": rss_mb, "bytes_mb": bytes_mb}
