"""Reader of a series' longer history, for a chart: from the forecasts, the readings, the archive and the window."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dashboard.data.archive import GENERATION, Entry, archived
from dashboard.data.recent import COLUMNS, NAIVE, ORIGIN, Y, parse_point
from dashboard.data.state_reader import StoredWindow, WindowReader
from tidecast.arrays import Float
from tidecast.connection.partitions import newest_entries
from tidecast.errors import BadReading, TidecastError
from tidecast.wire import is_copy
from tidecast.wire.parsing import parse_reading

SCANNED = 250_000  # entries of a partition's streams, which hold all its series, that are read for one chart
SLACK_MS = 60_000  # how much earlier than its own time a reading may arrive
HOURS_MS = 3_600_000
RANGES = {"hour": HOURS_MS, "day": 24 * HOURS_MS, "week": 168 * HOURS_MS}


@dataclass(slots=True)
class SeriesPoints:
    """A series' points, oldest first, and where they are from.

    Attributes:
        points: `(points, columns)`, as in `Recent`; of readings alone only the time and the value are known.
        parts: by source, the time of its oldest point, epoch milliseconds; the newest source first.
        whole: whether the points reach back to the beginning of the span.
        problem: why the archive could not be read; empty if it was, or is not set.
    """

    points: Float
    parts: dict[str, float]
    whole: bool
    problem: str = ""


@dataclass(slots=True)
class _Search:
    """The points so far, newest first, and how far they must reach."""

    series: str
    since_ms: float
    rows: list[list[float]] = field(default_factory=list)
    parts: dict[str, float] = field(default_factory=dict)
    oldest_id: str = "+"
    left: int = 0  # entries that may still be read
    passed: bool = False  # whether a stream was read to its entries from before the span

    @property
    def reached(self) -> bool:
        return self.passed or (bool(self.rows) and self.rows[-1][ORIGIN] <= self.since_ms)

    @property
    def first(self) -> str:
        """Return the smallest id that an entry of the span may have."""
        return str(max(0, int(self.since_ms - SLACK_MS)))

    def add(self, source: str, entry_id: str, row: list[float]) -> None:
        """Add a point that is older than those before; points out of order are left out."""
        if not self.rows or row[ORIGIN] < self.rows[-1][ORIGIN]:
            self.rows.append(row)
            self.parts[source] = row[ORIGIN]
        self.oldest_id = entry_id or self.oldest_id


class HistoryReader(WindowReader):
    """A reader of the points of one series over a span."""

    def read(self, series: str, newest_ms: float, span_ms: float) -> SeriesPoints:
        """Return the points of a span that ends with the newest reading.

        Raises:
            RedisError: Redis is not available, or refuses.
        """
        search = _Search(series, newest_ms - span_ms, left=SCANNED)
        try:
            window = self.window(series)
        except TidecastError:  # the worker and the doctor report it
            window = None
        target = window.features[0] if window else self._settings.series.target
        problem = ""
        self._add_forecasts(search)
        if not search.reached and search.left > 0:  # the stream holds nothing older
            self._add_readings(search, "readings", self._streamed(search), target)
        if not search.reached and self._settings.retrain.history:
            problem = self._add_archived(search, self._settings.retrain.history, target)
        if not search.reached and window:
            _add_window(search, window)
        return _history(search, problem)

    def _add_forecasts(self, search: _Search) -> None:
        raw = search.series.encode()
        for forecasts in (part.keys.forecasts for part in self._parts_for(search.series)):
            for entry_id, fields in newest_entries(self._redis, forecasts, search.left, search.first):
                search.left -= 1
                if fields.get(b"series") != raw or is_copy(fields):
                    continue
                try:
                    search.add("forecasts", entry_id.decode(), parse_point(fields))
                except (KeyError, ValueError):  # another program wrote it
                    continue
                if search.reached:
                    return
            search.passed = search.left > 0 and bool(self._redis.xrange(forecasts, "-", f"({search.first}", count=1))
            if search.passed or not search.left:
                return

    def _streamed(self, search: _Search) -> Iterator[Entry]:
        raw = search.series.encode()
        last = search.oldest_id if search.oldest_id == "+" else f"({search.oldest_id}"
        for readings in (part.keys.readings for part in self._parts_for(search.series)):
            for entry_id, fields in newest_entries(self._redis, readings, search.left, search.first, last):
                if fields.get(b"series") == raw:
                    yield entry_id.decode(), fields

    def _add_readings(self, search: _Search, source: str, entries: Iterator[Entry], target: str) -> None:
        for entry_id, fields in entries:
            try:
                reading = parse_reading(entry_id, fields, search.series, (target,), int(entry_id.partition("-")[0]))
            except BadReading:
                continue
            search.add(source, entry_id, _row(reading.ts, reading.values[0]))
            if search.reached:
                return

    def _add_archived(self, search: _Search, folder: Path, target: str) -> str:
        """Add archived readings; return why that was not possible, or an empty text."""
        namespace = self._settings.namespace
        try:
            for part in self._parts_for(search.series):
                about = {
                    b"namespace": namespace.encode(),
                    b"partition": b"%d" % part.partition,
                    b"partitions": b"%d" % part.partitions,
                    GENERATION: b"%d" % part.generation,
                }
                until = search.oldest_id.replace("+", f"{2**63}-0").encode()
                entries = archived(folder, about, search.series.encode(), search.since_ms - SLACK_MS, until)
                self._add_readings(search, "archive", entries, target)
        except ImportError:
            return "The archive was not read: install the training packages, pip install 'tidecast[train]'."
        except (OSError, ValueError, KeyError) as exc:
            return f"The archive was not read: {exc}"
        return ""


def _add_window(search: _Search, window: StoredWindow) -> None:
    """Add the rows of the window that are older than the points so far."""
    if window.step_ms > 0:
        for i, value in enumerate(window.rows[::-1, 0].tolist()):
            search.add("window", "", _row(window.last_ts - i * window.step_ms, value))
            if search.reached:
                return


def _row(ts: float, value: float) -> list[float]:
    row = [np.nan] * len(COLUMNS)
    row[ORIGIN] = float(ts)
    row[Y] = value
    return row


def _history(search: _Search, problem: str) -> SeriesPoints:
    points = np.array(search.rows[::-1]).reshape(-1, len(COLUMNS))
    points = points[points[:, ORIGIN] >= search.since_ms]
    points[1:, NAIVE] = np.diff(points[:, Y])
    return SeriesPoints(points, search.parts, search.reached, problem)
