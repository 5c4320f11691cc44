"""Typed columns, from Parquet files and frames."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Bools, Int64
from tidecast.files.columns import Column, Kind, Moments, Numbers
from tidecast.files.numbered import epochs
from tidecast.wire.numbers import LARGEST

_MOST_EXACT = {np.dtype(np.float16): 2**11, np.dtype(np.float32): 2**24}  # beyond, whole numbers are rounded
_ROUNDED = "was rounded by its type, a short float: write the times as timestamps, int64 or double"


class Numeric(Column):
    """A column of numbers or booleans; a boolean is 0 or 1.

    Args:
        values: `(rows,)` numbers; arbitrary if missing.
        missing: `(rows,)` True for missing cells.
        type_name: the name of the type in messages.
    """

    def __init__(self, values: NDArray[np.generic], missing: Bools, type_name: str) -> None:
        self.type_name = type_name
        self.holds_times = type_name != "bool"
        self._values = values
        self._missing = missing

    def __len__(self) -> int:
        return len(self._values)

    def text(self, row: int) -> str:
        """Return a cell in Python's notation of the number."""
        return "" if self._missing[row] else str(self._values[row].item())

    def take(self, rows: Int64) -> "Numeric":
        """Return a column with some of the rows."""
        return Numeric(self._values[rows], self._missing[rows], self.type_name)

    def missing(self) -> Bools:
        """Mark the missing cells."""
        return self._missing

    def numbers(self) -> Numbers:
        """Return the numbers; infinity is bad."""
        values = np.where(self._missing, np.nan, self._values.astype(np.float64))
        bad = np.abs(values) > LARGEST
        return Numbers(np.where(bad, np.nan, values), bad)

    def moments(self) -> Moments:
        """Interpret the numbers as epochs, unless their type has rounded them."""
        values = np.where(self._missing, np.nan, self._values.astype(np.float64))
        moments = epochs(values)
        rounded = np.abs(values) > _MOST_EXACT.get(self._values.dtype, np.inf)
        return replace(moments, fault=(int(np.argmax(rounded)), _ROUNDED)) if rounded.any() else moments

    def names(self) -> Sequence[str]:
        """Return the numbers as text; whole numbers without a decimal point."""
        values = self._values
        if values.dtype.kind == "f":
            present = values[~self._missing].astype(np.float64)
            if (present == np.rint(present)).all() and (np.abs(present) < 2**63).all():
                values = np.where(self._missing, 0, values).astype(np.int64)
        names = map(str, values.tolist())
        return ["" if missing else name for name, missing in zip(names, self._missing.tolist(), strict=True)]


class Stamps(Column):
    """A column of times or dates.

    Args:
        ms: `(rows,)` epoch milliseconds, local times as if the clock showed UTC; arbitrary if missing.
        below: `(rows,)` nanoseconds beyond the milliseconds.
        missing: `(rows,)` True for missing cells.
        has_offset: whether the times are moments rather than local times.
        type_name: the name of the type in messages.
    """

    holds_numbers = False
    holds_names = False

    def __init__(self, ms: Int64, below: Int64, missing: Bools, *, has_offset: bool, type_name: str) -> None:
        self.type_name = type_name
        self._ms = np.where(missing, 0, ms)
        self._below = np.where(missing, 0, below)
        self._missing = missing
        self._has_offset = has_offset

    def __len__(self) -> int:
        return len(self._ms)

    def text(self, row: int) -> str:
        """Return a time in ISO-8601."""
        return "" if self._missing[row] else str(np.datetime64(int(self._ms[row]), "ms"))

    def take(self, rows: Int64) -> "Stamps":
        """Return a column with some of the rows."""
        missing = self._missing[rows]
        return Stamps(self._ms[rows], self._below[rows], missing, has_offset=self._has_offset, type_name=self.type_name)

    def missing(self) -> Bools:
        """Mark the missing cells."""
        return self._missing

    def numbers(self) -> Numbers:
        """Raise a TypeError: times are not numbers."""
        raise TypeError(f"{self.type_name} holds no numbers")

    def moments(self) -> Moments:
        """Return the times."""
        kind = Kind.OFFSET if self._has_offset else Kind.LOCAL
        return Moments(self._ms, self._below, np.where(self._missing, Kind.NONE, kind))

    def names(self) -> Sequence[str]:
        """Return the times in ISO-8601."""
        return [self.text(row) for row in range(len(self))]


class Foreign(Column):
    """A column of a type that is not supported, such as lists."""

    holds_numbers = False
    holds_times = False
    holds_names = False

    def __init__(self, count: int, type_name: str) -> None:
        self.type_name = type_name
        self._count = count

    def __len__(self) -> int:
        return self._count

    def text(self, row: int) -> str:  # noqa: ARG002 - as in every column
        """Return an empty text."""
        return ""

    def take(self, rows: Int64) -> "Foreign":
        """Return a column with some of the rows."""
        return Foreign(len(rows), self.type_name)

    def missing(self) -> Bools:
        """Mark all cells."""
        return np.ones(self._count, np.bool_)

    def numbers(self) -> Numbers:
        """Raise a TypeError."""
        raise TypeError(f"{self.type_name} holds no numbers")

    def moments(self) -> Moments:
        """Raise a TypeError."""
        raise TypeError(f"{self.type_name} holds no times")

    def names(self) -> Sequence[str]:
        """Return an empty name for each row."""
        return [""] * self._count
