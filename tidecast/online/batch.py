"""The result of a batch of readings, made by the forecaster and committed by the worker."""

from collections import Counter
from dataclasses import dataclass, field

from tidecast.online.drift import Drift
from tidecast.wire import DeadLetter, Event, Fields, Forecasts

Entry = tuple[str, Fields]  # the id and the fields of one entry of `readings`


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
    shift: int = 0  # correction of the stream's count, see `Backlog`
