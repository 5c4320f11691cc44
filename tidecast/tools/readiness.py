"""Wait until a worker is ready, while its process is alive."""

import time
from collections.abc import Callable
from http.client import HTTPException
from typing import Protocol
from urllib.error import HTTPError
from urllib.request import urlopen

from tidecast.errors import TidecastError

TIMEOUT_S = 900.0  # ten times what a worker needs to compile on a slow and busy machine
POLL_S = 0.05
PROBE_S = 10.0  # a worker that compiles may answer a probe late
COMPILING = "compiling"  # part of the response of `/readyz` while the worker compiles
NOTE = "The worker is compiling, once on this machine …"
LOG_BYTES = 2000  # length of the end of the worker's log in an error message


class Process(Protocol):
    """The part of `subprocess.Popen` that is used here."""

    def poll(self) -> int | None:
        """Return the exit code, or None while the process runs."""


def _ignore(_line: str) -> None:
    """Show nothing."""


def await_ready(
    health: str,
    process: Process,
    log: Callable[[], str],
    *,
    show: Callable[[str], None] = _ignore,
    timeout_s: float = TIMEOUT_S,
) -> bool:
    """Wait until a worker is ready; return whether it had to compile first.

    Args:
        health: the address of its health port, such as `http://127.0.0.1:8080`.
        process: the worker's process.
        log: returns the worker's log; its end becomes part of an error message.
        show: called with one line of text if the worker compiles.
        timeout_s: how long to wait while the process is alive.

    Raises:
        TidecastError: the process has ended, or it is not ready after `timeout_s`.
    """
    compiled = False
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        code = process.poll()
        if code is not None:
            raise TidecastError(f"the worker ended with exit code {code} before it was ready:\n{log_end(log())}")
        ready, answer = probe(health)
        if ready:
            return compiled
        if COMPILING in answer and not compiled:
            compiled = True
            show(NOTE)
        time.sleep(POLL_S)
    raise TidecastError(f"the worker is not ready after {timeout_s:g} s:\n{log_end(log())}")


def probe(health: str) -> tuple[bool, str]:
    """Request `/readyz`; return whether the worker is ready, and the text of the response, empty without one."""
    try:
        with urlopen(f"{health}/readyz", timeout=PROBE_S) as answer:  # noqa: S310 - the worker's own port
            return True, str(answer.read(), "utf-8", "replace")
    except HTTPError as refusal:
        with refusal:
            return False, str(refusal.read(), "utf-8", "replace")
    except (OSError, HTTPException):  # the worker does not listen yet, or has just ended
        return False, ""


def log_end(log: str) -> str:
    """Return the end of a log, for an error message."""
    return log.strip()[-LOG_BYTES:] or "its log is empty"
