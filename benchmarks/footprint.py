"""Measure a worker's memory with many models, and its response time to the first reading of a series.

The yardstick of the response time is Redis itself in the same run: from an XADD until another connection's blocked
XREAD returns.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from threading import Thread
from typing import Any, cast

import psutil
from redis import Redis

from benchmarks.harness.processes import worker_process
from tests.harness.models import make_model
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore

MB = 2**20


def options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's own options."""
    parser.add_argument("--models", type=int, default=100, help="LSTM(50) over 24 steps each")
    parser.add_argument("--readings", type=int, default=200, help="each the first of a series of its own")


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Measure a worker process from outside, and return the figures by name."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis() as server:
        store = ModelStore(Path(folder) / "models")
        for i in range(args.models):
            store.publish(make_model(f"series-{i}", Spec(), seed=i))
        with worker_process(server.url, Path(folder)) as worker, Redis.from_url(server.url, protocol=2) as redis:
            _use_models(redis, args.models)
            waits = [_answer_ms(redis, f"new-{i}") for i in range(args.readings)]
            process = psutil.Process(worker.pid)
            return {
                "rss_mb": process.memory_info().rss / MB,
                "tensorflow_mapped": float(sum("tensorflow" in part.path for part in process.memory_maps())),
                "answer_ms_median": statistics.median(waits),
                "answer_ms_max": max(waits),
                "echo_ms_median": statistics.median(_echo_ms(server.url, redis) for _ in range(50)),
            }


def _use_models(redis: Redis, models: int) -> None:
    """Fill every window, so that every model has made a forecast."""
    pipeline = redis.pipeline(transaction=False)
    for t in range(30):
        for i in range(models):
            pipeline.xadd("readings", {"series": f"series-{i}", "ts": 1000 * t, "value": t % 7})
    last = pipeline.execute()[-1]
    while not redis.xrange("forecasts", last, last):
        time.sleep(0.01)


def _answer_ms(redis: Redis, series: str) -> float:
    """Push a series' first reading, and return the milliseconds until a blocked read receives its forecast."""
    newest = cast("list[Any]", redis.xrevrange("forecasts", count=1))
    began = time.perf_counter()
    entry_id = redis.xadd("readings", {"series": series, "value": 1})
    reply = cast("list[Any]", redis.xread({"forecasts": newest[0][0]}, block=4000))
    waited = time.perf_counter() - began
    forecast_id, fields = reply[0][1][0]
    if forecast_id != entry_id or fields[b"kind"] != b"naive":
        raise RuntimeError(f"{entry_id!r} was answered by {forecast_id!r}, kind {fields.get(b'kind')!r}")
    return 1000 * waited


def _echo_ms(url: str, redis: Redis) -> float:
    """Return the milliseconds from an XADD until a blocked reader receives the entry, without a worker in between."""
    began: list[float] = []
    newest = cast("bytes", redis.xadd("echo", {"value": 0}))

    def push() -> None:
        with Redis.from_url(url, protocol=2) as writer:
            writer.ping()
            time.sleep(0.005)  # the reader blocks by then
            began.append(time.perf_counter())
            writer.xadd("echo", {"value": 1})

    thread = Thread(target=push)
    thread.start()
    redis.xread({"echo": newest}, block=4000)
    arrived = time.perf_counter()
    thread.join()
    return 1000 * (arrived - began[0])
