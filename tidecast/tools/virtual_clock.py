"""Send histories through a worker's forecaster as bytes, in the order of their times; only the clock is simulated."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from tidecast.files.history import History
from tidecast.moments import wire_text

if TYPE_CHECKING:
    from tidecast.online.batch import BatchResult, Entry
    from tidecast.online.forecaster import Forecaster

BATCH = 1000  # readings handled together, as in a worker under load


def results_of(
    forecaster: "Forecaster", histories: Sequence[History], starts: Mapping[str, int] | None = None
) -> Iterator["BatchResult"]:
    """Forecast histories; yield the result of each batch, whose time is that of its newest reading.

    Args:
        forecaster: of a worker with one partition.
        histories: one for each series.
        starts: see `entries_of`.
    """
    ordered = iter(entries_of(histories, starts))
    while batch := list(islice(ordered, BATCH)):
        yield forecaster.handle(batch, _ms(batch[-1][0]))


def entries_of(histories: Sequence[History], starts: Mapping[str, int] | None = None) -> list["Entry"]:
    """Return the readings of histories as stream entries in the order of their times, which are their ids.

    Args:
        histories: one for each series.
        starts: the first reading to send, by series; None, or below 0: the series' first.
    """
    first = starts or {}
    entries = (entry for history in histories for entry in _entries(history, max(0, first.get(history.series, 0))))
    return sorted(entries, key=lambda entry: _ms(entry[0]))


def _entries(history: History, start: int) -> Iterator["Entry"]:
    name = history.series.encode()
    fields = [feature.encode() for feature in history.features]
    for ts, row in zip(history.ts[start:].tolist(), history.values[start:].tolist(), strict=True):
        values = {field: repr(value).encode() for field, value in zip(fields, row, strict=True)}
        yield f"{ts}-0", {b"series": name, b"ts": wire_text(ts).encode(), **values}


def _ms(entry_id: str) -> int:
    return int(entry_id.removesuffix("-0"))
