"""A program on a terminal: its output there, and its end."""

import os
import pty
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WIDE = {"COLUMNS": "200", "LINES": "50", "TERM": "xterm"}


def on_a_terminal(
    command: Sequence[str | Path],
    folder: Path,
    variables: Mapping[str, str],
    seen: Callable[[str, subprocess.Popen[bytes]], None] = lambda _text, _process: None,
) -> tuple[int, str]:
    """Run a program whose output and errors are a terminal; return its exit code and its output.

    Args:
        command: the program and its words.
        folder: where it works.
        variables: beside the environment.
        seen: called with all text so far, whenever there is more, and with the process.
    """
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | WIDE | dict(variables)
    places: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), theirs) | {"cwd": folder, "env": environment}
    with _started(command, **places) as process:
        os.close(theirs)
        text = ""
        try:
            while more := _read(ours):
                text += more
                seen(text, process)
        finally:
            os.close(ours)
        return process.wait(), text


@contextmanager
def _started(command: Sequence[str | Path], **places: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program that an interrupt ends, as one in the foreground; a failure here does not wait for its end."""
    # Tests in the background of a shell ignore interrupts, and a program would inherit that.
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(command, **places)
    finally:
        signal.signal(signal.SIGINT, ours)
    with process:
        try:
            yield process
        except BaseException:  # a test's time limit too
            process.kill()
            raise


def _read(terminal: int) -> str:
    try:
        return os.read(terminal, 65_536).decode(errors="replace")
    except OSError:  # the other end is closed
        return ""
