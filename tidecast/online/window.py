"""The last rows of one live series on its grid, by the rules of `models/time_grid.py` and `models/gross_errors.py`.

The code is compiled, because every reading passes through it: for a few numbers NumPy takes ten times as long, nearly
all of it call overhead. A window consists of one array of numbers and two buffers. The loops reach them by their
addresses; `Window` gives them names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Float, Int64
from tidecast.models.gross_errors import NO_LIMITS, RULE
from tidecast.online.kernels.forward import compiled_exactly, part_exactly
from tidecast.online.kernels.pointers import address_of, bytes_at, carray, floats_at, integers_at

BLOCK = 32  # rows that are stored together
NEVER = -(2**63)  # milliseconds: the time of the newest reading while there is none
STEPS_REMEMBERED = 15  # enough for a median that a few odd steps do not change
FARTHEST = 2.0**62  # steps: the longest gap that is counted
DUPLICATE, LATE = -1, -2  # in place of a number of missing steps: the reading was not accepted
FAR, STRAY, FEWEST_ROWS, OTHER_SIDE, NEAR, STUCK, PART, WARM_UP, FADING, GROWTH = range(10)  # places in a `Rule`
HistoryLimits = tuple[
    float, float, float
]  # of a model's history: the usual largest move, the lowest and the highest value
Rule = tuple[float, float, float, float, float, float, float, float, float, float]  # as `gross_errors.RULE`

# The places of a window's numbers; only the first `STORED` numbers are stored.
LENGTH, CAPACITY, WIDTH, APPENDED, LAST_TS, STEP_MS, SEEN, STEPS = range(8)
# As in `tidecast/models/gross_errors.py`: the recent largest move, and the newest doubted reading.
LARGEST, NEWEST = range(STEPS + STEPS_REMEMBERED, STEPS + STEPS_REMEMBERED + 2)
STORED = NEWEST + 1
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
        return int(_doubted(self.address))

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
        return _step(self.address) or None

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
        return int(_push(self.address, ts, np.array(row, np.float64), max_gap, (usual, *known), RULE))

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
        _clear(self.address)

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
    habits: tuple[Float, Float, Float],
) -> Taken:
    """Add readings to their windows in order, and copy the rows that the experts of each read.

    Args:
        windows: `(n,)` addresses; a window may occur many times.
        ts: `(n,)` epoch milliseconds.
        values: `(n, width or more)`.
        reads: `(n,)` how many of the newest rows to return at most.
        max_gap: see `Window.push`.
        habits: `(n,)` each: usual largest moves, lowest values and highest values of the models' histories.
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
    _take(
        (windows, ts, values, reads),
        max_gap,
        habits,
        RULE,
        (taken.missing, taken.lengths, taken.filled, taken.doubted),
        (taken.rows, taken.steps, taken.moves),
    )
    return taken


def bits_of(window: Window, first: int, stop: int) -> int:
    """Return which of at most `BLOCK` rows of the buffer were interpolated: one bit a row, the last lowest."""
    return int(_bits(window.address, first, stop))


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


@compiled_exactly
def _step(window: int) -> float:  # pragma: no cover - compiled
    w = carray(integers_at(window), (SIZE,))
    known = carray(floats_at(window), (SIZE,))[STEP_MS]
    seen = w[SEEN]
    if known != 0.0 or seen == 0:
        return float(known)
    steps = np.empty(STEPS_REMEMBERED, np.int64)  # sorted by insertion: `np.sort` takes long to compile
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
    capacity = w[CAPACITY]
    width = w[WIDTH]
    end = w[END]
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
    """Return how many steps are missing between the newest row and a reading; remember the step between them."""
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


