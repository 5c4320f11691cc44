"""Run the programs of the demo: the trainer, a worker with a schedule, and the dashboard."""

import csv
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from tidecast.connection.embedded import free_port
from tidecast.errors import TidecastError
from tidecast.settings import environment_with
from tidecast.start import child_command
from tidecast.tools.demo_data import DemoSource
from tidecast.tools.readiness import POLL_S, TIMEOUT_S, await_ready, log_end

EPOCHS = 12  # enough for these series; longer training gains little and makes a visitor wait
END_S = 30.0  # how long a program may take to end before it is killed
EVERY_S = 5  # between two scheduled runs; the default of six hours is too long for a demo
SCHEDULE = {
    "RETRAIN__EVERY": f"{EVERY_S}s",
    "RETRAIN__CRON": "",
    "RETRAIN__LOW_PRIORITY": "false",  # the demo waits for the run, on a busy machine too
    "RETRAIN__MIN_NEW": "50",
}


@dataclass(frozen=True, slots=True)
class DemoSetup:
    """The locations of the demo: Redis, the namespace, and a folder with the models and the logs."""

    url: str
    namespace: str
    folder: Path

    def command(self, *words: str) -> list[str]:
        """Return one of our commands on this Redis and store."""
        return child_command(
            "tidecast.cli", *words, "--namespace", self.namespace, "--store", str(self.folder / "models")
        )


@dataclass(frozen=True, slots=True)
class DemoWorker:
    """A running worker that is ready.

    Attributes:
        process: its process.
        health: the address of its health port.
        log: its log file.
        ready_s: seconds from its start until it was ready.
        compiled: whether it had to compile first.
    """

    process: subprocess.Popen[bytes]
    health: str
    log: Path
    ready_s: float
    compiled: bool

    def check(self, what: str, since: float) -> None:
        """Check that the worker is alive and not silent for too long.

        Args:
            what: the missing event, for the message.
            since: the time of the last progress, in seconds of the monotonic clock.

        Raises:
            TidecastError: it has ended, or was silent for `TIMEOUT_S`.
        """
        code = self.process.poll()
        if code is None and time.monotonic() < since + TIMEOUT_S:
            return
        state = f"was silent for {TIMEOUT_S:g} s" if code is None else f"has ended with exit code {code}"
        raise TidecastError(f"{what}, and the worker {state}:\n{self.log_end()}")

    def log_end(self) -> str:
        """Return the end of its log."""
        return log_end(self.log.read_text())

    def dispositions(self, readings: int) -> dict[str, int]:
        """Return its counts of readings; wait for them, since metrics are updated just after a commit."""
        began = time.monotonic()
        while sum((counts := self._counts()).values()) < readings:
            self.check(f"{readings} readings are not all counted", began)
            time.sleep(POLL_S)
        return counts

    def _counts(self) -> dict[str, int]:
        with urlopen(f"{self.health}/metrics") as answer:  # noqa: S310 - our own worker on loopback
            families = text_string_to_metric_families(answer.read().decode())
        samples = [sample for family in families if family.name == "tidecast_readings" for sample in family.samples]
        return {s.labels["disposition"]: int(s.value) for s in samples if s.name == "tidecast_readings_total"}


def train(sources: Sequence[DemoSource], folder: Path, *, quiet: bool) -> None:
    """Run the trainer as a user would, once for each set of columns.

    Raises:
        TidecastError: the trainer failed.
    """
    shapes = dict.fromkeys((source.target, source.features) for source in sources)
    for target, features in shapes:
        file = folder / f"{target}.csv"
        _write(file, [source for source in sources if (source.target, source.features) == (target, features)])
        command = child_command("tidecast.cli", "train", str(file), "--epochs", str(EPOCHS))
        command += ["--target", target, *(["--features", ",".join(features)] if features else [])]
        command += ["--store", str(folder / "models")]
        done = subprocess.run(command, capture_output=quiet, text=True, check=False)  # noqa: S603 - ourselves
        if done.returncode != 0:
            output = log_end(f"{done.stdout or ''}{done.stderr or ''}")
            raise TidecastError(f"training ended with exit code {done.returncode}:\n{output}")


@contextmanager
def worker(setup: DemoSetup, show: Callable[[str], None]) -> Iterator[DemoWorker]:
    """Run a worker with a schedule; the block begins when it is ready."""
    port = free_port()
    log = setup.folder / "worker.log"
    began = time.monotonic()
    with _program(setup, log, SCHEDULE, "worker", "--health-port", str(port)) as process:
        compiled = await_ready(f"http://127.0.0.1:{port}", process, log.read_text, show=show)
        yield DemoWorker(process, f"http://127.0.0.1:{port}", log, time.monotonic() - began, compiled)


def dashboard_installed() -> bool:
    """Return whether the packages of the dashboard are installed."""
    return find_spec("nicegui") is not None


@contextmanager
def dashboard(setup: DemoSetup) -> Iterator[str]:
    """Run the dashboard; yield its address, which it prints once it is ready."""
    log = setup.folder / "dashboard.log"
    with _program(setup, log, {}, "dashboard", "--port", "0", "--host", "127.0.0.1") as process:
        line = process.stdout.readline().decode() if process.stdout else ""
        if not line:  # the dashboard has ended
            raise TidecastError(f"the dashboard did not start:\n{log_end(log.read_text())}")
        yield line.split()[-1]


@contextmanager
def _program(setup: DemoSetup, log: Path, variables: dict[str, str], *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run one of our commands during the block; `variables` are environment variables without our prefix."""
    environment = environment_with(setup.url, **variables)
    with log.open("wb") as sink:
        process = subprocess.Popen(  # noqa: S603 - ourselves
            setup.command(*words), stdout=subprocess.PIPE, stderr=sink, env=environment
        )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[Any]) -> None:
    """Terminate a program, and kill it if it does not end."""
    process.terminate()
    try:
        process.communicate(timeout=END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def _write(file: Path, sources: Sequence[DemoSource]) -> None:
    columns = (*sources[0].features, sources[0].target)
    with file.open("w", newline="") as sink:
        table = csv.writer(sink)
        table.writerow(("series", "timestamp", *columns))
        for source in sources:
            table.writerows((series, ts, *(values[name] for name in columns)) for series, values, ts in source.past)
