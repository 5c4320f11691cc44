"""Measure lost and delayed forecasts while champions are switched and readings flow.

A round has three flows: a calm one, which is the yardstick; one while another program switches the champions of an
unused store; and one while it switches those of every series that flows. docs/benchmarks.md describes the measurement.
"""

import argparse
import time
from pathlib import Path
from statistics import median
from typing import cast

from benchmarks.harness import mover
from benchmarks.harness.contestants import Contestant
from benchmarks.harness.flow import Flow, flow
from benchmarks.harness.installation import installation
from benchmarks.harness.models import publish_models
from benchmarks.harness.processes import helper
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.models.store import ModelStore

VERSIONS = 2
SWEEPS = 3  # readings of each series before the first round
LARGEST_LOAD = 0.5  # of the worker's maximum rate: the largest rate of a flow
LEAST = 1000  # readings in the round that measures the maximum rate
NOTICED_S = 2.0  # after the last switch: by then the worker has loaded the models


def options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's own options."""
    parser.add_argument("--series", type=int, default=1000, help="each one's champion is moved once a round")
    parser.add_argument("--rate", type=float, default=5000.0, help="readings a second; at most half of the maximum")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each flow")


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Measure in rounds, print a line for each, and return the medians."""
    rounds: list[tuple[Flow, Flow, Flow]] = []
    with installation(args.series, SWEEPS, VERSIONS) as (folder, server, worker):
        publish_models(ModelStore(folder / "elsewhere"), args.series, versions=VERSIONS)
        rate = _rate(worker, args.rate)
        for number in range(args.rounds):
            version = 1 + number % VERSIONS
            moves = (args.series, version, args.seconds)
            calm = flow(worker, server, rate, args.seconds)
            elsewhere = _flow_beside_moves(worker, server, rate, folder / "elsewhere", *moves)
            swapping = _flow_beside_moves(worker, server, rate, folder / "models", *moves)
            _check(worker, version)
            rounds.append((calm, elsewhere, swapping))
            _print(rounds[-1], args.series)
    p99 = [[each.percentile(99) for each in flows] for flows in rounds]
    return {
        "p99_ratio": median(swap / calm for calm, _, swap in p99),
        "lost": float(sum(each.lost for flows in rounds for each in flows)),
        "p99_ratio_to_moves_elsewhere": median(swap / elsewhere for _, elsewhere, swap in p99),
        "p99_calm_ms": median(calm for calm, _, _ in p99),
        "p99_elsewhere_ms": median(elsewhere for _, elsewhere, _ in p99),
        "p99_swap_ms": median(swap for _, _, swap in p99),
        "flow_per_s": rate,
    }


def _print(flows: tuple[Flow, Flow, Flow], series: int) -> None:
    times = [f"{each.percentile(99):.1f} ms" for each in flows]
    print(
        f"p99 {times[0]} calm, {times[1]} while pointers move in another store, "
        f"{times[2]} while {series} champions move",
        flush=True,
    )


def _rate(worker: Contestant, requested: float) -> float:
    most = median(worker.pace(LEAST).per_s for _ in range(3))
    if requested <= LARGEST_LOAD * most:
        return requested
    print(f"the worker does {most:,.0f} readings a second at most, so --rate is {LARGEST_LOAD * most:,.0f}")
    return LARGEST_LOAD * most


def _flow_beside_moves(
    worker: Contestant, server: EmbeddedRedis, rate: float, store: Path, series: int, version: int, seconds: float
) -> Flow:
    """Run a flow while another program switches every series of a store to another version, evenly over the flow."""
    with helper(server, mover.__name__, store, series, version, seconds) as moving:

        def move() -> None:
            moving.communicate("go\n")

        return flow(worker, server, rate, seconds, move)


def _check(worker: Contestant, version: int) -> None:
    """Check that the forecasts of every series are made by the version that was switched to.

    Raises:
        RuntimeError: a forecast is made by another version.
    """
    time.sleep(NOTICED_S)
    worker.warm_up(1)  # the worker checks for new models between two batches
    series = worker.readings.series
    worker.warm_up(series)
    newest = cast("list[tuple[bytes, dict[bytes, bytes]]]", worker.redis.xrevrange(worker.keys.forecasts, count=series))
    others = sum(fields.get(b"model") != b"%d" % version for _, fields in newest)
    if others or len(newest) < series:
        raise RuntimeError(f"{others} of {len(newest)} forecasts are not of version {version}")
    worker.empty()
