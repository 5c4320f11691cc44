"""A batch of readings on its way through the forecaster, in columns, and its result, which the worker commits."""

from collections import Counter
from dataclasses import dataclass, field

from tidecast.arrays import Bools, Float, Int64
from tidecast.models.calendar_steps import times_ahead
from tidecast.online.drift import Drift
from tidecast.online.requests import Requests
from tidecast.online.series.state_changes import StateChanges
from tidecast.wire import DeadLetter, Event, Fields, Forecasts

Entry = tuple[str, Fields]  # the id and the fields of one entry of `readings`


@dataclass(slots=True)
class BatchResult:
    """The result of a batch, which is committed as a whole or not at all."""

    last: str  # the id of the batch's last entry
    forecasts: Forecasts = field(default_factory=Forecasts)
    dead: list[DeadLetter] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)  # by disposition; sums to the entries of the batch
    states: StateChanges = field(default_factory=StateChanges)  # new state of the batch's series, by field
    intervals: Counter[str] = field(default_factory=Counter)  # readings inside and outside their interval
    drifts: list[Drift] = field(default_factory=list)  # detected changes of series
    events: list[Event] = field(default_factory=list)  # events for people and programs


@dataclass(frozen=True, slots=True)
class ParsedReadings:
    """The valid readings of a batch, in the order of their entries.

    Attributes:
        ids: the ids of their entries.
        series: `(n,)` the number of each one's series in the partition.
        ts: `(n,)` epoch milliseconds.
        has_ts: `(n,)`, 0 where `ts` is the time of arrival.
        values: `(n, features)`, the target first; NaN where a value is missing or the series has fewer features.
        arrived: `(n,)` the times in the ids, epoch milliseconds.
    """

    ids: list[str]
    series: Int64
    ts: Int64
    has_ts: Int64
    values: Float
    arrived: Int64


@dataclass(frozen=True, slots=True)
class Batch:
    """The readings that their series' windows accepted.

    Attributes:
        ids: the ids of their entries.
        series: `(n,)` the number of each one's series in the partition.
        ts: `(n,)` epoch milliseconds.
        y: `(n,)`.
        next_ts: `(n,)` the time to forecast, `ts` where it is not known.
        steps: `(n,)` the steps of their series, in milliseconds; 0: not known.
        days: `(n,)` the days of the month on which the readings lie, as `calendar_day` returns them.
        missing: `(n,)` how many steps were missing before the reading, and were filled; -1: its window begins with it.
        filled: `(n,)` how many rows that the experts read hold no reading.
        doubted: `(n,)` how many readings in a row, this one last, are doubted.
        moves: `(n,)` the usual largest move; 0: not known; below 0: a guess, with its sign changed.
        seasons: `(n, 2)` in rows; 0: the series has no such season.
        profiles: `(n, 2, 3)` the terms of the profiles of seasons too long for the window; NaN: not known.
        arrived: `(n,)` the times in the ids, epoch milliseconds.
        requests: the requests for the next forecasts.
    """

    ids: list[str]
    series: Int64
    ts: Int64
    y: Float
    next_ts: Int64
    steps: Float
    days: Int64
    missing: Int64
    filled: Int64
    doubted: Int64
    moves: Float
    seasons: Int64
    profiles: Float
    arrived: Int64
    requests: Requests

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def step_known(self) -> Bools:
        """Return whether `next_ts` is known: `(n,)`."""
        known: Bools = self.steps > 0
        return known

    def times_ahead(self, steps: int) -> Int64:
        """Return the times that are so many steps after the readings: `(n,)`."""
        return times_ahead(self.ts, self.steps, self.days, steps)

    @property
    def skipped(self) -> Bools:
        """Return whether steps were missing before each reading, filled or not: `(n,)`."""
        skipped: Bools = self.missing != 0
        return skipped
