"""The inputs that are known ahead, as further columns of the rows of many series."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tidecast.arrays import Bools, Float, Int64
from tidecast.models.known.inputs import KnownInputs
from tidecast.models.known.values import ALWAYS, KnownValues
from tidecast.online.kernels.rows import Rows

AHEAD = 64  # rows that are looked up at once


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
        """Return the values for some of the requests."""
        return KnownAhead(self.values, [self.series[i] for i in indices.tolist()], self.as_of[indices])


class KnownLookup:
    """The known inputs of one model, looked up for some rows ahead at a time: most readings only take a slice.

    Args:
        inputs: of the model.
    """

    def __init__(self, inputs: KnownInputs) -> None:
        self.inputs = inputs
        self._values: KnownValues | None = None
        self._changes: tuple[tuple[int, ...], int] = ((), ALWAYS)
        self._first_ts = 0  # of the first row of the table, epoch milliseconds
        self._table: Float = np.zeros((0, len(inputs.names)))

    def rows(self, values: KnownValues, series: str, next_ts: int, count: int, as_of: int) -> Float:
        """Return the inputs of the newest rows before a time to forecast, as `KnownInputs.rows` does."""
        changes = values.changes(series)
        if as_of < changes[1] or self.inputs.row_ms % 1:  # some values were not known yet, or rows do not coincide
            return self.inputs.rows(values, series, next_ts, count, as_of)
        step = int(self.inputs.row_ms)
        if values is not self._values or changes != self._changes or not self._holds(next_ts, count, step):
            self._values = values
            self._changes = changes
            self._first_ts = next_ts - (count - 1) * step
            self._table = self.inputs.rows(values, series, next_ts + AHEAD * step, count + AHEAD, as_of)
        stop = (next_ts - self._first_ts) // step + 1
        return self._table[stop - count : stop]

    def _holds(self, next_ts: int, count: int, step: int) -> bool:
        newest, off = divmod(next_ts - self._first_ts, step)
        return not off and count - 1 <= newest < len(self._table)


def with_known(rows: Rows, lookups: Sequence[KnownLookup], next_ts: Int64, known: KnownAhead | None) -> Rows:
    """Return the rows with the known inputs of each series as further columns.

    Args:
        rows: the rows of the features.
        lookups: `(n,)` of each series' model, with the same number of inputs.
        next_ts: `(n,)` the time to forecast, epoch milliseconds.
        known: where they are looked up; None: only those are known that are computed from the time.
    """
    wide = []
    nothing = KnownValues()
    for i, (lookup, ts) in enumerate(zip(lookups, next_ts.tolist(), strict=True)):
        window = rows.window(i)
        values = known.values if known else nothing
        series = known.series[i] if known else ""
        as_of = int(known.as_of[i]) if known else 0
        wide.append(np.concatenate([window, lookup.rows(values, series, ts, len(window), as_of)], axis=1))
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
