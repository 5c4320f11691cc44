"""The profile of a season too long for a window, such as the 10,080 minutes of a week, in bounded memory.

The season is divided into at most 288 bins. A bin holds the mean of its readings, averaged over the seasons. A reading
adds to its own bin alone, so the cost does not grow with the season. Values between the middles of two bins are
interpolated. A bin is learned one bin late: until then both values of a change date from the season before.
"""

import math
from typing import Any

import numpy as np

from tidecast.arrays import Float32
from tidecast.online.kernels.decorators import compiled, part
from tidecast.online.kernels.pointers import record_at
from tidecast.wire.state_format import SEASON_PROFILE

MOST_BINS = 288
NEWEST = 0.3  # the weight of the newest season in a bin
UNCHANGED = -1

profile_at = record_at(SEASON_PROFILE)


def new_profile() -> np.recarray:
    """Return the numbers of a profile without readings, and with unknown bins, see `new_bins`."""
    profile = np.zeros(1, SEASON_PROFILE).view(np.recarray)
    profile.bin = profile.closed_bin = UNCHANGED
    return profile


def new_bins(season: int) -> Float32:
    """Return the unknown bins of a season, `(bins,)`."""
    return np.full(min(season, MOST_BINS), np.nan, np.float32)


@compiled
def add_reading(address: int, bins: Float32, phase: float, y: float) -> int:
    """Add a reading; return the bin that has changed, `UNCHANGED` if none has.

    Args:
        address: of a `SEASON_PROFILE`.
        bins: `(bins,)` the values less the reference, NaN while unknown; changed in place.
        phase: the place of the reading in its season, from 0 to 1, without 1.
        y: the reading, which must not be doubted.
    """
    profile = profile_at(address)
    current = min(int(phase * len(bins)), len(bins) - 1)
    changed = UNCHANGED
    if profile.bin == UNCHANGED:
        profile.reference = y
        profile.bin = current
    elif profile.bin != current:
        changed = _learn_closed(profile, bins)
        profile.closed_bin = profile.bin
        profile.closed_mean = profile.total / profile.readings
        profile.bin = current
        profile.total = 0.0
        profile.readings = 0.0
    profile.total += y - profile.reference
    profile.readings += 1
    return changed


@part
def _learn_closed(profile: Any, bins: Float32) -> int:
    """Average the mean of the closed bin into its value; return that bin, `UNCHANGED` without one."""
    closed = int(profile.closed_bin)
    mean = profile.closed_mean
    if closed == UNCHANGED or not math.isfinite(np.float32(mean)):
        return UNCHANGED
    value = float(bins[closed])
    bins[closed] = mean if math.isnan(value) else value + NEWEST * (mean - value)
    return closed


@compiled
def profile_value(address: int, bins: Float32, phase: float) -> float:
    """Return the profile's value at a place in the season, in the series' unit; NaN while it is not known.

    Args:
        address: of a `SEASON_PROFILE`.
        bins: `(bins,)`, see `add_reading`.
        phase: from 0 to 1, without 1.
    """
    place = phase * len(bins) - 0.5
    first = math.floor(place)
    share = place - first
    before = bins[int(first) % len(bins)]
    after = bins[(int(first) + 1) % len(bins)]
    return float(profile_at(address).reference + before + share * (after - before))
