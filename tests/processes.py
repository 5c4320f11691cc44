"""The worker as a process of its own, for the length of a `with` block."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TIDECAST = Path(sys.executable).with_name("tidecast")


@contextmanager
def worker_process(url: str, store: Path, *options: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A worker on this Redis and store, killed at the end if it still runs.

    Args:
        url: where Redis listens; told by the environment, where no list of processes shows a password.
        store: the directory of the models.
        options: of the command.
        variables: settings by the names of their variables, without the prefix `TIDECAST_`.
    """
    told = {f"TIDECAST_{name}": value for name, value in variables.items()} | {"TIDECAST_REDIS_URL": url}
    command = [TIDECAST, "worker", "--store", store, *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | told) as process:
        try:
            yield process
        finally:
            process.kill()
