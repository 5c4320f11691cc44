"""Measure that events reach a web address that fails at first, each at least once and in order, and the worker's p99.

Events are written while readings flow. In each round `tidecast notify` once runs and once is stopped, and the 99th
percentiles of the forecasts' delays in these two flows are compared. Every other round begins with the process running,
so that a machine that becomes slower favours neither. docs/benchmarks.md describes the measurement.
"""

import argparse
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from redis import Redis

from benchmarks.harness.contestants import Contestant
from benchmarks.harness.flow import Flow, flow
from benchmarks.harness.installation import installation
from benchmarks.harness.processes import command_process
from benchmarks.webhook.failing_receiver import FailingReceiver, failing_receiver
from tidecast.connection.embedded import EmbeddedRedis, free_port
from tidecast.tools.readiness import await_ready
from tidecast.wire import Event, keys_of

SWEEPS = 3  # readings of each series before the first flow
NAMES = ("stopped", "runs")  # the process, in a flow
OF_SERIES = 20  # series that have events
TIMEOUT_S = 120.0  # after the receiver takes messages again, for all to arrive


def options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's own options."""
    parser.add_argument("--series", type=int, default=500)
    parser.add_argument("--rate", type=float, default=1000.0, help="readings a second")
    parser.add_argument("--events", type=int, default=1000, help="in all turns together")
    parser.add_argument("--fails", type=float, default=60.0, help="seconds for which the receiver refuses messages")
    parser.add_argument("--rounds", type=int, default=8, help="each with the process stopped and running")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each flow")


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Measure in rounds, print the lines of each, and return the figures."""
    with ExitStack() as stack:
        folder, server, worker = stack.enter_context(installation(args.series, SWEEPS))
        receiver = stack.enter_context(failing_receiver(args.fails))
        process = stack.enter_context(_notifying(server, folder, receiver.url))
        print(f"{args.rate:,.0f} readings a second, milliseconds\n{'notify':8}{'p50':>9}{'p99':>9}")
        p99s: dict[str, list[float]] = {name: [] for name in NAMES}
        lost = 0
        for turn in range(2 * args.rounds):
            name = NAMES[(turn + turn // 2) % 2]  # stopped, runs; runs, stopped; and so on
            measured = _turn(worker, server, process, args, turn, name)
            p99s[name].append(measured.percentile(99))
            lost += measured.lost
        process.send_signal(signal.SIGCONT)
        took = _await(receiver, args.events, args.fails + TIMEOUT_S)
    print(f"{receiver.refused} messages refused, {len(receiver.taken)} events taken {took:.0f} s after the last flow")
    return {
        "delivered_share": len(set(receiver.taken)) / args.events,
        "repeated_share": len(receiver.taken) / args.events - len(set(receiver.taken)) / args.events,
        "disordered": float(receiver.disordered()),
        "p99_ms": median(p99s["runs"]),
        "p99_ms_stopped": median(p99s["stopped"]),
        "p99_ratio": median(runs / stopped for stopped, runs in zip(*p99s.values(), strict=True)),
        "lost": float(lost),
    }


def _turn(
    worker: Contestant,
    server: EmbeddedRedis,
    process: subprocess.Popen[Any],
    args: argparse.Namespace,
    turn: int,
    name: str,
) -> Flow:
    """Let the process run or stop it, and measure a flow in which the turn's share of the events is written."""
    process.send_signal(signal.SIGCONT if name == "runs" else signal.SIGSTOP)
    first, stop = (args.events * place // (2 * args.rounds) for place in (turn, turn + 1))
    numbers = range(first, stop)
    measured = flow(worker, server, args.rate, args.seconds, lambda: _write(worker.redis, numbers, args.seconds))
    print(f"{name:8}{measured.percentile(50):9.2f}{measured.percentile(99):9.2f}", flush=True)
    return measured


@contextmanager
def _notifying(server: EmbeddedRedis, folder: Path, url: str) -> Iterator[subprocess.Popen[Any]]:
    """Run `tidecast notify`, ready to post the next event."""
    port = free_port()
    variables = {"REDIS_URL": server.url, "NOTIFY__URL": url, "NOTIFY__GROUP_WAIT": "1s", "NOTIFY__RATE": "600"}
    with command_process(("notify", "--health-port", str(port)), folder, variables) as process:
        await_ready(f"http://127.0.0.1:{port}", process, (folder / "notify.log").read_text, show=print)
        yield process


def _write(redis: Redis, numbers: range, seconds: float) -> None:
    """Write numbered events of some series in turn, spread over a time."""
    began = time.monotonic()
    for place, number in enumerate(numbers):
        time.sleep(max(0.0, began + seconds * place / len(numbers) - time.monotonic()))
        flat = Event("anomaly", str(number), f"s{number % OF_SERIES}", facts={"phase": "begins"}).encode()
        redis.xadd(keys_of().events, dict(zip(flat[::2], flat[1::2], strict=True)))


def _await(receiver: FailingReceiver, count: int, timeout_s: float) -> float:
    """Wait until so many events have arrived; return the seconds that it took."""
    began = time.monotonic()
    while len(set(receiver.taken)) < count and time.monotonic() - began < timeout_s:
        time.sleep(0.1)
    return time.monotonic() - began
