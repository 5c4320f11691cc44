"""Measure the readings a second of 1, 2 and 4 workers on as many partitions, and which resource bounds them.

All run on this machine with one Redis for each number of workers, and the numbers take turns in each round. `tidecast
size` computes the same from coefficients measured in the same round. docs/benchmarks.md describes the measurement.
"""

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benchmarks.harness.fleet import FleetPace, running_fleet
from benchmarks.harness.models import publish_models
from tidecast.models.store import ModelStore
from tidecast.settings import cores, load_settings
from tidecast.tools.sizing.calibration import calibrate
from tidecast.tools.sizing.coefficients import OWN
from tidecast.tools.sizing.plan import Capacity, Workload, capacity_of

WARM_UP = 4000  # readings of a round that does not count, and which estimates the size of the others


def options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's own options."""
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--workers", type=_counts, default=(1, 2, 4), help="numbers of workers, with commas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="about how long a fleet works in a round")


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Measure the fleets in turns, print a line for each, and return the figures."""
    paces: dict[int, list[FleetPace]] = {count: [] for count in args.workers}
    capacities: list[Capacity] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        publish_models(ModelStore(folder / "models"), args.series)
        fleets = {count: stack.enter_context(running_fleet(count, args.series, folder)) for count in args.workers}
        sizes = {
            count: max(WARM_UP, round(args.seconds * fleet.pace(WARM_UP).per_s)) for count, fleet in fleets.items()
        }
        for _ in range(args.rounds):
            for count, fleet in fleets.items():
                paces[count].append(fleet.pace(sizes[count]))
            capacities.append(_capacity(args.series))
    print(f"{'workers':>7}{'readings/s':>12}{'ratio':>7}{'size/s':>10}{'worker us':>11}{'Redis us':>10}", end="")
    print(f"{'cores busy':>12}{'Redis busy':>12}{'driver busy':>13}")
    figures: dict[str, float] = {}
    for count in args.workers:
        figures |= _shown(count, paces, capacities)
    return figures


def _shown(count: int, paces: dict[int, list[FleetPace]], capacities: list[Capacity]) -> dict[str, float]:
    """Print the line of a number of workers, and return its figures."""
    fewest = min(paces)
    pace = FleetPace(*map(median, zip(*paces[count], strict=True)))
    ratio = median(mine.per_s / one.per_s for mine, one in zip(paces[count], paces[fewest], strict=True))
    sized = [capacity.of_workers(count) for capacity in capacities]
    error = abs(median(size / mine.per_s for size, mine in zip(sized, paces[count], strict=True)) - 1)
    worker_us = 1e6 * pace.workers / pace.per_s
    redis_us = 1e6 * pace.redis / pace.per_s
    cores_busy = (pace.workers + pace.redis + pace.driver) / cores()
    print(f"{count:7}{pace.per_s:12,.0f}{ratio:7.2f}{median(sized):10,.0f}{worker_us:11.1f}{redis_us:10.1f}", end="")
    print(f"{cores_busy:12.0%}{pace.redis:12.0%}{pace.driver:13.0%}", flush=True)
    return {
        f"readings_per_s_{count}": pace.per_s,
        f"ratio_{count}": ratio,
        f"cores_busy_{count}": cores_busy,
        f"redis_busy_{count}": pace.redis,
        f"size_error_{count}": error,
    }


def _capacity(series: int) -> Capacity:
    settings = load_settings()
    return capacity_of(calibrate(settings, series=series), Workload("own", OWN.units, settings))


def _counts(listed: str) -> tuple[int, ...]:
    words = listed.split(",")
    if not all(word.isdecimal() and int(word) for word in words):
        raise argparse.ArgumentTypeError(f"{listed!r}: use whole numbers above 0, such as 1,2,4")
    return tuple(map(int, words))
