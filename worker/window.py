"""The last rows of one live series on its grid; the rule of `tidecast/windows.py`, one reading at a time.

Compiled, because every reading passes here: for a few numbers NumPy takes ten times as long, nearly all of it in
calling itself. What a window is made of lies in one array of numbers and two buffers, which the loops reach by their
addresses; `Window` shows them by name.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tidecast.windows import Float
from worker.kernel import Int64, compiled_exactly, part_exactly
from worker.memory import address_of, bytes_at, carray, floats_at, integers_at

BLOCK = 32  # rows that are stored together
NEVER = -(2**63)  # before any reading, in milliseconds
STEPS_REMEMBERED = 15  # enough for a median that a few odd steps cannot move
FARTHEST = 2.0**62  # steps: a gap is never longer
DUPLICATE, LATE = -1, -2  # instead of how many steps were missing: the reading has no place

# A window's numbers by their place; the first `STORED` are what must be stored of it.
LENGTH, CAPACITY, WIDTH, APPENDED, LAST_TS, STEP_MS, SEEN, STEPS = range(8)
STORED = STEPS + STEPS_REMEMBERED
END, UNSAVED, GRIDDED, ROOM, BUFFER, FILLED = range(STORED, STORED + 6)
SIZE = STORED + 6


def _number(place: int, doc: str) -> property:
    def get(self: "Window") -> int:
        return int(self.numbers[place])

    def put(self: "Window", value: int) -> None:
        self.numbers[place] = value

    return property(get, put, doc=doc)


class Window:
    """The last rows of one live series on its grid.

    The buffer is longer than the window by a part: rows are appended until it is full, then the newest move to the
    front. So the newest rows always lie side by side, and appending seldom costs a shift.

    Rows are numbered, and belong to blocks of `BLOCK` numbers, so that only what is new need be stored. A window that
    starts anew begins with a new block.
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
        """Keep the rows in another buffer, `(room, width)`, with a mark for each that was interpolated."""
        self.buffer, self.filled = buffer, filled
        self.numbers[[ROOM, WIDTH]] = buffer.shape
        self.numbers[[BUFFER, FILLED]] = address_of(buffer), address_of(filled)

    @property
    def step_ms(self) -> float | None:
        """A model's step in milliseconds; None: it is the median of the steps seen."""
        return float(self.numbers.view(np.float64)[STEP_MS]) or None

    @step_ms.setter
    def step_ms(self, step: float | None) -> None:
        self.numbers.view(np.float64)[STEP_MS] = step or 0.0

    @property
    def gridded(self) -> bool:
        """False: readings come at no regular step, each is the row after the last."""
        return bool(self.numbers[GRIDDED])

    @gridded.setter
    def gridded(self, gridded: bool) -> None:
        self.numbers[GRIDDED] = gridded

    @property
    def steps_seen(self) -> list[int]:
        """The newest steps, oldest first, in milliseconds."""
        steps: list[int] = self.numbers[STEPS : STEPS + self.numbers[SEEN]].tolist()
        return steps

    @property
    def step(self) -> float | None:
        """The grid's step in milliseconds, None while only one reading is known."""
        return _step(self.address) or None

    @property
    def rows(self) -> Float:
        """The rows held, oldest first: `(length, width)`, a view that the next `push` may change."""
        return self.buffer[self.end - self.length : self.end]

    def accepts(self, ts: int) -> Literal["next", "duplicate", "late"]:
        """Say how a reading of time `ts` relates to the newest one."""
        if ts > self.last_ts:
            return "next"
        return "duplicate" if ts == self.last_ts else "late"

    def push(self, ts: int, row: Sequence[float] | Float, max_gap: int) -> int:
        """Append a reading that `accepts` calls next; returns how many missing steps were filled before it.

        Args:
            ts: epoch milliseconds.
            row: `(width,)`; NaN carries the feature's last value.
            max_gap: how many steps in a row may be filled; after a longer gap the window starts anew.
        """
        return int(_push(self.address, ts, np.array(row, np.float64), max_gap))

    def newest(self, count: int) -> Float:
        """Copy the newest `count` rows, of which there must be as many: `(count, width)`."""
        return self.buffer[self.end - count : self.end].copy()

    def filled_in(self, count: int) -> int:
        """How many of the newest `count` rows were interpolated."""
        return int(self.filled[self.end - min(count, self.length) : self.end].sum())

    def reshape(self, capacity: int, columns: Sequence[int | None]) -> None:
        """Keep what fits into another shape: column i comes from the old `columns[i]`; None starts at NaN."""
        if capacity == self.capacity and list(columns) == list(range(self.buffer.shape[1])):
            return
        kept = slice(max(0, self.end - min(self.length, capacity)), self.end)
        rows, marks = self.buffer[kept], self.filled[kept]
        room = room_for(capacity)
        buffer, filled = np.full((room, len(columns)), np.nan), np.zeros(room, np.uint8)
        filled[: len(marks)] = marks
        for new, old in enumerate(columns):
            if old is not None:
                buffer[: len(rows), new] = rows[:, old]
        self.hold(buffer, filled)
        self.capacity = capacity
        self.end = self.length = self.unsaved = len(rows)

    def clear(self) -> None:
        """Forget the rows, but neither the time nor the step."""
        _clear(self.address)


