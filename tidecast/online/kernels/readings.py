"""The readings of a batch in columns, as the compiled loops read and write them."""

from typing import NamedTuple, Self

import numpy as np

from tidecast.arrays import Bools, Float, Int64
from tidecast.models.calendar_steps import times_ahead
from tidecast.online.kernels.placing.profiles import PROFILE_TERMS
from tidecast.wire.state_format import SEASONS

FIRST, DUPLICATE, LATE = -1, -2, -3  # in place of a number of missing steps


class Readings(NamedTuple):
    """The readings of a batch; the window of each one's series completes its columns.

    Attributes:
        number: `(n,)` of each one's series in the partition.
        ts: `(n,)` epoch milliseconds.
        arrived: `(n,)` epoch milliseconds.
        y: `(n,)`.
        missing: `(n,)` how many steps were missing before the reading, and were filled; FIRST: its window begins with
            it; DUPLICATE or LATE: it was not accepted.
        filled: `(n,)` how many rows that the experts read hold no reading: interpolated, or in place of a doubted one.
        steps: `(n,)` the steps of their series, in milliseconds; 0: not known.
        days: `(n,)` the days of the month on which the readings of the series lie, as `calendar_day` returns them.
        doubted: `(n,)` how many readings in a row, this one last, are doubted.
        moves: `(n,)` the usual largest move; 0: not known; below 0: without a model, a guess from the newest rows,
            with its sign changed.
        seasons: `(n, SEASONS)` in rows; 0: the series has no such season.
        profiles: `(n, SEASONS, PROFILE_TERMS)`, the terms of `placing/profiles.py` of the seasons too long for the
            window; NaN: not known.
    """

    number: Int64
    ts: Int64
    arrived: Int64
    y: Float
    missing: Int64
    filled: Int64
    steps: Float
    days: Int64
    doubted: Int64
    moves: Float
    seasons: Int64
    profiles: Float

    @classmethod
    def of(cls, number: Int64, ts: Int64, arrived: Int64) -> Self:
        """Return readings that no window has completed: nothing is missing, filled, doubted or known."""
        n = len(ts)
        return cls(
            number,
            ts,
            arrived,
            y=np.zeros(n),
            missing=np.zeros(n, np.int64),
            filled=np.zeros(n, np.int64),
            steps=np.zeros(n),
            days=np.zeros(n, np.int64),
            doubted=np.zeros(n, np.int64),
            moves=np.zeros(n),
            seasons=np.zeros((n, SEASONS), np.int64),
            profiles=np.full((n, SEASONS, PROFILE_TERMS), np.nan),
        )

    def chosen(self, places: Int64) -> Self:
        """Return some of the readings."""
        return type(self)._make(column[places] for column in self)

    def times_ahead(self, steps: int) -> Int64:
        """Return the times that are so many steps after the readings, epoch milliseconds: `(n,)`."""
        return times_ahead(self.ts, self.steps, self.days, steps)

    @property
    def accepted(self) -> Bools:
        """Return which readings their windows have accepted: `(n,)`."""
        accepted: Bools = self.missing >= FIRST
        return accepted
