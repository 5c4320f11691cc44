"""The series of a partition in columns, as the loops of a batch read them."""

from dataclasses import dataclass, field, fields

import numpy as np

from tidecast.arrays import Float, Int64
from tidecast.models.calendar_seasons import two_seasons
from tidecast.models.gross_errors import NO_LIMITS
from tidecast.online.engine import Engine
from tidecast.online.kernels.placing.taking import CALENDAR, WITHOUT_MODEL
from tidecast.online.kernels.pointers import address_of
from tidecast.online.kernels.series_record import ONLINE_AT
from tidecast.online.requests import NONE
from tidecast.online.series.state import SeriesState
from tidecast.online.slab import ModelSlot


def _integers() -> Int64:
    return np.zeros(0, np.int64)


def _floats() -> Float:
    return np.zeros(0)


@dataclass(slots=True)
class SeriesColumns:
    """The columns, `(series or more,)` each, by the number of the series.

    Attributes:
        window: the address of the window's numbers.
        record: the address of the record.
        online: the address of the numbers of the experts that learn from every reading.
        width: the number of features.
        rows_read: how many rows the experts read.
        slab: the number of its model's slab, or NONE.
        model: the model's row in the slab.
        cohort: the number of its model's cohort, or NONE.
        seasons: `(series or more, 2)` the seasons of its model, in rows, 0: none; or `CALENDAR` without a model.
        version: the version of its model; 0: it has none.
        first_errors: the address of the model's first errors; the model's slot keeps them alive.
        half_width: the model's.
        trained_until: epoch milliseconds: a model is not judged by readings up to then.
        largest_move: of the model's history; 0: not known; or `WITHOUT_MODEL`.
        lowest: the lowest value of that history.
        highest: the highest value of that history.
        tested: 1 if its champion is compared with a loaded shadow.
        own: 1 if its model has an expert of the user's own.
        plain: 1 if its state has no shadow test.
        rule: the address of the rule of its anomalies.
        due: when it counts as silent, epoch milliseconds; 0: it is not watched.
        stored_names: `(series or more, 2)` address and length of the stored names of its features.
    """

    window: Int64 = field(default_factory=_integers)
    record: Int64 = field(default_factory=_integers)
    online: Int64 = field(default_factory=_integers)
    width: Int64 = field(default_factory=_integers)
    rows_read: Int64 = field(default_factory=_integers)
    slab: Int64 = field(default_factory=_integers)
    model: Int64 = field(default_factory=_integers)
    cohort: Int64 = field(default_factory=_integers)
    seasons: Int64 = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    version: Int64 = field(default_factory=_integers)
    first_errors: Int64 = field(default_factory=_integers)
    half_width: Float = field(default_factory=_floats)
    trained_until: Int64 = field(default_factory=_integers)
    largest_move: Float = field(default_factory=_floats)
    lowest: Float = field(default_factory=_floats)
    highest: Float = field(default_factory=_floats)
    tested: Int64 = field(default_factory=_integers)
    own: Int64 = field(default_factory=_integers)
    plain: Int64 = field(default_factory=_integers)
    rule: Int64 = field(default_factory=_integers)
    due: Float = field(default_factory=_floats)
    stored_names: Int64 = field(default_factory=lambda: np.zeros((0, 2), np.int64))

    def set(self, number: int, state: SeriesState, slot: ModelSlot | None, engine: Engine, rows_read: int) -> None:
        """Write the row of a series."""
        self._hold(number)
        watch = state.fields.watch
        self.window[number] = state.window.address
        self.record[number] = state.address
        self.online[number] = state.address + ONLINE_AT
        self.width[number] = len(state.features)
        self.rows_read[number] = rows_read
        self.slab[number] = slot.slab.number if slot else NONE
        self.model[number] = slot.row if slot else 0
        self.cohort[number] = engine.cohort_number(slot.shared) if slot else NONE
        self.seasons[number] = two_seasons(slot.seasons) if slot else CALENDAR
        self.version[number] = slot.version if slot else 0
        self.first_errors[number] = address_of(slot.errors) if slot else 0
        self.half_width[number] = slot.half_width if slot else 0.0
        self.trained_until[number] = slot.trained_until if slot else 0
        self.largest_move[number] = slot.largest_move if slot else WITHOUT_MODEL
        self.lowest[number], self.highest[number] = slot.known if slot else NO_LIMITS
        self.own[number] = slot is not None and slot.own is not None
        self.plain[number] = state.probation is None
        self.due[number] = 0 if watch.silent else watch.due
        self.stored_names[number] = address_of(np.frombuffer(state.names, np.uint8)), len(state.names)

    def set_rule(self, number: int, rule: Float) -> None:
        """Write the address of the rule of a series' anomalies; the caller keeps the rule alive."""
        self._hold(number)
        self.rule[number] = address_of(rule)

    def _hold(self, number: int) -> None:
        """Make the columns longer if they do not have this row."""
        if number < len(self.window):
            return
        length = 2 * number + 8
        for column in fields(self):
            old = getattr(self, column.name)
            longer = np.zeros((length, *old.shape[1:]), old.dtype)
            longer[: len(old)] = old
            setattr(self, column.name, longer)
