"""Programs that answer readings in processes of their own: the worker and its yardsticks, driven in the same way.

While readings are pushed for a measurement a program is stopped by SIGSTOP; the time begins when it is let go on.
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
LEASE_S = 3600  # a program that is stopped keeps its partition
POLL_S = 0.004  # between two looks at the newest forecast
PATIENCE_S = 120.0  # without a new forecast


class Pace(NamedTuple):
    """How fast a contestant was."""

    per_s: float  # readings
    cpu_us: float  # of its own processor time for each, that of Redis not counted


@dataclass(slots=True)
class Contestant:
    """A running program and the streams between which it stands.

    Attributes:
        name: what the tables call it.
        process: the program.
        log: what it has written to standard error.
        redis: a connection of one's own.
        keys: its streams.
        readings: what it is asked.
        pushed: how many it was asked so far.
        remembers: whether answered readings stay in their stream, for a trainer to learn from.
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
        """Push so many readings."""
        self.readings.push(self.redis, self.keys.readings, self.pushed, self.pushed + count)
        self.pushed += count

    def warm_up(self, count: int) -> None:
        """Let it answer so many readings; the forecasts stay in their stream."""
        self.push(count)
        self.await_answers()

    def pace(self, count: int) -> Pace:
        """Push so many readings while it stands still, and measure how fast it then answers them.

        Raises:
            RuntimeError: a reading was not answered by a forecast.
        """
        self.empty()
        self.stop()
        self.push(count)
        used, began = self._cpu_s(), time.perf_counter()
        self.go_on()
        self.await_answers()
        took, used = time.perf_counter() - began, self._cpu_s() - used
        if (found := self.redis.xlen(self.keys.forecasts)) != count:
            raise RuntimeError(f"{self.name} answered {found} of {count} readings: {self.said()}")
        self.empty()
        return Pace(count / took, 1e6 * used / count)

    def stop(self) -> None:
        """Let it stand still."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def newest(self, key: str) -> bytes | None:
        """The last entry's id of a stream; None while it is empty."""
        found = cast("list[tuple[bytes, dict[bytes, bytes]]]", self.redis.xrevrange(key, count=1))
        return found[0][0] if found else None

    def await_answers(self) -> None:
        """Wait until the last reading pushed is answered.

        Raises:
            RuntimeError: the program ended, or answers nothing more.
        """
        wanted, at, since = id_of(self.pushed - 1), None, time.monotonic()
        while at != wanted:
            newest = self.newest(self.keys.forecasts)
            if newest != at:
                at, since = newest, time.monotonic()
            elif self.process.poll() is not None or time.monotonic() - since > PATIENCE_S:
                raise RuntimeError(f"{self.name} answers no more: {self.said()}")
            else:
                time.sleep(POLL_S)

    def empty(self) -> None:
        """Let go of what was answered: streams that grow are no part of what is measured."""
        for key in [self.keys.forecasts] if self.remembers else [self.keys.readings, self.keys.forecasts]:
            self.redis.xtrim(key, maxlen=0, approximate=False)

    def _cpu_s(self) -> float:
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system

    def said(self) -> str:
        """The end of its log."""
        return self.log.read_text()[-1000:]


@contextmanager
def serving(
    server: EmbeddedRedis, folder: Path, readings: Readings, options: Sequence[str] = ()
) -> Iterator[Contestant]:
    """The real worker, with the models in `folder/models`, on series whose windows are full.

    Args:
        server: where the streams are.
        folder: where the store is.
        readings: what it will be asked.
        options: of the command `tidecast worker`.
    """
    with Redis.from_url(server.url, protocol=2) as redis:
        keys, log = keys_of(), folder / "worker.log"
        readings.fill(redis, keys.state, SeriesSettings().rows_kept)
        with worker_process(server.url, folder, options) as process:
            yield Contestant("worker", process, log, redis, keys, readings)


@contextmanager
def worker_process(
    url: str, folder: Path, options: Sequence[str] = (), variables: Mapping[str, str] = MappingProxyType({})
) -> Iterator[subprocess.Popen[Any]]:
    """Run `starting_worker`, and wait until it is ready: a measurement must not begin while it compiles."""
    port = free_port()
    with starting_worker(url, folder, (*options, "--health-port", str(port)), variables) as process:
        await_ready(f"http://127.0.0.1:{port}", process, (folder / "worker.log").read_text, show=print)
        yield process


@contextmanager
def starting_worker(
    url: str, folder: Path, options: Sequence[str] = (), variables: Mapping[str, str] = MappingProxyType({})
) -> Iterator[subprocess.Popen[Any]]:
    """`tidecast worker` with the models in `folder/models`, its defaults, and a lease that outlasts a pause.

    Args:
        url: where Redis listens.
        folder: where the store is.
        options: of the command.
        variables: settings by the names of their variables, without the prefix `TIDECAST_`.
    """
    command = [sys.executable, "-m", "tidecast.cli", "worker", "--redis", url, "--store", str(folder / "models")]
    told = {"WORKER__LEASE_S": str(LEASE_S)} | dict(variables)
    environment = plain_environment() | {f"{PREFIX}{name}": value for name, value in told.items()}
    with (folder / "worker.log").open("ab") as log:
        process = subprocess.Popen([*command, *options], cwd=folder, env=environment, stderr=log)
    with _ending(process):
        yield process


@contextmanager
def echoing(worker: Contestant, server: EmbeddedRedis) -> Iterator[Contestant]:
    """The echo worker, with the fields of the forecasts that the worker has just written."""
    with _yardstick("echo", echo.__name__, echo.NAMESPACE, worker, server) as contestant:
        yield contestant


@contextmanager
def tutoring(worker: Contestant, server: EmbeddedRedis) -> Iterator[Contestant]:
    """Keras `predict` for each reading."""
    with _yardstick("tutorial", tutorial.__name__, tutorial.NAMESPACE, worker, server) as contestant:
        yield contestant


@contextmanager
def _yardstick(
    name: str, module: str, namespace: str, worker: Contestant, server: EmbeddedRedis
) -> Iterator[Contestant]:
    """A module of this package beside the worker, on streams of its own."""
    with helper(server, module) as process:
        keys = keys_of(namespace=namespace)
        yield Contestant(name, process, log_of(server, module), worker.redis, keys, worker.readings)


@contextmanager
def helper(server: EmbeddedRedis, module: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A module of this package as a process that has said that it is ready; its first argument is the server's address.

    Raises:
        RuntimeError: it ended before it was.
    """
    command, log = [sys.executable, "-m", module, server.url, *map(str, arguments)], log_of(server, module)
    pipe = subprocess.PIPE
    with log.open("ab") as said:
        process = subprocess.Popen(
            command, cwd=ROOT, env=plain_environment(), stdin=pipe, stdout=pipe, stderr=said, text=True
        )
    with _ending(process):
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise RuntimeError(f"{module} did not become ready: {log.read_text()[-1000:]}")
        yield process


def log_of(server: EmbeddedRedis, module: str) -> Path:
    """Where a helper writes what goes wrong; it goes with the server."""
    return server.folder / f"{module}.log"


def plain_environment() -> dict[str, str]:
    """Ours without Tidecast's settings: a benchmark measures the defaults."""
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
