"""Reader of a series' window from the hash `state`: the rows that its newest forecast was computed from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from tidecast.arrays import Float
from tidecast.wire.state_format import StateHead, ring


@dataclass(frozen=True, slots=True)
class StoredWindow:
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
    def decode(cls, fields: Sequence[bytes | None]) -> Self | None:
        """Decode the fields listed by `field_names`; None if no window is stored. The rows end at a missing block.

        If the window has another capacity than the one whose fields were read, it comes without rows.

        Raises:
            StateError: the state is of another format, or cut short.
        """
        raw, *stored = fields
        if raw is None:
            return None
        head = StateHead.decode(raw)
        capacity = int(head.window.capacity)
        blocks = {place: block for place, block in enumerate(stored) if block} if len(stored) == ring(capacity) else {}
        rows = [rows for rows, _ in head.blocks(blocks)]
        nothing = np.empty((0, len(head.features)))
        return cls(head.features, capacity, int(head.window.last_ts), np.concatenate([*rows[::-1], nothing]))
