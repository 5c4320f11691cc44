"""Reader of one partition's readings by the worker's rules: pages become columns of numbers, then histories."""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise, repeat

import numpy as np

from tidecast.arrays import Float, Int64
from tidecast.connection.paging import Page, RawEntry
from tidecast.errors import BadReading
from tidecast.files.history import History, carried
from tidecast.settings import Settings
from tidecast.settings.patterns import matches
from tidecast.wire import parsing
from tidecast.wire.numbers import LONGEST, numbers_of
from trainer.data.reading_columns import (
    NOT_ASKED_FOR,
    UNKNOWN,
    Column,
    Int32,
    Names,
    ReadingColumns,
    alike,
    dropped,
    put_in_order,
)

ALL = ("all",)  # in place of features: each field of a series that only ever held numbers
NO_TIME = "no_time"  # a reason for refusal that the worker does not use
SHORT = max(parsing.MAX_NAME_BYTES, LONGEST)  # bytes of a short field
CLOCK_MS = 10**12  # entry ids from here on, the year 2001, are the times at which entries were sent


@dataclass(frozen=True, slots=True)
class Wanted:
    """The requested series and fields: see `read_recorded`."""

    target: str
    features: tuple[str, ...]
    series: frozenset[str]  # empty: all series
    now_ms: int
    pattern: str = "*"  # of the series' names

    def has(self, series: str) -> bool:
        """Return whether a series is requested."""
        return (not self.series or series in self.series) and matches(series, self.pattern)

    @property
    def named(self) -> tuple[str, ...]:
        """Return the features named in the request; a reading is refused if one of them is not a number."""
        return () if self.features == ALL else self.features


