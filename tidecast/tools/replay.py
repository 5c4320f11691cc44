"""Replay recorded readings through the worker's code, in this process and as fast as possible, without Redis.

Only the clock is simulated: it follows the readings' own times. Each entry has the id that it would have had if it had
arrived at once.
"""

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import TYPE_CHECKING, TextIO

import orjson

from tidecast.files.readings import Row
from tidecast.models.store import ModelStore
from tidecast.moments import wire_text
from tidecast.settings import SeriesSettings, Settings
from tidecast.tools.champions import load_champions
from tidecast.tools.tail import flat
from tidecast.wire import DeadLetter, Forecast, further_fields

if TYPE_CHECKING:
    from tidecast.online.batch import Entry
    from tidecast.online.forecaster import Forecaster

COLUMNS = ("series", "origin", "y", "ts", "yhat", "yhat_lower", "yhat_upper", "kind", "model", "error", "anomaly_score")


@dataclass(slots=True)
class ReplayCounts:
    """The counts of the readings answered so far.

    Attributes:
        counts: the readings by disposition.
        reasons: the dead readings by reason.
        newest: the newest dead reading.
    """

    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    newest: DeadLetter | None = None

    def __str__(self) -> str:
        counts = ", ".join(f"{self.counts[name]} {name}" for name in ("forecast", "duplicate", "late", "dead"))
        summary = f"{self.counts.total()} readings: {counts}"
        if self.newest is None:
            return summary
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.reasons.most_common())
        return f"{summary} ({reasons}; the newest: {self.newest.detail})"


def forecasts_of(
    rows: Iterable[Row], settings: Settings, into: ReplayCounts, progress: Callable[[int], None] = lambda _done: None
) -> Iterator[list[Forecast]]:
    """Yield the forecasts of readings in the order of their times, batch by batch, as from a newly started worker.

    Args:
        rows: the readings; those of the same time keep their order.
        settings: the settings of series, probation, batches and the store; its champions forecast from the start.
        into: updated with the counts of the readings.
        progress: called with the number of answered readings.
    """
    forecaster = _forecaster(settings)
    entries = _entries(sorted(rows, key=lambda row: row.ts))
    while batch := list(islice(entries, settings.worker.batch)):
        result = forecaster.handle(batch, int(batch[-1][0].partition("-")[0]))
        into.counts.update(result.counts)
        into.reasons.update(letter.reason for letter in result.dead)
        into.newest = result.dead[-1] if result.dead else into.newest
        progress(into.counts.total())
        yield list(result.forecasts)


def write_csv(batches: Iterable[list[Forecast]], file: TextIO, settings: SeriesSettings) -> None:
    """Write forecasts as CSV: the fields of the wire format, and the configured further intervals and steps."""
    names = further_fields(settings.horizon, settings.more_levels)
    table = csv.DictWriter(file, (*COLUMNS, *names), extrasaction="ignore")
    table.writeheader()
    for batch in batches:
        table.writerows(flat(forecast) for forecast in batch)


def write_json(batches: Iterable[list[Forecast]], file: TextIO) -> None:
    """Write forecasts as JSON, one object per line, as `tidecast tail --json` does."""
    for batch in batches:
        file.writelines(f"{orjson.dumps(flat(forecast)).decode()}\n" for forecast in batch)


def _forecaster(settings: Settings) -> "Forecaster":
    """Return a worker's forecaster with the champions of the store."""
    from tidecast.online.forecaster import Forecaster
    from tidecast.own_experts.in_process import InProcess

    forecaster = Forecaster(settings.series, probation=settings.retrain.probation, own=InProcess(settings.experts))
    load_champions(forecaster, ModelStore(settings.store))
    return forecaster


def _entries(rows: list[Row]) -> Iterator["Entry"]:
    for ms, moment in groupby(rows, key=lambda row: row.ts):
        for seq, row in enumerate(moment):
            values = {name.encode(): repr(value).encode() for name, value in row.values.items()}
            yield f"{max(0, ms)}-{seq}", {b"series": row.series.encode(), b"ts": wire_text(ms).encode(), **values}
