"""The worker as a process, freshly started or forked, which is faster; and `tidecast` within the test's own process."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from unittest import mock

import pytest
import typer.main

from tests.harness.nursery import Forked
from tidecast.cli import main as cli

_built = cache(typer.main.get_command)  # it is built for each run, which takes longer than most commands do
TIDECAST = Path(sys.executable).with_name("tidecast")


@contextmanager
def worker_process(url: str, store: Path, *options: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A worker on this Redis and store, killed at the end if it still runs.

    Args:
        url: where Redis listens; passed in the environment, as a list of processes would show the password.
        store: the directory of the models.
        options: of the command.
        variables: settings by the names of their variables, without the prefix `TIDECAST_`.
    """
    command = [TIDECAST, "worker", "--store", store, *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=_environment(url, variables)) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def forked_worker(url: str, store: Path, *options: str, **variables: str) -> Iterator[Forked]:
    """Fork the same worker: for tests of its work, not of the program's start."""
    command = ["tidecast", "worker", "--store", str(store), *options]
    with Forked("tidecast.cli.main", command, Path.cwd(), _environment(url, variables)) as process:
        try:
            yield process
        finally:
            process.kill()


def run_command(*words: str) -> int:
    """Run `tidecast` with these arguments; return its exit code."""
    with (
        mock.patch.object(typer.main, "get_command", _built),
        mock.patch.object(sys, "argv", ["tidecast", *words]),
        pytest.raises(SystemExit) as caught,
    ):
        cli.main()
    return int(caught.value.code or 0)


def _environment(url: str, variables: Mapping[str, str]) -> dict[str, str]:
    settings = {f"TIDECAST_{name}": value for name, value in variables.items()}
    return os.environ | settings | {"TIDECAST_REDIS_URL": url}
