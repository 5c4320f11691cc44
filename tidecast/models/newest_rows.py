"""The newest rows of the history that a model was trained on: a worker that meets the series begins its window so."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from tidecast.arrays import Float, Int64
from tidecast.models.time_grid import Grid


@dataclass(frozen=True, slots=True)
class NewestRows:
    """The newest rows of a history on its grid, without a long gap between them.

    Attributes:
        ts: `(rows,)` epoch milliseconds, increasing.
        values: `(rows, features)`, finite.
        filled: `(rows,)`, 1 for a row that was interpolated or holds a gross error, else 0.
    """

    ts: Int64
    values: Float
    filled: Int64

    @classmethod
    def of(cls, grid: Grid, most: int) -> Self:
        """Return at most so many rows of a grid's last segment."""
        first = max(int(np.searchsorted(grid.segment, grid.segment[-1])), len(grid) - most)
        return cls(grid.ts[first:], grid.values[first:], (~grid.measured[first:]).astype(np.int64))

    def __len__(self) -> int:
        return len(self.ts)

    def before(self, ts: int) -> Self:
        """Return the rows before a reading of time `ts`; the last one holds a reading unless all rows are before it."""
        stop = int(np.searchsorted(self.ts, ts))
        if stop < len(self):
            stop = int(np.flatnonzero(self.filled[:stop] == 0).max(initial=-1)) + 1
        return type(self)(self.ts[:stop], self.values[:stop], self.filled[:stop])

    def is_valid(self) -> bool:
        """Return whether the arrays, whose shapes agree, hold what they are defined to hold."""
        increasing = bool((self.ts[1:] > self.ts[:-1]).all())
        marks = not (self.filled & ~1).any()
        return increasing and marks and bool(np.isfinite(self.values).all())
