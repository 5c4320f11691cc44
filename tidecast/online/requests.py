"""The requests for forecasts of a batch, in columns: the newest rows of each series, and its models."""

from dataclasses import dataclass

from tidecast.arrays import Int64
from tidecast.online.kernels.rows import Rows
from tidecast.online.known_rows import KnownAhead


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests for forecasts of the next value of many series; some may be about the same series.

    Attributes:
        slabs: `(n,)` the number of the slab of each series' model, or NONE.
        models: `(n,)` the model's row in its slab.
        cohorts: `(n,)` the number of the cohort whose network forecasts too, or NONE.
        rows: the newest rows of each series.
        next_ts: `(n,)` the time to forecast, epoch milliseconds.
        seasons: `(n, 2)` of the series without a model, in rows; 0: not known. None: no series has any.
        known: where the values known ahead are looked up; None: no model reads any.
    """

    slabs: Int64
    models: Int64
    cohorts: Int64
    rows: Rows
    next_ts: Int64
    known: KnownAhead | None = None
    seasons: Int64 | None = None

    def __len__(self) -> int:
        return len(self.slabs)
