"""The programs of a benchmark, forked; `cold` and `startup` start theirs as users do."""

import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import pytest

from benchmarks.harness import processes, tutorial
from tests.harness.nursery import TRAININGS, WORKERS, Forked


class ForkedModule(Forked):
    """`python -m MODULE ...`, forked, with what the benchmarks use of `subprocess.Popen`."""

    def __init__(
        self, command: list[str], *, cwd: Path, env: Mapping[str, str], stderr: IO[bytes], **_pipes: Any
    ) -> None:
        nursery = TRAININGS if command[2] == tutorial.__name__ else WORKERS
        reads, ours = multiprocessing.Pipe(duplex=False)
        theirs, writes = multiprocessing.Pipe(duplex=False)
        with reads, ours, theirs, writes:
            self._process = nursery.fork(_run, command[2:], cwd, dict(env), reads, writes, stderr.name)
            self.stdin = os.fdopen(os.dup(ours.fileno()), "w", encoding="utf-8")
            self.stdout = os.fdopen(os.dup(theirs.fileno()), encoding="utf-8")

    def communicate(self, text: str = "") -> tuple[str, None]:  # type: ignore[override] # as the benchmarks call it
        """Write the text to its input, read its output to the end, and wait."""
        with self.stdin:
            self.stdin.write(text)
        output = self.stdout.read()
        self.wait()
        return output, None


def _run(
    words: list[str], folder: Path, environment: dict[str, str], stdin: Connection, stdout: Connection, log: str
) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(stdin.fileno(), 0)
    os.dup2(stdout.fileno(), 1)
    os.dup2(os.open(log, os.O_WRONLY | os.O_APPEND), 2)
    sys.stdin = os.fdopen(0)
    sys.argv = words
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)


@pytest.fixture
def forked_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork workers and helpers; calibrate with batches of 20 readings."""
    monkeypatch.setattr(processes, "subprocess", SimpleNamespace(Popen=ForkedModule, PIPE=subprocess.PIPE))
    monkeypatch.setenv("TIDECAST_WORKER__BATCH", "20")
