"""The profile of a season too long for a window, such as the 1,440 minutes of a day, in bounded memory.

The season is divided into as many bins as it has rows, at most `MOST_BINS`. A bin holds the mean of its rows, averaged
over the seasons. Values between the middles of two bins are interpolated. A row's place is given by its time, so that
gaps do not matter. A row teaches its own bin alone, so the cost does not grow with the season.

Rows are learned a block at a time, when the window's next block is full, so that few commits change the bins. And the
rows that a term compares are not learned yet: all their values date from the seasons before.
"""

import math
from typing import Any

import numpy as np

from tidecast.arrays import Float, Float32
from tidecast.online.kernels.decorators import part_exactly
from tidecast.online.kernels.placing.window_numbers import window_at
from tidecast.online.kernels.pointers import bytes_at, carray, floats_at, record_at, singles_at
from tidecast.wire.state_format import BIN_BLOCK, MOST_BINS, NUMBER, PROFILE, SEASONS, WINDOW, place_in

NEWEST = 0.15  # the weight of the newest season in a bin, at least; the first seasons count equally
PROFILE_TERMS = 3
COMPARED = 24  # rows whose mean distance from the profile is a term: fewer than in a block, see above
OTHER_BINS = 0.1  # of the bins: a season with so many more or fewer rows begins a new profile
EXACT = 1e-6  # bins: nearer to the middle of a bin there is nothing to interpolate
PROFILES_AT = NUMBER * place_in(WINDOW, "profile")  # bytes before the profiles among a window's numbers
PROFILE_SIZE = PROFILE.itemsize

profile_at = record_at(PROFILE)


@part_exactly
def begin_profile(window: int, season: int, period: float, rows: int) -> None:
    """Begin the profile of a season, unless the window has it.

    Args:
        window: the address of a window with memory for bins.
        season: 0 or 1.
        period: of the season, in milliseconds.
        rows: of the season.
    """
    profile = profile_at(window + PROFILES_AT + season * PROFILE_SIZE)
    bins = min(rows, MOST_BINS)
    if profile.period == period and abs(profile.bins - bins) <= OTHER_BINS * bins:
        return
    profile.period = period
    profile.number = (profile.number + 1) % 2**32
    profile.bins = bins
    profile.next_row = 0
    profile.learned = profile.reference = 0.0
    profile.open = profile.closed = 0
    profile.open_rows = profile.open_sum = profile.closed_rows = profile.closed_mean = 0.0
    _bins_of(window, season)[:] = np.nan
    window_at(window).unsaved_bins[season] = 0


@part_exactly
def learn_rows(window: int, step: float, stop: int) -> None:
    """Let the profiles learn from the window's rows, up to the one before the number `stop`."""
    w = window_at(window)
    buffer = carray(floats_at(w.buffer), (w.room * w.width,))
    marks = carray(bytes_at(w.filled), (w.room,))
    for season in range(SEASONS):
        profile = profile_at(window + PROFILES_AT + season * PROFILE_SIZE)
        if profile.period == 0.0:
            continue
        bins = _bins_of(window, season)
        for number in range(max(profile.next_row, w.appended - w.length), stop):
            back = w.appended - 1 - number
            if not marks[w.end - 1 - back]:
                y = buffer[(w.end - 1 - back) * w.width]
                changed = _learn_row(profile, bins, _bin_of(profile, _place(profile, w.last_ts - back * step, step)), y)
                if changed >= 0:
                    w.unsaved_bins[season] |= 1 << (changed // BIN_BLOCK)
        profile.next_row = max(profile.next_row, stop)


@part_exactly
def _learn_row(profile: Any, bins: Float32, place: int, y: float) -> int:
    """Add a row to the open bin, or close that and learn the bin before it; return the changed bin, or -1."""
    changed = -1
    if profile.learned == 0.0 and profile.open_rows == 0.0:
        profile.reference = y
    elif profile.open != place:
        changed = _learn_closed(profile, bins)
        profile.closed = profile.open
        profile.closed_rows = profile.open_rows
        profile.closed_mean = profile.open_sum / profile.open_rows
        profile.open_rows = profile.open_sum = 0.0
    profile.open = place
    profile.open_rows += 1
    profile.open_sum += y - profile.reference
    return changed


@part_exactly
def _learn_closed(profile: Any, bins: Float32) -> int:
    """Average the mean of the closed bin into its value; return that bin, or -1 without one."""
    mean = np.float32(profile.closed_mean)
    if profile.closed_rows == 0.0 or not math.isfinite(mean):
        return -1
    profile.learned += 1
    value = bins[profile.closed]
    seasons = math.ceil(profile.learned / profile.bins)
    bins[profile.closed] = mean if math.isnan(value) else value + max(NEWEST, 1 / seasons) * (mean - value)
    return int(profile.closed)


@part_exactly
def write_terms(window: int, season: int, step: float, terms: Float) -> None:
    """Write the terms that a season's profile gives for the change after the newest row.

    Args:
        window: an address.
        season: 0 or 1.
        step: milliseconds.
        terms: `(PROFILE_TERMS,)`, NaN so far, which they stay if the profile is not known there: the change of the
            profile; its next value less the newest row; the mean distance of recent rows above the profile, less that
            of the newest.
    """
    w = window_at(window)
    profile = profile_at(window + PROFILES_AT + season * PROFILE_SIZE)
    bins = _bins_of(window, season)
    values = carray(floats_at(w.buffer), (w.room * w.width,))
    place = _place(profile, float(w.last_ts), step)
    per_row = profile.bins * step / profile.period
    newest = values[(w.end - 1) * w.width]
    now = _value(profile, bins, place)
    after = _value(profile, bins, place + per_row)
    if math.isnan(now) or math.isnan(after):
        return
    total = 0.0
    count = 0
    for back in range(min(COMPARED, w.length)):
        value = _value(profile, bins, place - back * per_row)
        if not math.isnan(value):
            total += values[(w.end - 1 - back) * w.width] - value
            count += 1
    terms[0] = after - now
    terms[1] = after - newest
    terms[2] = total / count - (newest - now)


@part_exactly
def _bins_of(window: int, season: int) -> Float32:
    """Return the bins of a season, `(MOST_BINS,)`."""
    bins: Float32 = carray(singles_at(window_at(window).bins), (SEASONS, MOST_BINS))[season]
    return bins


@part_exactly
def _place(profile: Any, ts: float, step: float) -> float:
    """Return the place of a row in the season, in bins: whole at the middle of one. A row lasts for a step."""
    return float((ts + step / 2) % profile.period / profile.period * profile.bins - 0.5)


@part_exactly
def _bin_of(profile: Any, place: float) -> int:
    return min(max(int(np.rint(place)), 0), int(profile.bins) - 1)


@part_exactly
def _value(profile: Any, bins: Float32, place: float) -> float:
    """Return the profile at a place, which may be outside the season; NaN while it is not known."""
    count = int(profile.bins)
    nearest = np.rint(place)
    if abs(place - nearest) < EXACT:
        return float(profile.reference + bins[int(nearest) % count])
    first = math.floor(place)
    before = bins[int(first) % count]
    after = bins[(int(first) + 1) % count]
    return float(profile.reference + before + (place - first) * (after - before))
