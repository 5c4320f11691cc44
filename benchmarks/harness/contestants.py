"""Contestants: the worker and its yardsticks, each in its own process and driven in the same way.

While readings are pushed for a measurement, a program is stopped by SIGSTOP; the time begins when it continues.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import psutil
from redis import Redis

import benchmarks
from benchmarks.harness import echo, tutorial
from benchmarks.harness.readings import Readings, id_of
from tidecast.connection.embedded import EmbeddedRedis, free_port
from tidecast.settings import PREFIX, SeriesSettings
from tidecast.tools.readiness import await_ready
from tidecast.wire import Keys, keys_of

ROOT = Path(benchmarks.__file__).parents[1]
LEASE_S = 3600  # so that a stopped program keeps its partition
POLL_S = 0.004  # between two reads of the newest forecast
PATIENCE_S = 120.0  # without a new forecast


class Pace(NamedTuple):
    """The speed of a contestant."""

    per_s: float  # readings
    cpu_us: float  # of its own processor time per reading, without that of Redis


@dataclass(slots=True)
class Contestant:
    """A running program with its input and output streams.

    Attributes:
        name: its name in the tables.
        process: the program.
        log: the file of its standard error.
        redis: a connection for the benchmark's use.
        keys: its streams.
        readings: the readings to push.
        pushed: the number of readings pushed so far.
        remembers: whether consumed readings stay in their stream, for a trainer to read.
    """

    name: str
    process: subprocess.Popen[Any]
    log: Path
    redis: Redis
    keys: Keys
    readings: Readings
    pushed: int = field(default=0)
    remembers: bool = False

    def push(self, count: int) -> None:
        """Push `count` readings."""
        self.readings.push(self.redis, self.keys.readings, self.pushed, self.pushed + count)
        self.pushed += count

    def warm_up(self, count: int) -> None:
        """Push `count` readings and wait for their forecasts, which stay in their stream."""
        self.push(count)
        self.await_answers()

    def pace(self, count: int) -> Pace:
        """Push `count` readings while the program is stopped, and measure how fast it then makes their forecasts.

        Raises:
            RuntimeError: a reading was not answered by a forecast.
        """
        self.empty()
        self.stop()
        self.push(count)
        cpu_before = self._cpu_s()
        began = time.perf_counter()
        self.go_on()
        self.await_answers()
        took = time.perf_counter() - began
        used = self._cpu_s() - cpu_before
        if (answered := self.redis.xlen(self.keys.forecasts)) != count:
            raise RuntimeError(f"{self.name} answered {answered} of {count} readings: {self.said()}")
        self.empty()
        return Pace(count / took, 1e6 * used / count)

    def stop(self) -> None:
        """Stop the program by SIGSTOP."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Continue the program by SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def newest(self, key: str) -> bytes | None:
        """Return the id of a stream's last entry; None while the stream is empty."""
        entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", self.redis.xrevrange(key, count=1))
        return entries[0][0] if entries else None

    def await_answers(self) -> None:
        """Wait until the last reading pushed has its forecast.

        Raises:
            RuntimeError: the program ended, or makes no more forecasts.
        """
        last = id_of(self.pushed - 1)
        at = None
        since = time.monotonic()
        while at != last:
            newest = self.newest(self.keys.forecasts)
            if newest != at:
                at = newest
                since = time.monotonic()
            elif self.process.poll() is not None or time.monotonic() - since > PATIENCE_S:
                raise RuntimeError(f"{self.name} answers no more: {self.said()}")
            else:
                time.sleep(POLL_S)

    def empty(self) -> None:
        """Empty the streams, so that their growth does not affect the measurement."""
        for key in [self.keys.forecasts] if self.remembers else [self.keys.readings, self.keys.forecasts]:
            self.redis.xtrim(key, maxlen=0, approximate=False)

    def _cpu_s(self) -> float:
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system

    def said(self) -> str:
        """Return the end of its log."""
        return self.log.read_text()[-1000:]


