"""`python -m tests.chaos.migration`: partitions that move between servers of a Redis Cluster while they are served."""

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.chaos.harness import entry_id, finish, make_readings, make_store, push, start_worker
from tests.chaos.verifier import Published, Violations, compare_all
from tests.harness.nursery import Forked
from tests.harness.patience import PATIENCE_S
from tests.harness.servers.cluster import EmbeddedCluster
from tidecast.connection import connect
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.settings import load_settings
from tidecast.wire import keys_of, partition_of

PARTITIONS = 8
WORKERS = 2
RATE = 300  # readings a second
PAUSE_S = 0.1  # between two steps of a migration: long enough for workers and producers to use each state of it
GAP_S = 0.3  # between two migrations
LONGEST_S = 10  # that one migration takes, and so for how long there have to be readings
SETTINGS = f"""
partitions = {PARTITIONS}
[worker]
batch = 50
block = "20ms"
"""


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """The result of a run.

    Attributes:
        readings: how many were pushed.
        migrations: how many slots were moved.
        busy: how many of them moved while readings of that partition came in.
        failures: temporary failures that the workers logged, by kind.
        violations: of all partitions together.
    """

    readings: int
    migrations: int
    busy: int
    failures: Counter[str]
    violations: Violations


def migration_run(folder: Path, migrations: int, seed: int, server: str | None = None) -> MigrationReport:
    """Move partitions to other servers while they are served; compare with an undisturbed run on one server."""
    rng = random.Random(seed)
    with EmbeddedCluster(server) as cluster:
        run = _Run(_room(folder / "cluster", f"redis_cluster = true\n{SETTINGS}"), cluster, migrations, seed)
        busy = run.move_about(migrations, rng)
        entries = run.entries
        failures = run.failures()
        with connect_to(cluster) as redis:
            published = _read(redis)
    with EmbeddedRedis(server) as calm, Redis.from_url(calm.url, protocol=2) as redis:
        push(redis, entries, 0, PARTITIONS)
        finish(start_worker(_room(folder / "calm", SETTINGS), calm.url, "--burst"))
        expected = _read(redis)
    violations = compare_all(zip(expected, published, strict=True))
    return MigrationReport(len(entries), migrations, busy, failures, violations)


def connect_to(cluster: EmbeddedCluster) -> Redis:
    """Open a connection as a program with the right settings does."""
    return connect(load_settings(redis_url=cluster.url, redis_cluster=True, partitions=PARTITIONS))


def _room(folder: Path, settings: str) -> Path:
    folder.mkdir()
    make_store(folder, settings)
    return folder


def _read(redis: Redis) -> list[Published]:
    return [Published.read(redis, i, PARTITIONS) for i in range(PARTITIONS)]


class _Run:
    """The workers, the producer and the slots."""

    def __init__(self, folder: Path, cluster: EmbeddedCluster, migrations: int, seed: int) -> None:
        self._folder = folder
        self._cluster = cluster
        self._redis = connect_to(cluster)
        self._producer = _Producer(cluster, make_readings(RATE * (LONGEST_S * (1 + migrations)), seed))
        self._logs = [folder / f"worker-{i}.log" for i in range(WORKERS)]

    @property
    def entries(self) -> list[dict[bytes, bytes]]:
        """All that was pushed."""
        return self._producer.entries[: self._producer.pushed]

    def move_about(self, migrations: int, rng: random.Random) -> int:
        """Move slots until enough were moved, then let everything be answered; return how many were busy."""
        workers: list[Forked] = []
        try:
            workers += [start_worker(self._folder, self._cluster.url, log=log) for log in self._logs]
            self._producer.start()
            self._await(PARTITIONS)
            busy = sum(self._move(rng) for _ in range(migrations))
            self._producer.stop()
            self._await(self._producer.pushed)
            for worker in workers:
                worker.terminate()
                finish(worker)
        finally:
            self._producer.stop()
            for worker in workers:
                worker.kill()
                worker.wait()
            self._redis.close()
        return busy

    def failures(self) -> Counter[str]:
        """Return the temporary failures that the workers logged, by the first words."""
        lines = [json.loads(line) for log in self._logs for line in log.read_bytes().splitlines()]
        kept = [line for line in lines if line["event"] in ("step failed", "partition dropped")]
        return Counter(f"{line['event']}: {str(line.get('error') or line['reason'])[:60]}" for line in kept)

    def _move(self, rng: random.Random) -> bool:
        keys = keys_of(rng.randrange(PARTITIONS), PARTITIONS)
        source = self._cluster.owner_of(keys.readings)
        target = rng.choice([i for i in range(len(self._cluster.servers)) if i != source])
        before = self._length(keys.readings)
        self._cluster.move(keys.readings, target, PAUSE_S)
        busy = self._length(keys.readings) > before
        time.sleep(GAP_S)
        return busy

    def _length(self, stream: str) -> int:
        return cast("int", self._redis.xlen(stream))

    def _await(self, readings: int) -> None:
        """Wait until so many readings are answered."""
        deadline = time.monotonic() + PATIENCE_S
        while self._answered() < readings:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self._answered()} of {readings} readings are answered, and no more")
            time.sleep(0.05)

    def _answered(self) -> int:
        offsets = [keys_of(i, PARTITIONS).offset for i in range(PARTITIONS)]
        return sum(int(cast("bytes", self._redis.hget(offset, "read")) or 0) for offset in offsets)


class _Producer(threading.Thread):
    """Push steadily; an entry whose push fails is sent again under the same id, so that it is there once."""

    def __init__(self, cluster: EmbeddedCluster, entries: list[dict[bytes, bytes]]) -> None:
        super().__init__(name="producer", daemon=True)
        self.entries = entries
        self.pushed = 0
        self._cluster = cluster
        self._enough = threading.Event()

    def run(self) -> None:
        """Push until it is enough."""
        began = time.monotonic()
        with connect_to(self._cluster) as redis:
            while not self._enough.is_set() and self.pushed < len(self.entries):
                try:
                    self._push_one(redis)
                except (RedisConnectionError, RedisTimeoutError):
                    time.sleep(0.02)
                    continue
                self.pushed += 1
                self._enough.wait(self.pushed / RATE - (time.monotonic() - began))

    def stop(self) -> None:
        """Push no more, after the current entry has arrived."""
        self._enough.set()
        if self.is_alive():
            self.join()

    def _push_one(self, redis: Redis) -> None:
        fields = self.entries[self.pushed]
        key = keys_of(partition_of(fields[b"series"].decode(), PARTITIONS), PARTITIONS).readings
        try:
            redis.xadd(key, cast("Any", fields), id=entry_id(self.pushed))
        except ResponseError as exc:
            if "equal or smaller" not in str(exc):  # it is there already: only the reply was lost
                raise


def main() -> int:
    """Run, print the result, and exit 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.migration", description=__doc__)
    parser.add_argument("--migrations", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--server", help="the redis-server to use")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = migration_run(Path(folder), options.migrations, options.seed, options.server)
    figures = {"readings": report.readings, "migrations": report.migrations, "busy": report.busy}
    figures |= {"failures": report.failures.total()} | report.violations.by_kind()
    for message, times in report.failures.most_common():
        print(f"{times:4} {message}", file=sys.stderr)
    print("\n".join(report.violations.notes[:10]), file=sys.stderr)
    print(json.dumps({"figures": figures}) if options.json else "\n".join(f"{n:12} {v}" for n, v in figures.items()))
    return 1 if report.violations.total() else 0


if __name__ == "__main__":
    sys.exit(main())
