"""The compiled loops over the rows of windows, and the places of a window's numbers.

`online/window.py` gives the numbers names. They are compiled because every reading passes through them: for a few
numbers NumPy takes ten times as long, nearly all of it call overhead.
"""

import numpy as np

from tidecast.arrays import Float, Int64
from tidecast.online.kernels.decorators import compiled_exactly, part_exactly
from tidecast.online.kernels.pointers import bytes_at, carray, floats_at, integers_at

BLOCK = 32  # rows that are stored together
NEVER = -(2**63)  # milliseconds: the time of the newest reading while there is none
STEPS_REMEMBERED = 15  # enough for a median that a few odd steps do not change
FARTHEST = 2.0**62  # steps: the longest gap that is counted
DUPLICATE, LATE = -1, -2  # in place of a number of missing steps: the reading was not accepted
FAR, STRAY, FEWEST_ROWS, OTHER_SIDE, NEAR, STUCK, PART, WARM_UP, FADING, GROWTH = range(10)  # places in a `Rule`
# Of a model's history: the usual largest move, the lowest and the highest value.
HistoryLimits = tuple[float, float, float]
Rule = tuple[float, float, float, float, float, float, float, float, float, float]  # as `gross_errors.RULE`

# The places of a window's numbers; only the first `STORED` numbers are stored.
LENGTH, CAPACITY, WIDTH, APPENDED, LAST_TS, STEP_MS, SEEN, STEPS = range(8)
# As in `tidecast/models/gross_errors.py`: the recent largest move, and the newest doubted reading.
LARGEST, NEWEST = range(STEPS + STEPS_REMEMBERED, STEPS + STEPS_REMEMBERED + 2)
STORED = NEWEST + 1
END, UNSAVED, GRIDDED, ROOM, BUFFER, FILLED = range(STORED, STORED + 6)
SIZE = STORED + 6


@compiled_exactly
def grid_step(window: int) -> float:
    """Return the grid's step in milliseconds: the model's, else the median of the newest steps; 0 if unknown."""
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
def clear(window: int) -> None:
    """Remove all rows; the next row begins a new block."""
    w = carray(integers_at(window), (SIZE,))
    w[LENGTH] = w[UNSAVED] = 0
    w[APPENDED] += -w[APPENDED] % BLOCK


@part_exactly
def _append(window: int, row: Float, filled: int) -> None:
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
def _missing(window: int, ts: int) -> int:
    """Return how many steps are missing between the newest row and a reading; remember the step between them."""
    w = carray(integers_at(window), (SIZE,))
    if w[SEEN] == STEPS_REMEMBERED:
        for i in range(STEPS_REMEMBERED - 1):
            w[STEPS + i] = w[STEPS + i + 1]
        w[SEEN] -= 1
    delta = ts - w[LAST_TS]
    w[STEPS + w[SEEN]] = delta
    w[SEEN] += 1
    step = grid_step(window)
    if w[GRIDDED] == 0 or step == 0.0:
        return 0
    return int(max(1.0, min(np.rint(delta / step), FARTHEST))) - 1


@part_exactly
def _doubts(window: int, y: float, habit: HistoryLimits, rule: Rule) -> bool:
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
def count_doubted(window: int) -> int:
    """Return how many of the newest rows hold no reading; the newest row holds one, unless it was doubted."""
    w = carray(integers_at(window), (SIZE,))
    marks = carray(bytes_at(w[FILLED]), (w[ROOM],))
    count = 0
    while count < w[LENGTH] and marks[w[END] - 1 - count]:
        count += 1
    return count


@part_exactly
def _bridge(window: int, y: float) -> None:
    """Replace a run of doubted readings by values between those before and after it."""
    w = carray(integers_at(window), (SIZE,))
    run = count_doubted(window)
    if run == 0 or run == w[LENGTH]:
        return
    buffer = carray(floats_at(w[BUFFER]), (w[ROOM] * w[WIDTH],))
    before = _believed(window, run)
    for i in range(1, run + 1):
        buffer[(w[END] - 1 - run + i) * w[WIDTH]] = before + (y - before) * (i / (run + 1))
    w[UNSAVED] = max(w[UNSAVED], run)


@part_exactly
def _believed(window: int, back: int) -> float:
    """Return the target so many rows before the newest."""
    w = carray(integers_at(window), (SIZE,))
    return float(carray(floats_at(w[BUFFER]), (w[ROOM] * w[WIDTH],))[(w[END] - 1 - back) * w[WIDTH]])


@part_exactly
def _spans_away(window: int, y: float, habit: HistoryLimits, rule: Rule) -> float:
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
def _is_confirmed(window: int, y: float, move: float, rule: Rule) -> bool:
    w = carray(integers_at(window), (SIZE,))
    run = count_doubted(window)
    if run == 0:
        return False
    apart = abs(y - carray(floats_at(window), (SIZE,))[NEWEST])
    stood_still = w[LENGTH] > run + 1 and _believed(window, run) == _believed(window, run + 1)
    return bool(run >= rule[STUCK] or 0 < apart < rule[NEAR] * move or (apart == 0 and stood_still))


@part_exactly
def _usual_move(window: int, part: int) -> float:
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
def push(window: int, ts: int, row: Float, max_gap: int, habit: HistoryLimits, rule: Rule) -> int:
    """Append a reading as `Window.push` does; return how many missing steps were filled before it."""
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
            clear(window)
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
def take(
    readings: tuple[Int64, Int64, Float, Int64],
    max_gap: int,
    habits: tuple[Float, Float, Float],
    rule: Rule,
    counted: tuple[Int64, Int64, Int64, Int64],
    measured: tuple[Float, Float, Float],
) -> None:
    """Append many readings, each to its window; `counted` and `measured` receive the fields of `window.Taken`."""
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
        taken[i] = push(windows[i], ts[i], values[i], max_gap, (usual[i], lowest[i], highest[i]), rule)
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
        steps[i] = grid_step(windows[i])
        doubted[i] = max(
            0, count_doubted(windows[i]) - taken[i]
        )  # without the rows that were filled just before the reading
        moves[i] = max(usual[i], carray(floats_at(windows[i]), (SIZE,))[LARGEST])


@compiled_exactly
def filled_bits(window: int, first: int, stop: int) -> int:
    """Return which of at most `BLOCK` rows were interpolated: one bit a row, the last row lowest."""
    w = carray(integers_at(window), (SIZE,))
    marks = carray(bytes_at(w[FILLED]), (w[ROOM],))
    bits = 0
    for row in range(first, stop):
        bits = (bits << 1) | marks[row]
    return bits
