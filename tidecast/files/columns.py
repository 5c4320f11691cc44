"""Define columns of a table, which convert to numbers, times and names. Bad cells are marked, never guessed."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from tidecast.arrays import Bools, Float, Int64

FIRST_YEAR = 1678  # accepted years: their times fit into 64-bit nanoseconds, so that every tool can plot them
LAST_YEAR = 2261
FIRST_MS = int(np.datetime64(f"{FIRST_YEAR}-01-01", "ms").astype(np.int64))
END_MS = int(np.datetime64(f"{LAST_YEAR + 1}-01-01", "ms").astype(np.int64))


class Kind(IntEnum):
    """The notation of a time."""

    NONE = 0  # missing, or not a time
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
    """A column as numbers; NaN if missing or bad."""

    values: Float  # (rows,)
    bad: Bools  # (rows,) True if the cell is not a finite number in the range of float32


@dataclass(frozen=True, slots=True)
class Moments:
    """Cells as times, before the kind of the column is known."""

    ms: Int64  # (rows,) epoch milliseconds; local times as if the clock showed UTC; 0 if a cell is not a time
    below: Int64  # (rows,) nanoseconds beyond the milliseconds
    kinds: Int64  # (rows,) of `Kind`
    fault: tuple[int, str] | None = None  # a row, and the reason why the numbers of the column are not times
    note: str | None = None  # a note for the user about the interpretation of numbers


@dataclass(frozen=True, slots=True)
class Times:
    """A column as times; 0 if bad."""

    ms: Int64  # (rows,) as in `Moments`
    below: Int64
    bad: Bools  # (rows,) True if missing, unreadable, out of range or of another kind than the column
    kind: Kind  # the kind of the first time in the column
    fault: tuple[int, str] | None = None  # as in `Moments`
    notes: tuple[str, ...] = ()


class Column(ABC):
    """One column of a table."""

    type_name: str  # used in messages
    is_text = False
    holds_numbers = True
    holds_times = True
    holds_names = True

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def text(self, row: int) -> str:
        """Return a cell as text for messages."""

    @abstractmethod
    def take(self, rows: Int64) -> "Column":
        """Return a column with some of the rows."""

    @abstractmethod
    def missing(self) -> Bools:
        """Mark the empty cells."""

    @abstractmethod
    def numbers(self) -> Numbers:
        """Convert the cells to numbers, as strictly as a worker parses a reading."""

    @abstractmethod
    def moments(self) -> Moments:
        """Convert the cells to times of any kind."""

    @abstractmethod
    def names(self) -> Sequence[str]:
        """Convert the cells to names."""

    def times(self, kind: Kind = Kind.NONE) -> Times:
        """Convert the cells to times; all must be of one kind, by default that of the first time."""
        moments = self.moments()
        is_time = moments.kinds != Kind.NONE
        first = Kind(int(moments.kinds[np.argmax(is_time)])) if is_time.any() else Kind.NONE
        kind = kind or first
        out_of_range = (moments.ms < FIRST_MS) | (moments.ms >= END_MS)
        bad = ~is_time | (moments.kinds != kind) | out_of_range
        is_number = first in (Kind.SECONDS, Kind.MILLISECONDS)
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
    """Number the names in the order of their first appearance; return the number of each, and the distinct names."""
    distinct = list(dict.fromkeys(names))
    numbers = dict(zip(distinct, range(len(distinct)), strict=True))
    return np.fromiter(map(numbers.__getitem__, names), np.int64, len(names)), distinct
