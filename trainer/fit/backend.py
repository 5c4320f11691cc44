"""TensorFlow and Keras, imported without their notes on the machine, which no log level silences."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

STDERR = 2


@contextmanager
def _silence() -> Iterator[None]:
    """Discard the process's standard error; Python's own exceptions still pass."""
    sys.stderr.flush()
    kept = os.dup(STDERR)
    nowhere = os.open(os.devnull, os.O_WRONLY)
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

# The matrix products of these networks are too small to split over cores. On two cores, with one thread per core and
# separate series for each, training is a sixth faster if no operation uses the other core. Keras' own `fit` takes as
# long either way. The setting must precede TensorFlow's first operation.
with suppress(RuntimeError):
    tf.config.threading.set_intra_op_parallelism_threads(1)

__all__ = ["keras", "tf"]
