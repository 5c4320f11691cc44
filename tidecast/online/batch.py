"""A batch of readings on its way through the forecaster, in columns, and its result, which the worker commits."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from tidecast.arrays import Bools, Float, Int64
from tidecast.online.drift import Drift
from tidecast.online.slab import ModelSlot, PredictionRequest
from tidecast.online.state import SeriesState
from tidecast.wire import DeadLetter, Event, Fields, Forecasts

Entry = tuple[str, Fields]  # the id and the fields of one entry of `readings`
Values = tuple[float, ...]  # of a series' features, the target first


@dataclass(slots=True)
class SeriesEntry:
    """A series of the partition with its models in the engine, as the loops need it."""

    series: str
    field: bytes | None  # the field of its only feature; None where it has several
    state: SeriesState
    slot: ModelSlot | None
    rows_read: int  # how many rows its experts read
    first_errors: int  # address of its model's first errors; `slot` keeps the array alive
    shadow: ModelSlot | None  # the former champion, while the current one is on probation


@dataclass(slots=True)
class BatchResult:
    """The result of a batch, which is committed as a whole or not at all."""

    last: str  # the id of the batch's last entry
    forecasts: Forecasts = field(default_factory=Forecasts)
    dead: list[DeadLetter] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)  # by disposition; sums to the entries of the batch
    states: dict[str, bytes] = field(default_factory=dict)  # new state of the batch's series, by field
    intervals: Counter[str] = field(default_factory=Counter)  # readings inside and outside their interval
    drifts: list[Drift] = field(default_factory=list)  # detected changes of series
    events: list[Event] = field(default_factory=list)  # events for people and programs


@dataclass(slots=True)
class Batch:
    """The readings of a batch in columns.

    Parsing fills the first four columns, with one row for each valid reading. Placing keeps the readings that their
    windows accept, and fills the others.
    """

    ids: list[str] = field(default_factory=list)
    members: list[SeriesEntry] = field(default_factory=list)
    ts: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))  # epoch milliseconds
    values: list[Values] = field(default_factory=list)
    y: Float = field(default_factory=lambda: np.zeros(0))
    next_ts: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))  # the time to forecast; `ts` if not known
    step_known: Bools = field(default_factory=lambda: np.zeros(0, bool))  # whether `next_ts` is known
    skipped: Bools = field(default_factory=lambda: np.zeros(0, bool))  # steps were missing before it, filled or not
    filled: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))  # rows without a reading that experts read
    doubted: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))  # doubted readings in a row, it the last
    moves: Float = field(default_factory=lambda: np.zeros(0))  # the usual largest move, 0 if it is not known
    requests: list[PredictionRequest] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def keep(self, accepted: Int64) -> None:
        """Keep these rows of the columns that parsing fills."""
        if len(accepted) < len(self.ids):
            chosen = accepted.tolist()
            self.ids = [self.ids[i] for i in chosen]
            self.members = [self.members[i] for i in chosen]
            self.values = [self.values[i] for i in chosen]
            self.ts = self.ts[accepted]
