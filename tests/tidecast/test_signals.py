"""Programs end at a signal, whatever they are doing: while they import, while they compile, and as PID 1."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.patience import PATIENCE_S
from tests.harness.processes import TIDECAST
from tidecast import signals
from tidecast.connection.embedded import free_port
from tidecast.start import child_command

NUMBERS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
EARLY = " typer\n"  # part of a line about the time of an import while a command starts
LATE = " numba\n"
COMPILING = "compiling, once on this machine"
PID_1 = ("unshare", "--pid", "--fork", "--kill-child")
PID_1_OF_A_USER = ("unshare", "--user", "--map-root-user", *PID_1[1:])  # as an ordinary user


def makes_a_namespace(way: tuple[str, ...]) -> bool:
    """Return whether this system lets us make a PID namespace in this way."""
    return subprocess.run([*way, "true"], check=False, capture_output=True).returncode == 0


@contextmanager
def started(*command: str | Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A program that reports each import, without a Redis."""
    defaults = {"PYTHONPROFILEIMPORTTIME": "1", "TIDECAST_REDIS_URL": f"redis://127.0.0.1:{free_port()}"}
    environment = os.environ | defaults | variables
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment) as it:
        try:
            yield it
        finally:
            it.kill()


def read_until(process: subprocess.Popen[str], text: str) -> None:
    """Read its standard error until a line holds the text."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"it ended without {text!r}")


def rest(process: subprocess.Popen[str]) -> str:
    """Return the rest of its output, to its end."""
    _, text = process.communicate(timeout=PATIENCE_S)
    return text


@pytest.mark.parametrize(
    ("command", "moment", "number"),
    [
        *(((TIDECAST, "worker"), EARLY, number) for number in NUMBERS),
        (child_command("tidecast.cli", "worker"), LATE, signal.SIGTERM),
        ((TIDECAST, "dashboard", "--port", "0"), " fastapi\n", signal.SIGINT),
        ((TIDECAST, "retrain", "--daemon"), EARLY, signal.SIGHUP),
    ],
    ids=["SIGTERM", "SIGINT", "SIGHUP", "worker as a child", "dashboard", "daemon"],
)
def test_a_service_that_is_told_to_stop_while_it_imports_ends_well(
    command: tuple[str | Path, ...], moment: str, number: signal.Signals
) -> None:
    """Exit code 0 as at any later moment, and no traceback."""
    with started(*command) as process:
        read_until(process, moment)
        process.send_signal(number)
        assert "Traceback" not in rest(process)
    assert 0 == process.returncode


def test_a_worker_that_is_told_to_stop_while_it_compiles_ends_at_once(tmp_path: Path) -> None:
    """It holds nothing yet that it must give back; its helper ends with it."""
    with started(TIDECAST, "worker", NUMBA_CACHE_DIR=str(tmp_path)) as process:
        read_until(process, COMPILING)
        process.send_signal(signal.SIGTERM)
        log = rest(process)
    assert 0 == process.returncode
    assert "Traceback" not in log
    assert '"compiled"' not in log


@pytest.mark.parametrize("number", NUMBERS)
def test_another_command_ends_as_a_shell_expects(number: signal.Signals) -> None:
    """Stopped before it is done, without a traceback."""
    with started(TIDECAST, "status", "--interval", "0.2") as process:
        read_until(process, EARLY)
        process.send_signal(number)
        assert "Traceback" not in rest(process)
    assert 128 + number == process.returncode


@pytest.mark.parametrize("words", [("worker",), ("retrain", "--daemon"), ("status",)], ids=" ".join)
def test_the_first_process_of_a_container_ends_at_sigterm(words: tuple[str, ...]) -> None:
    """The kernel passes PID 1 only signals that it handles: it would run on until it is killed."""
    ways = [way for way in (PID_1, PID_1_OF_A_USER) if makes_a_namespace(way)]
    if not ways:
        pytest.skip(
            "a program is process 1 only in a PID namespace, and this system lets us make none, not even as a user"
        )
    with started(*ways[0], TIDECAST, *words) as process:
        read_until(process, EARLY)
        (first,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(first), signal.SIGTERM)
        rest(process)
    assert (128 + signal.SIGTERM if words == ("status",) else 0) == process.returncode


@pytest.mark.parametrize(
    ("words", "is_service"),
    [
        ("worker --burst", True),
        ("dashboard", True),
        ("retrain --daemon", True),
        ("worker --check", False),
        ("worker --help", False),
        ("retrain a", False),
        ("train worker", False),
        ("", False),
    ],
)
def test_services_are_the_commands_that_a_signal_stops(words: str, is_service: bool) -> None:
    """A stopped service has not failed; any other command was not done yet."""
    assert is_service == signals._is_service(words.split())


def test_what_nohup_ignores_stays_ignored() -> None:
    """A program that is to outlive its terminal does."""
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert [signal.SIGTERM, signal.SIGINT] == signals.stopping()
    finally:
        signal.signal(signal.SIGHUP, former)
    assert signal.SIGHUP in signals.stopping()
