"""The compiled loops over the rows of windows.

`online/window.py` gives the numbers names. They are compiled because every reading passes through them: for a few
numbers NumPy takes ten times as long, nearly all of it call overhead.
"""

from typing import NamedTuple

import numpy as np

from tidecast.arrays import Float
from tidecast.models.gross_errors import (
    FADING,
    FAR,
    FEWEST_ROWS,
    GROWTH,
    NEAR,
    OTHER_SIDE,
    PART,
    SMALLEST_MOVE,
    STRAY,
    STUCK,
    WARM_UP,
)
from tidecast.online.kernels.decorators import compiled_exactly, part_exactly
from tidecast.online.kernels.pointers import bytes_at, carray, floats_at, record_at
from tidecast.wire.state_format import BLOCK, SEASONS, STEPS_REMEMBERED, WINDOW_FIELDS

NEVER = -(2**63)  # milliseconds: stands for the time of the newest reading before the first one
FARTHEST = 2.0**62  # steps: the longest gap that is counted
# The numbers of a window in memory. The first ones are stored.
WINDOW_IN_MEMORY = np.dtype(
    (
        np.record,
        [
            *WINDOW_FIELDS,
            ("end", np.int64),  # one past the newest row in the buffer
            ("unsaved", np.int64),  # how many of the newest rows are not yet stored
            ("gridded", np.int64),  # 0: each reading is the row after the last
            ("room", np.int64),  # rows of the buffer
            ("buffer", np.int64),  # address of the rows, `(room, width)`
            ("filled", np.int64),  # address of the marks of interpolated rows, `(room,)`
            ("bins", np.int64),  # address of the profiles' bins, `(SEASONS, MOST_BINS)`; 0 without profiles
            ("unsaved_bins", np.int64, (SEASONS,)),  # bits of the blocks of bins that are not yet stored
        ],
    )
)
window_at = record_at(WINDOW_IN_MEMORY)


class HistoryLimits(NamedTuple):
    """The usual largest move, the lowest and the highest value of a model's history; `NO_LIMITS` without one."""

    largest_move: float
    lowest: float
    highest: float


@compiled_exactly
def grid_step(window: int) -> float:
    """Return the grid's step in milliseconds: the model's, else the median of the newest steps; 0 if unknown."""
    w = window_at(window)
    known = w.step_ms
    seen = w.steps_seen
    if known != 0.0 or seen == 0:
        return float(known)
    steps = np.empty(STEPS_REMEMBERED, np.int64)  # sorted by insertion: `np.sort` takes long to compile
    for i in range(seen):
        place = i
        while place > 0 and steps[place - 1] > w.steps[i]:
            steps[place] = steps[place - 1]
            place -= 1
        steps[place] = w.steps[i]
    half = seen // 2
    return float(steps[half]) if seen % 2 else (steps[half - 1] + steps[half]) / 2


@compiled_exactly
def clear(window: int) -> None:
    """Remove all rows; the next row begins a new block."""
    w = window_at(window)
    w.length = w.unsaved = 0
    w.appended += -w.appended % BLOCK


@part_exactly
def _append(window: int, row: Float, filled: int) -> None:
    w = window_at(window)
    capacity = w.capacity
    width = w.width
    end = w.end
    buffer = carray(floats_at(w.buffer), (w.room * width,))
    marks = carray(bytes_at(w.filled), (w.room,))
    if end == w.room:
        keep = capacity - 1
        for i in range(keep * width):
            buffer[i] = buffer[(end - keep) * width + i]
        for i in range(keep):
            marks[i] = marks[end - keep + i]
        end = keep
    for j in range(width):
        buffer[end * width + j] = row[j]
    marks[end] = filled
    w.end = end + 1
    w.length = min(w.length + 1, capacity)
    w.appended += 1
    w.unsaved += 1


