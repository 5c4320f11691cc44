"""Measure the time from a reading until a blocked reader receives its forecast, beside an echo; and the queue's growth.

Readings arrive steadily from another process, and the time of each begins when it was due, not when it was pushed. The
queue is then watched at 80 % of the worker's maximum rate, and the times of both are measured at two thirds of it.
docs/benchmarks.md describes the measurement.
"""

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benchmarks.harness.contestants import Contestant, echoing, serving
from benchmarks.harness.flow import Flow, flow, queue_growth
from benchmarks.harness.models import publish_models
from benchmarks.harness.readings import Readings
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.models.store import ModelStore

SWEEPS = 3  # readings of each series before the first round
LOAD = 0.8  # of the worker's maximum rate, where the queue is watched
TWO_THIRDS = 2 / 3  # of the same, where the times are measured again
AT_MOST_S = 1.0  # approximate duration of the round that measures the maximum rate
LEAST = 1000  # readings in that round: one batch


def options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's own options."""
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=2000.0, help="readings a second")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each flow")


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Measure in rounds, print the lines of each, and return the medians."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        publish_models(ModelStore(folder / "models"), args.series)
        server = stack.enter_context(EmbeddedRedis())
        worker = stack.enter_context(serving(server, folder, Readings(args.series)))
        worker.warm_up(SWEEPS * args.series)
        echo = stack.enter_context(echoing(worker, server))
        print(f"{args.rate:,.0f} readings a second, milliseconds; then the queue at {LOAD:.0%} of the maximum")
        print(f"{'':8}{'p50':>9}{'p95':>9}{'p99':>9}{'pusher':>9}")
        ours: list[Flow] = []
        echoes: list[Flow] = []
        most: list[float] = []
        growths: list[float] = []
        loaded: list[Flow] = []
        loaded_echoes: list[Flow] = []
        for _ in range(args.rounds):
            ours.append(_shown(worker, flow(worker, server, args.rate, args.seconds)))
            echoes.append(_shown(echo, flow(echo, server, args.rate, args.seconds)))
            most.append(worker.pace(max(LEAST, round(AT_MOST_S * worker.pace(LEAST).per_s))).per_s)
            growths.append(queue_growth(worker, server, LOAD * most[-1], args.seconds))
            print(f"at most {most[-1]:,.0f} a second; {growths[-1]:.1%} pile up at {LOAD:.0%} of it", flush=True)
            loaded.append(_shown(worker, flow(worker, server, TWO_THIRDS * most[-1], args.seconds)))
            loaded_echoes.append(_shown(echo, flow(echo, server, TWO_THIRDS * most[-1], args.seconds)))
    if args.rate > median(most):
        print("readings arrive faster than the worker answers them: the times are those of a growing queue")
    return {
        "p50_ms": _median(ours, 50),
        "p95_ms": _median(ours, 95),
        "p99_ms": _median(ours, 99),
        "echo_p50_ms": _median(echoes, 50),
        "echo_p95_ms": _median(echoes, 95),
        "echo_p99_ms": _median(echoes, 99),
        "p99_ms_at_two_thirds": _median(loaded, 99),
        "echo_p99_ms_at_two_thirds": _median(loaded_echoes, 99),
        "lost": float(sum(each.lost for each in ours + loaded)),
        "most_per_s": median(most),
        "queue_growth": median(growths),
    }


def _shown(contestant: Contestant, measured: Flow) -> Flow:
    times = "".join(f"{measured.percentile(share):9.2f}" for share in (50, 95, 99))
    print(f"{contestant.name:8}{times}{measured.late_ms:9.2f}" + (f"  {measured.lost} lost" if measured.lost else ""))
    return measured


def _median(flows: list[Flow], share: float) -> float:
    return median(each.percentile(share) for each in flows)
