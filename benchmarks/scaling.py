"""Measure the readings a second of 1, 2 and 4 workers on up to 16 partitions, and which resource bounds them.

All run on this machine with one Redis, or one cluster, for each fleet, and the fleets take turns in each round.
`tidecast size` computes the same from coefficients measured in the same round, and the readings a second of several
machines.
docs/benchmarks.md describes the measurement.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple, cast

from redis import Redis

from benchmarks.harness.contestants import redis_cpu_s
from benchmarks.harness.fleet import FleetPace, Shape, running_fleet
from benchmarks.harness.models import publish_models
from benchmarks.harness.readings import Readings
from tidecast.connection import connect
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.models.store import ModelStore
from tidecast.settings import cores, load_settings
from tidecast.tools.sizing.calibration import calibrate
from tidecast.tools.sizing.coefficients import OWN
from tidecast.tools.sizing.plan import Capacity, Workload, capacity_of
from tidecast.wire import keys_of
from worker.layout.router import Router

WARM_UP = 4000  # readings of a round that does not count, and which estimates the size of the others
SERVERS = 3  # of a cluster


def options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's own options."""
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--workers", type=_counts, default=(1, 2, 4), help="numbers of workers, with commas")
    parser.add_argument("--partitions", type=_counts, default=(1, 4, 16), help="numbers of partitions, with commas")
    parser.add_argument("--cluster", action="store_true", help="use a cluster of three servers instead of one Redis")
    parser.add_argument("--router", action="store_true", help="measure the router too, on one Redis")
    parser.add_argument("--machines", type=_counts, default=(2, 4, 8), help="numbers of machines to compute for")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="about how long a fleet works in a round")


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Measure the fleets in turns, print a line for each, and return the figures."""
    partitions = [count for count in args.partitions if count > 1 or not args.cluster]  # a cluster needs several
    shapes = [Shape(workers, count) for workers in args.workers for count in partitions if workers <= count]
    if not shapes:
        raise SystemExit("no fleet to measure: name at least as many --partitions as --workers, in a cluster 2 or more")
    counts = [count for count in args.partitions if count > 1 and args.router]
    paces, routed, capacities = _rounds(args, shapes, counts)
    servers = SERVERS if args.cluster else 1
    print(
        f"{'workers x partitions':>20}{'readings/s':>12}{'ratio':>7}{'size/s':>10}{'worker us':>11}{'Redis us':>10}",
        end="",
    )
    print(f"{'driver us':>11}{'cores busy':>12}{'Redis busy':>12}  bounded by")
    figures: dict[str, float] = {}
    for shape in shapes:
        figures |= _shown(shape, paces, capacities, servers)
    return figures | _routed(routed) | _computed(args.machines, capacities)


def _rounds(args: argparse.Namespace, shapes: list[Shape], counts: list[int]) -> "_Rounds":
    """Measure the fleets, the router for each number of partitions, and the coefficients of this machine, in turns."""
    rounds = _Rounds({shape: [] for shape in shapes}, {count: [] for count in counts}, [])
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        publish_models(ModelStore(folder / "models"), args.series)
        fleets = {
            shape: stack.enter_context(running_fleet(shape, args.series, folder, cluster=args.cluster))
            for shape in shapes
        }
        sizes = {
            shape: max(WARM_UP, round(args.seconds * fleet.pace(WARM_UP).per_s)) for shape, fleet in fleets.items()
        }
        trials = {count: stack.enter_context(_router_trial(count, args.series)) for count in counts}
        for _ in range(args.rounds):
            for shape, fleet in fleets.items():
                rounds.paces[shape].append(fleet.pace(sizes[shape]))
            for count, trial in trials.items():
                rounds.routed[count].append(trial.pace(max(sizes.values())))
            rounds.capacities.append(_capacity(args.series))
    return rounds


def _shown(
    shape: Shape, paces: dict[Shape, list[FleetPace]], capacities: list[Capacity], servers: int
) -> dict[str, float]:
    """Print the line of a fleet, and return its figures."""
    first = min(paces)
    pace = FleetPace(*map(median, zip(*paces[shape], strict=True)))
    ratio = median(own.per_s / base.per_s for own, base in zip(paces[shape], paces[first], strict=True))
    sized = [capacity.of_workers(shape.workers) for capacity in capacities]
    error = abs(median(size / own.per_s for size, own in zip(sized, paces[shape], strict=True)) - 1)
    used = {"worker": pace.workers, "redis": pace.redis, "driver": pace.driver}
    us = {f"{name}_us": 1e6 * seconds / pace.per_s for name, seconds in used.items()}
    busy = {"cores": sum(used.values()) / cores(), "redis": pace.redis / servers}
    busy["workers"] = pace.per_s / (shape.workers * median(capacity.one_worker_per_s for capacity in capacities))
    print(f"{shape!s:>20}{pace.per_s:12,.0f}{ratio:7.2f}{median(sized):10,.0f}", end="")
    print(f"{us['worker_us']:11.1f}{us['redis_us']:10.1f}{us['driver_us']:11.1f}", end="")
    print(f"{busy['cores']:12.0%}{busy['redis']:12.0%}  {max(busy, key=lambda name: busy[name])}", flush=True)
    figures = {"readings_per_s": pace.per_s, "ratio": ratio, **us, "size_error": error}
    figures |= {"cores_busy": busy["cores"], "redis_busy": busy["redis"]}
    return {f"{name}_{shape}": value for name, value in figures.items()}


class RouterPace(NamedTuple):
    """The speed of a router that does nothing else."""

    per_s: float  # readings routed
    router_us: float  # its processor time for a reading
    redis_us: float  # the processor time of Redis for a reading


class _Rounds(NamedTuple):
    """The measurements of all rounds."""

    paces: dict[Shape, list[FleetPace]]
    routed: dict[int, list[RouterPace]]  # by number of partitions
    capacities: list[Capacity]


class _RouterTrial:
    """The worker's router in this process, with a Redis of its own.

    Args:
        redis: the server.
        router: the router of all partitions.
        readings: the readings to push.
        partitions: the number of partitions.
    """

    def __init__(self, redis: Redis, router: Router, readings: Readings, partitions: int) -> None:
        self._redis = redis
        self._router = router
        self._readings = readings
        self._partitions = partitions
        self._pushed = 0

    def pace(self, count: int) -> RouterPace:
        """Push `count` readings to the common stream, and measure how fast they are routed.

        Raises:
            RuntimeError: a reading was not routed.
        """
        self._readings.push(self._redis, keys_of().readings, self._pushed, self._pushed + count)
        self._pushed += count
        redis_before = redis_cpu_s(self._redis)
        used_before = time.process_time()
        began = time.perf_counter()
        while self._router.step():
            pass
        took = time.perf_counter() - began
        used = time.process_time() - used_before
        redis_used = redis_cpu_s(self._redis) - redis_before
        streams = [keys_of(number, self._partitions).readings for number in range(self._partitions)]
        arrived = sum(self._redis.xlen(stream) for stream in streams)
        if arrived != count:
            raise RuntimeError(f"{arrived} of {count} readings were routed")
        self._redis.delete(*streams)
        return RouterPace(count / took, 1e6 * used / count, 1e6 * redis_used / count)


@contextmanager
def _router_trial(partitions: int, series: int) -> Iterator[_RouterTrial]:
    """Start a Redis for a router, and route some readings that do not count."""
    with EmbeddedRedis() as server:
        settings = load_settings(redis_url=server.url, redis_cluster=False, partitions=partitions)
        with connect(settings) as connection:
            redis = cast("Redis", connection)
            trial = _RouterTrial(redis, Router(redis, settings), Readings(series), partitions)
            trial.pace(WARM_UP)
            yield trial


def _routed(paces: dict[int, list[RouterPace]]) -> dict[str, float]:
    """Print a line of the router for each number of partitions, and return its figures."""
    figures: dict[str, float] = {}
    for count, rounds in paces.items():
        pace = RouterPace(*map(median, zip(*rounds, strict=True)))
        print(f"router, {count} partitions: {pace.per_s:,.0f} readings/s", end="")
        print(f", {pace.router_us:.1f} us of the worker and {pace.redis_us:.1f} us of Redis for each")
        figures |= {f"routed_per_s_{count}": pace.per_s, f"router_us_{count}": pace.router_us}
        figures[f"router_redis_us_{count}"] = pace.redis_us
    return figures


def _computed(machines: tuple[int, ...], capacities: list[Capacity]) -> dict[str, float]:
    """Print and return the readings a second of several machines like this one, with one Redis and with one on each."""
    print("\ncomputed by the formulas of `tidecast size`, not measured:")
    figures: dict[str, float] = {}
    for count in machines:
        for name, servers in (("one_redis", 1), ("cluster", count)):
            per_s = median(min(count * each.cores_per_s, servers * each.redis_per_s) for each in capacities)
            print(f"{count:8} machines, {servers} Redis servers{per_s:14,.0f} readings/s")
            figures[f"computed_per_s_{count}_machines_{name}"] = per_s
    return figures


def _capacity(series: int) -> Capacity:
    settings = load_settings()
    return capacity_of(calibrate(settings, series=series), Workload("own", OWN.units, settings))


def _counts(listed: str) -> tuple[int, ...]:
    words = listed.split(",")
    if not all(word.isdecimal() and int(word) for word in words):
        raise argparse.ArgumentTypeError(f"{listed!r}: use whole numbers above 0, such as 1,2,4")
    return tuple(map(int, words))