@part_exactly
def _missing(window: int, ts: int) -> int:
    """Return how many steps are missing between the newest row and a reading; remember the step between them."""
    w = window_at(window)
    if w.steps_seen == STEPS_REMEMBERED:
        for i in range(STEPS_REMEMBERED - 1):
            w.steps[i] = w.steps[i + 1]
        w.steps_seen -= 1
    delta = ts - w.last_ts
    w.steps[w.steps_seen] = delta
    w.steps_seen += 1
    step = grid_step(window)
    if w.gridded == 0 or step == 0.0:
        return 0
    return int(max(1.0, min(np.rint(delta / step), FARTHEST))) - 1


@part_exactly
def _doubts(window: int, y: float, known: HistoryLimits) -> bool:
    """Take a reading and learn from it; return whether it is doubted."""
    w = window_at(window)
    move = abs(y - _target(window, 0))
    usual = max(w.largest_move, known.largest_move)
    enough = w.length >= (FEWEST_ROWS if known.lowest <= known.highest else WARM_UP)
    far = min(move, _from_recurring(window, y)) > FAR * usual > 0 and enough
    outside = far and _spans_away(window, y, known) > 1
    confirmed = far and _is_confirmed(window, y, move)
    if outside and not confirmed and count_doubted(window) < STUCK:
        w.newest_doubted = y
        return True
    if confirmed or outside:
        _remember_newest(window)
    if confirmed:
        _believe_newest(window)
    elif not outside:
        _bridge(window, y)
    if usual > 0:
        w.largest_move = max(FADING * w.largest_move, min(move, GROWTH * usual))
    elif w.appended % int(WARM_UP) == 0:
        w.largest_move = _usual_move(window)
    return False


@part_exactly
def count_doubted(window: int) -> int:
    """Return how many of the newest rows hold no reading; the newest row holds one, unless it was doubted."""
    w = window_at(window)
    marks = carray(bytes_at(w.filled), (w.room,))
    count = 0
    while count < w.length and marks[w.end - 1 - count]:
        count += 1
    return count


@part_exactly
def _bridge(window: int, y: float) -> None:
    """Replace a run of doubted readings by values between those before and after it."""
    w = window_at(window)
    run = count_doubted(window)
    if run == 0 or run == w.length:
        return
    buffer = carray(floats_at(w.buffer), (w.room * w.width,))
    before = _target(window, run)
    for i in range(1, run + 1):
        buffer[(w.end - 1 - run + i) * w.width] = before + (y - before) * (i / (run + 1))
    w.unsaved = max(w.unsaved, run)


@part_exactly
def _target(window: int, back: int) -> float:
    """Return the target so many rows before the newest."""
    w = window_at(window)
    return float(carray(floats_at(w.buffer), (w.room * w.width,))[(w.end - 1 - back) * w.width])


