"""Columns of a table, and what can be read from them: numbers, times and names. Bad cells are marked, never guessed."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Int64 = NDArray[np.int64]
Float = NDArray[np.float64]

FIRST_YEAR = 1678  # the years of the accepted times: nanoseconds in 64 bits hold them, so that any tool can draw them
LAST_YEAR = 2261
FIRST_MS = int(np.datetime64(f"{FIRST_YEAR}-01-01", "ms").astype(np.int64))
END_MS = int(np.datetime64(f"{LAST_YEAR + 1}-01-01", "ms").astype(np.int64))


class Kind(IntEnum):
    """How a time is written."""

    NONE = 0  # missing, or no time at all
    LOCAL = 1  # ISO-8601 without offset
    OFFSET = 2  # ISO-8601 with offset
    SECONDS = 3
    MILLISECONDS = 4


SPELLED = {
    Kind.LOCAL: "ISO-8601 without offset",
    Kind.OFFSET: "ISO-8601 with offset",
    Kind.SECONDS: "epoch seconds",
    Kind.MILLISECONDS: "epoch milliseconds",
}


@dataclass(frozen=True, slots=True)
class Numbers:
    """A column as numbers: NaN where missing or bad."""

    values: Float  # (rows,)
    bad: Bools  # (rows,) True where the cell is not a finite number that float32 can hold


@dataclass(frozen=True, slots=True)
class Moments:
    """Cells as times, before the column's kind is known."""

    ms: Int64  # (rows,) epoch milliseconds; of a local time as if its clock showed UTC; 0 where a cell holds no time
    below: Int64  # (rows,) nanoseconds that the time has beyond its milliseconds
    kinds: Int64  # (rows,) of `Kind`
    fault: tuple[int, str] | None = None  # a row, and why the bare numbers of the column are not times
    note: str | None = None  # a decision about them, for the user


@dataclass(frozen=True, slots=True)
class Times:
    """A column as times: 0 where bad."""

    ms: Int64  # (rows,) as in `Moments`
    below: Int64
    bad: Bools  # (rows,) True where missing, unreadable, out of range or of another kind than the column
    kind: Kind  # of the column: that of its first time
    fault: tuple[int, str] | None = None  # as in `Moments`
    notes: tuple[str, ...] = ()


class Column(ABC):
    """One column of a table."""

    type_name: str  # as messages call it
    is_text = False
    holds_numbers = True
    holds_times = True
    holds_names = True

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def text(self, row: int) -> str:
        """Return a cell as messages quote it."""

    @abstractmethod
    def take(self, rows: Int64) -> "Column":
        """Return some of the rows."""

    @abstractmethod
    def missing(self) -> Bools:
        """Mark the cells that hold nothing."""

    @abstractmethod
    def numbers(self) -> Numbers:
        """Read the cells as numbers, as strictly as a worker reads a reading."""

    @abstractmethod
    def moments(self) -> Moments:
        """Read the cells as times."""

    @abstractmethod
    def names(self) -> Sequence[str]:
        """Read the cells as names."""

    def times(self) -> Times:
        """Read the cells as times; the first time decides how the others have to be written."""
        moments = self.moments()
        is_time = moments.kinds != Kind.NONE
        kind = Kind(int(moments.kinds[np.argmax(is_time)])) if is_time.any() else Kind.NONE
        out_of_range = (moments.ms < FIRST_MS) | (moments.ms >= END_MS)
        bad = ~is_time | (moments.kinds != kind) | out_of_range
        is_number = kind in (Kind.SECONDS, Kind.MILLISECONDS)
        return Times(
            np.where(bad, 0, moments.ms),
            np.where(bad, 0, moments.below),
            bad,
            kind,
            moments.fault if is_number else None,
            (moments.note,) if is_number and moments.note else (),
        )

    def codes(self) -> Int64:
        """Number the distinct cells."""
        return numbered(self.names())[0]


def numbered(names: Sequence[str]) -> tuple[Int64, list[str]]:
    """Number names in the order of their first appearance; returns each one's number, and the names by number."""
    distinct = list(dict.fromkeys(names))
    numbers = dict(zip(distinct, range(len(distinct)), strict=True))
    return np.fromiter(map(numbers.__getitem__, names), np.int64, len(names)), distinct
