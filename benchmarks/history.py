"""Measure the time the trainer takes to read recorded readings, over that of fetching the same entries from Redis.

The yardstick fetches the same pages in the same way, and drops them. Each contestant runs in its own process, which
reports its peak memory. docs/benchmarks.md describes the measurement.
"""

import argparse
import gc
import json
import resource
import subprocess
import sys
import time
from statistics import median

from redis import Redis

from benchmarks.harness.readings import Readings
from tidecast.connection import connect
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.connection.paging import pages_of
from tidecast.settings import environment_with, load_settings
from tidecast.tools.sizing.trial_models import id_of
from tidecast.wire import keys_of
from trainer.data.recorded import read_recorded

KB_PER_MB = 1e3


def options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's own options."""
    parser.add_argument("--series", type=int, default=10_000)
    parser.add_argument("--readings", type=int, default=1_000, help="of each series")
    parser.add_argument("--rounds", type=int, default=3)


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Run both contestants in rounds, print a line for each, and return the medians."""
    count = args.series * args.readings
    keys = keys_of()
    with EmbeddedRedis() as server, Redis.from_url(server.url, protocol=2) as redis:
        Readings(args.series).push(redis, keys.readings, 0, count)
        redis.hset(keys.offset, "last", id_of(count - 1))
        rounds = []
        for _ in range(args.rounds):
            recorded = _run("recorded", server.url, count)
            alone = _run("xrange", server.url, count)
            rounds.append(recorded | {"xrange_s": alone["seconds"]})
            print(
                "read in {seconds:.1f} s, {cpu_s:.1f} s of processor time, {peak_mb:,.0f} MB at most; "
                "XRANGE alone takes {xrange_s:.1f} s".format(**rounds[-1]),
                flush=True,
            )
    names = ("seconds", "cpu_s", "peak_mb", "xrange_s")
    figures = {name: median(each[name] for each in rounds) for name in names}
    return figures | {
        "readings_per_s": count / figures["seconds"],
        "ratio_to_xrange": median(each["seconds"] / each["xrange_s"] for each in rounds),
    }


def _run(contestant: str, url: str, count: int) -> dict[str, float]:
    """Run a contestant in its own process; return its seconds and megabytes.

    Raises:
        RuntimeError: it did not read all readings.
    """
    command = [sys.executable, "-m", "benchmarks.history", contestant]
    done = subprocess.run(command, env=environment_with(url), capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    if figures["readings"] != count:
        raise RuntimeError(f"{contestant} read {figures['readings']:,.0f} of {count:,} readings")
    return figures


def _recorded() -> int:
    return sum(map(len, read_recorded(load_settings()).accepted))


def _xrange() -> int:
    gc.disable()  # as the other contestant does
    with connect(load_settings()) as redis:
        return sum(map(len, pages_of(redis, keys_of().readings, b"-", b"+")))


CONTESTANTS = {"recorded": _recorded, "xrange": _xrange}


def _main() -> None:
    contestant = CONTESTANTS[sys.argv[1]]
    began = time.perf_counter()
    cpu_began = time.process_time()
    readings = contestant()
    took = time.perf_counter() - began
    cpu_s = time.process_time() - cpu_began
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KB_PER_MB
    print(json.dumps({"readings": readings, "seconds": took, "cpu_s": cpu_s, "peak_mb": peak_mb}))


if __name__ == "__main__":
    _main()
