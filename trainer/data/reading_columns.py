"""Columns of readings from entries of a stream, and the order of the readings in time."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Bools, Float, Int64
from tidecast.connection.paging import Page
from tidecast.files.history import counted

NOT_ASKED_FOR, UNKNOWN = -1, -2  # in place of a series' number

Int32 = NDArray[np.int32]
Names = tuple[bytes, ...]
Column = list[bytes]


@dataclass(slots=True)
class ReadingColumns:
    """Columns of readings: those of a page, in the order of their entries, or of all pages."""

    number: Int32  # (rows,) the series' numbers
    ts: Int64  # (rows,) epoch milliseconds
    y: Float  # (rows,) the target
    has_ts: Bools  # (rows,) whether the reading was sent with a time
    more: dict[bytes, Float] = field(default_factory=dict)  # by field: (rows,), NaN where missing

    @classmethod
    def empty(cls, count: int) -> "ReadingColumns":
        """Return this many rows, with the series' number unknown."""
        return cls(
            np.full(count, UNKNOWN, np.int32), np.zeros(count, np.int64), np.zeros(count), np.ones(count, np.bool_)
        )

    @classmethod
    def joined(cls, parts: list["ReadingColumns"]) -> "ReadingColumns":
        """Concatenate the rows of all pages, and free each page once it is copied."""
        joined = cls.empty(sum(len(part.number) for part in parts))
        at = 0
        parts.reverse()
        while parts:
            part = parts.pop()
            here = slice(at, at + len(part.number))
            joined.number[here] = part.number
            joined.ts[here] = part.ts
            joined.y[here] = part.y
            joined.has_ts[here] = part.has_ts
            at = here.stop
        return joined

    def feature(self, name: bytes) -> Float:
        """Return the column of a further field, created if missing."""
        return self.more.setdefault(name, np.full(len(self.number), np.nan))

    def take(self, chosen: Bools | Int64) -> "ReadingColumns":
        """Return the chosen rows, without their further fields."""
        return ReadingColumns(self.number[chosen], self.ts[chosen], self.y[chosen], self.has_ts[chosen])


def alike(page: Page) -> Iterator[tuple[Int64, Names, list[Column]]]:
    """Yield groups of entries with the same fields in the same order: positions, names, and values by field."""
    rows = [fields for _, fields in page]
    width = len(rows[0])
    count = len(page)
    sent = list(chain.from_iterable(rows))
    names = tuple(sent[:width:2])
    # Usually all entries have the same fields.
    if len(set(map(len, rows))) == 1 and all(sent[2 * i :: width].count(name) == count for i, name in enumerate(names)):
        yield np.arange(count), names, [sent[i::width] for i in range(1, width, 2)]
        return
    by_names: dict[Names, list[int]] = {}
    for i, fields in enumerate(rows):
        by_names.setdefault(tuple(fields[::2]), []).append(i)
    for names, at in by_names.items():
        yield np.array(at), names, [[rows[i][column] for i in at] for column in range(1, 2 * len(names), 2)]


def put_in_order(ts: Int64, has_ts: Bools) -> Int64:
    """Move each reading without a `ts` one millisecond past all before it where needed, as the worker does."""
    if has_ts.all() or not (~has_ts[1:] & (ts[1:] <= np.maximum.accumulate(ts)[:-1])).any():
        return ts
    ordered = ts.copy()
    newest = int(ts[0])
    for i in range(1, len(ts)):
        if not has_ts[i] and ordered[i] <= newest:
            ordered[i] = newest + 1
        newest = max(newest, int(ordered[i]))
    return ordered


def dropped(ts: Int64, newest: Int64, kept: Bools) -> tuple[str, ...]:
    """Return notes that count the readings that are not kept: duplicate times and late readings."""
    repeated = int(np.count_nonzero((ts == newest) & ~kept))
    late = int(np.count_nonzero(ts < newest))
    notes = [f"{counted(repeated, 'duplicate time')}: the first kept"] if repeated else []
    return (*notes, *([f"{counted(late, 'late reading')}: dropped"] if late else []))