@contextmanager
def serving(
    server: EmbeddedRedis, folder: Path, readings: Readings, options: Sequence[str] = ()
) -> Iterator[Contestant]:
    """Run the real worker, with the models in `folder/models`, on series with full windows.

    Args:
        server: where the streams are.
        folder: where the store is.
        readings: the readings to push.
        options: of the command `tidecast worker`.
    """
    with Redis.from_url(server.url, protocol=2) as redis:
        keys = keys_of()
        log = folder / "worker.log"
        readings.fill(redis, keys.state, SeriesSettings().rows_kept)
        with worker_process(server.url, folder, options) as process:
            yield Contestant("worker", process, log, redis, keys, readings)


@contextmanager
def worker_process(
    url: str, folder: Path, options: Sequence[str] = (), variables: Mapping[str, str] = MappingProxyType({})
) -> Iterator[subprocess.Popen[Any]]:
    """Run `starting_worker` and wait until it is ready, as a measurement must not begin while it compiles."""
    port = free_port()
    with starting_worker(url, folder, (*options, "--health-port", str(port)), variables) as process:
        await_ready(f"http://127.0.0.1:{port}", process, (folder / "worker.log").read_text, show=print)
        yield process


@contextmanager
def starting_worker(
    url: str, folder: Path, options: Sequence[str] = (), variables: Mapping[str, str] = MappingProxyType({})
) -> Iterator[subprocess.Popen[Any]]:
    """Run `tidecast worker` with the models in `folder/models`, its defaults, and a lease longer than any pause.

    Args:
        url: where Redis listens.
        folder: where the store is.
        options: of the command.
        variables: settings by the names of their variables, without the prefix `TIDECAST_`.
    """
    command = [sys.executable, "-m", "tidecast.cli", "worker", "--redis", url, "--store", str(folder / "models")]
    settings = {"WORKER__LEASE": str(LEASE_S)} | dict(variables)
    environment = plain_environment() | {f"{PREFIX}{name}": value for name, value in settings.items()}
    with (folder / "worker.log").open("ab") as log:
        process = subprocess.Popen([*command, *options], cwd=folder, env=environment, stderr=log)
    with _ending(process):
        yield process


@contextmanager
def echoing(worker: Contestant, server: EmbeddedRedis) -> Iterator[Contestant]:
    """Run the echo worker, with the fields of the worker's newest forecasts."""
    with _yardstick("echo", echo.__name__, echo.NAMESPACE, worker, server) as contestant:
        yield contestant


@contextmanager
def tutoring(worker: Contestant, server: EmbeddedRedis) -> Iterator[Contestant]:
    """Run the tutorial, which calls Keras `predict` for each reading."""
    with _yardstick("tutorial", tutorial.__name__, tutorial.NAMESPACE, worker, server) as contestant:
        yield contestant


@contextmanager
def _yardstick(
    name: str, module: str, namespace: str, worker: Contestant, server: EmbeddedRedis
) -> Iterator[Contestant]:
    """Run a module of this package beside the worker, on its own streams."""
    with helper(server, module) as process:
        keys = keys_of(namespace=namespace)
        yield Contestant(name, process, log_of(server, module), worker.redis, keys, worker.readings)


@contextmanager
def helper(server: EmbeddedRedis, module: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run a module of this package as a process and wait until it prints `ready`.

    Its first argument is the server's address.

    Raises:
        RuntimeError: it ended before it was ready.
    """
    command = [sys.executable, "-m", module, server.url, *map(str, arguments)]
    log = log_of(server, module)
    pipe = subprocess.PIPE
    with log.open("ab") as sink:
        process = subprocess.Popen(
            command, cwd=ROOT, env=plain_environment(), stdin=pipe, stdout=pipe, stderr=sink, text=True
        )
    with _ending(process):
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise RuntimeError(f"{module} did not become ready: {log.read_text()[-1000:]}")
        yield process


def log_of(server: EmbeddedRedis, module: str) -> Path:
    """Return the file of a helper's standard error; it is deleted with the server's folder."""
    return server.folder / f"{module}.log"


def plain_environment() -> dict[str, str]:
    """Return our environment without Tidecast's settings, as a benchmark measures the defaults."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    paths = [str(ROOT), *filter(None, [kept.get("PYTHONPATH")])]
    return kept | {"PYTHONPATH": os.pathsep.join(paths)}


@contextmanager
def _ending(process: subprocess.Popen[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        process.send_signal(signal.SIGCONT)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()
