"""The inputs that are known ahead, as further columns of the rows of many series."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tidecast.arrays import Bools, Float, Int64
from tidecast.models.known.inputs import KnownInputs
from tidecast.models.known.values import KnownValues
from tidecast.online.kernels.rows import Rows


@dataclass(frozen=True, slots=True)
class KnownAhead:
    """Where the values that are known ahead of a batch's series are looked up.

    Attributes:
        values: the values.
        series: `(n,)` the names of the series.
        as_of: `(n,)` the moments at which the values must be known, epoch milliseconds.
    """

    values: KnownValues
    series: Sequence[str]
    as_of: Int64

    def chosen(self, indices: Int64) -> "KnownAhead":
        """Return those of some series."""
        return KnownAhead(self.values, [self.series[i] for i in indices.tolist()], self.as_of[indices])


def with_known(rows: Rows, inputs: Sequence[KnownInputs], next_ts: Int64, known: KnownAhead | None) -> Rows:
    """Return the rows with the known inputs of each series as further columns.

    Args:
        rows: the rows of the features.
        inputs: `(n,)` the known inputs of each series' model, the same number for all.
        next_ts: `(n,)` the time to forecast, epoch milliseconds.
        known: where they are looked up; None: only those are known that are computed from the time.
    """
    wide = []
    for i, (its, ts) in enumerate(zip(inputs, next_ts.tolist(), strict=True)):
        window = rows.window(i)
        values = known.values if known else None
        series = known.series[i] if known else ""
        as_of = int(known.as_of[i]) if known else 0
        wide.append(np.column_stack([window, its.rows(values, series, ts, len(window), as_of)]))
    return Rows.of(wide)


def lacks_newest(rows: Rows, first: int) -> Bools:
    """Return which series lack a value for the time to forecast in the columns from `first` on, `(n,)`."""
    at = rows.ends[:, None] - rows.widths[:, None] + np.arange(first, rows.widths.max(initial=first))
    return np.asarray(np.isnan(rows.values[at]).any(axis=1))


def lacks_terms(rows: Rows, lags: Int64, columns: Int64, used: Bools) -> Bools:
    """Return which series lack the value of a used term, `(n,)`.

    Args:
        rows: the rows of all series.
        lags: `(n, terms)` as in `LinearExperts`.
        columns: `(n, terms)`.
        used: `(n, terms)` the terms that must be known.
    """
    at = rows.ends[:, None] - (lags + 1) * rows.widths[:, None] + columns
    values: Float = rows.values[np.where(used & (lags < rows.held[:, None]), at, 0)]
    return np.asarray((np.isnan(values) & used).any(axis=1))