@part_exactly
def _doubts(window: int, y: float, habit: HistoryLimits, rule: Rule) -> bool:  # pragma: no cover - compiled
    """Do `Doubt.learn` in place; return whether the reading is doubted."""
    w = carray(integers_at(window), (SIZE,))
    numbers = carray(floats_at(window), (SIZE,))
    move = abs(y - _believed(window, 0))
    known = max(numbers[LARGEST], habit[0])
    enough = w[LENGTH] >= (rule[FEWEST_ROWS] if habit[1] <= habit[2] else rule[WARM_UP])
    far = move > rule[FAR] * known > 0 and enough
    outside = far and _spans_away(window, y, habit, rule) > 1
    if outside and not _is_confirmed(window, y, move, rule):
        numbers[NEWEST] = y
        return True
    if not outside:
        _bridge(window, y)
    if known > 0:
        numbers[LARGEST] = max(rule[FADING] * numbers[LARGEST], min(move, rule[GROWTH] * known))
    elif w[APPENDED] % int(rule[WARM_UP]) == 0:
        numbers[LARGEST] = _usual_move(window, int(rule[PART]))
    return False


@compiled_exactly
def _doubted(window: int) -> int:  # pragma: no cover - compiled
    """Return how many of the newest rows hold no reading; the newest row holds one, unless it was doubted."""
    w = carray(integers_at(window), (SIZE,))
    marks = carray(bytes_at(w[FILLED]), (w[ROOM],))
    count = 0
    while count < w[LENGTH] and marks[w[END] - 1 - count]:
        count += 1
    return count


@part_exactly
def _bridge(window: int, y: float) -> None:  # pragma: no cover - compiled
    """Replace a run of doubted readings by values between those before and after it."""
    w = carray(integers_at(window), (SIZE,))
    run = _doubted(window)
    if run == 0 or run == w[LENGTH]:
        return
    buffer = carray(floats_at(w[BUFFER]), (w[ROOM] * w[WIDTH],))
    before = _believed(window, run)
    for i in range(1, run + 1):
        buffer[(w[END] - 1 - run + i) * w[WIDTH]] = before + (y - before) * (i / (run + 1))
    w[UNSAVED] = max(w[UNSAVED], run)


@part_exactly
def _believed(window: int, back: int) -> float:  # pragma: no cover - compiled
    """Return the target so many rows before the newest."""
    w = carray(integers_at(window), (SIZE,))
    return float(carray(floats_at(w[BUFFER]), (w[ROOM] * w[WIDTH],))[(w[END] - 1 - back) * w[WIDTH]])


