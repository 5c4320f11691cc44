"""The readings of one partition, page after page, by the worker's own rules: columns of numbers, and then histories."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tidecast import wire
from tidecast.errors import BadReading
from tidecast.settings import Settings
from trainer.history import History, carried, counted
from trainer.pages import Page, RawEntry

ALL = ("all",)  # instead of features: every field of a series that only ever held numbers
NOT_ASKED_FOR, UNKNOWN = -1, -2  # instead of a series' number
CLOCK_MS = 10**12  # entry ids from here on, the year 2001, say when an entry was sent

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Float = NDArray[np.float64]
Column = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to make of the readings: see `read_recorded`."""

    target: str
    features: tuple[str, ...]
    series: frozenset[str]  # none: every one
    now_ms: int

    @property
    def named(self) -> tuple[str, ...]:
        """The features that a reading is refused for if they are no numbers."""
        return () if self.features == ALL else self.features


@dataclass(slots=True)
class Rows:
    """Readings that were read, in the order of their entries; those of a page, or of all."""

    number: Int32  # (rows,) of their series
    ts: Int64  # (rows,) epoch milliseconds
    y: Float  # (rows,) the target
    more: dict[bytes, Float] = field(default_factory=dict)  # by field: (rows,), NaN where missing

    @classmethod
    def empty(cls, count: int) -> "Rows":
        """So many, of which nothing is known yet."""
        return cls(np.full(count, UNKNOWN, np.int32), np.zeros(count, np.int64), np.zeros(count))

    def feature(self, name: bytes) -> Float:
        """The column of a further field."""
        return self.more.setdefault(name, np.full(len(self.number), np.nan))

    def take(self, chosen: NDArray[np.bool_] | Int64) -> "Rows":
        """Some of them."""
        more = {name: values[chosen] for name, values in self.more.items()}
        return Rows(self.number[chosen], self.ts[chosen], self.y[chosen], more)


class Consumed:
    """What a worker took from the entries of a partition.

    Args:
        settings: how readings are read.
        partition: which one it is.
        wanted: what to make of them.
    """

    def __init__(self, settings: Settings, partition: int, wanted: Wanted) -> None:
        self.refused: Counter[str] = Counter()  # by reason
        self._settings, self._partition, self._wanted = settings, partition, wanted
        self._target = wanted.target.encode()
        self._numbers: dict[bytes, int] = {}  # by the series' name as it stands in an entry
        self._series: list[str] = []
        self._texts: dict[bytes, set[int]] = {}  # by field: the series that were sent something else than a number
        self._rows: list[Rows] = []

    def take(self, page: Page) -> None:
        """Read the next entries: by columns where they are alike and plain, else one by one."""
        rows = Rows.empty(len(page))
        clock = self._clock(page[0][0])
        odd: list[int] = []
        for at, names, columns in _alike(page):
            odd += self._take_columns(page, at, names, columns, rows, clock)
        for i in sorted(odd):
            self._take_one(page[i], i, rows)
        self._rows.append(rows.take(rows.number >= 0))

    def histories(self) -> list[History]:
        """Give out all that was taken, series by series in the order of their first readings."""
        rows, count = _joined(self._rows), len(self._series)
        # Of 16 bits NumPy sorts in one pass.
        rows = rows.take(np.argsort(rows.number.astype(np.min_scalar_type(count)), kind="stable"))
        ends = np.searchsorted(rows.number, np.arange(count + 1))
        return [self._history(i, rows, slice(ends[i], ends[i + 1])) for i in range(count)]

    def _take_columns(
        self, page: Page, at: Sequence[int], names: Column, columns: list[Column], rows: Rows, clock: int
    ) -> Sequence[int]:
        """Read entries with the same fields; returns those that need a closer look."""
        found = dict(zip(names, columns, strict=True))
        sent = found.get(b"series")
        if sent is None or self._target not in found or len(found) < len(names) or self._may_be_too_large(found):
            return at
        times = found.get(b"ts")
        y, ts = wire.parse_plain(found[self._target], times or (b"0",), clock)
        number = np.array([self._numbers.get(name, UNKNOWN) for name in sent], np.int32)
        ready = np.array(ts if times else _times_of_ids(page, at), np.int64)
        good = (number != UNKNOWN) & ~np.isnan(y) & (ready != wire.NEEDS_A_LOOK)
        index = np.asarray(at)
        for name in self._features_among(names):
            values = np.array(wire.parse_plain(found[name], (b"0",), clock)[0])
            if self._wanted.features == ALL:
                self._texts.setdefault(name, set()).update(number[good & np.isnan(values)].tolist())
            else:
                good &= ~np.isnan(values)
            rows.feature(name)[index] = values
        taken = index[good]
        rows.number[taken], rows.ts[taken], rows.y[taken] = number[good], ready[good], np.array(y)[good]
        odd: list[int] = index[~good].tolist()
        return odd

    def _take_one(self, entry: RawEntry, i: int, rows: Rows) -> None:
        try:
            self._read(entry, i, rows)
        except BadReading as exc:
            self.refused[exc.reason] += 1

    def _read(self, entry: RawEntry, i: int, rows: Rows) -> None:
        """Read an entry of any kind, as the worker does.

        Raises:
            BadReading: it is none that the worker answers.
        """
        fields = dict(zip(entry[1][::2], entry[1][1::2], strict=True))
        wire.check_size(fields, self._settings.series.max_entry_bytes)
        series = wire.series_of(fields)
        wire.check_partition(series, self._partition, self._settings.partitions)
        if self._wanted.series and series not in self._wanted.series:
            self._numbers[series.encode()] = NOT_ASKED_FOR
            rows.number[i] = NOT_ASKED_FOR
            return
        asked = (self._wanted.target, *self._wanted.named)
        reading = wire.parse_reading(entry[0].decode(), fields, series, asked, self._clock(entry[0]))
        number = self._number(series)
        rows.number[i], rows.ts[i], rows.y[i] = number, reading.ts, reading.values[0]
        for name in self._features_among(tuple(fields)):
            try:
                rows.feature(name)[i] = wire.parse_number(name, fields[name])
            except BadReading:
                self._texts.setdefault(name, set()).add(number)

    def _number(self, series: str) -> int:
        """The number of a series, of a new one the next.

        Raises:
            BadReading: there are as many as a worker remembers.
        """
        name = series.encode()
        if name not in self._numbers:
            if len(self._series) >= self._settings.series.max_series:
                raise BadReading("series_cap", "the series is one more than series.max_series: raise it")
            self._numbers[name] = len(self._series)
            self._series.append(series)
        return self._numbers[name]

    def _clock(self, entry_id: bytes) -> int:
        """What the worker's clock may have been: a time that was in the future then has not become true since."""
        ms = int(entry_id.partition(b"-")[0])
        return min(ms, self._wanted.now_ms) if ms >= CLOCK_MS else self._wanted.now_ms

    def _may_be_too_large(self, found: dict[bytes, Column]) -> bool:
        most = sum(len(name) + max(map(len, column)) for name, column in found.items())
        return most > self._settings.series.max_entry_bytes

    def _features_among(self, names: Column) -> list[bytes]:
        if self._wanted.features == ALL:
            return [name for name in names if name not in (b"series", b"ts", self._target)]
        asked = [name.encode() for name in self._wanted.features]
        return [name for name in asked if name in names and name != self._target]

    def _history(self, number: int, rows: Rows, where: slice) -> History:
        """One series' readings, by the rule of the worker's windows: the next is later than all before it."""
        ts = rows.ts[where]
        newest = np.maximum.accumulate(ts)
        kept = np.append(True, ts[1:] > newest[:-1])
        notes = _dropped(ts, newest, kept)
        fields = self._features_of(number, rows, where)
        columns = [rows.y[where], *(rows.more[name][where] for name in fields)]
        features = (self._wanted.target, *(name.decode() for name in fields))
        if notes:
            ts, columns = ts[kept], [column[kept] for column in columns]
        if not fields:
            return History(self._series[number], features, ts, columns[0][:, None], notes)
        values, filled = carried(np.column_stack(columns), features)
        return History(self._series[number], features, ts, values, (*notes, *filled))

    def _features_of(self, number: int, rows: Rows, where: slice) -> list[bytes]:
        names = self._features_among(tuple(rows.more))
        sent = (name for name in names if number not in self._texts.get(name, ()) and _is_text(name))
        return [name for name in sent if not np.isnan(rows.more[name][where]).all()]


