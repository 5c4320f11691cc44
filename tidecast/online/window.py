"""The last rows of one live series on its grid, by the rules of `models/time_grid.py` and `models/gross_errors.py`.

A window consists of one array of numbers and two buffers. The compiled loops of `kernels/window_loops.py` reach them by
their addresses; `Window` gives them names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Float, Int64
from tidecast.models.gross_errors import NO_LIMITS, RULE
from tidecast.online.kernels import window_loops
from tidecast.online.kernels.pointers import address_of
from tidecast.online.kernels.window_loops import (
    APPENDED,
    BUFFER,
    CAPACITY,
    END,
    FILLED,
    GRIDDED,
    LARGEST,
    LAST_TS,
    LENGTH,
    NEVER,
    NEWEST,
    ROOM,
    SEEN,
    SIZE,
    STEP_MS,
    STEPS,
    UNSAVED,
    WIDTH,
)


def _number(place: int, doc: str) -> property:
    def get(self: "Window") -> int:
        return int(self.numbers[place])

    def put(self: "Window", value: int) -> None:
        self.numbers[place] = value

    return property(get, put, doc=doc)


class Window:
    """The last rows of one live series on its grid.

    The buffer is longer than the window: rows are appended until it is full, then the newest rows move to the front.
    So the newest rows are always contiguous, and most appends need no shift.

    Rows are numbered, and every `BLOCK` numbers form a block, so that only blocks with new rows need be stored. A
    cleared window begins with a new block.
    """

    __slots__ = ("address", "buffer", "filled", "numbers")

    length = _number(LENGTH, "How many rows are held.")
    capacity = _number(CAPACITY, "How many are held at most.")
    appended = _number(APPENDED, "The number of the row after the newest.")
    last_ts = _number(LAST_TS, "The newest reading's time, epoch milliseconds.")
    end = _number(END, "One past the newest row in the buffer.")
    unsaved = _number(UNSAVED, "How many of the newest rows are not yet stored.")

    def __init__(self, capacity: int, width: int) -> None:
        self.numbers: Int64 = np.zeros(SIZE, np.int64)
        self.address = address_of(self.numbers)
        self.numbers[[CAPACITY, LAST_TS, GRIDDED]] = capacity, NEVER, 1
        room = room_for(capacity)
        self.hold(np.zeros((room, width)), np.zeros(room, np.uint8))

    def hold(self, buffer: Float, filled: NDArray[np.uint8]) -> None:
        """Use another buffer for the rows, `(room, width)`, with a mark for each interpolated row."""
        self.buffer = buffer
        self.filled = filled
        self.numbers[[ROOM, WIDTH]] = buffer.shape
        self.numbers[[BUFFER, FILLED]] = address_of(buffer), address_of(filled)

    @property
    def step_ms(self) -> float | None:
        """Return the model's step in milliseconds; None: the median of the newest steps is used."""
        return float(self.numbers.view(np.float64)[STEP_MS]) or None

    @step_ms.setter
    def step_ms(self, step: float | None) -> None:
        self.numbers.view(np.float64)[STEP_MS] = step or 0.0

    @property
    def gridded(self) -> bool:
        """Return whether the readings lie on a regular grid; if not, each reading is the row after the last."""
        return bool(self.numbers[GRIDDED])

    @gridded.setter
    def gridded(self, gridded: bool) -> None:
        self.numbers[GRIDDED] = gridded

    @property
    def doubted(self) -> int:
        """Return how many of the newest rows stand for doubted readings; they hold the last believed value."""
        return int(window_loops.count_doubted(self.address))

    @property
    def largest_move(self) -> float:
        """Return the usual largest move of recent readings, 0 while it is not known."""
        return float(self.numbers.view(np.float64)[LARGEST])

    @property
    def steps_seen(self) -> list[int]:
        """Return the newest steps, oldest first, in milliseconds."""
        steps: list[int] = self.numbers[STEPS : STEPS + self.numbers[SEEN]].tolist()
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
        return int(window_loops.push(self.address, ts, np.array(row, np.float64), max_gap, (usual, *known), RULE))

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

    def clear(self) -> None:
        """Remove the rows; keep the time and the step."""
        window_loops.clear(self.address)

    def forget_moves(self) -> None:
        """Forget the usual moves, because the target has changed."""
        self.numbers[[LARGEST, NEWEST]] = 0


@dataclass(frozen=True, slots=True)
class Taken:
    """The results of adding readings to their windows.

    Attributes:
        missing: `(n,)` how many missing steps were filled before each, `DUPLICATE` or `LATE`.
        rows: `(numbers or more,)` the requested rows, row after row.
        lengths: `(n,)` how many rows the window has then, 0 for a reading that was not accepted.
        filled: `(n,)` how many requested rows hold no reading: interpolated, or in place of a doubted reading.
        steps: `(n,)` milliseconds, 0 where it is not known.
        doubted: `(n,)` how many readings in a row, this one last, are doubted.
        moves: `(n,)` the usual largest move then, 0 where it is not known.
    """

    missing: Int64
    rows: Float
    lengths: Int64
    filled: Int64
    steps: Float
    doubted: Int64
    moves: Float


def room_for(capacity: int) -> int:
    """Return how many rows the buffer of a window holds: a quarter more, so that a row is moved about four times."""
    return capacity + max(8, capacity // 4)


def take(
    windows: Int64,
    ts: Int64,
    values: Float,
    reads: Int64,
    max_gap: int,
    limits: tuple[Float, Float, Float],
) -> Taken:
    """Add readings to their windows in order, and copy the rows that the experts of each read.

    Args:
        windows: `(n,)` addresses; a window may occur many times.
        ts: `(n,)` epoch milliseconds.
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
    window_loops.take(
        (windows, ts, values, reads),
        max_gap,
        limits,
        RULE,
        (taken.missing, taken.lengths, taken.filled, taken.doubted),
        (taken.rows, taken.steps, taken.moves),
    )
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
    take(ones * window.address, 2 * ones, np.ones((1, 1)), ones, 0, (np.ones(1), np.ones(1), np.ones(1)))
