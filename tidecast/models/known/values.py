"""Values known ahead, such as prices, plans and weather forecasts: looked up by series, field and time.

A value has the time that it is for, and the moment since which it is known. A later value for the same time corrects an
earlier one. A source is a series or a pattern such as `shop-*`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Float, Int64

ALWAYS = int(np.iinfo(np.int64).min)  # the moment of a value that was always known
MOST_ADDED = 256  # arrays that wait to be sorted in: each takes more memory than its values
LATEST = int(np.iinfo(np.int64).max)  # the moment at which all values are known


def _integers() -> Int64:
    return np.zeros(0, np.int64)


@dataclass(slots=True)
class _Column:
    """The values of one field from one source, sorted by time and, for one time, by the moment of each value."""

    ts: Int64 = field(default_factory=_integers)  # (values,) epoch milliseconds
    known_at: Int64 = field(default_factory=_integers)  # (values,)
    values: Float = field(default_factory=lambda: np.zeros(0))
    times: Int64 = field(default_factory=_integers)  # (times,) each once
    stops: Int64 = field(default_factory=_integers)  # (times,) the place after the newest value for it
    added: list[tuple[Int64, Int64, Float]] = field(default_factory=list)  # since the last look-up

    def look_up(self, times: Int64, as_of: Int64, tolerance_ms: float) -> Float:
        """Return the newest value known at a moment for the time nearest to each of `times`, NaN without one."""
        self.sort()
        values = np.full(len(times), np.nan)
        if not len(self.times):
            return values
        place = _nearest(self.times, times)
        near = np.abs(self.times[place] - times) <= tolerance_ms
        first = np.where(place > 0, self.stops[place - 1], 0)
        at = self.stops[place] - 1
        while (later := (at >= first) & (self.known_at[np.maximum(at, 0)] > as_of)).any():
            at = at - later
        usable = near & (at >= first)
        values[usable] = self.values[at[usable]]
        return values

    def sort(self) -> None:
        """Put the values added since the last look-up in their places."""
        if self.added:
            parts = zip((self.ts, self.known_at, self.values), *self.added, strict=True)
            ts, known_at, values = (np.concatenate(part) for part in parts)
            self.added.clear()
            order = np.lexsort((known_at, ts))
            self._hold(ts[order], known_at[order], values[order])

    def forget(self, before: int) -> bool:
        """Remove the values that were known before a moment; return whether there were any."""
        self.sort()
        kept = self.known_at >= before
        if kept.all():
            return False
        self._hold(self.ts[kept], self.known_at[kept], self.values[kept])
        return True

    @property
    def is_empty(self) -> bool:
        """Whether it holds no value."""
        return not len(self.ts)

    def _hold(self, ts: Int64, known_at: Int64, values: Float) -> None:
        self.ts = ts
        self.known_at = known_at
        self.values = values
        self.times, counts = np.unique(ts, return_counts=True)
        self.stops = counts.cumsum()


class KnownValues:
    """Values known ahead, by source and field.

    For a series its own values come first, then those of the longest pattern that matches its name.
    """

    def __init__(self) -> None:
        self._changes: dict[str, tuple[int, int]] = {}  # by source: additions, and the latest moment of a value
        self._columns: dict[str, dict[str, _Column]] = {}  # by source and field
        self._matching: dict[str, list[str]] = {}  # the sources by series

    def add(self, source: str, name: str, ts: Int64, values: Float, known_at: Int64 | int = ALWAYS) -> None:
        """Add values of a field.

        Args:
            source: a series or a pattern.
            name: the field.
            ts: `(values,)` the times that they are for, epoch milliseconds.
            values: `(values,)`, finite.
            known_at: the moments since which they are known, `(values,)` or one for all.
        """
        if not len(ts):
            return
        if source not in self._columns:
            self._columns[source] = {}
            self._matching.clear()
        moments = np.broadcast_to(np.asarray(known_at, np.int64), len(ts))
        column = self._columns[source].setdefault(name, _Column())
        column.added.append((ts, moments, values))
        if len(column.added) >= MOST_ADDED:
            column.sort()
        additions, latest = self._changes.get(source, (0, ALWAYS))
        self._changes[source] = additions + 1, max(latest, int(moments.max()))

    def forget(self, before: int) -> Iterator[None]:
        """Remove the values that were known before a moment; yield after each field of a source.

        Args:
            before: epoch milliseconds.
        """
        for source, name in [(source, name) for source, columns in self._columns.items() for name in columns]:
            columns = self._columns[source]
            if columns[name].forget(before):
                additions, latest = self._changes[source]
                self._changes[source] = additions + 1, latest
            if columns[name].is_empty:
                del columns[name]
            if not columns:
                del self._columns[source]
                self._matching.clear()
            yield

    def changes(self, series: str) -> tuple[tuple[int, ...], int]:
        """Return the numbers of additions to the sources of a series, and the latest moment of their values."""
        changes = [self._changes[source] for source in self._sources(series)]
        return tuple(additions for additions, _ in changes), max((latest for _, latest in changes), default=ALWAYS)

    def sources(self) -> tuple[str, ...]:
        """Return the series and patterns that have values."""
        return tuple(self._columns)

    def fields(self, series: str) -> tuple[str, ...]:
        """Return the fields that a series has values of, in alphabetical order."""
        return tuple(sorted({name for source in self._sources(series) for name in self._columns[source]}))

    def of(self, series: str) -> Iterator[tuple[str, str, Int64, Int64, Float]]:
        """Yield the values of a series: the source, the field, their times, moments and numbers, each `(values,)`."""
        for source in self._sources(series):
            for name, column in sorted(self._columns[source].items()):
                column.sort()
                yield source, name, column.ts, column.known_at, column.values

    def look_up(
        self, series: str, names: Sequence[str], times: Int64, as_of: Int64 | int, tolerance_ms: float
    ) -> Float:
        """Return the values of a series: `(times, names)`, NaN where no value is known.

        Args:
            series: the series.
            names: the fields.
            times: `(times,)` epoch milliseconds; the value for the nearest time counts.
            as_of: the moment at which the values must be known, `(times,)` or one for all.
            tolerance_ms: how far the nearest time may be away.
        """
        moments = np.broadcast_to(np.asarray(as_of, np.int64), len(times))
        values = np.full((len(times), len(names)), np.nan)
        for at, name in enumerate(names):
            for column in self._named(series, name):
                missing = np.isnan(values[:, at])
                values[missing, at] = column.look_up(times[missing], moments[missing], tolerance_ms)
        return values

    def _named(self, series: str, name: str) -> Iterator[_Column]:
        for source in self._sources(series):
            if column := self._columns[source].get(name):
                yield column

    def _sources(self, series: str) -> list[str]:
        if series not in self._matching:
            matching = [each for each in self._columns if each == series or fnmatchcase(series, each)]
            self._matching[series] = sorted(matching, key=lambda each: (each != series, -len(each), each))
        return self._matching[series]


def _nearest(times: Int64, wanted: Int64) -> NDArray[np.intp]:
    """Return the place of the nearest of increasing times, of two equally near ones the earlier."""
    after = np.clip(np.searchsorted(times, wanted), 1, max(1, len(times) - 1))
    before = after - 1
    after = np.minimum(after, len(times) - 1)
    return np.where(times[after] - wanted < wanted - times[before], after, before)
