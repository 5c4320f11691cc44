"""Programs forked from a process that has imported and compiled all that a worker needs.

A start takes tens of milliseconds, where a fresh interpreter takes two seconds of a core: a test can afford many. How
the installed command starts is shown where it is started: by `tests.harness.processes.worker_process`.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import chdir
from importlib import import_module
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Self
from unittest import mock

ROOT = Path(__file__).parents[2]
_CONTEXT = multiprocessing.get_context("forkserver")
_LOCK = threading.Lock()


class Nursery:
    """A process from which others are forked, begun with the first of them.

    Args:
        module: what it imports.
    """

    def __init__(self, module: str) -> None:
        self._server = forkserver.ForkServer()
        self._server.set_forkserver_preload([module])

    def fork(self, target: Callable[..., None], *args: object) -> BaseProcess:
        """Run a function in a process of its own."""
        process = _CONTEXT.Process(target=target, args=args)
        connect = self._server.connect_to_new_process
        with _LOCK, mock.patch.object(forkserver, "connect_to_new_process", connect):  # the library has one server
            with chdir(ROOT):  # Python 3.11 finds the module there, and in no other place
                self._server.ensure_running()
            process.start()
        return process


WORKERS = Nursery("tests.harness.programs.warmed")
TRAININGS = Nursery("tests.harness.programs.warmed_trainings")  # apart from the workers, which must not hold TensorFlow
fork = WORKERS.fork


class Forked:
    """A running program, with what tests use of `subprocess.Popen`.

    Args:
        module: whose `main` is run.
        arguments: of the command, its name first.
        folder: where it works.
        environment: all of it.
        log: the file for all its output; None: a pipe, from which `stderr` reads, standard output too.
        nursery: the process that it is forked from.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        log: Path | None = None,
        nursery: Nursery = WORKERS,
    ) -> None:
        reader, writer = _CONTEXT.Pipe(duplex=False)
        with reader, writer:
            self._process = nursery.fork(_run, module, list(arguments), folder, dict(environment), log or writer)
            self.stderr = None if log else os.fdopen(os.dup(reader.fileno()), encoding="utf-8")

    def __enter__(self) -> Self:
        """Nothing is done."""
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        """Wait for its end; a test that has failed does not."""
        if failed:
            self.kill()
        self.wait()
        if self.stderr:
            self.stderr.close()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid or 0

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; return the exit code.

        Raises:
            TimeoutExpired: it still runs.
        """
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0.0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[None, str]:
        """Read its output to the end, and wait."""
        output = self.stderr.read() if self.stderr else ""
        self.wait(timeout)
        return None, output

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


def _end_with_tests() -> None:
    """End the process when that of the tests is gone, which a test beyond its time limit leaves without a clean-up."""
    tests = multiprocessing.parent_process()
    if tests:
        tests.join()
        os.kill(os.getpid(), signal.SIGKILL)


def _run(
    module: str, arguments: list[str], folder: Path, environment: dict[str, str], stderr: Path | Connection
) -> None:
    threading.Thread(target=_end_with_tests, daemon=True).start()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    descriptor = (
        os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if isinstance(stderr, Path) else stderr.fileno()
    )
    for stream in (sys.stdout, sys.stderr):
        os.dup2(descriptor, stream.fileno())
    sys.argv = arguments
    import_module(module).main()
