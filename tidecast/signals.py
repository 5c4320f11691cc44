"""End a program at a signal while it starts, and let it clean up once it runs.

Starting takes a second for imports, and the first start compiles for some more. At SIGINT, Python would end with a
traceback. As the first process of a container (PID 1) it would not end at SIGTERM at all, because the kernel passes it
only signals that it handles.
"""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

SERVICES = ("worker", "dashboard", "notify")  # commands that run until a signal stops them, as `retrain --daemon` does
_ONCE = ("--check", "--help", "--test")  # with these options a service ends by itself


def stopping() -> list[signal.Signals]:
    """Return the signals that stop a program, without SIGHUP if `nohup` ignores it."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [signal.SIGTERM, signal.SIGINT] if ignored else [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


def end_at_once(*, service: bool | None = None) -> None:
    """End the process at a signal without cleaning up, because it holds no resources yet.

    Args:
        service: whether the program runs until a signal stops it. Then the signal is not a failure, and the exit code
            is 0. Otherwise it is the exit code of a shell for the signal. None: the command line decides.
    """
    is_service = _is_service(sys.argv[1:]) if service is None else service

    def end(number: int, _frame: FrameType | None) -> None:
        os._exit(0 if is_service else 128 + number)

    for number in stopping():
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, end)


def begin() -> None:
    """Let a command clean up at a signal from now on; a service still ends at once, until it has its own handlers.

    SIGINT raises KeyboardInterrupt, as in Python, and the other signals raise SystemExit.
    """
    if _is_service(sys.argv[1:]):
        return
    for number in stopping():
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else _exit)


def _exit(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _is_service(words: list[str]) -> bool:
    command = next((word for word in words if not word.startswith("-")), "")
    runs_on = command in SERVICES or (command == "retrain" and "--daemon" in words)
    return runs_on and not any(word in words for word in _ONCE)
