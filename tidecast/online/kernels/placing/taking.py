"""Append a batch's readings to the windows of their series, and read what the experts need."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tidecast.arrays import Float, Int64
from tidecast.durations import DAY_MS
from tidecast.models import calendar_seasons, calendar_steps
from tidecast.models.calendar_seasons import SHORTEST
from tidecast.online.kernels.decorators import compiled_exactly, part_exactly
from tidecast.online.kernels.placing.gross_errors import HistoryLimits, count_doubted, early_move
from tidecast.online.kernels.placing.profiles import begin_profile, learn_rows, write_terms
from tidecast.online.kernels.placing.window_loops import grid_step, push
from tidecast.online.kernels.placing.window_numbers import window_at
from tidecast.online.kernels.pointers import bytes_at, carray, floats_at
from tidecast.online.kernels.readings import DUPLICATE, FIRST, LATE, Readings
from tidecast.online.kernels.rows import Rows
from tidecast.online.kernels.series_rows import CALENDAR, WITHOUT_MODEL, SeriesRows
from tidecast.wire.state_format import BLOCK, SEASONS

calendar_days = part_exactly(calendar_seasons.calendar_days)
season_ms = part_exactly(calendar_seasons.season_ms)
months_in = part_exactly(calendar_steps.months_in)
day_of_month = part_exactly(calendar_steps.day_of_month)
calendar_day = part_exactly(calendar_steps.calendar_day)


def take(
    series: SeriesRows,
    readings: Readings,
    has_ts: Int64,
    values: Float,
    max_gap: int,
    give_bins: Callable[[int], None],
) -> Rows:
    """Add readings to the windows of their series in order; return the newest rows of each, as its experts read them.

    Args:
        series: `(n,)` of each reading; a series may occur many times.
        readings: completed in place.
        has_ts: `(n,)`, 0 where the time is that of arrival. Such a reading is new, because its entry id is higher than
            that of the one before: if its time is not later, it becomes a millisecond after it.
        values: `(n, width or more)`; that of a doubted reading is replaced by the last value.
        max_gap: see `Window.push`.
        give_bins: called with the place of a reading whose window needs memory for the bins of profiles.
    """
    n = len(series)
    room = np.empty(int(series["rows_read"].sum()) * values.shape[1])
    rows = Rows(room, np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64))
    at = np.zeros(2, np.int64)
    while not _take(series, readings, has_ts, values, max_gap, rows, at):
        give_bins(int(at[0]) - 1)
    return rows


@compiled_exactly
def _take(
    series: SeriesRows, readings: Readings, has_ts: Int64, values: Float, max_gap: int, rows: Rows, at: Int64
) -> bool:
    """Append many readings, each to the window of its series; return whether all are appended.

    If not, the window of the last one needs memory for bins. Give it some, and call again.

    Args:
        series: `(n,)` of each reading; a series may occur many times.
        readings: completed, with the seasons of the models or of the calendar; none has a profile so far.
        has_ts: `(n,)` 0 where the time is that of arrival.
        values: `(n, width or more)`; that of a doubted reading is replaced by the last value.
        max_gap: see `Window.push`.
        rows: written: the newest rows of each series, as many as its experts read; none if it was not accepted.
        at: `(2,)` the next reading and the place of its rows in `rows.values`, at first 0; changed in place.
    """
    if at[0] > 0:
        _follow_seasons(series[at[0] - 1].window, at[0] - 1, series[at[0] - 1].rows_read, readings)
    for i in range(at[0], len(series)):
        at[0] = i + 1
        its = series[i]
        w = window_at(its.window)
        _begin(its, i, readings, rows, at[1])
        readings.y[i] = values[i, 0]
        if has_ts[i] == 0 and readings.ts[i] <= w.last_ts:
            readings.ts[i] = w.last_ts + 1
        ts = readings.ts[i]
        if ts <= w.last_ts:
            readings.missing[i] = DUPLICATE if ts == w.last_ts else LATE
            continue
        if w.bins != 0 and ts - w.last_ts > max_gap * grid_step(its.window):
            learn_rows(its.window, grid_step(its.window), w.appended)  # the window may be cleared
        missing = push(its.window, ts, values[i], max_gap, HistoryLimits(its.largest_move, its.lowest, its.highest))
        _complete(its, i, missing, readings)
        count = min(w.length, its.rows_read)
        readings.filled[i] = _copy_newest(its.window, count, rows.values, at[1])
        at[1] += count * w.width
        rows.ends[i] = at[1]
        rows.held[i] = count
        if not _follow_seasons(its.window, i, its.rows_read, readings):
            return False
    return True


@part_exactly
def _begin(its: Any, i: int, readings: Readings, rows: Rows, end: int) -> None:
    """Write the columns of reading `i` that are known before its window takes it."""
    for k in range(SEASONS):
        readings.seasons[i, k] = its.seasons[k]
    rows.ends[i] = end
    rows.held[i] = 0
    rows.widths[i] = its.width


@part_exactly
def _complete(its: Any, i: int, missing: int, readings: Readings) -> None:
    """Write the columns of reading `i` that its window knows after taking it."""
    w = window_at(its.window)
    readings.missing[i] = FIRST if w.length == 1 else missing
    readings.steps[i] = grid_step(its.window)
    if w.gridded != 0:
        readings.days[i] = calendar_day(w.last_ts, w.steps, w.steps_seen, readings.steps[i])
    # Without the rows that were filled just before the reading.
    readings.doubted[i] = max(0, count_doubted(its.window) - missing)
    readings.moves[i] = max(its.largest_move, w.largest_move)
    if w.largest_move == 0.0 and its.largest_move == WITHOUT_MODEL:
        readings.moves[i] = -early_move(its.window)


@part_exactly
def _copy_newest(window: int, count: int, rows: Float, at: int) -> int:
    """Copy the newest rows to `rows[at:]`; return how many of them hold no reading."""
    w = window_at(window)
    width = w.width
    buffer = carray(floats_at(w.buffer), (w.room * width,))
    marks = carray(bytes_at(w.filled), (w.room,))
    for j in range(count * width):
        rows[at + j] = buffer[(w.end - count) * width + j]
    filled = 0
    for row in range(w.end - count, w.end):
        filled += marks[row]
    return filled


@part_exactly
def _follow_seasons(window: int, i: int, reads: int, readings: Readings) -> bool:
    """Write the seasons and the terms of those too long for the window; let their profiles learn.

    Return whether the window has the memory that they need.

    Args:
        window: an address.
        i: the place of its newest reading in the batch.
        reads: how many rows the experts read at most.
        readings: of the batch.
    """
    w = window_at(window)
    step = readings.steps[i]
    seasons = readings.seasons[i]
    if seasons[0] == CALENDAR:
        _write_calendar(step, seasons)
    if step == 0.0 or w.gridded == 0:
        return True
    for k in range(SEASONS):
        if seasons[k] >= reads:
            if w.bins == 0:
                return False
            begin_profile(window, k, season_ms(seasons[k], step), seasons[k])
            learn_rows(window, step, (w.appended // BLOCK - 1) * BLOCK)
            write_terms(window, k, step, readings.profiles[i, k])
    return True


@part_exactly
def _write_calendar(step: float, seasons: Int64) -> None:
    """Write the seasons, in rows, that the calendar suggests for a step in milliseconds; 0: none."""
    seasons[:] = 0
    if step == 0.0:
        return
    count = 0
    for days in calendar_days(step):
        rows = np.rint(days * DAY_MS / step)
        if rows >= SHORTEST:
            seasons[count] = int(rows)
            count += 1
