"""The median of a series' newest rows: the best forecast, by the absolute error, of noise around a level."""

import math

import numpy as np

from tidecast.arrays import Float
from tidecast.online.kernels.decorators import part

MOST_ROWS = 31
LEAST_ROWS = 5


@part
def median_of_newest(values: Float) -> float:
    """Return the median of the newest rows, at most 31 and an odd number of them; NaN for fewer than 5.

    Args:
        values: `(held,)` the newest values.
    """
    held = len(values)
    rows = min(held, MOST_ROWS)
    if rows < LEAST_ROWS:
        return math.nan
    rows -= 1 - rows % 2  # an odd number has a middle
    ordered = np.empty(rows)
    for i in range(rows):
        value = values[held - rows + i]
        place = i
        while place > 0 and ordered[place - 1] > value:
            ordered[place] = ordered[place - 1]
            place -= 1
        ordered[place] = value
    return float(ordered[rows // 2])
