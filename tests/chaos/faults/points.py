"""The real worker, which kills itself at a named point on request.

A worker of `start_mortal` is `tidecast worker` and nothing else until a file with a point's name lies in its directory.
The first worker to reach the point removes the file and dies there of SIGKILL, as any worker might.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from redis import Redis
from redis.connection import Connection

from tests.chaos.harness import COMMIT
from tests.harness.nursery import fork
from tidecast.connection.lag import Lag
from tidecast.online.batch import BatchResult
from worker.layout.router import Router
from worker.layout.sources import RoutedStream
from worker.partition.exchange.commit_sender import Meanwhile
from worker.partition.stream import NO_LAG, Stream

POINTS = (
    *("after acquire", "states loaded", "before a commit", "commit sent", "after a commit", "before release"),
    *("readings routed", "common stream trimmed"),
)


def ask(folder: Path, point: str) -> None:
    """Let the next worker in this folder that comes to a point die there."""
    _file(folder, point).touch()


def asked(folder: Path, point: str) -> bool:
    """Return whether no worker has reached the point yet."""
    return _file(folder, point).exists()


def spare(folder: Path, point: str) -> bool:
    """Ask no longer; False if a worker came to the point just before."""
    return _took(_file(folder, point))


def _file(folder: Path, point: str) -> Path:
    return folder / f"die {point}"


def _took(file: Path) -> bool:
    """Return whether the file was there and this caller removed it."""
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    return True


def _at(point: str) -> None:
    if _took(_file(Path(), point)):
        signal.pthread_kill(threading.get_ident(), signal.SIGKILL)


class MortalConnection(Connection):
    """A connection that may die after it has sent a commit."""

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """Send; a commit is then on its way, and no reply is awaited."""
        super().send_packed_command(command, check_health)
        if any(COMMIT in part for part in command):
            _at("commit sent")


class MortalStream(Stream):
    """The worker's own commands, with the points between them."""

    def __init__(self, redis: Redis, *rest: Any) -> None:
        redis.connection_pool.connection_class = MortalConnection
        super().__init__(redis, *rest)

    def acquire(self, owner: str) -> int | None:
        """Take the lease and die with nothing loaded: the lease has to run out."""
        epoch = super().acquire(owner)
        if epoch is not None:
            _at("after acquire")
        return epoch

    def states(self) -> Iterator[dict[str, bytes]]:
        """Load the states, and die."""
        yield from super().states()
        _at("states loaded")

    def commit(
        self, epoch: int, started_from: str, outcome: BatchResult, lag: Lag = NO_LAG, meanwhile: Meanwhile = None
    ) -> None:
        """Commit, and die before it or after it, on request."""
        _at("before a commit")
        super().commit(epoch, started_from, outcome, lag, meanwhile)
        _at("after a commit")

    def release(self, epoch: int) -> None:
        """Die before the partition is handed over."""
        _at("before release")
        super().release(epoch)


class MortalRouter(Router):
    """The worker's router, with the points around its last command."""

    def _remove(self, source: RoutedStream, ids: Sequence[str]) -> None:
        """Die while the readings are in both streams, or once the common stream is trimmed."""
        _at("readings routed")
        super()._remove(source, ids)
        _at("common stream trimmed")


def start_mortal(folder: Path, url: str, log: Path) -> BaseProcess:
    """Start a worker on the store and settings that `make_store` left."""
    return fork(_work, folder, url, log)


def send(worker: BaseProcess, number: signal.Signals) -> None:
    """Send a worker a signal, if it is alive."""
    if worker.pid is not None and worker.is_alive():
        with suppress(ProcessLookupError):  # it ended just now
            os.kill(worker.pid, number)


def _work(folder: Path, url: str, log: Path) -> None:
    """Run the real worker's command with a mortal stream."""
    from tidecast.cli import main as cli
    from worker.layout import layouts as program

    os.chdir(folder)
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), sys.stderr.fileno())
    program.Router = MortalRouter  # type: ignore[attr-defined] # it takes the place of the real one
    program.Stream = MortalStream  # type: ignore[attr-defined] # it takes the place of the real one
    sys.argv = ["tidecast", "worker", "--redis", url, "--store", "models"]
    cli.main()
