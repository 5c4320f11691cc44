"""What a batch of readings came to, between whoever answers them and whoever commits the answers."""

from collections import Counter
from dataclasses import dataclass, field

from tidecast.online.drift import Drift
from tidecast.wire import DeadLetter, Event, Fields, Forecasts

Entry = tuple[str, Fields]  # the id and the fields of one entry of `readings`


@dataclass(slots=True)
class Outcome:
    """What a batch came to: all of it is committed together, or none."""

    last: str  # the id of the batch's last entry
    forecasts: Forecasts = field(default_factory=Forecasts)
    dead: list[DeadLetter] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)  # by disposition; sums to the entries of the batch
    states: dict[str, bytes] = field(default_factory=dict)  # by field, of the series touched: what is new of them
    intervals: Counter[str] = field(default_factory=Counter)  # readings inside and outside their interval
    drifts: list[Drift] = field(default_factory=list)  # the changes of series that its readings told of
    events: list[Event] = field(default_factory=list)  # what people and programs may follow
    shift: int = 0  # the correction of the stream's count, see `Backlog`
