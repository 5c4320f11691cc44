"""The arrays in which windows of one shape lie side by side."""

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Float, Int64
from tidecast.online.kernels.placing.window_numbers import NEVER, WINDOW_IN_MEMORY
from tidecast.online.kernels.pointers import address_of
from tidecast.wire.state_format import numbers_in, place_in


class WindowMemory:
    """The arrays of windows of one shape, with a row for each.

    Attributes:
        numbers: `(n, numbers)`, a `WINDOW_IN_MEMORY` each.
        buffers: `(n, room, width)`, the rows.
        filled: `(n, room)`, a mark for each interpolated row.
    """

    __slots__ = ("buffers", "filled", "numbers")

    def __init__(self, count: int, capacity: int, width: int) -> None:
        room = room_for(capacity)
        self.numbers: Int64 = np.zeros((count, numbers_in(WINDOW_IN_MEMORY)), np.int64)
        self.buffers: Float = np.zeros((count, room, width))
        self.filled: NDArray[np.uint8] = np.zeros((count, room), np.uint8)
        self.set("last_ts", NEVER)
        self.set("gridded", 1)
        self.place(capacity)

    def place(self, capacity: int) -> None:
        """Write the shape and the addresses of the arrays into the numbers of all windows."""
        _, room, width = self.buffers.shape
        self.set("capacity", capacity)
        self.set("width", width)
        self.set("room", room)
        for name, arrays in (("buffer", self.buffers), ("filled", self.filled)):
            self.set(name, address_of(arrays) + arrays.strides[0] * np.arange(len(arrays)))

    def set(self, name: str, value: int | Int64) -> None:
        """Write one number of all windows."""
        self.numbers[:, place_in(WINDOW_IN_MEMORY, name)] = value


def room_for(capacity: int) -> int:
    """Return how many rows the buffer of a window holds: a sixteenth more, so a reading moves about sixteen rows."""
    return capacity + max(8, capacity // 16)
