"""Champions moved while readings flow: nothing lost, and how much later the forecasts are than in calm.

A round is a calm flow, which is the yardstick, and then the same flow while every series' pointer is moved to its other
version, one after the other. docs/benchmarks.md says what is measured.
"""

import argparse
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import cast

from benchmarks._contestants import Contestant, serving
from benchmarks._flow import Flow, flow
from benchmarks._models import publish_models
from benchmarks._readings import Readings, name_of
from tidecast.embedded import EmbeddedRedis
from tidecast.store import ModelStore

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
        store = ModelStore(folder / "models")
        publish_models(store, args.series, versions=VERSIONS)
        server = stack.enter_context(EmbeddedRedis())
        worker = stack.enter_context(serving(server, folder, Readings(args.series)))
        worker.warm_up(SWEEPS * args.series)
        rate = _bearable(worker, args.rate)
        calm, swapping, ratios = [], [], []
        for number in range(args.rounds):
            version = 1 + number % VERSIONS
            calm.append(flow(worker, server, rate, args.seconds))
            move = partial(_move, store, args.series, version, args.seconds)
            swapping.append(flow(worker, server, rate, args.seconds, move))
            _check(worker, version)
            before, during = calm[-1].percentile(99), swapping[-1].percentile(99)
            ratios.append(during / before)
            print(f"p99 {before:.1f} ms calm, {during:.1f} ms while {args.series} champions move", flush=True)
    return {
        "p99_ratio": median(ratios),
        "lost": float(sum(found.lost for found in (*calm, *swapping))),
        "p99_calm_ms": _p99(calm),
        "p99_swap_ms": _p99(swapping),
        "flow_per_s": rate,
    }


def _bearable(worker: Contestant, wanted: float) -> float:
    most = median(worker.pace(LEAST).per_s for _ in range(3))
    if wanted <= BEARABLE * most:
        return wanted
    print(f"the worker does {most:,.0f} readings a second at most: {BEARABLE * most:,.0f} flow, not {wanted:,.0f}")
    return BEARABLE * most


def _move(store: ModelStore, series: int, version: int, seconds: float) -> None:
    """Let another version of every series answer, evenly over the flow."""
    began = time.monotonic()
    for number in range(series):
        time.sleep(max(0.0, began + seconds * number / series - time.monotonic()))
        store.promote(name_of(number), version)


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


def _p99(flows: list[Flow]) -> float:
    return median(found.percentile(99) for found in flows)