@part_exactly
def _spans_away(window: int, y: float, known: HistoryLimits) -> float:
    """Return `gross_errors.spans_away` for the limits of the rows and of a model's history."""
    w = window_at(window)
    strays = int(min(STRAY, (w.length - 1) // 2))
    lowest = np.full(strays + 1, np.inf)
    highest = np.full(strays + 1, np.inf)  # with changed signs
    for back in range(w.length):
        value = _target(window, back)
        _keep_lowest(lowest, value)
        _keep_lowest(highest, -value)
    low = min(lowest[strays], known.lowest)
    high = max(-highest[strays], known.highest)
    beyond = max(low - y, y - high)
    if beyond <= 0:
        return 0.0
    away = beyond / (high - low) if high > low else np.inf
    return float(max(away, OTHER_SIDE) if y <= 0 < low or high < 0 <= y else away)


@part_exactly
def _keep_lowest(lowest: Float, value: float) -> None:
    """Insert a value into the sorted lowest values, if it is among them."""
    at = len(lowest) - 1
    if value >= lowest[at]:
        return
    while at > 0 and lowest[at - 1] > value:
        lowest[at] = lowest[at - 1]
        at -= 1
    lowest[at] = value


@part_exactly
def _from_recurring(window: int, y: float) -> float:
    """Return the distance from the nearest value that was doubted and then believed; infinity without one."""
    w = window_at(window)
    nearest = np.inf
    for value in w.recurring:
        if value != 0.0:
            nearest = min(nearest, abs(y - value))
    return nearest


@part_exactly
def _remember_newest(window: int) -> None:
    """Remember the newest doubted reading, which is now believed, among those that are not doubted again."""
    w = window_at(window)
    w.recurring[1] = w.recurring[0]
    w.recurring[0] = w.newest_doubted if w.newest_doubted != 0.0 else SMALLEST_MOVE  # 0: no value


@part_exactly
def _believe_newest(window: int) -> None:
    """Put the newest reading, which was doubted, into its row."""
    w = window_at(window)
    carray(floats_at(w.buffer), (w.room * w.width,))[(w.end - 1) * w.width] = w.newest_doubted
    carray(bytes_at(w.filled), (w.room,))[w.end - 1] = 0
    w.unsaved = max(w.unsaved, 1)


@part_exactly
def _is_confirmed(window: int, y: float, move: float) -> bool:
    """Return whether a reading far from the last believed one is near the newest one, which was doubted."""
    w = window_at(window)
    run = count_doubted(window)
    if run == 0:
        return False
    apart = abs(y - w.newest_doubted)
    stood_still = w.length > run + 1 and _target(window, run) == _target(window, run + 1)
    return bool(0 < apart < NEAR * move or (apart == 0 and stood_still))


@part_exactly
def _usual_move(window: int) -> float:
    """Return `gross_errors.usual_move` of the rows."""
    w = window_at(window)
    part = int(PART)
    parts = (w.length - 1) // part
    largest = np.zeros(parts)
    for back in range(parts * part):
        move = abs(_target(window, back) - _target(window, back + 1))
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


@part_exactly
def early_move(window: int) -> float:
    """Return the third largest of the newest changes, which one spike cannot raise; above 0 even if it is 0."""
    w = window_at(window)
    largest = np.zeros(int(STRAY) + 1)
    for back in range(min(w.length - 1, int(WARM_UP))):
        _keep_lowest(largest, -abs(_target(window, back) - _target(window, back + 1)))
    return float(max(-largest[int(STRAY)], SMALLEST_MOVE))


@part_exactly
def push(window: int, ts: int, row: Float, max_gap: int, known: HistoryLimits) -> int:
    """Append a reading as `Window.push` does; return how many missing steps were filled before it."""
    w = window_at(window)
    missing = 0
    doubted = 0
    if w.length > 0:
        missing = _missing(window, ts)
        width = w.width
        last = carray(floats_at(w.buffer), (w.room * width,))[(w.end - 1) * width : w.end * width]
        for j in range(width):
            if np.isnan(row[j]):
                row[j] = last[j]
        if missing > max_gap:
            clear(window)
            missing = 0
        elif _doubts(window, row[0], known):
            row[0] = last[0]
            doubted = 1
        if missing > 0:
            _interpolate(window, last.copy(), row, missing)
    _append(window, row, doubted)
    w.last_ts = ts
    return missing


@part_exactly
def _interpolate(window: int, before: Float, after: Float, missing: int) -> None:
    """Append so many rows between two rows."""
    between = np.empty(len(before))
    filled = np.int64(1)  # not a literal, for which the function would be compiled once more
    for i in range(1, missing + 1):
        for j in range(len(before)):
            between[j] = before[j] + (after[j] - before[j]) * (i / (missing + 1))
        _append(window, between, filled)  # type: ignore[arg-type] # a NumPy scalar


@compiled_exactly
def push_one(window: int, ts: int, row: Float, max_gap: int, known: HistoryLimits) -> int:
    """Do `push` for a call from Python; it is compiled at the first one, as a worker makes none."""
    return push(window, ts, row, max_gap, known)
