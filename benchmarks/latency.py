"""Measure the time from a reading until a blocked reader receives its forecast, beside an echo; and the queue's growth.

Readings arrive steadily from another process, and the time of each begins when it was due, not when it was pushed. The
queue is then watched at 80 % of the worker's maximum rate, and the times of both are measured at two thirds of it.
docs/benchmarks.md describes the measurement.
"""

import argparse
from dataclasses import dataclass
from statistics import median

from benchmarks.harness.contestants import Contestant, echoing
from benchmarks.harness.flow import Flow, flow, queue_growth
from benchmarks.harness.installation import installation
from tidecast.connection.embedded import EmbeddedRedis

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
    with installation(args.series, SWEEPS) as (_, server, worker), echoing(worker, server) as echo:
        print(f"{args.rate:,.0f} readings a second, milliseconds; then the queue at {LOAD:.0%} of the maximum")
        print(f"{'':8}{'p50':>9}{'p95':>9}{'p99':>9}{'pusher':>9}")
        rounds = [_round(worker, echo, server, args.rate, args.seconds) for _ in range(args.rounds)]
    most = median(each.most for each in rounds)
    if args.rate > most:
        print("readings arrive faster than the worker answers them: the times are those of a growing queue")
    ours = [each.ours for each in rounds]
    echoes = [each.echo for each in rounds]
    loaded = [each.loaded for each in rounds]
    return {
        "p50_ms": _median(ours, 50),
        "p95_ms": _median(ours, 95),
        "p99_ms": _median(ours, 99),
        "echo_p50_ms": _median(echoes, 50),
        "echo_p95_ms": _median(echoes, 95),
        "echo_p99_ms": _median(echoes, 99),
        "p99_ms_at_two_thirds": _median(loaded, 99),
        "echo_p99_ms_at_two_thirds": _median([each.loaded_echo for each in rounds], 99),
        "lost": float(sum(each.lost for each in ours + loaded)),
        "most_per_s": most,
        "queue_growth": median(each.growth for each in rounds),
    }


@dataclass(frozen=True, slots=True)
class _Round:
    """The flows of a round, through the worker and the echo.

    Attributes:
        ours, echo: at the rate that was asked for.
        most: the readings a second that the worker answers at most.
        growth: the share of the readings that piles up at `LOAD` of that.
        loaded, loaded_echo: at two thirds of it.
    """

    ours: Flow
    echo: Flow
    most: float
    growth: float
    loaded: Flow
    loaded_echo: Flow


def _round(worker: Contestant, echo: Contestant, server: EmbeddedRedis, rate: float, seconds: float) -> _Round:
    """Measure once, and print a line for each flow."""
    ours, of_echo = (_shown(each, flow(each, server, rate, seconds)) for each in (worker, echo))
    most = worker.pace(max(LEAST, round(AT_MOST_S * worker.pace(LEAST).per_s))).per_s
    growth = queue_growth(worker, server, LOAD * most, seconds)
    print(f"at most {most:,.0f} a second; {growth:.1%} pile up at {LOAD:.0%} of it", flush=True)
    loaded, loaded_echo = (_shown(each, flow(each, server, TWO_THIRDS * most, seconds)) for each in (worker, echo))
    return _Round(ours, of_echo, most, growth, loaded, loaded_echo)


def _shown(contestant: Contestant, measured: Flow) -> Flow:
    times = "".join(f"{measured.percentile(share):9.2f}" for share in (50, 95, 99))
    print(f"{contestant.name:8}{times}{measured.late_ms:9.2f}" + (f"  {measured.lost} lost" if measured.lost else ""))
    return measured


def _median(flows: list[Flow], share: float) -> float:
    return median(each.percentile(share) for each in flows)
