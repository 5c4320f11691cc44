"""A batch of readings on its way through the forecaster, in columns, and its result, which the worker commits."""

from collections import Counter
from dataclasses import dataclass, field

from tidecast.arrays import Float, Int64
from tidecast.online.drift import Drift
from tidecast.online.kernels.readings import Readings
from tidecast.online.kernels.series_rows import SeriesRows
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
        readings: the readings, in columns.
        series: `(n,)` the row of each one's series.
        requests: the requests for the next forecasts.
    """

    ids: list[str]
    readings: Readings
    series: SeriesRows
    requests: Requests

    def __len__(self) -> int:
        return len(self.ids)