class PartitionReader:
    """The readings that a worker accepts from the entries of a partition.

    Args:
        settings: how readings are read.
        partition: its number.
        wanted: the requested series and fields.
    """

    def __init__(self, settings: Settings, partition: int, wanted: Wanted) -> None:
        self.refused: Counter[str] = Counter()  # by reason
        self._settings = settings
        self._partition = partition
        self._wanted = wanted
        self._target = wanted.target.encode()
        self._asked = (wanted.target, *wanted.named)
        self._numbers: dict[bytes, int] = {}  # by the series' name as in the entries
        self._series: list[str] = []
        self._texts: dict[bytes, set[int]] = {}  # by field: the series that were sent a value that is not a number
        self._rows: list[ReadingColumns] = []
        self._count = 0  # number of rows
        self._more: dict[bytes, list[tuple[Int64, Float]]] = {}  # by field: the rows that have it, and the values

    def take(self, page: Page) -> None:
        """Read the next entries: by columns where they have the same fields and plain values, else one by one."""
        rows = ReadingColumns.empty(len(page))
        clock = self._clock(page[0][0])
        odd: list[int] = []
        for at, names, columns in alike(page):
            odd += self._take_columns(page, at, names, columns, rows, clock).tolist()
        for i in sorted(odd):
            self._take_one(page[i], i, rows)
        good = rows.number >= 0
        for name, column in rows.more.items():
            values = column[good]
            there = np.flatnonzero(~np.isnan(values))
            self._more.setdefault(name, []).append((self._count + there, values[there]))
        self._rows.append(rows.take(good))
        self._count += int(np.count_nonzero(good))

    def histories(self) -> list[History]:
        """Return the histories of all readings taken, in the order of the series' first readings; frees them here."""
        rows = ReadingColumns.joined(self._rows)
        count = len(self._series)
        # NumPy sorts numbers of 16 bits in one pass.
        order = np.argsort(rows.number.astype(np.min_scalar_type(count)), kind="stable")
        rows = rows.take(order)
        ends = np.searchsorted(rows.number, np.arange(count + 1)).tolist()
        where = [slice(*each) for each in pairwise(ends)]
        further = self._further(rows.number, order, where)
        return [self._history(i, rows, where[i], further.get(i, {})) for i in range(count)]

    def _take_columns(
        self, page: Page, at: Int64, names: Names, columns: list[Column], rows: ReadingColumns, clock: int
    ) -> Int64:
        """Read entries with the same fields; return the positions of those that must be read one by one."""
        by_name = dict(zip(names, columns, strict=True))
        sent = by_name.get(b"series")
        if sent is None or self._target not in by_name or len(by_name) < len(names) or self._may_be_too_large(by_name):
            return at
        times = by_name.get(b"ts")
        if times is None and parsing.time_elsewhere(names, self._asked):
            return at
        y = numbers_of(by_name[self._target])
        number = np.array(list(map(self._numbers.get, sent, repeat(UNKNOWN))), np.int32)
        ts = np.array(parsing.times_of(times, clock) if times else self._times_of_ids(page, at), np.int64)
        good = (number != UNKNOWN) & ~np.isnan(y) & (ts != parsing.NEEDS_A_LOOK)
        for name in self._features_among(names):
            column = numbers_of(by_name[name])
            if self._wanted.features == ALL:
                self._texts.setdefault(name, set()).update(number[good & np.isnan(column)].tolist())
            else:
                good &= ~np.isnan(column)
            rows.feature(name)[at] = column
        taken = at[good]
        rows.number[taken] = number[good]
        rows.ts[taken] = ts[good]
        rows.y[taken] = y[good]
        rows.has_ts[taken] = times is not None
        odd: Int64 = at[~good]
        return odd

    def _take_one(self, entry: RawEntry, i: int, rows: ReadingColumns) -> None:
        try:
            self._read(entry, i, rows)
        except BadReading as exc:
            self.refused[exc.reason] += 1

    def _read(self, entry: RawEntry, i: int, rows: ReadingColumns) -> None:
        """Read an entry of any kind, as the worker does.

        Raises:
            BadReading: the worker refuses the entry.
        """
        fields = dict(zip(entry[1][::2], entry[1][1::2], strict=True))
        parsing.check_size(fields, self._settings.series.max_entry_bytes)
        series = parsing.series_of(fields)
        parsing.check_partition(series, self._partition, self._settings.partitions)
        if not self._wanted.has(series):
            self._numbers[series.encode()] = NOT_ASKED_FOR
            rows.number[i] = NOT_ASKED_FOR
            return
        reading = parsing.parse_reading(entry[0].decode(), fields, series, self._asked, self._clock(entry[0]))
        if not reading.has_ts and not self._is_time(entry[0]):
            raise BadReading(NO_TIME, "the entry id is ahead of the clock: when the reading arrived is not recorded")
        number = self._number(series)
        rows.number[i] = number
        rows.ts[i] = reading.ts
        rows.y[i] = reading.values[0]
        rows.has_ts[i] = reading.has_ts
        for name in self._features_among(tuple(fields)):
            try:
                rows.feature(name)[i] = parsing.parse_number(name, fields[name])
            except BadReading:
                self._texts.setdefault(name, set()).add(number)

    def _number(self, series: str) -> int:
        """Return the number of a series; a new series gets the next number.

        Raises:
            BadReading: the series exceeds `series.max_series`.
        """
        name = series.encode()
        if name not in self._numbers:
            if len(self._series) >= self._settings.series.max_series:
                raise BadReading("too_many_series", "the series is one more than series.max_series: raise it")
            self._numbers[name] = len(self._series)
            self._series.append(series)
        return self._numbers[name]

    def _clock(self, entry_id: bytes) -> int:
        """Return the worker's likely clock at an entry: a time in the future then is still refused now."""
        ms = int(entry_id.partition(b"-")[0])
        return min(ms, self._wanted.now_ms) if ms >= CLOCK_MS else self._wanted.now_ms

    def _is_time(self, entry_id: bytes) -> bool:
        """Return whether an entry id is a time; if it is not, the worker used its own clock."""
        return int(entry_id.partition(b"-")[0]) <= self._wanted.now_ms + parsing.ID_AHEAD_MS

    def _times_of_ids(self, page: Page, at: Int64) -> list[int]:
        """Return the times of readings without a `ts`; `NEEDS_A_LOOK` where an id is not a time."""
        ids = (page[i][0] for i in at)
        return [int(each.partition(b"-")[0]) if self._is_time(each) else parsing.NEEDS_A_LOOK for each in ids]

    def _may_be_too_large(self, found: dict[bytes, Column]) -> bool:
        """Return whether an entry may exceed the size limit.

        Series, time and target count as short: an entry in which one is long is read by itself anyway.
        """
        short = (b"series", b"ts", self._target)
        most = sum(len(name) + (SHORT if name in short else max(map(len, found[name]))) for name in found)
        return most > self._settings.series.max_entry_bytes

    def _features_among(self, names: Names) -> list[bytes]:
        if self._wanted.features == ALL:
            return [name for name in names if name not in (b"series", b"ts", self._target)]
        asked = [name.encode() for name in self._wanted.features]
        return [name for name in asked if name in names and name != self._target]

    def _further(self, number: Int32, order: Int64, where: list[slice]) -> dict[int, dict[bytes, Float]]:
        """Return each series' columns of further fields; built field by field to save memory, as there may be many."""
        by_series: dict[int, dict[bytes, Float]] = {}
        for name in filter(_is_text, self._features_among(tuple(self._more))):
            column = np.full(self._count, np.nan)
            for there, values in self._more.pop(name):
                column[there] = values
            column = column[order]
            sent = set(np.unique(number[~np.isnan(column)]).tolist()) - self._texts.get(name, set())
            for series in sent:
                by_series.setdefault(series, {})[name] = column[where[series]].copy()
        return by_series

    def _history(self, number: int, rows: ReadingColumns, where: slice, further: dict[bytes, Float]) -> History:
        """Return one series' history by the worker's rule: a reading is kept if it is later than all before it."""
        ts = put_in_order(rows.ts[where], rows.has_ts[where])
        newest = np.maximum.accumulate(ts)
        kept = np.append(True, ts[1:] > newest[:-1])
        notes = dropped(ts, newest, kept)
        columns = [rows.y[where], *further.values()]
        features = (self._wanted.target, *(name.decode() for name in further))
        if notes:
            ts = ts[kept]
            columns = [column[kept] for column in columns]
        if not further:
            return History(self._series[number], features, ts, columns[0][:, None], notes)
        values, filled = carried(np.column_stack(columns), features)
        return History(self._series[number], features, ts, values, (*notes, *filled))


def _is_text(name: bytes) -> bool:
    try:
        return bool(name.decode())
    except UnicodeDecodeError:
        return False
