"""Removal of gross errors from histories, such as the -9999 of a broken sensor.

The worker rejects a reading that lies far from all others (`models/gross_errors.py`). A history also holds the readings
after it, so here a run of readings is an error if it moved far away and came back. Models are neither trained nor
judged on such readings.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Float
from tidecast.files.history import History
from tidecast.models.calendar_seasons import calendar_seasons
from tidecast.models.gross_errors import FAR, MOST_DOUBTED, NEAR, limits, spans_away, usual_move
from tidecast.models.time_grid import typical_step
from trainer.fit.seasonality import LONGEST, season_length

Bool = NDArray[np.bool_]

FIRST = 1.5  # factor on the distance in the first pass, when only the usual largest moves of short parts are known
SPIKE = 5.0  # usual largest moves: a run that is farther away and came back is an error whatever its value
PARTS = 6  # parts of a history whose largest moves give the usual largest move
RECENT = 50  # newest readings from which the recent usual move is computed
BEGIN = 9  # first readings, whose median is the start value
REMEMBERED = 400  # newest accepted readings that give the range of a series' values
OFTEN, RECURS = 0.05, 0.5  # shares of readings and of periods: values in more of them belong to the series
FEWEST_PERIODS = 5  # periods needed to distinguish a season from chance
RUNS, LONG = 3, 6  # this many runs, with this many readings on average, belong to the series
BEYOND = 100.0  # spans of all other values: a value farther outside is an error, however often it occurs


def without_gross_errors(history: History, usual: float | None = None) -> History:
    """Replace each gross error by a value interpolated from its neighbours; list the target's in `left_out`.

    Args:
        history: the readings.
        usual: the usual largest move of the target; None: computed from the history.
    """
    step_ms = typical_step(history.ts) if len(history) > 1 else 0.0
    wrong = [gross_errors(column, step_ms, None if i else usual) for i, column in enumerate(history.values.T)]
    if not np.any(wrong):
        return history
    at = np.arange(len(history))
    columns = [np.interp(at, at[~odd], y[~odd]) for odd, y in zip(wrong, history.values.T, strict=True)]
    left_out = np.union1d(history.left_out, history.ts[wrong[0]])
    return replace(history, values=np.column_stack(columns), left_out=left_out)


def changes_before(history: History, stop: int) -> Float:
    """Return the absolute changes of the target over the first `stop` readings, without its gross errors."""
    ts = history.ts[:stop]
    first = replace(history, ts=ts, values=history.values[:stop, :1], features=history.features[:1])
    changes: Float = np.abs(np.diff(without_gross_errors(first).values[:, 0]))
    return changes


def gross_errors(values: Float, step_ms: float, usual: float | None = None) -> Bool:
    """Return which values are gross errors, `(readings,)`.

    Args:
        values: `(readings,)`.
        step_ms: the typical step.
        usual: the usual largest move; None: computed from the values.
    """
    if usual is None:
        first = _away(values, FIRST * usual_move(values))
        rest = values[~(first & ~_recurring(values, step_ms, first))]
        usual = usual_move(rest, max(1, len(rest) // PARTS))
    return _away(values, usual)


def _away(values: Float, usual: float) -> Bool:
    """Return which values moved far away from those before and came back, or lie at the end of the history."""
    away = np.zeros(len(values), np.bool_)
    if usual == 0 or not (np.abs(np.diff(values)) > FAR * usual).any():
        return away
    last = float(np.median(values[:BEGIN]))
    i = 0
    while i < len(values):
        stop = _back(values, i, last, FAR * usual)
        if stop > i and _is_error(values, i, stop, last, usual, away):
            away[i:stop] = True
        else:
            last = float(values[i])
            stop = i + 1
        i = stop
    return away


def _back(values: Float, start: int, last: float, most: float) -> int:
    """Return the first index from `start` on with a value near `last` again; `start` if none left or returned."""
    away = np.abs(values[start : start + int(MOST_DOUBTED) + 1] - last)
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
    """Return whether a run moves like the values of a series, or stands still as the values before it did."""
    run = values[start:stop]
    moves = np.abs(np.diff(run))
    near = (moves > 0) & (moves < NEAR * np.abs(run[1:] - last))
    stood_still = start > 1 and values[start - 1] == values[start - 2]
    return bool(near.any() or (stood_still and (moves == 0).any()))


def _known(values: Float, stop: int, found: Bool, last: float) -> Float:
    before = values[:stop][~found[:stop]][-REMEMBERED:]
    return before if len(before) else np.array([last])


def _recurring(values: Float, step_ms: float, away: Bool) -> Bool:
    """Return which of the values far away belong to the series: they occur often, in long runs or every season."""
    recurring = np.zeros(len(values), np.bool_)
    starts = np.flatnonzero(away & ~np.append(False, away[:-1]))
    in_long_runs = len(starts) >= RUNS and np.count_nonzero(away) >= LONG * len(starts)
    if away.mean() > OFTEN or in_long_runs or _seasonal(values, step_ms, starts):
        rest = limits(values[~away])
        recurring[away] = [spans_away(rest, value) <= BEYOND for value in values[away].tolist()]
    return recurring


def _seasonal(values: Float, step_ms: float, starts: NDArray[np.int64]) -> bool:
    """Return whether the most frequent distance between starts is a season, and most seasons hold a start."""
    periods, counts = np.unique(np.diff(starts), return_counts=True)
    often = max(counts, default=0)
    if often < FEWEST_PERIODS:
        return False
    period = int(periods[counts.argmax()])
    if often <= RECURS * len(values) / period:
        return False
    return period in calendar_seasons(step_ms, LONGEST) or period == season_length(
        values, np.zeros(len(values), np.int64)
    )
