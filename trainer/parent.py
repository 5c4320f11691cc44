"""A child process that ends with its parent, which keeps the child's standard input open."""

import os
import threading

STDIN = 0
ORPHANED = 3  # the exit code of a child whose parent is gone


def end_with_parent() -> None:
    """Start a thread that ends the process at once when standard input ends, whatever it is doing."""
    threading.Thread(target=_wait_for_end, daemon=True).start()


def _wait_for_end() -> None:
    while os.read(STDIN, 65_536):
        pass
    os._exit(ORPHANED)
