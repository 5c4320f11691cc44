"""Detect the end of strong noise, after which the records of the experts say little.

In noise the best experts are those that ignore the newest reading, such as a median. Once it ends, errors become many
times smaller, but the large ones of before would decide the records for some sixty readings more. So when a stretch
with mostly large moves is followed by small ones, the records start again.

A series whose calm and restless parts alternate is not noise that ends: its records should remember both. So an end of
noise counts only if there was none for some hundred readings.
"""

import math
from typing import Any

import numpy as np

from tidecast.arrays import Bytes, Float32
from tidecast.online.kernels.decorators import part_exactly

LARGE = 0.25  # of the mean move by the fast record: a move that is not small. In normal noise 84 % are large
FULL = 16  # large moves, less those that small ones cancel: a stretch of noise
SMALL = 2  # large moves that a small one cancels; at 0 the noise has ended
APART = 250  # readings without an end of noise before one counts


@part_exactly
def noise_ends(noise: Any, move: float, mean_move: float) -> bool:
    """Return whether a reading shows that strong noise has ended, and update the series' `NOISE` with it.

    Args:
        noise: the series' `NOISE`, all zero at first.
        move: the last value's error at the reading.
        mean_move: its mean error by the fast record, before the reading.
    """
    if not (math.isfinite(move) and math.isfinite(mean_move)):
        return False
    if noise.waiting > 0:
        noise.waiting -= 1
    if move >= LARGE * mean_move:
        noise.large = min(FULL, noise.large + 1)
    else:
        noise.large = max(0, noise.large - SMALL)
    if noise.large == FULL:
        noise.full = 1
    if noise.full == 0 or noise.large > 0:
        return False
    counts = noise.waiting == 0
    noise.full = 0
    noise.waiting = APART
    return bool(counts)


@part_exactly
def forget(errors: Float32, evidence: Bytes) -> None:
    """Forget the records of all experts, so that the next errors are their first ones."""
    errors[:] = np.nan
    evidence[:] = 0
