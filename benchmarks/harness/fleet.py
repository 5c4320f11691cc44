"""Several workers on the partitions of one Redis or of a cluster, which take turns with other fleets."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast

from redis import Redis

from benchmarks.harness.contestants import Contestant, redis_cpu_s
from benchmarks.harness.processes import starting_worker
from benchmarks.harness.readings import Readings
from tests.harness.servers.cluster import EmbeddedCluster
from tidecast.connection import connect
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.connection.partitions import owner_of, server_ms
from tidecast.settings import SeriesSettings, load_settings
from tidecast.tools.sizing.trial_models import name_of
from tidecast.wire import Keys, keys_of, partition_of

PATIENCE_S = 120.0  # until every worker holds a partition
POLL_S = 0.05


class FleetPace(NamedTuple):
    """The speed of a fleet, and the processor time of each part in seconds per second."""

    per_s: float  # readings of all workers together
    workers: float
    redis: float
    driver: float  # of the benchmark itself, which waits for the last forecasts


class Shape(NamedTuple):
    """The size of a fleet."""

    workers: int
    partitions: int  # at least as many as workers

    def __str__(self) -> str:
        return f"{self.workers}x{self.partitions}"


@dataclass(frozen=True, slots=True)
class Fleet:
    """Some workers that share the partitions of a Redis or of a cluster.

    Attributes:
        redis: a connection to it.
        servers: a connection to each of its servers, to read their processor time.
        members: one for each partition, with its streams; the first `workers` of them have different processes.
        workers: the number of workers.
    """

    redis: Redis
    servers: list[Redis]
    members: list[Contestant]
    workers: int

    def pace(self, count: int) -> FleetPace:
        """Push `count` readings in equal parts while the workers are stopped, and measure how fast they are answered.

        The workers are stopped before and afterwards, as several idle fleets would take time from the one measured.

        Raises:
            RuntimeError: a reading was not answered by a forecast.
        """
        each = count // len(self.members)
        for member in self.members:
            member.push(each)
        before = self._processor_times()
        began = time.perf_counter()
        for member in self.members[: self.workers]:
            member.go_on()
        for member in self.members:
            member.await_answers()
        took = time.perf_counter() - began
        used = [after - earlier for after, earlier in zip(self._processor_times(), before, strict=True)]
        self.stop()
        for member in self.members:
            member.check_answers(each)
            member.empty()
        return FleetPace(each * len(self.members) / took, *(seconds / took for seconds in used))

    def stop(self) -> None:
        """Stop all workers by SIGSTOP."""
        for member in self.members[: self.workers]:
            member.stop()

    def _processor_times(self) -> tuple[float, float, float]:
        """Return the processor times of the workers, of Redis and of this process, in seconds."""
        workers_s = sum(member.cpu_s() for member in self.members[: self.workers])
        return workers_s, sum(map(redis_cpu_s, self.servers)), sum(os.times()[:2])


@contextmanager
def running_fleet(shape: Shape, series: int, folder: Path, *, cluster: bool) -> Iterator[Fleet]:
    """Run the workers of a fleet, with the models in `folder/models`; they are stopped at first.

    Args:
        shape: the number of workers and of partitions.
        series: the number of series.
        folder: where the store is.
        cluster: whether Redis is a cluster of three servers.
    """
    with ExitStack() as stack:
        started: EmbeddedRedis | EmbeddedCluster = EmbeddedCluster() if cluster else EmbeddedRedis()
        stack.enter_context(started)
        embedded = started.servers if isinstance(started, EmbeddedCluster) else [started]
        servers = [stack.enter_context(Redis.from_url(server.url, protocol=2)) for server in embedded]
        settings = load_settings(redis_url=started.url, redis_cluster=cluster, partitions=shape.partitions)
        redis = cast("Redis", stack.enter_context(connect(settings)))
        variables = {"PARTITIONS": str(shape.partitions), "REDIS_CLUSTER": str(cluster)}
        partitions = [_partition(number, shape.partitions, series) for number in range(shape.partitions)]
        for keys, readings in partitions:
            readings.fill(redis, keys.state, SeriesSettings().rows_kept)
        processes = [
            stack.enter_context(starting_worker(started.url, folder, variables=variables)) for _ in range(shape.workers)
        ]
        members = [
            Contestant("worker", processes[i % shape.workers], folder / "worker.log", redis, keys, readings)
            for i, (keys, readings) in enumerate(partitions)
        ]
        fleet = Fleet(redis, servers, members, shape.workers)
        _await_owners(fleet)
        fleet.stop()
        yield fleet


def _partition(number: int, count: int, series: int) -> tuple[Keys, Readings]:
    """Return the keys of one of `count` partitions, and the readings of its share of the series.

    Raises:
        RuntimeError: it has no series.
    """
    names = [name for name in map(name_of, range(series)) if partition_of(name, count) == number]
    if not names:
        raise RuntimeError(f"partition {number} of {count} has none of {series} series: use more with --series")
    return keys_of(number, count), Readings(len(names), names)


def _await_owners(fleet: Fleet) -> None:
    """Wait until each partition has an owner, and no worker more than its share.

    Raises:
        RuntimeError: they do not share the partitions.
    """
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        now_ms = server_ms(fleet.redis)
        owners = [owner_of(fleet.redis, member.keys, now_ms) for member in fleet.members]
        if None not in owners and max(Counter(owners).values()) <= -(-len(owners) // fleet.workers):
            return
        time.sleep(POLL_S)
    raise RuntimeError(f"{fleet.workers} workers do not share the partitions: {fleet.members[0].log_end()}")
