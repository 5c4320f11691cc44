"""The condition of a series: whether something is wrong with it now."""

from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, Any

from tidecast.arrays import Float
from tidecast.online.series.condition_names import SERIES_STATES
from tidecast.wire.state_format import RECORD, WATCH
from tidecast.wire.state_head import StateHead

if TYPE_CHECKING:
    from tidecast.online.series.state import SeriesState  # it imports the compiler, which the dashboard does without

_FIELDS = ("anomaly_ts", "stuck", "silent", "degraded")  # of WATCH, in the order of SERIES_STATES; 0: it does not hold


def state_of(state: "SeriesState") -> str:
    """Return which of `SERIES_STATES` a series is in."""
    return _state(state.record)


def state_of_head(head: bytes) -> str:
    """Return the same from the stored head of a state.

    Raises:
        StateError: the head is of another version, or cut short.
    """
    return _state(StateHead.decode(head).record)


def watch_reader(name: str) -> Callable[[Float], float]:
    """Return a function that reads a field of `WATCH` in a record; a view by names takes thirty times as long."""
    records: Any = RECORD.fields
    watches: Any = WATCH.fields
    kind, place = watches[name]
    unpack: Callable[..., tuple[Any, ...]] = Struct(f"={kind.char}").unpack_from
    begin = records["watch"][1] + place

    def read(record: Float) -> float:
        value: float = unpack(record, begin)[0]
        return value

    return read


_READERS = tuple(map(watch_reader, _FIELDS))


def _state(record: Float) -> str:
    for name, read in zip(SERIES_STATES, _READERS, strict=False):
        if read(record):
            return name
    return SERIES_STATES[-1]