@part_exactly
def _spans_away(window: int, y: float, habit: HistoryLimits, rule: Rule) -> float:  # pragma: no cover - compiled
    """Return `gross_errors.spans_away` for the limits of the rows and of a model's history."""
    w = carray(integers_at(window), (SIZE,))
    strays = int(min(rule[STRAY], (w[LENGTH] - 1) // 2))
    lowest = np.full(strays + 1, np.inf)
    highest = np.full(strays + 1, np.inf)  # with changed signs
    for back in range(w[LENGTH]):
        value = _believed(window, back)
        _keep_lowest(lowest, value)
        _keep_lowest(highest, -value)
    low = min(lowest[strays], habit[1])
    high = max(-highest[strays], habit[2])
    beyond = max(low - y, y - high)
    if beyond <= 0:
        return 0.0
    away = beyond / (high - low) if high > low else np.inf
    return float(max(away, rule[OTHER_SIDE]) if y <= 0 < low or high < 0 <= y else away)


@part_exactly
def _keep_lowest(lowest: Float, value: float) -> None:  # pragma: no cover - compiled
    """Insert a value into the sorted lowest values, if it is among them."""
    at = len(lowest) - 1
    if value >= lowest[at]:
        return
    while at > 0 and lowest[at - 1] > value:
        lowest[at] = lowest[at - 1]
        at -= 1
    lowest[at] = value


@part_exactly
def _is_confirmed(window: int, y: float, move: float, rule: Rule) -> bool:  # pragma: no cover - compiled
    w = carray(integers_at(window), (SIZE,))
    run = _doubted(window)
    if run == 0:
        return False
    apart = abs(y - carray(floats_at(window), (SIZE,))[NEWEST])
    stood_still = w[LENGTH] > run + 1 and _believed(window, run) == _believed(window, run + 1)
    return bool(run >= rule[STUCK] or 0 < apart < rule[NEAR] * move or (apart == 0 and stood_still))


@part_exactly
def _usual_move(window: int, part: int) -> float:  # pragma: no cover - compiled
    """Return `gross_errors.usual_move` of the rows."""
    w = carray(integers_at(window), (SIZE,))
    parts = (w[LENGTH] - 1) // part
    largest = np.zeros(parts)
    for back in range(parts * part):
        move = abs(_believed(window, back) - _believed(window, back + 1))
        largest[back // part] = max(largest[back // part], move)
    for chosen in largest:  # the lower median: the value whose rank is in the middle
        smaller = 0
        not_larger = 0
        for other in largest:
            smaller += other < chosen
            not_larger += other <= chosen
        if smaller <= (parts - 1) // 2 < not_larger:
            return float(chosen)
    return 0.0


@compiled_exactly
def _push(
    window: int, ts: int, row: Float, max_gap: int, habit: HistoryLimits, rule: Rule
) -> int:  # pragma: no cover - compiled
    w = carray(integers_at(window), (SIZE,))
    missing = 0
    width = w[WIDTH]
    doubted = 0
    if w[LENGTH] > 0:
        missing = _missing(window, ts)
        last = carray(floats_at(w[BUFFER]), (w[ROOM] * width,))[(w[END] - 1) * width : w[END] * width]
        for j in range(width):
            if np.isnan(row[j]):
                row[j] = last[j]
        if missing > max_gap:
            _clear(window)
            missing = 0
        elif _doubts(window, row[0], habit, rule):
            row[0] = last[0]
            doubted = 1
        if missing > 0:
            before = last.copy()
            between = np.empty(width)
            for i in range(1, missing + 1):
                for j in range(width):
                    between[j] = before[j] + (row[j] - before[j]) * (i / (missing + 1))
                _append(window, between, 1)
    _append(window, row, doubted)
    w[LAST_TS] = ts
    return missing


@compiled_exactly
def _take(
    readings: tuple[Int64, Int64, Float, Int64],
    max_gap: int,
    habits: tuple[Float, Float, Float],
    rule: Rule,
    counted: tuple[Int64, Int64, Int64, Int64],
    measured: tuple[Float, Float, Float],
) -> None:  # pragma: no cover - compiled
    windows, ts, values, reads = readings
    taken, lengths, filled, doubted = counted
    rows, steps, moves = measured
    usual, lowest, highest = habits
    used = 0
    for i in range(len(windows)):
        w = carray(integers_at(windows[i]), (SIZE,))
        if ts[i] <= w[LAST_TS]:
            taken[i] = DUPLICATE if ts[i] == w[LAST_TS] else LATE
            continue
        taken[i] = _push(windows[i], ts[i], values[i], max_gap, (usual[i], lowest[i], highest[i]), rule)
        count = min(w[LENGTH], reads[i])
        width = w[WIDTH]
        end = w[END]
        buffer = carray(floats_at(w[BUFFER]), (w[ROOM] * width,))
        marks = carray(bytes_at(w[FILLED]), (w[ROOM],))
        for j in range((end - count) * width, end * width):
            rows[used] = buffer[j]
            used += 1
        for row in range(end - count, end):
            filled[i] += marks[row]
        lengths[i] = w[LENGTH]
        steps[i] = _step(windows[i])
        doubted[i] = max(
            0, _doubted(windows[i]) - taken[i]
        )  # without the rows that were filled just before the reading
        moves[i] = max(usual[i], carray(floats_at(windows[i]), (SIZE,))[LARGEST])


@compiled_exactly
def _bits(window: int, first: int, stop: int) -> int:  # pragma: no cover - compiled
    w = carray(integers_at(window), (SIZE,))
    marks = carray(bytes_at(w[FILLED]), (w[ROOM],))
    bits = 0
    for row in range(first, stop):
        bits = (bits << 1) | marks[row]
    return bits
