"""TensorFlow and Keras, imported without the notes on the machine that no log level silences."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

STDERR = 2


@contextmanager
def _silence() -> Iterator[None]:
    """Send the process's standard error nowhere; Python's own exceptions still pass."""
    sys.stderr.flush()
    kept, nowhere = os.dup(STDERR), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, STDERR)
    try:
        yield
    finally:
        os.dup2(kept, STDERR)
        os.close(kept)
        os.close(nowhere)


with _silence():
    import keras
    import tensorflow as tf

__all__ = ["keras", "tf"]
