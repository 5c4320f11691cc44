"""Measure the cost of the dashboard: the first paint in a browser, its processor time, and the worker's slowdown.

The share of a core is that of the dashboard's process while readings flow and one page is open. The browser's own work,
usually on another machine, is not counted. The worker's slowdown is its pace while the dashboard, without a viewer, is
stopped, over its pace while it runs; both are measured in turns. Without Chromium no page is opened, and the first
paint is not measured.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import psutil

from benchmarks.harness.contestants import Contestant
from benchmarks.harness.flow import flow
from benchmarks.harness.installation import installation
from benchmarks.harness.processes import ROOT
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.settings import PREFIX

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
FILLED = "td.col-series"
SETTLING_S = 3.0
ENOUGH = 1000  # readings of the smallest measurement of a pace
SWEEPS = 2  # readings of each series before the first round
TURNS = 5  # in a round, each with the worker's pace alone and beside the dashboard


def options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's own options."""
    parser.add_argument("--series", type=int, default=5000)
    parser.add_argument("--rate", type=float, default=2000.0, help="readings a second")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each flow")


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Measure in rounds, print a line for each, and return the medians."""
    with installation(args.series, SWEEPS) as (folder, server, worker), _browser() as browser:
        count = max(ENOUGH, round(args.seconds * worker.pace(ENOUGH).per_s / (2 * TURNS)))
        paints: list[float] = []
        shares: list[float] = []
        slowdowns: list[float] = []
        for _ in range(args.rounds):
            worker.warm_up(args.series)  # so that the page has data to show
            with _dashboard(server, folder) as (process, address):
                time.sleep(SETTLING_S)
                slowdowns.append(_slowdown(process, worker, count))
                worker.warm_up(args.series)
                paint_s, share = _watched(browser, address, process, worker, server, args.rate, args.seconds)
            paints += [paint_s] if paint_s else []
            shares.append(share)
            print(f"first paint {paint_s:.2f} s, {share:.0%} of a core, slowdown {slowdowns[-1]:.3f}", flush=True)
        return ({"first_paint_s": median(paints)} if paints else {}) | {
            "core_share": median(shares),
            "worker_slowdown": median(slowdowns),
        }


def _slowdown(process: psutil.Process, worker: Contestant, count: int) -> float:
    slowdowns = []
    for _ in range(TURNS):
        process.suspend()
        alone = worker.pace(count).per_s
        process.resume()
        slowdowns.append(alone / worker.pace(count).per_s)
    return median(slowdowns)


def _watched(
    browser: "Browser | None",
    address: str,
    process: psutil.Process,
    worker: Contestant,
    server: EmbeddedRedis,
    rate: float,
    seconds: float,
) -> tuple[float, float]:
    """Measure the first paint, 0 without a browser, and the share of a core while readings flow and a page is open."""
    paint_s = 0.0
    with ExitStack() as stack:
        if browser is not None:
            page = browser.new_page()
            stack.callback(page.close)
            began = time.perf_counter()
            page.goto(address)
            page.wait_for_selector(FILLED)
            paint_s = time.perf_counter() - began
        used = _cpu_s(process)
        began = time.perf_counter()
        flow(worker, server, rate, seconds)
        share = (_cpu_s(process) - used) / (time.perf_counter() - began)
    return paint_s, share


@contextmanager
def _browser() -> Iterator["Browser | None"]:
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        print(f"none of {', '.join(PROGRAMS)} is on the PATH: no page is opened")
        yield None
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield opened
        opened.close()


@contextmanager
def _dashboard(server: EmbeddedRedis, folder: Path) -> Iterator[tuple[psutil.Process, str]]:
    """Run `tidecast dashboard` on the worker's Redis and store; yield its process and address."""
    command = [sys.executable, "-m", "tidecast.cli", "dashboard", "--port", "0", "--store", str(folder / "models")]
    environment = os.environ | {f"{PREFIX}REDIS_URL": server.url, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None:
                raise AssertionError("its output is a pipe")
            words = process.stdout.readline().split()
            if not words:
                raise RuntimeError("the dashboard did not start: see its output above")
            yield psutil.Process(process.pid), words[-1]
        finally:
            process.terminate()


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
