"""Measure the time until a worker is ready, without and with compiled code in the cache; and the time of the demo.

Each round has a new directory for the compiled code: that of the checkout is neither read nor changed. The yardstick is
a second start, which loads the code that the first one compiled. docs/benchmarks.md describes the measurement.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks.harness.processes import plain_environment, starting_worker
from tidecast.connection.embedded import EmbeddedRedis, free_port
from tidecast.tools.readiness import COMPILING, await_ready

CODE = "NUMBA_CACHE_DIR"  # names the directory of compiled code


def options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's own options."""
    parser.add_argument("--rounds", type=int, default=3, help="of a cold and a warm start; the demo runs once")


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Start workers in each round, print its line, and return the medians."""
    rounds = []
    with EmbeddedRedis() as server:
        for _ in range(args.rounds):
            with new_place_for_code() as folder:
                cold_s = _ready_s(server, folder / "cold", compiles=True)
                warm_s = _ready_s(server, folder / "warm", compiles=False)
            print(f"ready after {cold_s:.2f} s where nothing was compiled, then after {warm_s:.2f} s", flush=True)
            rounds.append((cold_s, warm_s))
    with new_place_for_code() as folder:
        demo_s = _demo_s(folder)
    return {
        "ready_cold_s": median(cold for cold, _ in rounds),
        "ready_warm_s": median(warm for _, warm in rounds),
        "demo_s": demo_s,
    }


@contextmanager
def new_place_for_code() -> Iterator[Path]:
    """Provide an empty directory, in which programs started within the block keep their compiled code."""
    former = os.environ.get(CODE)
    with tempfile.TemporaryDirectory() as name:
        os.environ[CODE] = str(Path(name) / "code")
        try:
            yield Path(name)
        finally:
            del os.environ[CODE]
            if former is not None:
                os.environ[CODE] = former


def _ready_s(server: EmbeddedRedis, folder: Path, *, compiles: bool) -> float:
    """Start a worker; return the seconds from its start until it is ready.

    Raises:
        RuntimeError: it compiled although `compiles` is False, or the reverse.
    """
    folder.mkdir()
    port = free_port()
    log = folder / "worker.log"
    began = time.perf_counter()
    with starting_worker(server.url, folder, ("--health-port", str(port))) as process:
        await_ready(f"http://127.0.0.1:{port}", process, log.read_text)
        took_s = time.perf_counter() - began
    if (COMPILING in log.read_text()) != compiles:
        raise RuntimeError(f"the worker {'did not compile' if compiles else 'compiled'}: {log.read_text()[-1000:]}")
    return took_s


def _demo_s(folder: Path) -> float:
    """Run the whole demo; return its duration in seconds."""
    command = [sys.executable, "-m", "tidecast.cli", "demo", "--json", "--out", str(folder / "demo")]
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, env=plain_environment(), stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began
