"""Doubt a reading that is a gross error, by the rules of `models/gross_errors.py`.

A doubted reading is replaced by the last believed value. If the next reading confirms it, it is put into its row;
otherwise values between the readings before and after fill the rows of doubted ones.
"""

from typing import NamedTuple

import numpy as np

from tidecast.arrays import Float
from tidecast.models.gross_errors import (
    FADING,
    FAR,
    FEWEST_ROWS,
    GROWTH,
    MOST_DOUBTED,
    NEAR,
    OTHER_SIDE,
    PART,
    SMALLEST_MOVE,
    STRAY,
    WARM_UP,
)
from tidecast.online.kernels.decorators import part_exactly
from tidecast.online.kernels.placing.window_numbers import window_at
from tidecast.online.kernels.pointers import bytes_at, carray, floats_at


class HistoryLimits(NamedTuple):
    """The usual largest move, the lowest and the highest value of a model's history; `NO_LIMITS` without one."""

    largest_move: float
    lowest: float
    highest: float


@part_exactly
def take_or_doubt(window: int, y: float, known: HistoryLimits) -> bool:
    """Take a reading and learn from it; return whether it is doubted."""
    w = window_at(window)
    move = abs(y - _target(window, 0))
    usual = max(w.largest_move, known.largest_move)
    enough = w.length >= (FEWEST_ROWS if known.lowest <= known.highest else WARM_UP)
    far = min(move, _from_recurring(window, y)) > FAR * usual > 0 and enough
    outside = far and _spans_away(window, y, known) > 1
    confirmed = far and _is_confirmed(window, y, move)
    if outside and not confirmed and count_doubted(window) < MOST_DOUBTED:
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
