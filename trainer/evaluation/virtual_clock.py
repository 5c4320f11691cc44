"""Send histories through a worker's forecaster as bytes, in the order of their times; only the clock is simulated."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from tidecast.files.history import History
from tidecast.models.gross_errors import FEWEST_ROWS
from tidecast.moments import wire_text
from tidecast.online.batch import BatchResult, Entry
from tidecast.online.forecaster import Forecaster
from tidecast.wire import Forecast

BATCH = 1000  # readings handled together, as in a worker under load


def results_of(
    forecaster: Forecaster, histories: Sequence[History], starts: Mapping[str, int] | None = None
) -> Iterator[BatchResult]:
    """Forecast histories; yield the result of each batch, whose time is that of its newest reading.

    Args:
        forecaster: of a worker with one partition.
        histories: one for each series.
        starts: see `entries_of`.
    """
    ordered = iter(entries_of(histories, starts))
    while batch := list(islice(ordered, BATCH)):
        yield forecaster.handle(batch, _ms(batch[-1][0]))


def forecasts_from(
    histories: Sequence[History], starts: Mapping[str, int], forecaster: Forecaster
) -> tuple[dict[str, list[Forecast]], dict[str, str]]:
    """Forecast histories from a reading on.

    Args:
        histories: the histories.
        starts: by series, the first reading to forecast. The readings before it fill the window; the records of the
            experts do not learn from them.
        forecaster: with the models.

    Returns:
        The forecasts by series, and the reason of each series' first dead reading.
    """
    # Some more are added, which the experts do not read: the first rows of a window never count as gross errors.
    first = {series: start - forecaster.rows_read(series) - int(FEWEST_ROWS) for series, start in starts.items()}
    made: dict[str, list[Forecast]] = {history.series: [] for history in histories}
    reasons: dict[str, str] = {}
    for result in results_of(forecaster, histories, first):
        for forecast in result.forecasts:
            made[forecast.series].append(forecast)
        for letter in result.dead:
            reasons.setdefault(letter.fields[b"series"].decode(), letter.detail)
    return made, reasons


def entries_of(histories: Sequence[History], starts: Mapping[str, int] | None = None) -> list[Entry]:
    """Return the readings of histories as stream entries in the order of their times, which are their ids.

    Args:
        histories: one for each series.
        starts: the first reading to send, by series; None, or below 0: the series' first.
    """
    first = starts or {}
    entries = (entry for history in histories for entry in _entries(history, max(0, first.get(history.series, 0))))
    return sorted(entries, key=lambda entry: _ms(entry[0]))


def _entries(history: History, start: int) -> Iterator[Entry]:
    name = history.series.encode()
    fields = [feature.encode() for feature in history.features]
    for ts, row in zip(history.ts[start:].tolist(), history.values[start:].tolist(), strict=True):
        values = {field: repr(value).encode() for field, value in zip(fields, row, strict=True)}
        yield f"{ts}-0", {b"series": name, b"ts": wire_text(ts).encode(), **values}


def _ms(entry_id: str) -> int:
    return int(entry_id.removesuffix("-0"))
