"""Contestants: the worker and its yardsticks, each in its own process and driven in the same way.

While readings are pushed for a measurement, a program is stopped by SIGSTOP; the time begins when it continues.
"""

import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import psutil
from redis import Redis

from benchmarks.harness import echo, tutorial
from benchmarks.harness.processes import helper, log_of, worker_process
from benchmarks.harness.readings import Readings
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.settings import SeriesSettings
from tidecast.tools.sizing.trial_models import id_of
from tidecast.wire import Keys, keys_of

POLL_S = 0.004  # between two reads of the newest forecast
PATIENCE_S = 120.0  # without a new forecast


class Pace(NamedTuple):
    """The speed of a contestant."""

    per_s: float  # readings
    cpu_us: float  # of its own processor time per reading, all threads
    redis_us: float  # of the processor time of Redis per reading


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
    pushed: int = 0
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
        cpu_before = self.cpu_s()
        redis_before = redis_cpu_s(self.redis)
        began = time.perf_counter()
        self.go_on()
        self.await_answers()
        took = time.perf_counter() - began
        used = self.cpu_s() - cpu_before
        redis_used = redis_cpu_s(self.redis) - redis_before
        self.check_answers(count)
        self.empty()
        return Pace(count / took, 1e6 * used / count, 1e6 * redis_used / count)

    def check_answers(self, count: int) -> None:
        """Check that the stream holds so many forecasts.

        Raises:
            RuntimeError: it does not.
        """
        if (answered := self.redis.xlen(self.keys.forecasts)) != count:
            raise RuntimeError(f"{self.name} answered {answered} of {count} readings: {self.log_end()}")

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
                raise RuntimeError(f"{self.name} makes no more forecasts: {self.log_end()}")
            else:
                time.sleep(POLL_S)

    def empty(self) -> None:
        """Empty the streams, so that their growth does not affect the measurement."""
        for key in [self.keys.forecasts] if self.remembers else [self.keys.readings, self.keys.forecasts]:
            self.redis.xtrim(key, maxlen=0, approximate=False)

    def cpu_s(self) -> float:
        """Return the processor time that it has used so far, of all threads, in seconds."""
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system

    def log_end(self) -> str:
        """Return the end of its log."""
        return self.log.read_text()[-1000:]


def redis_cpu_s(redis: Redis) -> float:
    """Return the processor time that a server has used so far, in seconds."""
    used = cast("dict[str, float]", redis.info("cpu"))
    return used["used_cpu_user"] + used["used_cpu_sys"]


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
