"""Several workers on as many partitions of one Redis, which take turns with other fleets."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from redis import Redis

from benchmarks.harness.contestants import Contestant, redis_cpu_s
from benchmarks.harness.processes import starting_worker
from benchmarks.harness.readings import Readings
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.connection.partitions import owner_of, server_ms
from tidecast.settings import SeriesSettings
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


@dataclass(frozen=True, slots=True)
class Fleet:
    """Some workers that each hold one partition; `members` pairs each worker with the streams of one of them."""

    redis: Redis
    members: list[Contestant]

    def pace(self, count: int) -> FleetPace:
        """Push `count` readings in equal parts while the workers are stopped, and measure how fast they are answered.

        The workers are stopped before and afterwards, as several idle fleets would take time from the one measured.

        Raises:
            RuntimeError: a reading was not answered by a forecast.
        """
        each = count // len(self.members)
        for member in self.members:
            member.push(each)
        workers_before = self._workers_s()
        redis_before = redis_cpu_s(self.redis)
        driver_before = sum(os.times()[:2])
        began = time.perf_counter()
        for member in self.members:
            member.go_on()
        for member in self.members:
            member.await_answers()
        took = time.perf_counter() - began
        pace = FleetPace(
            each * len(self.members) / took,
            (self._workers_s() - workers_before) / took,
            (redis_cpu_s(self.redis) - redis_before) / took,
            (sum(os.times()[:2]) - driver_before) / took,
        )
        self.stop()
        for member in self.members:
            member.check_answers(each)
            member.empty()
        return pace

    def stop(self) -> None:
        """Stop all workers by SIGSTOP."""
        for member in self.members:
            member.stop()

    def _workers_s(self) -> float:
        return sum(member.cpu_s() for member in self.members)


@contextmanager
def running_fleet(count: int, series: int, folder: Path) -> Iterator[Fleet]:
    """Run `count` workers on as many partitions, with the models in `folder/models`; they are stopped at first."""
    variables = {"PARTITIONS": str(count)}
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedRedis())
        redis = stack.enter_context(Redis.from_url(server.url, protocol=2))
        partitions = [_partition(number, count, series) for number in range(count)]
        for keys, readings in partitions:
            readings.fill(redis, keys.state, SeriesSettings().rows_kept)
        members = []
        for keys, readings in partitions:
            process = stack.enter_context(starting_worker(server.url, folder, variables=variables))
            members.append(Contestant("worker", process, folder / "worker.log", redis, keys, readings))
        fleet = Fleet(redis, members)
        _await_owners(fleet)
        fleet.stop()
        yield fleet


def _partition(number: int, count: int, series: int) -> tuple[Keys, Readings]:
    """Return the keys of one of `count` partitions, and the readings of its share of the series."""
    names = [name for name in map(name_of, range(series)) if partition_of(name, count) == number]
    return keys_of(number, count), Readings(len(names), names)


def _await_owners(fleet: Fleet) -> None:
    """Wait until every worker holds one partition.

    Raises:
        RuntimeError: they do not share the partitions.
    """
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        now_ms = server_ms(fleet.redis)
        owners = {owner_of(fleet.redis, member.keys, now_ms) for member in fleet.members} - {None}
        if len(owners) == len(fleet.members):
            return
        time.sleep(POLL_S)
    raise RuntimeError(f"{len(fleet.members)} workers do not share the partitions: {fleet.members[0].log_end()}")
