"""The newest rows of many series in one array, as the compiled loops read them."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

from tidecast.arrays import Float, Int64


class Rows(NamedTuple):
    """The newest rows of many series.

    Attributes:
        values: the numbers of all rows of all series, row after row.
        ends: `(n,)` the place after each series' newest row in `values`.
        held: `(n,)` the number of rows of each.
        widths: `(n,)` the number of features of each.
    """

    values: Float
    ends: Int64
    held: Int64
    widths: Int64

    @classmethod
    def of(cls, windows: Sequence[Float]) -> Self:
        """Concatenate windows, each `(held, features)`."""
        sizes = np.array([window.size for window in windows], np.int64)
        held = np.array([len(window) for window in windows], np.int64)
        widths = np.array([window.shape[1] for window in windows], np.int64)
        values = np.concatenate([np.ravel(window) for window in windows]) if windows else np.zeros(0)
        return cls(values, sizes.cumsum(), held, widths)

    @classmethod
    def of_windows(cls, windows: Float, held: Int64) -> Self:
        """Take the last `held` rows, `(n,)`, of windows of one shape, `(n, rows, features)`."""
        n, rows, features = windows.shape
        ends = rows * features * np.arange(1, n + 1)
        return cls(np.ravel(windows).astype(np.float64, copy=False), ends, held, np.full(n, features))

    def chosen(self, indices: Int64 | slice) -> Self:
        """Return the rows of some series."""
        return self._replace(ends=self.ends[indices], held=self.held[indices], widths=self.widths[indices])

    def window(self, i: int) -> Float:
        """Return the rows of one series, `(held, features)`."""
        width = int(self.widths[i])
        count = int(self.held[i])
        end = int(self.ends[i])
        return self.values[end - count * width : end].reshape(count, width)
