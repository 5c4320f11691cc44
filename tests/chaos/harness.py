"""A worker process that is killed again and again while readings arrive."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha1
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from redis import Redis

from tests.chaos.verifier import Published, Violations, compare
from tests.harness.models import make_model
from tests.harness.nursery import Forked
from tests.harness.patience import PATIENCE_S
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.wire import keys_of, partition_of
from worker.scripts import script_of

SERIES = 40  # half of them have a model
EPOCH = 1_700_000_000_000
COMMIT = sha1(script_of("commit").encode()).hexdigest().encode()  # noqa: S324 - as Redis names scripts
SETTINGS = """
[worker]
name = "chaos"
lease = 1.0
batch = 50
block = "50ms"
"""


@dataclass(frozen=True, slots=True)
class Report:
    """How a run went."""

    readings: int
    kills: int
    bites: int  # kills that found the worker with readings still unanswered
    violations: Violations


def make_readings(count: int, seed: int) -> list[dict[bytes, bytes]]:
    """Return the first readings of `endless_readings`."""
    return list(islice(endless_readings(seed), count))


def endless_readings(seed: int) -> Iterator[dict[bytes, bytes]]:
    """Yield readings of many series in turn: mostly good, some repeated, late, with a gap, or broken."""
    rng = np.random.default_rng(seed)
    level = rng.normal(50, 10, SERIES)
    clock = [0] * SERIES
    for s in cycle(range(SERIES)):
        level[s] += rng.normal()
        kind = rng.random()
        clock[s] += 0 if kind < 0.02 else 3 if kind < 0.05 else 1
        ts = EPOCH + 1000 * (clock[s] - (5 if kind > 0.98 else 0))
        value = b"nan" if 0.5 < kind < 0.51 else repr(float(level[s])).encode()
        yield {b"series": b"series-%d" % s, b"ts": b"%d" % ts, b"value": value}


def make_store(folder: Path, settings: str = SETTINGS) -> Path:
    """Make a store with a model for every second series, and the settings beside it."""
    store = ModelStore(folder / "models")
    for s in range(0, SERIES, 2):
        store.publish(make_model(f"series-{s}", Spec(window=8, units=8), seed=s))
    (folder / "tidecast.toml").write_text(settings)
    return folder / "models"


def kill_run(folder: Path, readings: int, kills: int, seed: int) -> Report:
    """Kill a worker with SIGKILL `kills` times while it answers, and compare with an undisturbed worker."""
    entries = make_readings(readings, seed)
    make_store(folder)
    with EmbeddedRedis() as calm, EmbeddedRedis() as stormy:
        with Redis.from_url(calm.url, protocol=2) as redis:
            push(redis, entries, start=0)
            finish(start_worker(folder, calm.url, "--burst"))
            expected = Published.read(redis)
        with Redis.from_url(stormy.url, protocol=2) as redis:
            bites = _storm(folder, stormy, redis, entries, kills, random.Random(seed))
            finish(start_worker(folder, stormy.url, "--burst"))
            published = Published.read(redis)
    return Report(readings, kills, bites, compare(expected, published))


def _storm(
    folder: Path, server: EmbeddedRedis, redis: Redis, entries: list[dict[bytes, bytes]], kills: int, rng: random.Random
) -> int:
    """Kill once for each slice of the readings, at a random moment while the worker is at it."""
    bites = 0
    for start, part in _slices(entries, kills):
        push(redis, part, start)
        worker = start_worker(folder, server.url)
        goal = start + rng.randrange(len(part))
        while _committed(redis) < goal and worker.poll() is None:
            time.sleep(0.001)
        time.sleep(rng.random() * 0.01)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        bites += _committed(redis) < start + len(part)
    return bites


def _slices(entries: list[dict[bytes, bytes]], count: int) -> Iterator[tuple[int, list[dict[bytes, bytes]]]]:
    size = -(-len(entries) // count)
    for start in range(0, len(entries), size):
        yield start, entries[start : start + size]


def push(redis: Redis, entries: list[dict[bytes, bytes]], start: int, partitions: int = 1, routed: int = 0) -> None:
    """Push under ids that all runs share; entries that are there already, because a reply was lost, stay as they are.

    The readings of the partitions below `routed` go to the common stream, from which a worker routes them.

    All or nothing: were one reading refused and the next one taken, the first could not be pushed again under its id.

    Raises:
        RedisError: the arrived entries are unknown; push the same ones again.
    """
    with redis.pipeline(transaction=True) as pipeline:
        for i, fields in enumerate(entries, start):
            partition = partition_of(fields[b"series"].decode(), partitions)
            key = keys_of().readings if partition < routed else keys_of(partition, partitions).readings
            pipeline.xadd(key, fields, id=entry_id(i))  # type: ignore[arg-type] # bytes are fine
        for answer in pipeline.execute(raise_on_error=False):
            if isinstance(answer, Exception) and "equal or smaller" not in str(answer):
                raise answer


def entry_id(number: int) -> str:
    """Return the id of the reading of that number, from 0."""
    return f"{EPOCH + number // 7}-{number % 7 + 1}"


def _committed(redis: Redis) -> int:
    return int(redis.hget("offset", "read") or 0)  # type: ignore[arg-type] # the synchronous client


def start_worker(
    folder: Path, url: str, *options: str, program: str = "tidecast.cli.main", log: Path | None = None
) -> Forked:
    """Start a worker on the store and settings that `make_store` left; another program may stand for it."""
    command = ["tidecast", "worker", "--redis", url, "--store", "models", *options]
    return Forked(program, command, folder, os.environ, log or Path(os.devnull))


def finish(worker: Forked, timeout_s: float = PATIENCE_S) -> None:
    """Wait for a worker to end by itself, in good order."""
    try:
        code = worker.wait(timeout_s)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()
        raise
    if code != 0:
        raise RuntimeError(f"the worker ended with exit code {code}")
