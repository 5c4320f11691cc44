"""The last rows of one live series on its grid, by the rules of `models/time_grid.py` and `models/gross_errors.py`.

A window consists of one array of numbers and two buffers. The compiled loops of `kernels/window_loops.py` reach them by
their addresses; `Window` gives them names.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Float, Int64
from tidecast.models.gross_errors import NO_LIMITS
from tidecast.models.model import NewestRows
from tidecast.online.kernels import window_loops
from tidecast.online.kernels.pointers import address_of
from tidecast.online.kernels.window_loops import NEVER, WINDOW_IN_MEMORY, HistoryLimits, Taken
from tidecast.wire.state_format import WINDOW, numbers_in, place_in

STORED = numbers_in(WINDOW)  # as many numbers of a window, the first ones, are stored


def _number(name: str, doc: str) -> property:
    place = place_in(WINDOW_IN_MEMORY, name)

    def get(self: "Window") -> int:
        return int(self.numbers[place])

    def put(self: "Window", value: int) -> None:
        self.numbers[place] = value

    return property(get, put, doc=doc)


def _real_number(name: str, doc: str) -> property:
    place = place_in(WINDOW_IN_MEMORY, name)

    def get(self: "Window") -> float:
        return float(self.numbers.view(np.float64)[place])

    def put(self: "Window", value: float) -> None:
        self.numbers.view(np.float64)[place] = value

    return property(get, put, doc=doc)


class Window:
    """The last rows of one live series on its grid.

    The buffer is longer than the window: rows are appended until it is full, then the newest rows move to the front.
    So the newest rows are always contiguous, and most appends need no shift.

    Rows are numbered, and every `BLOCK` numbers form a block, so that only blocks with new rows need be stored. A
    cleared window begins with a new block.
    """

    __slots__ = ("address", "buffer", "filled", "numbers")

    length = _number("length", "How many rows are held.")
    capacity = _number("capacity", "How many are held at most.")
    width = _number("width", "How many features a row has.")
    appended = _number("appended", "The number of the row after the newest.")
    last_ts = _number("last_ts", "The newest reading's time, epoch milliseconds.")
    end = _number("end", "One past the newest row in the buffer.")
    unsaved = _number("unsaved", "How many of the newest rows are not yet stored.")
    largest_move = _real_number("largest_move", "The usual largest move of recent readings, 0 while it is not known.")
    _steps_seen = _number("steps_seen", "How many of the newest steps are known.")
    _gridded = _number("gridded", "0: the rows do not lie on a grid.")
    _step_ms = _real_number("step_ms", "The model's step, 0 without one.")
    _newest_doubted = _real_number("newest_doubted", "The newest reading that was doubted.")
    _room = _number("room", "How many rows the buffer has.")
    _buffer_at = _number("buffer", "The address of the buffer.")
    _filled_at = _number("filled", "The address of the marks.")

    def __init__(self, capacity: int, width: int) -> None:
        self.numbers: Int64 = np.zeros(numbers_in(WINDOW_IN_MEMORY), np.int64)
        self.address = address_of(self.numbers)
        self.capacity = capacity
        self.last_ts = NEVER
        self.gridded = True
        room = room_for(capacity)
        self.hold(np.zeros((room, width)), np.zeros(room, np.uint8))

    def hold(self, buffer: Float, filled: NDArray[np.uint8]) -> None:
        """Use another buffer for the rows, `(room, width)`, with a mark for each interpolated row."""
        self.buffer = buffer
        self.filled = filled
        self._room, self.width = buffer.shape
        self._buffer_at = address_of(buffer)
        self._filled_at = address_of(filled)

    @property
    def stored(self) -> Any:
        """Return the stored numbers, a `WINDOW`; a view."""
        return self.numbers[:STORED].view(WINDOW)[0]

    @property
    def step_ms(self) -> float | None:
        """Return the model's step in milliseconds; None: the median of the newest steps is used."""
        return self._step_ms or None

    @step_ms.setter
    def step_ms(self, step: float | None) -> None:
        self._step_ms = step or 0.0

    @property
    def gridded(self) -> bool:
        """Return whether the readings lie on a regular grid; if not, each reading is the row after the last."""
        return bool(self._gridded)

    @gridded.setter
    def gridded(self, gridded: bool) -> None:
        self._gridded = int(gridded)

    @property
    def doubted(self) -> int:
        """Return how many of the newest rows stand for doubted readings; they hold the last believed value."""
        return int(window_loops.count_doubted(self.address))

    @property
    def steps_seen(self) -> list[int]:
        """Return the newest steps, oldest first, in milliseconds."""
        first = place_in(WINDOW, "steps")
        steps: list[int] = self.numbers[first : first + self._steps_seen].tolist()
        return steps

    @property
    def step(self) -> float | None:
        """Return the grid's step in milliseconds, None while only one reading is known."""
        return window_loops.grid_step(self.address) or None

    @property
    def rows(self) -> Float:
        """Return the rows, oldest first: `(length, width)`, a view that the next `push` may change."""
        return self.buffer[self.end - self.length : self.end]

    def accepts(self, ts: int) -> Literal["next", "duplicate", "late"]:
        """Return how a reading of time `ts` relates to the newest one."""
        if ts > self.last_ts:
            return "next"
        return "duplicate" if ts == self.last_ts else "late"

    def push(
        self,
        ts: int,
        row: Sequence[float] | Float,
        max_gap: int,
        usual: float = 0.0,
        known: tuple[float, float] = NO_LIMITS,
    ) -> int:
        """Append a reading for which `accepts` returns "next"; return how many missing steps were filled before it.

        Args:
            ts: epoch milliseconds.
            row: `(width,)`; NaN is replaced by the feature's last value.
            max_gap: how many steps in a row may be filled; after a longer gap the window is cleared.
            usual: the usual largest move of a model's history; 0: not known.
            known: the lowest and the highest value of a model's history.
        """
        return int(
            window_loops.push(self.address, ts, np.array(row, np.float64), max_gap, HistoryLimits(usual, *known))
        )

    def newest(self, count: int) -> Float:
        """Return a copy of the newest `count` rows, `(count, width)`; the window must hold that many."""
        return self.buffer[self.end - count : self.end].copy()

    def filled_in(self, count: int) -> int:
        """Return how many of the newest `count` rows were interpolated."""
        return int(self.filled[self.end - min(count, self.length) : self.end].sum())

    def reshape(self, capacity: int, columns: Sequence[int | None]) -> None:
        """Change the shape and keep the rows that fit: column i is the old `columns[i]`, or NaN where that is None."""
        if capacity == self.capacity and list(columns) == list(range(self.buffer.shape[1])):
            return
        kept = slice(max(0, self.end - min(self.length, capacity)), self.end)
        rows = self.buffer[kept]
        marks = self.filled[kept]
        room = room_for(capacity)
        buffer = np.full((room, len(columns)), np.nan)
        filled = np.zeros(room, np.uint8)
        filled[: len(marks)] = marks
        for new, old in enumerate(columns):
            if old is not None:
                buffer[: len(rows), new] = rows[:, old]
        self.hold(buffer, filled)
        self.capacity = capacity
        self.end = self.length = self.unsaved = len(rows)

    def put_before(self, older: NewestRows, newer: int) -> None:
        """Hold older rows, and after them so many of the newest rows; a value that these lack is the last older one.

        Args:
            older: with the window's features; at least one row.
            newer: at most as many as are held.
        """
        rows = np.concatenate([older.values, self.newest(newer)])[-self.capacity :]
        marks = np.concatenate([older.filled, self.filled[self.end - newer : self.end]])[-self.capacity :]
        count = len(rows)
        self.buffer[:count] = np.where(np.isnan(rows), older.values[-1], rows)
        self.filled[:count] = marks
        self.end = self.length = self.unsaved = count
        self.appended = max(self.appended, count)
        self.last_ts = max(self.last_ts, int(older.ts[-1]))

    def clear(self) -> None:
        """Remove the rows; keep the time and the step."""
        window_loops.clear(self.address)

    def forget_moves(self) -> None:
        """Forget the usual moves, because the target has changed."""
        self.largest_move = 0.0
        self._newest_doubted = 0.0


