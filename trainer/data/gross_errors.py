"""Histories without gross errors, such as the -9999 of a broken sensor.

The worker does not believe a reading that lies far from all others (`models/gross_errors.py`). A history also shows the
readings after it, so here a run of readings is an error if it went far away and came back. No model learns to forecast
such a reading, and no model is judged by it.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tidecast.files.history import History
from tidecast.models.gross_errors import FAR, NEAR, STUCK, limits, spans_away, usual_move
from tidecast.models.time_grid import Float, typical_step
from trainer.fit.seasonality import calendar, season_length

Bool = NDArray[np.bool_]

FIRST = 1.5  # times as far at first, when only the usual largest moves of short parts are known
SPIKE = 5.0  # usual largest moves: a run so far away that came back is an error wherever it lies
PARTS = 6  # of a history, whose largest moves tell which is usual
RECENT = 50  # readings that tell how far a series moves of late
BEGIN = 9  # readings whose median is the value that a history begins with
REMEMBERED = 400  # believed readings that tell what a series' values are
OFTEN, RECURS = 0.05, 0.5  # of the readings, of the periods: what comes in more of them is a part of the series
FEWEST_PERIODS = 5  # that tell a period from chance
RUNS, LONG = 3, 6  # so many runs, of so many readings on average, are a part of the series
BEYOND = 100.0  # spans of all other values: what lies farther outside is an error, however often it comes


def sound(history: History, usual: float | None = None) -> History:
    """Put a value between its neighbours in the place of each gross error; a target's are named in `left_out`.

    Args:
        history: the readings.
        usual: the usual largest move of the target; None: found from the history.
    """
    step_ms = typical_step(history.ts) if len(history) > 1 else 0.0
    wrong = [gross_errors(column, step_ms, None if i else usual) for i, column in enumerate(history.values.T)]
    if not np.any(wrong):
        return history
    at = np.arange(len(history))
    columns = [np.interp(at, at[~odd], y[~odd]) for odd, y in zip(wrong, history.values.T, strict=True)]
    left_out = np.union1d(history.left_out, history.ts[wrong[0]])
    return replace(history, values=np.column_stack(columns), left_out=left_out)


def gross_errors(values: Float, step_ms: float, usual: float | None = None) -> Bool:
    """Say which values are gross errors, `(readings,)`.

    Args:
        values: `(readings,)`.
        step_ms: the typical step.
        usual: the usual largest move; None: found from the values.
    """
    if usual is None:
        first = _away(values, FIRST * usual_move(values))
        rest = values[~(first & ~_recurring(values, step_ms, first))]
        usual = usual_move(rest, max(1, len(rest) // PARTS))
    return _away(values, usual)


def _away(values: Float, usual: float) -> Bool:
    """Which values went far away from those before and came back, or are at an end."""
    found = np.zeros(len(values), np.bool_)
    if usual == 0 or not (np.abs(np.diff(values)) > FAR * usual).any():
        return found
    last, i = float(np.median(values[:BEGIN])), 0
    while i < len(values):
        stop = _back(values, i, last, FAR * usual)
        if stop > i and _is_error(values, i, stop, last, usual, found):
            found[i:stop] = True
        else:
            last, stop = float(values[i]), i + 1
        i = stop
    return found


def _back(values: Float, start: int, last: float, most: float) -> int:
    """The first value from `start` on that is near `last` again: `start` if none went away, or none came back."""
    away = np.abs(values[start : start + int(STUCK) + 1] - last)
    if away[0] <= most:
        return start
    back = np.flatnonzero(away <= min(most, away[0] / 2))
    if len(back):
        return start + int(back[0])
    return len(values) if start + len(away) == len(values) else start


def _is_error(values: Float, start: int, stop: int, last: float, usual: float, found: Bool) -> bool:
    if _is_confirmed(values, start, stop, last):
        return False
    of_late = usual_move(values[max(0, start - RECENT) : start])
    if stop < len(values) and abs(values[start] - last) > SPIKE * max(usual, of_late):
        return True
    return spans_away(limits(_known(values, start, found, last)), float(values[start])) > 1


def _is_confirmed(values: Float, start: int, stop: int, last: float) -> bool:
    """Whether the values of a run move like those of a series, or stand still as those before it did."""
    run = values[start:stop]
    moves = np.abs(np.diff(run))
    near = (moves > 0) & (moves < NEAR * np.abs(run[1:] - last))
    stood_still = start > 1 and values[start - 1] == values[start - 2]
    return bool(near.any() or (stood_still and (moves == 0).any()))


def _known(values: Float, stop: int, found: Bool, last: float) -> Float:
    before = values[:stop][~found[:stop]][-REMEMBERED:]
    return before if len(before) else np.array([last])


def _recurring(values: Float, step_ms: float, away: Bool) -> Bool:
    """Which of the values that went away are a part of the series: they come often, in long runs or every season."""
    recurring = np.zeros(len(values), np.bool_)
    starts = np.flatnonzero(away & ~np.append(False, away[:-1]))
    in_long_runs = len(starts) >= RUNS and np.count_nonzero(away) >= LONG * len(starts)
    if away.mean() > OFTEN or in_long_runs or _seasonal(values, step_ms, starts):
        rest = limits(values[~away])
        recurring[away] = [spans_away(rest, value) <= BEYOND for value in values[away].tolist()]
    return recurring


def _seasonal(values: Float, step_ms: float, starts: NDArray[np.int64]) -> bool:
    """Whether the commonest distance from one to the next is a season, in most of which there is one."""
    periods, counts = np.unique(np.diff(starts), return_counts=True)
    often = max(counts, default=0)
    if often < FEWEST_PERIODS:
        return False
    period = int(periods[counts.argmax()])
    if often <= RECURS * len(values) / period:
        return False
    return period in calendar(step_ms) or period == season_length(values, np.zeros(len(values), np.int64))