def _alike(page: Page) -> Iterator[tuple[Sequence[int], Column, list[Column]]]:
    """The entries that have the same fields in the same order: which they are, the names, and the values by field."""
    rows = [fields for _, fields in page]
    if len(set(map(len, rows))) == 1:  # as a rule they are all alike
        columns = list(zip(*rows, strict=True))
        if all(names.count(names[0]) == len(names) for names in columns[::2]):
            yield range(len(page)), tuple(names[0] for names in columns[::2]), columns[1::2]
            return
    by_names: dict[Column, list[int]] = {}
    for i, fields in enumerate(rows):
        by_names.setdefault(tuple(fields[::2]), []).append(i)
    for names, at in by_names.items():
        yield at, names, list(zip(*(rows[i][1::2] for i in at), strict=True))


def _times_of_ids(page: Page, at: Sequence[int]) -> list[int]:
    """The times of readings without a `ts`: Redis' clock is believed, whatever ours says."""
    texts = (page[i][0].partition(b"-")[0] for i in at)
    return [int(ms) if len(ms) <= wire.MAX_ID_DIGITS else wire.NEEDS_A_LOOK for ms in texts]


def _joined(parts: list[Rows]) -> Rows:
    """All rows of the pages, each of which is let go of on the way."""
    joined = Rows.empty(sum(len(part.number) for part in parts))
    for name in dict.fromkeys(name for part in parts for name in part.more):
        joined.feature(name)
    at = 0
    parts.reverse()
    while parts:
        part = parts.pop()
        here = slice(at, at + len(part.number))
        joined.number[here], joined.ts[here], joined.y[here] = part.number, part.ts, part.y
        for name, values in part.more.items():
            joined.more[name][here] = values
        at = here.stop
    return joined


def _dropped(ts: Int64, newest: Int64, kept: NDArray[np.bool_]) -> tuple[str, ...]:
    repeated = int(np.count_nonzero((ts == newest) & ~kept))
    late = int(np.count_nonzero(ts < newest))
    notes = [f"{counted(repeated, 'duplicate time')}: the first kept"] if repeated else []
    return (*notes, *([f"{counted(late, 'late reading')}: dropped"] if late else []))


def _is_text(name: bytes) -> bool:
    try:
        return bool(name.decode())
    except UnicodeDecodeError:
        return False
