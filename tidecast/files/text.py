"""Columns of text from CSV; cells are converted to numbers or times only when needed."""

import re
from collections.abc import Sequence

import numpy as np

from tidecast.arrays import Bools, Float, Int64
from tidecast.files import iso
from tidecast.files.columns import Column, Kind, Moments, Numbers
from tidecast.files.numbered import epochs
from tidecast.wire.numbers import FORM, LONGEST, number_of, usual_numbers

MISSING = frozenset(("", "nan", "na", "n/a", "null", "none", "nat", "<na>"))

_EPOCH = re.compile(rb"-?0{1,15}(?:\.0*)?")  # the shape of an epoch, with every digit replaced by 0
_TOO_LONG = re.compile(r"-?[0-9]{16,}")  # microseconds or nanoseconds
_SWALLOWED = "goes on over several lines: close or remove its quote"


class Text(Column):
    """A column of text; white space around a cell is ignored."""

    type_name = "text"
    is_text = True

    def __init__(self, cells: Sequence[str]) -> None:
        self.cells = cells

    def __len__(self) -> int:
        return len(self.cells)

    def text(self, row: int) -> str:
        """Return a cell."""
        return self.cells[row].strip()

    def take(self, rows: Int64) -> "Text":
        """Return a column with some of the rows."""
        return Text(_chosen(self.cells, rows))

    def missing(self) -> Bools:
        """Mark the cells that are empty or contain a word for a missing value, such as `NA`."""
        return np.fromiter(map(is_missing, self.cells), np.bool_, len(self))

    def names(self) -> Sequence[str]:
        """Return the cells."""
        return list(map(str.strip, self.cells))

    def numbers(self) -> Numbers:
        """Parse the cells as decimal numbers."""
        values = self._usual_numbers()
        if values is None:
            values = np.array([number_of(cell.encode(errors="replace")) for cell in self.names()])
        bad = np.isnan(values)
        bad[bad] = [not is_missing(self.cells[row]) for row in np.flatnonzero(bad).tolist()]
        return Numbers(values, bad)

    def _usual_numbers(self) -> Float | None:
        """Parse cells that are all usual numbers or empty, the most common case; return None for other cells."""
        filled = [cell for cell in self.cells if cell] if "" in self.cells else self.cells
        if max(map(len, filled), default=0) > LONGEST:
            return None
        values = usual_numbers(",".join(filled).encode(errors="replace"), len(filled))
        if values is None or len(filled) == len(self):
            return values
        all_values = np.full(len(self), np.nan)
        all_values[[cell != "" for cell in self.cells]] = values
        return all_values

    def moments(self) -> Moments:
        """Parse the cells as ISO-8601 times or epochs, each in its own kind."""
        cells = self.cells
        joined = "\n".join(cells).encode().upper()
        groups = _rows_by_shape(joined, len(self))
        if not all(map(_is_time, groups)):  # perhaps because of white space or a line break within a cell
            joined = "\n".join(cell.strip().replace("\n", "\0") for cell in cells).encode().upper()
            groups = _rows_by_shape(joined, len(self))
        ms = np.zeros(len(self), np.int64)
        below = np.zeros(len(self), np.int64)
        kinds = np.zeros(len(self), np.int64)
        numbers = np.full(len(self), np.nan)
        for shape, rows in groups.items():
            if kind := iso.kind_of(shape):
                times = iso.read_shape(shape, iso.matrix(joined, len(shape), rows, len(self)))
                ms[rows] = np.where(times.good, times.ms, 0)
                below[rows] = times.below
                kinds[rows] = np.where(times.good, kind, Kind.NONE)
            elif _EPOCH.fullmatch(shape):
                digits = iso.matrix(joined, len(shape), rows, len(self))
                plain = not shape.strip(b"0")
                numbers[rows] = iso.number(digits, 0, len(shape)) if plain else list(map(float, _chosen(cells, rows)))
        return _with_epochs(Moments(ms, below, kinds), numbers)


def is_missing(cell: str) -> bool:
    """Return whether a cell is empty or contains a word for a missing value, such as `NA`."""
    return cell.strip().lower() in MISSING


def is_too_long(cell: str) -> bool:
    """Return whether a cell is an integer with more digits than epoch milliseconds."""
    return _TOO_LONG.fullmatch(cell.strip()) is not None


def is_swallowed(cell: str) -> bool:
    """Return whether a cell contains several lines, as after an unclosed quote."""
    return "\n" in cell.strip()


def why_no_number(cell: str) -> str:
    """Return the reason why a cell is not a valid number, with the remedy."""
    text = cell.strip().lower()
    if is_swallowed(text):
        return _SWALLOWED
    if "," in text:
        return "has a comma: write a point for decimals and nothing between thousands"
    if text.lstrip("+-") in ("inf", "infinity"):
        return "is infinite: write a finite number, or nothing where it is missing"
    if len(text) > LONGEST:
        return f"has {len(text)} characters: write at most {LONGEST}"
    if FORM.fullmatch(text.encode(errors="replace")):
        return "is beyond 3.4e38, what float32 can hold: rescale it"
    return "is not a number: write one such as 42.1, or nothing where it is missing"


def _with_epochs(iso_times: Moments, numbers: Float) -> Moments:
    """Merge ISO-8601 times with the epochs in `numbers`, which is NaN for all other cells."""
    if np.isnan(numbers).all():
        return iso_times
    times = epochs(numbers)
    is_number = times.kinds != Kind.NONE
    return Moments(
        np.where(is_number, times.ms, iso_times.ms),
        np.where(is_number, times.below, iso_times.below),
        np.where(is_number, times.kinds, iso_times.kinds),
        times.fault,
        times.note,
    )


def _is_time(shape: bytes) -> bool:
    return bool(iso.kind_of(shape)) or _EPOCH.fullmatch(shape) is not None


def _chosen(cells: Sequence[str], rows: Int64) -> Sequence[str]:
    return cells if len(rows) == len(cells) else [cells[row] for row in rows.tolist()]


def _rows_by_shape(joined: bytes, count: int) -> dict[bytes, Int64]:
    """Group the rows by the shapes of their cells; `joined` has all cells with line breaks between them."""
    shapes = iso.shapes(joined)
    end = shapes.find(b"\n")
    first = shapes if end < 0 else shapes[:end]
    if shapes == b"\n".join([first] * count):  # the usual case
        return {first: np.arange(count)}
    rows_by_shape: dict[bytes, list[int]] = {}
    for row, shape in enumerate(shapes.split(b"\n")):
        rows_by_shape.setdefault(shape, []).append(row)
    return {shape: np.array(rows) for shape, rows in rows_by_shape.items()}