def room_for(capacity: int) -> int:
    """Return how many rows the buffer of a window holds: a quarter more, so that a row is moved about four times."""
    return capacity + max(8, capacity // 4)


def take(
    windows: Int64,
    ts: Int64,
    has_ts: Int64,
    values: Float,
    reads: Int64,
    max_gap: int,
    limits: tuple[Float, Float, Float],
) -> Taken:
    """Add readings to their windows in order, and copy the rows that the experts of each read.

    Args:
        windows: `(n,)` addresses; a window may occur many times.
        ts: `(n,)` epoch milliseconds.
        has_ts: `(n,)`, 0 where `ts` is the time of arrival. Such a reading is new, because its entry id is higher than
            that of the one before: if its time is not later, `ts` becomes a millisecond after it.
        values: `(n, width or more)`.
        reads: `(n,)` how many of the newest rows to return at most.
        max_gap: see `Window.push`.
        limits: `(n,)` each: usual largest moves, lowest values and highest values of the models' histories.
    """
    n = len(windows)
    taken = Taken(
        np.zeros(n, np.int64),
        np.empty(int(reads.sum()) * values.shape[1]),
        np.zeros(n, np.int64),
        np.zeros(n, np.int64),
        np.zeros(n),
        np.zeros(n, np.int64),
        np.zeros(n),
    )
    window_loops.take(windows, (ts, has_ts, values), reads, max_gap, limits, taken)
    return taken


def bits_of(window: Window, first: int, stop: int) -> int:
    """Return which of at most `BLOCK` rows of the buffer were interpolated: one bit a row, the last lowest."""
    return int(window_loops.filled_bits(window.address, first, stop))


def mark(window: Window, bits: int, first: int, stop: int) -> None:
    """Restore the marks of interpolated rows from `bits_of`."""
    for row in range(stop - 1, first - 1, -1):
        window.filled[row] = bits & 1
        bits = bits >> 1


def warm() -> None:
    """Compile the loops, or load them from the cache."""
    window = Window(2, 1)
    ones = np.ones(1, np.int64)
    window.push(1, [1.0], 0)
    window.clear()
    bits_of(window, 0, 0)
    window.step, window.doubted  # noqa: B018 - reading them compiles their loops
    take(ones * window.address, 2 * ones, ones, np.ones((1, 1)), ones, 0, (np.ones(1), np.ones(1), np.ones(1)))