def room_for(capacity: int) -> int:
    """How many rows the buffer of a window holds: a quarter more, so that each row is moved four times in its life."""
    return capacity + max(8, capacity // 4)


def take(
    windows: Int64,
    ts: Int64,
    values: Float,
    reads: Int64,
    max_gap: int,
) -> tuple[Int64, Float, Int64, Int64, Float]:
    """Offer readings to their windows, one after the other, and keep what each one's experts read.

    Args:
        windows: `(n,)` addresses; a window may stand here many times.
        ts: `(n,)` epoch milliseconds.
        values: `(n, width or more)`.
        reads: `(n,)` how many of the newest rows are wanted at most.
        max_gap: see `Window.push`.

    Returns:
        `(n,)` how many missing steps were filled, `DUPLICATE` or `LATE`; the rows wanted, `(numbers,)`, row after row;
        `(n,)` how many rows the window has then, 0 for a reading that has no place; `(n,)` how many of the rows wanted
        were interpolated; `(n,)` the step, milliseconds, 0 where it is not known.
    """
    n = len(windows)
    taken, lengths, filled = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
    rows, steps = np.empty(int(reads.sum()) * values.shape[1]), np.zeros(n)
    used = _take(windows, ts, values, reads, max_gap, taken, rows, lengths, filled, steps)
    return taken, rows[:used], lengths, filled, steps


def bits_of(window: Window, first: int, stop: int) -> int:
    """Which of at most `BLOCK` rows of the buffer were interpolated: one bit a row, the last lowest."""
    return int(_bits(window.address, first, stop))


def mark(window: Window, bits: int, first: int, stop: int) -> None:
    """Note what `bits_of` told."""
    for row in range(stop - 1, first - 1, -1):
        window.filled[row], bits = bits & 1, bits >> 1


def warm() -> None:
    """Compile, or fetch from the cache."""
    window, one = Window(2, 1), np.ones(1, np.int64)
    window.push(1, [1.0], 0)
    window.clear()
    bits_of(window, 0, 0)
    window.step  # noqa: B018 - it compiles
    take(one * window.address, 2 * one, np.ones((1, 1)), one, 0)


@compiled_exactly
def _step(window: int) -> float:  # pragma: no cover - compiled
    w = carray(integers_at(window), (SIZE,))
    known = carray(floats_at(window), (SIZE,))[STEP_MS]
    seen = w[SEEN]
    if known != 0.0 or seen == 0:
        return float(known)
    steps = np.empty(STEPS_REMEMBERED, np.int64)  # sorted by hand: `np.sort` takes long to compile
    for i in range(seen):
        place = i
        while place > 0 and steps[place - 1] > w[STEPS + i]:
            steps[place] = steps[place - 1]
            place -= 1
        steps[place] = w[STEPS + i]
    half = seen // 2
    return float(steps[half]) if seen % 2 else (steps[half - 1] + steps[half]) / 2


@compiled_exactly
def _clear(window: int) -> None:  # pragma: no cover - compiled
    w = carray(integers_at(window), (SIZE,))
    w[LENGTH] = w[UNSAVED] = 0
    w[APPENDED] += -w[APPENDED] % BLOCK


@part_exactly
def _append(window: int, row: Float, filled: int) -> None:  # pragma: no cover - compiled
    w = carray(integers_at(window), (SIZE,))
    capacity, width, end = w[CAPACITY], w[WIDTH], w[END]
    buffer = carray(floats_at(w[BUFFER]), (w[ROOM] * width,))
    marks = carray(bytes_at(w[FILLED]), (w[ROOM],))
    if end == w[ROOM]:
        keep = capacity - 1
        for i in range(keep * width):
            buffer[i] = buffer[(end - keep) * width + i]
        for i in range(keep):
            marks[i] = marks[end - keep + i]
        end = keep
    for j in range(width):
        buffer[end * width + j] = row[j]
    marks[end] = filled
    w[END] = end + 1
    w[LENGTH] = min(w[LENGTH] + 1, capacity)
    w[APPENDED] += 1
    w[UNSAVED] += 1


@part_exactly
def _missing(window: int, ts: int) -> int:  # pragma: no cover - compiled
    """How many steps lie between the newest row and a reading; the step between them is remembered."""
    w = carray(integers_at(window), (SIZE,))
    if w[SEEN] == STEPS_REMEMBERED:
        for i in range(STEPS_REMEMBERED - 1):
            w[STEPS + i] = w[STEPS + i + 1]
        w[SEEN] -= 1
    delta = ts - w[LAST_TS]
    w[STEPS + w[SEEN]] = delta
    w[SEEN] += 1
    step = _step(window)
    if w[GRIDDED] == 0 or step == 0.0:
        return 0
    return int(max(1.0, min(np.rint(delta / step), FARTHEST))) - 1


@compiled_exactly
def _push(window: int, ts: int, row: Float, max_gap: int) -> int:  # pragma: no cover - compiled
    w = carray(integers_at(window), (SIZE,))
    missing, width = 0, w[WIDTH]
    if w[LENGTH] > 0:
        missing = _missing(window, ts)
        last = carray(floats_at(w[BUFFER]), (w[ROOM] * width,))[(w[END] - 1) * width : w[END] * width]
        for j in range(width):
            if np.isnan(row[j]):
                row[j] = last[j]
        if missing > max_gap:
            _clear(window)
            missing = 0
        if missing > 0:
            before, between = last.copy(), np.empty(width)
            for i in range(1, missing + 1):
                for j in range(width):
                    between[j] = before[j] + (row[j] - before[j]) * (i / (missing + 1))
                _append(window, between, 1)
    _append(window, row, 0)
    w[LAST_TS] = ts
    return missing


@compiled_exactly
def _take(
    windows: Int64,
    ts: Int64,
    values: Float,
    reads: Int64,
    max_gap: int,
    taken: Int64,
    rows: Float,
    lengths: Int64,
    filled: Int64,
    steps: Float,
) -> int:  # pragma: no cover - compiled
    used = 0
    for i in range(len(windows)):
        w = carray(integers_at(windows[i]), (SIZE,))
        if ts[i] <= w[LAST_TS]:
            taken[i] = DUPLICATE if ts[i] == w[LAST_TS] else LATE
            continue
        taken[i] = _push(windows[i], ts[i], values[i], max_gap)
        count, width, end = min(w[LENGTH], reads[i]), w[WIDTH], w[END]
        buffer = carray(floats_at(w[BUFFER]), (w[ROOM] * width,))
        marks = carray(bytes_at(w[FILLED]), (w[ROOM],))
        for j in range((end - count) * width, end * width):
            rows[used] = buffer[j]
            used += 1
        for row in range(end - count, end):
            filled[i] += marks[row]
        lengths[i], steps[i] = w[LENGTH], _step(windows[i])
    return used


@compiled_exactly
def _bits(window: int, first: int, stop: int) -> int:  # pragma: no cover - compiled
    w = carray(integers_at(window), (SIZE,))
    marks = carray(bytes_at(w[FILLED]), (w[ROOM],))
    bits = 0
    for row in range(first, stop):
        bits = (bits << 1) | marks[row]
    return bits
