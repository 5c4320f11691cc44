"""TensorFlow and Keras, imported without the notes on the machine that no log level silences."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

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

# The products of these networks are too small to share. On two cores, one thread a core, each with series of its own,
# is a sixth faster where none calls on the other core; Keras' own `fit` takes as long either way. It can be set only
# before TensorFlow's first operation.
with suppress(RuntimeError):
    tf.config.threading.set_intra_op_parallelism_threads(1)

__all__ = ["keras", "tf"]
