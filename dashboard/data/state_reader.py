"""The rows that a worker remembers of a series, from the hash `state`: what its newest forecast was made from.

A series has a head under its name, and blocks of rows, in a ring of fields, under its name and a number.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from tidecast.errors import StateError
from tidecast.models.time_grid import Float
from tidecast.wire import SEPARATOR, STATE_FORMAT

Fields = Sequence[bytes | None]

BLOCK = 32  # rows
_HEAD = struct.Struct("<BBBBI5q")  # format, three sizes, bytes of names; the window's first numbers
_BLOCK = struct.Struct("<QI")  # its number, the bits of its filled rows


@dataclass(frozen=True, slots=True)
class Remembered:
    """A series' window as its worker stored it.

    Attributes:
        features: the target first.
        capacity: how many rows it holds at most.
        last_ts: the newest row's time, epoch milliseconds.
        rows: `(rows, features)`, oldest first.
    """

    features: tuple[str, ...]
    capacity: int
    last_ts: int
    rows: Float

    @classmethod
    def of(cls, fields: Fields) -> Self | None:
        """Read what `names` asked for; None where nothing is remembered. Blocks that are missing end the rows.

        Raises:
            StateError: it is of another format, or cut short.
        """
        head = fields[0]
        if head is None:
            return None
        if not head or head[0] != STATE_FORMAT:
            found = head[0] if head else "none"
            raise StateError(f"state format {found}, this dashboard reads {STATE_FORMAT}: upgrade the older program")
        try:
            *_, size, length, capacity, width, appended, last_ts = _HEAD.unpack_from(head)
            features = tuple(head[len(head) - size :].decode().split(SEPARATOR))
            blocks = list(_newest(fields[1:], length, capacity, width, appended))
        except (struct.error, ValueError) as exc:
            raise StateError(f"a state of {len(head)} bytes is cut short ({exc}): restore Redis, or delete it") from exc
        return cls(features, capacity, last_ts, np.concatenate([*blocks[::-1], np.empty((0, width))]))


def names(series: str, capacity: int) -> list[str]:
    """The fields of a series whose window holds so many rows at most: the head, then the blocks."""
    return [series, *(f"{series}{SEPARATOR}{place}" for place in range(ring(capacity)))]


def ring(capacity: int) -> int:
    """How many fields the blocks take turns in: one more than the window spans, for it seldom begins with a block."""
    return -(-capacity // BLOCK) + 1


def _newest(blocks: Fields, length: int, capacity: int, width: int, appended: int) -> Iterator[Float]:
    """The rows of one block after the other, the newest block first, as far back as they follow one another."""
    if len(blocks) != ring(capacity):
        return
    for number in range((appended - 1) // BLOCK, -1, -1):
        raw = blocks[number % len(blocks)]
        if length <= 0 or not raw or _BLOCK.unpack_from(raw)[0] != number:
            return
        rows = np.frombuffer(raw, np.float64, offset=_BLOCK.size).reshape(-1, width)[-length:]
        yield rows
        length -= len(rows)
