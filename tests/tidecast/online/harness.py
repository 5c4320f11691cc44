"""Answers of a forecaster to the values of one series, an hour apart."""

from collections.abc import Sequence

from tidecast.online.batch import BatchResult, Entry
from tidecast.online.forecaster import Forecaster
from tidecast.wire import Forecast

HOUR_MS = 3_600_000
BEGUN_MS = 1_600_000_000_000


def entries_of(values: Sequence[float], series: str = "a", first: int = 0) -> list[Entry]:
    """Return the values as entries of the stream; the first is that of hour `first`."""
    times = [BEGUN_MS + (first + i) * HOUR_MS for i in range(len(values))]
    return [
        (f"{ts}-0", {b"series": series.encode(), b"value": repr(float(y)).encode(), b"ts": b"%d" % ts})
        for ts, y in zip(times, values, strict=True)
    ]


def outcome_of(forecaster: Forecaster, values: Sequence[float], series: str = "a", first: int = 0) -> BatchResult:
    """Handle the values as one batch."""
    entries = entries_of(values, series, first)
    return forecaster.handle(entries, BEGUN_MS + (first + len(values)) * HOUR_MS)


def answers_to(forecaster: Forecaster, values: Sequence[float], series: str = "a", first: int = 0) -> list[Forecast]:
    """Return the forecasts that the values caused, in their order."""
    return [*outcome_of(forecaster, values, series, first).forecasts]
