"""The dashboard as a process: it answers at the address that it prints, and yields to all other processes."""

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

from redis import Redis

from dashboard.main import NICE
from tests.harness.patience import PATIENCE_S, until
from tests.harness.programs.pipes import full_pipe
from tidecast.connection.embedded import free_port
from tidecast.settings import PREFIX, Settings


def page(address: str) -> str:
    """Return the page as a browser gets it."""
    with urllib.request.urlopen(address) as reply:  # noqa: S310 - our own address
        return str(reply.read().decode())


def test_it_answers_where_it_says_steps_aside_and_ends_when_told(settings: Settings, redis: Redis) -> None:
    """The dashboard must not slow the workers that it shows."""
    redis.ping()
    variables = {f"{PREFIX}REDIS_URL": settings.redis_url.get_secret_value(), f"{PREFIX}STORE": str(settings.store)}
    variables["OPENBLAS_NUM_THREADS"] = "1"  # its further threads start with NumPy, and are not needed here
    command = [sys.executable, "-m", "tidecast.cli", "dashboard", "--port", "0", "--host", "127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | variables) as process:
        try:
            assert process.stdout
            address = process.stdout.readline().split()[-1]
            text = page(address)
            threads = [int(task.name) for task in Path(f"/proc/{process.pid}/task").iterdir()]
            niceness = {os.getpriority(os.PRIO_PROCESS, thread) for thread in threads}
        finally:
            process.terminate()
    assert "<title>Tidecast</title>" in text
    assert {min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICE)} == niceness
    assert 0 == process.returncode


def test_it_answers_at_another_kind_of_address_and_ends_though_nobody_reads_its_log(tmp_path: Path) -> None:
    """Its reader of Redis logs on a thread that is waited for at the end."""
    variables = {f"{PREFIX}REDIS_URL": f"redis://127.0.0.1:{free_port()}/0", f"{PREFIX}STORE": str(tmp_path / "models")}
    command = [sys.executable, "-m", "tidecast.cli", "dashboard", "--port", "0", "--host", "[::1]"]
    with (
        full_pipe(tmp_path / "log") as log,
        log.open("w") as errors,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=os.environ | variables
        ) as process,
    ):
        try:
            assert process.stdout
            address = process.stdout.readline().split()[-1]
            until(lambda: "Redis cannot be read" in page(address))
            process.terminate()
            assert 0 == process.wait(PATIENCE_S)
        finally:
            process.kill()
