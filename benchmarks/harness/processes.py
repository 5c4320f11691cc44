"""Run the worker and the helpers of a benchmark as processes, and end them at the end of a block."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import benchmarks
from tidecast.connection.embedded import EmbeddedRedis, free_port
from tidecast.settings import PREFIX
from tidecast.tools.readiness import await_ready

ROOT = Path(benchmarks.__file__).parents[1]
LEASE_S = 3600  # so that a stopped program keeps its partition


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
    words = ("worker", "--redis", url, "--store", str(folder / "models"), *options)
    with command_process(words, folder, {"WORKER__LEASE": str(LEASE_S)} | dict(variables)) as process:
        yield process


@contextmanager
def command_process(
    words: Sequence[str], folder: Path, variables: Mapping[str, str]
) -> Iterator[subprocess.Popen[Any]]:
    """Run a `tidecast` command; `words` begin with its name, and its log goes to a file of that name in the folder."""
    environment = plain_environment() | {f"{PREFIX}{name}": value for name, value in variables.items()}
    with (folder / f"{words[0]}.log").open("ab") as log:
        command = [sys.executable, "-m", "tidecast.cli", *words]
        process = subprocess.Popen(command, cwd=folder, env=environment, stderr=log)
    with _ending(process):
        yield process


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
