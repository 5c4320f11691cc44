"""Pack numbers without their words that are 0: one bit for each word, then the other words."""

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


def unpacked(raw: bytes, count: int) -> Float:
    """Return packed numbers, `(count,)`, which cannot be written.

    Raises:
        ValueError: the bytes are not as many as these numbers take.
    """
    words = np.zeros(WORDS * count, np.uint32)
    size = bytes_of_bits(len(words))
    bits = np.unpackbits(np.frombuffer(raw, np.uint8, min(size, len(raw))), bitorder="little")
    if len(raw) != size + WORD * int(bits.sum()) or bits[len(words) :].any():
        raise ValueError(f"its {count} numbers do not take {len(raw)} bytes")
    words[bits[: len(words)] != 0] = np.frombuffer(raw, np.uint32, offset=size)
    words.flags.writeable = False
    return words.view(np.float64)
