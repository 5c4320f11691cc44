"""`python -m tests.chaos.soak`: a steady stream for minutes; every reading answered, and memory flat."""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from redis import Redis

from tests.chaos.harness import make_readings, make_store, start_worker
from tidecast.embedded import EmbeddedRedis

TICK_S = 0.1
WARM_UP = 0.2  # of the run: the time in which windows fill and caches grow
KEPT = 10_000  # entries that stay in `readings`, as a retention would keep them


@dataclass(frozen=True, slots=True)
class Soak:
    """How a steady run went."""

    readings: int
    answered: int  # the sum of all dispositions
    seconds: float
    growth_mb: float  # of the worker's resident memory, from the end of the warm-up on


def soak(folder: Path, seconds: float, rate: int) -> Soak:
    """Push `rate` readings a second for so many seconds, good and broken ones, and watch the worker's memory."""
    make_store(folder)
    with EmbeddedRedis() as server, Redis.from_url(server.url, protocol=2) as redis:
        worker = start_worker(folder, server.url)
        began, pushed, warm = time.monotonic(), 0, 0.0
        try:
            while (elapsed := time.monotonic() - began) < seconds:
                _push(redis, round(rate * TICK_S), seed=pushed)
                pushed += round(rate * TICK_S)
                # On a busy machine the worker may begin late: before its first answer it is no memory to compare with.
                if not warm and elapsed > WARM_UP * seconds and redis.exists("forecasts"):
                    warm = _rss_mb(worker)
                time.sleep(max(0.0, TICK_S * pushed / (rate * TICK_S) - (time.monotonic() - began)))
            answered = _await_answers(redis, pushed)
            growth = _rss_mb(worker) - warm
        finally:
            worker.terminate()
            worker.wait(timeout=30)
    return Soak(pushed, answered, time.monotonic() - began, growth)


def _push(redis: Redis, count: int, seed: int) -> None:
    with redis.pipeline(transaction=False) as pipeline:
        for fields in make_readings(count, seed):
            del fields[b"ts"]  # by Redis' clock: the run is as long as it is
            pipeline.xadd("readings", fields, maxlen=KEPT)  # type: ignore[arg-type] # bytes are fine
        pipeline.execute()


def _await_answers(redis: Redis, pushed: int) -> int:
    """Wait until all is answered, at most half a minute; returns how many readings have a disposition."""
    deadline = time.monotonic() + 30
    while True:
        counts = [int(redis.hget("offset", name) or 0) for name in ("forecast", "duplicate", "late", "dead")]  # type: ignore[arg-type] # the synchronous client
        if sum(counts) >= pushed or time.monotonic() > deadline:
            return sum(counts)
        time.sleep(0.05)


def _rss_mb(process: subprocess.Popen[bytes]) -> float:
    return float(psutil.Process(process.pid).memory_info().rss) / 2**20


def main() -> int:
    """Run, print the figures, and exit 1 if a reading stayed unanswered."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--rate", type=int, default=500, help="readings a second")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = soak(Path(folder), 60 * options.minutes, options.rate)
    figures = {
        "readings": found.readings,
        "unanswered": found.readings - found.answered,
        "readings_per_s": found.readings / found.seconds,
        "growth_mb": found.growth_mb,
    }
    print(
        json.dumps({"figures": figures}) if options.json else "\n".join(f"{n:15} {v:.1f}" for n, v in figures.items())
    )
    return 1 if figures["unanswered"] else 0


if __name__ == "__main__":
    sys.exit(main())
