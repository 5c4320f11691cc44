"""The series of a partition in columns, as the loops of a batch read them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Int64
from tidecast.models.calendar_seasons import two_seasons
from tidecast.models.gross_errors import NO_LIMITS
from tidecast.online.engine import Engine
from tidecast.online.kernels.pointers import address_of
from tidecast.online.kernels.series_record import ONLINE_AT
from tidecast.online.kernels.series_rows import CALENDAR, NONE, WITHOUT_MODEL, SeriesRows, series_rows
from tidecast.online.series.condition import watch_reader
from tidecast.online.series.series_entry import SeriesEntry
from tidecast.online.slab import ModelSlot

_silent = watch_reader("silent")
_due = watch_reader("due")


class SeriesColumns:
    """The rows of `SERIES`, `(series or more,)`, by the number of the series."""

    def __init__(self) -> None:
        self._rows = series_rows(0)

    def __getitem__(self, column: str) -> NDArray[Any]:
        """Return a column; a view."""
        return self._rows[column]

    def rows(self, numbers: Int64) -> SeriesRows:
        """Return the rows of the series of these numbers; a copy."""
        return self._rows[numbers]

    def set(self, entry: SeriesEntry, engine: Engine, rows_read: int) -> None:
        """Write the row of a series, whose experts read so many rows."""
        if entry.number >= len(self._rows):
            longer = series_rows(2 * entry.number + 8)
            longer[: len(self._rows)] = self._rows
            self._rows = longer
        state = entry.state
        self._rows[entry.number] = (
            state.window.address,
            state.address,
            state.address + ONLINE_AT,
            len(state.features),
            rows_read,
            *_of_model(entry.slot, engine),
            entry.shadow is not None and state.probation is not None,
            entry.slot is not None and entry.slot.own is not None,
            state.probation is None,
            entry.rule,
            0 if _silent(state.record) else _due(state.record),
            (address_of(np.frombuffer(state.names, np.uint8)), len(state.names)),
        )


def _of_model(slot: ModelSlot | None, engine: Engine) -> tuple[Any, ...]:
    """Return the columns from `slab` to `highest`."""
    if slot is None:
        return NONE, 0, NONE, (CALENDAR, CALENDAR), 0, 0, 0.0, 0, WITHOUT_MODEL, *NO_LIMITS
    return (
        slot.slab.number,
        slot.row,
        engine.cohort_number(slot.shared),
        two_seasons(slot.seasons),
        slot.version,
        address_of(slot.errors),
        slot.half_width,
        slot.trained_until,
        slot.largest_move,
        *slot.known,
    )
