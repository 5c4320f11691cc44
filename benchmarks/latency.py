"""From a reading pushed to its forecast seen by a blocked reader, beside an echo; and whether the queue grows.

Readings come steadily from another process, and the time of each begins when it was due, not when it was pushed. Then
80 % of what the worker can do at most, and the queue is watched. docs/benchmarks.md says what is measured.
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
LOAD = 0.8  # of the most that the worker can do
AT_MOST_S = 1.0  # about how long the round takes that says how much that is
LEAST = 1000  # readings: one batch


def options(parser: argparse.ArgumentParser) -> None:
    """Say how many series, how many readings a second, and for how long."""
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=2000.0, help="readings a second")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each flow")


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Measure round after round, print each one's line, and return the medians."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        publish_models(ModelStore(folder / "models"), args.series)
        server = stack.enter_context(EmbeddedRedis())
        worker = stack.enter_context(serving(server, folder, Readings(args.series)))
        worker.warm_up(SWEEPS * args.series)
        echo = stack.enter_context(echoing(worker, server))
        print(f"{args.rate:,.0f} readings a second, milliseconds; then the queue at {LOAD:.0%} of the maximum")
        print(f"{'':8}{'p50':>9}{'p95':>9}{'p99':>9}{'pusher':>9}")
        ours, theirs, most, growths = [], [], [], []
        for _ in range(args.rounds):
            ours.append(_shown(worker, flow(worker, server, args.rate, args.seconds)))
            theirs.append(_shown(echo, flow(echo, server, args.rate, args.seconds)))
            most.append(worker.pace(max(LEAST, round(AT_MOST_S * worker.pace(LEAST).per_s))).per_s)
            growths.append(queue_growth(worker, server, LOAD * most[-1], args.seconds))
            print(f"at most {most[-1]:,.0f} a second; {growths[-1]:.1%} pile up at {LOAD:.0%} of it", flush=True)
    if args.rate > median(most):
        print("more come than the worker can do: its times are those of a queue that grows as long as they come")
    return {
        "p50_ms": _median(ours, 50),
        "p95_ms": _median(ours, 95),
        "p99_ms": _median(ours, 99),
        "echo_p50_ms": _median(theirs, 50),
        "echo_p95_ms": _median(theirs, 95),
        "echo_p99_ms": _median(theirs, 99),
        "lost": float(sum(found.lost for found in ours)),
        "most_per_s": median(most),
        "queue_growth": median(growths),
    }


def _shown(contestant: Contestant, found: Flow) -> Flow:
    times = "".join(f"{found.percentile(share):9.2f}" for share in (50, 95, 99))
    print(f"{contestant.name:8}{times}{found.late_ms:9.2f}" + (f"  {found.lost} lost" if found.lost else ""))
    return found


def _median(flows: list[Flow], share: float) -> float:
    return median(found.percentile(share) for found in flows)
