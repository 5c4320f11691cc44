"""Pack numbers without their words that are 0: one bit for each word, then the other words."""

from collections.abc import Sequence

import numpy as np

from tidecast.arrays import Float

WORD = 4  # bytes
WORDS = 2  # of a number


def bytes_of_bits(words: int) -> int:
    """Return how many bytes the bits of so many words take."""
    return -(-words // 8)


def packed(numbers: bytes) -> bytes:
    """Return the bits of the words that are not 0, and these words."""
    words = np.frombuffer(numbers, np.uint32)
    bits: bytes = np.packbits(words != 0, bitorder="little").tobytes()
    return bits + bytes(words[words != 0])


def unpacked(raws: Sequence[bytes], count: int) -> Float:
    """Return packed numbers, `(n, count)`.

    Args:
        raws: `n` texts of packed numbers.
        count: the numbers in each.

    Raises:
        ValueError: the bytes of a text are not as many as these numbers take.
    """
    words = WORDS * count
    size = bytes_of_bits(words)
    sizes = np.array([len(raw) for raw in raws])
    front = np.frombuffer(b"".join([raw[:size].ljust(size, b"\0") for raw in raws]), np.uint8)
    bits = np.unpackbits(front.reshape(len(raws), size), axis=1, bitorder="little")
    wrong = (sizes != size + WORD * bits.sum(axis=1, dtype=np.int64)) | bits[:, words:].any(axis=1)
    if wrong.any():
        raise ValueError(f"its {count} numbers do not take {sizes[wrong][0]} bytes")
    numbers = np.zeros((len(raws), words), np.uint32)
    numbers[bits[:, :words] != 0] = np.frombuffer(b"".join([raw[size:] for raw in raws]), np.uint32)
    return numbers.view(np.float64)
