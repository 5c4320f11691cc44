"""Names for NumPy arrays by the type of their elements, and arrays of bytes."""

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
Int16 = NDArray[np.int16]
Bools = NDArray[np.bool_]
Bytes = NDArray[np.uint8]


def byte_array(text: bytes) -> Bytes:
    """Return bytes as an array that can be written, because for read-only arrays compiled loops are compiled again."""
    return np.frombuffer(bytearray(text), np.uint8)
