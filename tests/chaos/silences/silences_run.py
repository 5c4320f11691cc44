"""Sensors fall silent and come back while the worker is killed around the commits that report it."""

import os
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from redis import Redis

from tests.chaos.harness import SETTINGS
from tests.chaos.silences.clocked import CLOCK, KILLS, LEFT, SETTLED, clocked_worker
from tests.chaos.verifier import Published, Violations, compare
from tests.harness.nursery import Forked
from tests.harness.patience import until
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.settings import load_settings

SENSORS = 8
STEP_MS = 60_000
BEGIN_MS = 1_700_000_000_000
ROUND = 10  # steps between two settings of the clock
EVERY = 40  # steps from one silence of a sensor to the next
SILENT = 12  # steps of a silence
LONGEST_LIFE_S = 0.05  # of a worker that is killed from outside, after it has acquired the partition


@dataclass(frozen=True, slots=True)
class Silences:
    """How a run went.

    Attributes:
        kills: of workers: by themselves around commits of silences, and from outside.
        events: the number of events of each kind in the undisturbed run.
        violations: differences from the undisturbed run.
    """

    kills: int
    events: Mapping[str, int]
    violations: Violations

    def left(self) -> list[str]:
        """Return nothing: the violations are all that can be wrong."""
        return []


def silences_run(folder: Path, readings: int, kills: int, seed: int) -> Silences:
    """Answer about so many readings undisturbed, and again with kills, half of them around commits of silences."""
    (folder / "tidecast.toml").write_text(SETTINGS)
    parts = list(_rounds(readings // (ROUND * SENSORS), seed))
    with EmbeddedRedis() as calm, EmbeddedRedis() as stormy:
        with Redis.from_url(calm.url, protocol=2) as redis:
            worker = clocked_worker(load_settings(redis_url=calm.url, store=folder / "models", worker={"block": "1ms"}))
            for now, part in parts:
                _push(redis, now, part)
                while worker.step(now):
                    pass
            worker.leave()
            expected = Published.read(redis)
            events = Counter(fields[b"kind"].decode() for _, fields in redis.xrange("events"))
        with Redis.from_url(stormy.url, protocol=2) as redis:
            done = _storm(folder, stormy.url, redis, parts, kills, random.Random(seed))
            return Silences(done, events, compare(expected, Published.read(redis)))


def _rounds(count: int, seed: int) -> Iterator[tuple[float, list[tuple[str, dict[str, str]]]]]:
    """Yield the readings of each round with their ids, and the time at its end; all sensors have their own silences."""
    rng = np.random.default_rng(seed)
    for first in range(0, count * ROUND, ROUND):
        part = []
        for n in range(first, first + ROUND):
            for s in range(SENSORS):
                value = 50 + rng.normal() + (20 if (n + 7 * s) % 97 == 96 else 0)
                if (n + 5 * s) % EVERY >= SILENT or n < EVERY:
                    ts = BEGIN_MS + STEP_MS * n
                    part.append((f"{ts}-{s}", {"series": f"s{s}", "value": repr(value), "ts": str(ts)}))
        yield (BEGIN_MS + STEP_MS * (first + ROUND - 0.5)) / 1000, part


def _push(redis: Redis, now: float, part: list[tuple[str, dict[str, str]]]) -> None:
    with redis.pipeline() as together:
        together.set(CLOCK, now)
        for entry_id, fields in part:
            together.xadd("readings", fields, id=entry_id)  # type: ignore[arg-type] # texts are fine
        together.execute()


def _storm(
    folder: Path,
    url: str,
    redis: Redis,
    parts: list[tuple[float, list[tuple[str, dict[str, str]]]]],
    kills: int,
    rng: random.Random,
) -> int:
    """Serve all rounds by workers that are killed; return the number of kills."""
    redis.set(LEFT, kills - kills // 2)
    outside = 0
    worker = _start(folder, url)
    for number, (now, part) in enumerate(parts):
        _push(redis, now, part)
        while float(redis.get(SETTLED) or 0) < now:
            if outside < kills // 2 * (number + 1) // len(parts):
                time.sleep(rng.random() * LONGEST_LIFE_S)
                worker.kill()
                outside += 1
            if worker.poll() is not None:
                worker.wait()
                epoch = redis.hget("lease", "epoch")
                worker = _start(folder, url)
                until(lambda: redis.hget("lease", "epoch") != epoch)  # noqa: B023 - it is called at once
            until(lambda: float(redis.get(SETTLED) or 0) >= now or worker.poll() is not None)  # noqa: B023 - it is called before the next turn
    worker.kill()
    worker.wait()
    return outside + int(redis.get(KILLS) or 0)


def _start(folder: Path, url: str) -> Forked:
    environment = os.environ | {"TIDECAST_REDIS_URL": url, "TIDECAST_STORE": "models"}
    return Forked("tests.chaos.silences.clocked", ["clocked"], folder, environment, Path(os.devnull))
