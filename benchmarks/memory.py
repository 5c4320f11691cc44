"""What a worker with many models weighs, over the bytes of their weights and of their series' windows.

Those bytes are the yardstick: the networks' weights as float32, and the rows kept of each series as float64. The worker
is weighed when every model has answered. docs/benchmarks.md says what is measured.
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
PROGRAM_MB = 200.0  # that a worker may weigh without any model
SWEEPS = 3  # readings of each series before the worker is weighed


def options(parser: argparse.ArgumentParser) -> None:
    """Say how many models."""
    parser.add_argument("--series", type=int, default=10_000, help="with a model each")
    parser.add_argument("--rounds", type=int, default=5)


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Weigh one worker after the other, print each one's line, and return the medians."""
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
