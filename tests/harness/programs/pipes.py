"""Pipes that take nothing more."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def full_pipe(path: Path) -> Iterator[Path]:
    """A pipe that is full, and that no process reads."""
    os.mkfifo(path)
    both_ends = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        with suppress(BlockingIOError):
            while True:
                os.write(both_ends, b"x" * 4096)
        yield path
    finally:
        os.close(both_ends)
