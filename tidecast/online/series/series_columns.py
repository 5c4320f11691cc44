"""The series of a partition in columns, as the loops of a batch read them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidecast.models.calendar_seasons import two_seasons
from tidecast.models.gross_errors import NO_LIMITS
from tidecast.online.engine import Engine
from tidecast.online.kernels.placing.taking import CALENDAR, WITHOUT_MODEL
from tidecast.online.kernels.pointers import address_of
from tidecast.online.kernels.series_record import ONLINE_AT
from tidecast.online.requests import NONE
from tidecast.online.series.condition import watch_reader
from tidecast.online.series.series_entry import SeriesEntry
from tidecast.online.slab import ModelSlot

COLUMNS = np.dtype(
    [
        ("window", np.int64),  # the address of the window's numbers
        ("record", np.int64),  # the address of the record
        ("online", np.int64),  # the address of the numbers of the experts that learn from every reading
        ("width", np.int64),  # the number of features
        ("rows_read", np.int64),  # how many rows the experts read
        ("slab", np.int64),  # the number of its model's slab, or NONE
        ("model", np.int64),  # the model's row in the slab
        ("cohort", np.int64),  # the number of its model's cohort, or NONE
        ("seasons", np.int64, (2,)),  # the seasons of its model, in rows, 0: none; or `CALENDAR` without a model
        ("version", np.int64),  # the version of its model; 0: it has none
        ("first_errors", np.int64),  # the address of the model's first errors; the model's slot keeps them alive
        ("half_width", np.float64),  # the model's
        ("trained_until", np.int64),  # epoch milliseconds: a model is not judged by readings up to then
        ("largest_move", np.float64),  # of the model's history; 0: not known; or `WITHOUT_MODEL`
        ("lowest", np.float64),  # the lowest value of that history
        ("highest", np.float64),  # the highest value of that history
        ("tested", np.int64),  # 1 if its champion is compared with a loaded shadow
        ("own", np.int64),  # 1 if its model has an expert of the user's own
        ("plain", np.int64),  # 1 if its state has no shadow test
        ("rule", np.int64),  # the address of the rule of its anomalies
        ("due", np.float64),  # when it counts as silent, epoch milliseconds; 0: it is not watched
        ("stored_names", np.int64, (2,)),  # address and length of the stored names of its features
    ]
)
_silent = watch_reader("silent")
_due = watch_reader("due")


class SeriesColumns:
    """The `COLUMNS`, `(series or more,)` each, by the number of the series."""

    def __init__(self) -> None:
        self._rows: NDArray[Any] = np.zeros(0, COLUMNS)

    def __getitem__(self, column: str) -> NDArray[Any]:
        """Return a column; a view."""
        return self._rows[column]

    def set(self, entry: SeriesEntry, engine: Engine, rows_read: int) -> None:
        """Write the row of a series, whose experts read so many rows."""
        if entry.number >= len(self._rows):
            longer = np.zeros(2 * entry.number + 8, COLUMNS)
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
