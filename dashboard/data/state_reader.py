"""Reader of a series' window from the hash `state`: the rows that its newest forecast was computed from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np

from dashboard.data.connected import Connected
from tidecast.arrays import Float
from tidecast.wire.state_format import field_names, ring
from tidecast.wire.state_head import StateHead


@dataclass(frozen=True, slots=True)
class StoredWindow:
    """A series' window as stored by its worker.

    Attributes:
        features: the target first.
        capacity: the maximum number of rows.
        last_ts: the newest row's time, epoch milliseconds.
        step_ms: the time between two rows; 0 while it is not known.
        rows: `(rows, features)`, oldest first.
    """

    features: tuple[str, ...]
    capacity: int
    last_ts: int
    step_ms: float
    rows: Float

    @classmethod
    def decode(cls, fields: Sequence[bytes | None]) -> Self | None:
        """Decode the fields listed by `field_names`; None if no window is stored. The rows end at a missing block.

        If the window has another capacity than the one whose fields were read, it has only the rows of its head.

        Raises:
            StateError: the state is of another format, or cut short.
        """
        raw, *stored = fields
        if raw is None:
            return None
        head = StateHead.decode(raw)
        capacity = int(head.window.capacity)
        blocks = {place: block for place, block in enumerate(stored) if block} if len(stored) == ring(capacity) else {}
        rows, _ = head.rows(blocks)
        window = head.window
        steps = window.steps[: int(window.steps_seen)]
        step_ms = float(window.step_ms) or (float(np.median(steps)) if len(steps) else 0.0)
        return cls(head.features, capacity, int(window.last_ts), step_ms, rows)


class WindowReader(Connected):
    """A reader of the windows that workers store."""

    def window(self, series: str) -> StoredWindow | None:
        """Return a series' window, None without one; head and blocks are read by one command, as of one commit.

        Raises:
            RedisError: Redis is not available, or refuses.
            StateError: the state is of another format, or cut short.
        """
        capacity = self._settings.series.rows_kept
        window = self._stored_window(series, capacity)
        while window and ring(window.capacity) != ring(capacity):  # its model reads more rows than the setting keeps
            capacity = window.capacity
            window = self._stored_window(series, capacity)
        return window

    def _stored_window(self, series: str, capacity: int) -> StoredWindow | None:
        names = cast("Any", field_names(series, capacity))
        return StoredWindow.decode(cast("list[bytes | None]", self._redis.hmget(self._keys_of(series).state, names)))
