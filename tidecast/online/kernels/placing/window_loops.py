"""The compiled loops over the rows of windows.

`online/window.py` gives the numbers names. They are compiled because every reading passes through them: for a few
numbers NumPy takes ten times as long, nearly all of it call overhead.
"""

import numpy as np

from tidecast.arrays import Float
from tidecast.online.kernels.decorators import compiled_exactly, part_exactly
from tidecast.online.kernels.placing.gross_errors import HistoryLimits, take_or_doubt
from tidecast.online.kernels.placing.window_numbers import window_at
from tidecast.online.kernels.pointers import bytes_at, carray, floats_at
from tidecast.wire.state_format import BLOCK, STEPS_REMEMBERED

FARTHEST = 2.0**62  # steps: the longest gap that is counted


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
        elif take_or_doubt(window, row[0], known):
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
