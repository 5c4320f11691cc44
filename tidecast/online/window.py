"""The last rows of one live series on its grid, by the rules of `models/time_grid.py` and `models/gross_errors.py`.

A window consists of one array of numbers and two buffers. The compiled loops of `kernels/placing/window_loops.py` reach
them by their addresses; `Window` gives them names.
"""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Float, Float32, Int64
from tidecast.models.gross_errors import NO_LIMITS
from tidecast.models.model import NewestRows, SeasonProfiles
from tidecast.online.kernels.placing import window_loops
from tidecast.online.kernels.placing.gross_errors import HistoryLimits
from tidecast.online.kernels.placing.taking import take
from tidecast.online.kernels.placing.window_numbers import WINDOW_IN_MEMORY
from tidecast.online.kernels.pointers import address_of
from tidecast.online.kernels.readings import Readings
from tidecast.online.kernels.series_rows import series_rows
from tidecast.online.window_memory import WindowMemory
from tidecast.wire.state_format import (
    BIN_BLOCK,
    MOST_BINS,
    PROFILE,
    SEASONS,
    WINDOW,
    numbers_in,
    place_in,
)

STORED = numbers_in(WINDOW)  # as many numbers of a window, the first ones, are stored
_PROFILES = place_in(WINDOW, "profile")
_UNSAVED_BINS = place_in(WINDOW_IN_MEMORY, "unsaved_bins")


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

    __slots__ = ("_memory", "_row", "address", "bins")

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
    _bins_at = _number("bins", "The address of the bins; 0: there are none.")

    def __init__(self, capacity: int, width: int) -> None:
        self.bins: Float32 | None = None
        self._use(WindowMemory(1, capacity, width), 0)

    @classmethod
    def of(cls, memory: WindowMemory, row: int) -> Self:
        """Return the window in a row of the memory of many."""
        window = cls.__new__(cls)
        window.bins = None
        window._use(memory, row)
        return window

    def _use(self, memory: WindowMemory, row: int) -> None:
        self._memory = memory
        self._row = row
        self.address = address_of(memory.numbers) + memory.numbers.strides[0] * row

    @property
    def numbers(self) -> Int64:
        """Return the numbers of a `WINDOW_IN_MEMORY`; a view."""
        numbers: Int64 = self._memory.numbers[self._row]
        return numbers

    @property
    def buffer(self) -> Float:
        """Return the memory of the rows, `(room, width)`; a view."""
        buffer: Float = self._memory.buffers[self._row]
        return buffer

    @property
    def filled(self) -> NDArray[np.uint8]:
        """Return a mark for each interpolated row of the buffer, `(room,)`; a view."""
        filled: NDArray[np.uint8] = self._memory.filled[self._row]
        return filled

    def hold_bins(self, bins: Float32 | None = None) -> None:
        """Use memory for the bins of profiles, `(SEASONS, MOST_BINS)`; None: new memory without known bins."""
        self.bins = np.full((SEASONS, MOST_BINS), np.nan, np.float32) if bins is None else bins
        self._bins_at = address_of(self.bins)

    @property
    def profiles(self) -> Any:
        """Return the numbers of the profiles, `(SEASONS,)` of `PROFILE`; a view."""
        size = SEASONS * numbers_in(PROFILE)
        return self.numbers[_PROFILES : _PROFILES + size].view(PROFILE).view(np.recarray)

    @property
    def unsaved_bins(self) -> Int64:
        """Return which blocks of bins are not yet stored, `(SEASONS,)`, as bits; a view."""
        return self.numbers[_UNSAVED_BINS : _UNSAVED_BINS + SEASONS]

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
        marks = self.filled[self.end - self.length : self.end]
        return self.length if marks.all() else int(marks[::-1].argmin())

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

    def push(
        self,
        ts: int,
        row: Sequence[float] | Float,
        max_gap: int,
        usual: float = 0.0,
        known: tuple[float, float] = NO_LIMITS,
    ) -> int:
        """Append a reading later than the newest one; return how many missing steps were filled before it.

        Args:
            ts: epoch milliseconds.
            row: `(width,)`; NaN is replaced by the feature's last value.
            max_gap: how many steps in a row may be filled; after a longer gap the window is cleared.
            usual: the usual largest move of a model's history; 0: not known.
            known: the lowest and the highest value of a model's history.
        """
        return int(
            window_loops.push_one(self.address, ts, np.array(row, np.float64), max_gap, HistoryLimits(usual, *known))
        )

    def newest(self, count: int) -> Float:
        """Return a copy of the newest `count` rows, `(count, width)`; the window must hold that many."""
        return self.buffer[self.end - count : self.end].copy()

    def reshape(self, capacity: int, columns: Sequence[int | None]) -> None:
        """Change the shape and keep the rows that fit: column i is the old `columns[i]`, or NaN where that is None."""
        if capacity == self.capacity and list(columns) == list(range(self.buffer.shape[1])):
            return
        kept = slice(max(0, self.end - min(self.length, capacity)), self.end)
        rows = self.buffer[kept]
        memory = WindowMemory(1, capacity, len(columns))
        memory.filled[0, : len(rows)] = self.filled[kept]
        for new, old in enumerate(columns):
            memory.buffers[0, : len(rows), new] = np.nan if old is None else rows[:, old]
        memory.numbers[0] = self.numbers
        memory.place(capacity)
        self._use(memory, 0)
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
        more = max(0, count - self.appended)
        self.appended += more
        self.profiles.next_row += more
        self.last_ts = max(self.last_ts, int(older.ts[-1]))

    def clear(self) -> None:
        """Remove the rows; keep the time and the step."""
        window_loops.clear(self.address)

    def forget_target(self) -> None:
        """Forget the usual moves, the values that recur and the profiles, because the target has changed."""
        self.largest_move = 0.0
        self._newest_doubted = 0.0
        self.stored.recurring[:] = 0.0
        self.profiles.period = 0.0

    def save_again(self) -> None:
        """Store all rows and bins with the next changes."""
        self.unsaved = self.length
        self.unsaved_bins[:] = 2 ** -(-self.profiles.bins // BIN_BLOCK) - 1

    def season_profiles(self) -> SeasonProfiles:
        """Return the profiles, with rows numbered from the next one."""
        if self.bins is None:
            self.hold_bins()
        numbers = self.profiles.copy()
        numbers.next_row -= self.appended
        return SeasonProfiles(numbers.view(np.int64), np.array(self.bins))

    def take_profiles(self, theirs: SeasonProfiles, until: int) -> None:
        """Go on from a model's profiles, where they have learned more than the window's own.

        Args:
            theirs: the profiles after the model's history.
            until: the time of that history's last reading, epoch milliseconds.
        """
        if self.bins is None:
            self.hold_bins()
        newer = round((self.last_ts - until) / self.step) if self.length and self.step else 0
        numbers = theirs.numbers.view(PROFILE).view(np.recarray)
        for season in range(SEASONS):
            mine = self.profiles[season]
            its = numbers[season]
            is_same = (mine.period, mine.bins) == (its.period, its.bins)
            if its.period and self.bins is not None and not (is_same and mine.learned >= its.learned):
                number = (int(mine.number) + 1) % 2**32
                self.profiles[season] = its
                self.profiles[season].number = number
                self.profiles[season].next_row += self.appended - max(newer, 0)
                self.bins[season] = theirs.bins[season]
                self.unsaved_bins[season] = 2 ** -(-int(its.bins) // BIN_BLOCK) - 1


def warm() -> None:
    """Compile the loops, or load them from the cache."""
    window = Window(2, 1)
    window.clear()
    window.step  # noqa: B018 - reading it compiles its loop
    one = np.ones(1, np.int64)
    series = series_rows(1, window=window.address, width=1, rows_read=1)
    take(series, Readings.of(one, 2 * one, one), one, np.ones((1, 1)), 0, lambda _: None)
