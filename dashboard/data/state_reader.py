"""Reader of a series' window from the hash `state`: the rows that its newest forecast was computed from.

Each series has a head in the field of its name, and blocks of rows in a ring of fields named by series and number.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from tidecast.arrays import Float
from tidecast.errors import StateError
from tidecast.wire import SEPARATOR, STATE_FORMAT

Fields = Sequence[bytes | None]

BLOCK = 32  # rows
_HEAD = struct.Struct("<BBBBI5q")  # format, three sizes, bytes of names; the window's first numbers
_BLOCK = struct.Struct("<QI")  # the block's number, the bits of its filled rows


@dataclass(frozen=True, slots=True)
class Remembered:
    """A series' window as stored by its worker.

    Attributes:
        features: the target first.
        capacity: the maximum number of rows.
        last_ts: the newest row's time, epoch milliseconds.
        rows: `(rows, features)`, oldest first.
    """

    features: tuple[str, ...]
    capacity: int
    last_ts: int
    rows: Float

    @classmethod
    def of(cls, fields: Fields) -> Self | None:
        """Decode the fields listed by `names`; None if no window is stored. The rows end at a missing block.

        Raises:
            StateError: the state is of another format, or cut short.
        """
        head = fields[0]
        if head is None:
            return None
        if not head or head[0] != STATE_FORMAT:
            version = head[0] if head else "none"
            raise StateError(f"state format {version}, this dashboard reads {STATE_FORMAT}: upgrade the older program")
        try:
            *_, size, length, capacity, width, appended, last_ts = _HEAD.unpack_from(head)
            features = tuple(head[len(head) - size :].decode().split(SEPARATOR))
            blocks = list(_newest(fields[1:], length, capacity, width, appended))
        except (struct.error, ValueError) as exc:
            raise StateError(f"a state of {len(head)} bytes is cut short ({exc}): restore Redis, or delete it") from exc
        return cls(features, capacity, last_ts, np.concatenate([*blocks[::-1], np.empty((0, width))]))


def names(series: str, capacity: int) -> list[str]:
    """Return the field names of a series with this capacity in rows: the head, then the blocks."""
    return [series, *(f"{series}{SEPARATOR}{place}" for place in range(ring(capacity)))]


def ring(capacity: int) -> int:
    """Return the number of fields of the ring: one block more than the window, which rarely begins at a block."""
    return -(-capacity // BLOCK) + 1


def _newest(blocks: Fields, length: int, capacity: int, width: int, appended: int) -> Iterator[Float]:
    """Yield the rows of each block, the newest block first, back to the first gap in the block numbers."""
    if len(blocks) != ring(capacity):
        return
    for number in range((appended - 1) // BLOCK, -1, -1):
        raw = blocks[number % len(blocks)]
        if length <= 0 or not raw or _BLOCK.unpack_from(raw)[0] != number:
            return
        rows = np.frombuffer(raw, np.float64, offset=_BLOCK.size).reshape(-1, width)[-length:]
        yield rows
        length -= len(rows)
