"""A program on a terminal: what it writes there, and how it ends."""

import os
import pty
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

WIDE = {"COLUMNS": "200", "LINES": "50", "TERM": "xterm"}


def on_a_terminal(
    command: Sequence[str | Path],
    folder: Path,
    variables: Mapping[str, str],
    seen: Callable[[str, subprocess.Popen[bytes]], None] = lambda _text, _process: None,
) -> tuple[int, str]:
    """Run a program whose output and errors are a terminal; returns its exit code and all that it wrote.

    Args:
        command: the program and its words.
        folder: where it works.
        variables: beside the environment.
        seen: told of all text so far, whenever there is more, and of the process.
    """
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | WIDE | dict(variables)
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environment, preexec_fn=_heed
    ) as process:
        os.close(theirs)
        text = ""
        try:
            while more := _read(ours):
                text += more
                seen(text, process)
            return process.wait(), text
        finally:
            process.kill()  # a failure, or the time limit: the end of the block would wait for it for ever
            os.close(ours)


def _heed() -> None:
    """Hear SIGINT, as on a terminal, though the suite may be a shell's job in the background, which does not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _read(terminal: int) -> str:
    try:
        return os.read(terminal, 65_536).decode(errors="replace")
    except OSError:  # nobody writes there any more
        return ""
