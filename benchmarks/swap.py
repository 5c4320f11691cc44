"""Champions moved while readings flow: nothing lost, and how much later the forecasts are than in calm.

A round is a calm flow, which is the yardstick; the same while another program moves the pointers of a store that nobody
reads; and the same while it moves those of every series that is answered. docs/benchmarks.md says what is measured.
"""

import argparse
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import cast

from benchmarks.harness import mover
from benchmarks.harness.contestants import Contestant, helper, serving
from benchmarks.harness.flow import Flow, flow
from benchmarks.harness.models import publish_models
from benchmarks.harness.readings import Readings
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.models.store import ModelStore

VERSIONS = 2
SWEEPS = 3  # readings of each series before the first round
BEARABLE = 0.5  # of the most that the worker can do; no faster flow than that is sent
LEAST = 1000  # readings in the round that says how much that is
NOTICED_S = 2.0  # after the last move: by then the worker has seen it


def options(parser: argparse.ArgumentParser) -> None:
    """Say how many series, how many readings a second, and for how long."""
    parser.add_argument("--series", type=int, default=1000, help="each one's champion is moved once a round")
    parser.add_argument("--rate", type=float, default=5000.0, help="readings a second, if the worker can bear them")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each flow")


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Measure round after round, print each one's line, and return the medians."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stores = folder / "elsewhere", folder / "models"
        for store in stores:
            publish_models(ModelStore(store), args.series, versions=VERSIONS)
        server = stack.enter_context(EmbeddedRedis())
        worker = stack.enter_context(serving(server, folder, Readings(args.series)))
        worker.warm_up(SWEEPS * args.series)
        rate = _bearable(worker, args.rate)
        rounds: list[tuple[Flow, Flow, Flow]] = []
        for number in range(args.rounds):
            version = 1 + number % VERSIONS
            moves = (args.series, version, args.seconds)
            calm = flow(worker, server, rate, args.seconds)
            elsewhere, swapping = (_flow_beside_moves(worker, server, rate, store, *moves) for store in stores)
            _check(worker, version)
            rounds.append((calm, elsewhere, swapping))
            said = [f"{found.percentile(99):.1f} ms" for found in rounds[-1]]
            print(
                f"p99 {said[0]} calm, {said[1]} while pointers move in another store, "
                f"{said[2]} while {args.series} champions move",
                flush=True,
            )
    p99 = [[found.percentile(99) for found in one] for one in rounds]
    return {
        "p99_ratio": median(swap / calm for calm, _, swap in p99),
        "lost": float(sum(found.lost for one in rounds for found in one)),
        "p99_ratio_to_moves_elsewhere": median(swap / elsewhere for _, elsewhere, swap in p99),
        "p99_calm_ms": median(calm for calm, _, _ in p99),
        "p99_elsewhere_ms": median(elsewhere for _, elsewhere, _ in p99),
        "p99_swap_ms": median(swap for _, _, swap in p99),
        "flow_per_s": rate,
    }


def _bearable(worker: Contestant, wanted: float) -> float:
    most = median(worker.pace(LEAST).per_s for _ in range(3))
    if wanted <= BEARABLE * most:
        return wanted
    print(f"the worker does {most:,.0f} readings a second at most: {BEARABLE * most:,.0f} flow, not {wanted:,.0f}")
    return BEARABLE * most


def _flow_beside_moves(
    worker: Contestant, server: EmbeddedRedis, rate: float, store: Path, series: int, version: int, seconds: float
) -> Flow:
    """A flow while another program lets another version of every series of a store answer, evenly over it."""
    with helper(server, mover.__name__, store, series, version, seconds) as moving:

        def move() -> None:
            moving.communicate("go\n")

        return flow(worker, server, rate, seconds, move)


def _check(worker: Contestant, version: int) -> None:
    """Make sure that every series is answered by the version that was moved to.

    Raises:
        RuntimeError: one is not.
    """
    time.sleep(NOTICED_S)
    worker.warm_up(1)  # the models are looked for between two batches
    series = worker.readings.series
    worker.warm_up(series)
    newest = cast("list[tuple[bytes, dict[bytes, bytes]]]", worker.redis.xrevrange(worker.keys.forecasts, count=series))
    others = sum(fields.get(b"model") != b"%d" % version for _, fields in newest)
    if others or len(newest) < series:
        raise RuntimeError(f"{others} of {len(newest)} forecasts are not of version {version}")
    worker.empty()
