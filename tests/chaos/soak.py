"""`python -m tests.chaos.soak`: a steady stream for minutes; every reading answered, and memory flat."""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from redis import Redis

from tests.chaos.harness import endless_readings, make_store, start_worker
from tests.harness.nursery import Forked
from tests.harness.patience import PATIENCE_S
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.wire import DISPOSITIONS

TICK_S = 0.1
SAMPLE_S = 0.5  # between two looks at the worker
WARM_UP = 0.2  # of the run: the time in which windows fill and caches grow
COMPARED = 0.1  # of the samples: as many after the warm-up as at the end, their medians compared
KEPT_S = 60  # how long a reading stays in `readings`, as a retention would keep it
SETTINGS = """
[worker]
forecasts_kept = 100000
"""


@dataclass(slots=True)
class Soak:
    """How a steady run went."""

    readings: int = 0
    answered: int = 0  # the sum of all dispositions
    forecast: int = 0
    seconds: float = 0.0  # from the first reading pushed to the last one answered
    most_behind: int = 0  # readings that were unanswered at once
    rss_mb: list[float] = field(default_factory=list)  # of the worker, from its first answer on

    @property
    def growth_mb(self) -> float:
        """Of the worker's resident memory, from the end of the warm-up to the end: medians, for one sample is noise."""
        warm = self.rss_mb[round(WARM_UP * len(self.rss_mb)) :]
        count = max(1, round(COMPARED * len(warm)))
        return median(warm[-count:]) - median(warm[:count]) if warm else 0.0


def soak(folder: Path, seconds: float, rate: int) -> Soak:
    """Push `rate` readings a second for so many seconds, good and broken ones, and watch the worker's memory."""
    make_store(folder, SETTINGS)
    report = Soak()
    readings = endless_readings(seed=0)
    with EmbeddedRedis() as server, Redis.from_url(server.url, protocol=2) as redis:
        worker = start_worker(folder, server.url)
        began = sampled = time.monotonic()
        try:
            while (elapsed := time.monotonic() - began) < seconds:
                due = round(rate * (elapsed + TICK_S)) - report.readings
                report.readings += _push(redis, islice(readings, due), kept=KEPT_S * rate)
                if time.monotonic() - sampled > SAMPLE_S:
                    sampled = time.monotonic()
                    _look(report, redis, worker)
                time.sleep(max(0.0, began + elapsed + TICK_S - time.monotonic()))
            deadline = time.monotonic() + PATIENCE_S
            while report.answered < report.readings and time.monotonic() < deadline:
                time.sleep(0.05)
                _look(report, redis, worker)
            report.seconds = time.monotonic() - began
        finally:
            worker.terminate()
            worker.wait(timeout=PATIENCE_S)
    return report


def _push(redis: Redis, readings: Iterator[dict[bytes, bytes]], kept: int) -> int:
    with redis.pipeline(transaction=False) as pipeline:
        for fields in readings:
            pipeline.xadd("readings", fields, maxlen=kept)  # type: ignore[arg-type] # bytes are fine
        return len(pipeline.execute())


def _look(report: Soak, redis: Redis, worker: Forked) -> None:
    """Note how far the worker is and how large; its memory counts only after its first answer."""
    counts: Any = redis.hmget("offset", DISPOSITIONS)
    report.answered = sum(int(n or 0) for n in counts)
    report.forecast = int(counts[0] or 0)
    report.most_behind = max(report.most_behind, report.readings - report.answered)
    if report.answered:
        report.rss_mb.append(psutil.Process(worker.pid).memory_info().rss / 2**20)


def main() -> int:
    """Run, print the figures, and exit 1 if a reading stayed unanswered."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--rate", type=int, default=500, help="readings a second")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = soak(Path(folder), 60 * options.minutes, options.rate)
    figures = {
        "readings": report.readings,
        "unanswered": report.readings - report.answered,
        "forecast": report.forecast,
        "most_behind": report.most_behind,
        "readings_per_s": round(report.readings / report.seconds, 1),
        "growth_mb": round(report.growth_mb, 2),
    }
    print(
        json.dumps({"figures": figures}) if options.json else "\n".join(f"{n:15} {v:.1f}" for n, v in figures.items())
    )
    return 1 if figures["unanswered"] else 0


if __name__ == "__main__":
    sys.exit(main())
