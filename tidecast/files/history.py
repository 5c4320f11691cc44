"""Read histories from files: an array of readings for each usable series, and a reason for each refused one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Float, Int64
from tidecast.files.folders import distinguishing_folder
from tidecast.files.layout import DEFAULT_TARGET, Selection, layout_of
from tidecast.files.parts import SeriesRows, parts_of
from tidecast.files.refusal import Refusal
from tidecast.files.tables import Table, read_tables
from tidecast.files.zones import zone_of
from tidecast.models.known.inputs import KnownSeries
from tidecast.models.known.values import KnownValues
from tidecast.models.time_grid import NOTHING
from tidecast.wire.parsing import MAX_NAME_BYTES, quoted

REPEATED = "duplicate time"  # the word in notes for a time that several readings of a series have


@dataclass(frozen=True, slots=True)
class History:
    """One series' readings, sorted, without duplicates.

    Attributes:
        series: the series' name.
        features: the names of the columns of `values`, the target first.
        ts: `(readings,)` epoch milliseconds, strictly increasing.
        values: `(readings, features)`, finite; a missing feature has its last value, or NaN without `carry`.
        notes: a sentence about each repair.
        left_out: the times of gross errors, in epoch milliseconds; their values were replaced.
        known: the values that are known ahead of its readings; None without known values.
    """

    series: str
    features: tuple[str, ...]
    ts: Int64
    values: Float
    notes: tuple[str, ...] = ()
    left_out: Int64 = field(default_factory=NOTHING.copy)
    known: KnownSeries | None = None

    def __len__(self) -> int:
        return len(self.ts)

    @property
    def judging(self) -> NDArray[np.bool_]:
        """A mask of the readings that judge forecasts, `(readings,)`: neither a gross error nor the one after it.

        The value in the place of the error was interpolated towards that reading, and would reveal half of it.
        """
        sound = ~np.isin(self.ts, self.left_out)
        sound[1:] &= sound[:-1].copy()
        return sound


@dataclass(frozen=True, slots=True)
class Histories:
    """The series of all sources, in their order; each series is either in `accepted` or in `refused`."""

    accepted: tuple[History, ...]
    refused: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()  # a sentence about each decision on a whole file

    @property
    def all_notes(self) -> tuple[str, ...]:
        """All notes: those on whole files, and those on each series with its name."""
        return (*self.notes, *(f"{history.series}: {note}" for history in self.accepted for note in history.notes))


def known_values(histories: Iterable[History]) -> KnownValues:
    """Return the values that are known ahead of histories, which they share."""
    return next((history.known.values for history in histories if history.known), KnownValues())


def read_history(
    sources: Sequence[str | Path] | str | Path,
    *,
    target: str | None = None,
    features: Sequence[str] = (),
    series_column: str | None = None,
    time_zone: str | None = None,
    likely_target: str = DEFAULT_TARGET,
    all_by_default: bool = False,
) -> Histories:
    """Read files, directories or standard input (`-`); the parts of a series in several files are joined.

    Args:
        sources: CSV, gzip-compressed CSV, Parquet, directories of these, or `-`.
        target: the column to forecast; None: `value`, the only numeric column or the last one.
        features: further columns to use, or `("all",)` for every numeric one.
        series_column: the column with the names of the series; None: `series`, `unique_id`, or none.
        time_zone: the zone of times without an offset, such as `Europe/Berlin`; None: UTC.
        likely_target: the setting `series.target`; it is the target of a file that has such a column.
        all_by_default: use every numeric column if no features are named.

    Raises:
        HistoryError: a file cannot be read; the message names it, the row and the remedy.
    """
    selection = Selection(target, tuple(features), series_column, likely_target, all_by_default)
    tables = read_tables([sources] if isinstance(sources, str | Path) else sources)
    return histories_of(tables, selection, time_zone)


def histories_of(
    tables: Iterable[Table], selection: Selection, time_zone: str | None = None, *, carry: bool = True
) -> Histories:
    """Read the series of tables; see `read_history`.

    Args:
        tables: the tables of the files.
        selection: the named columns.
        time_zone: the zone of times without an offset.
        carry: whether a missing feature gets its last value; otherwise it stays NaN.
    """
    zone = zone_of(time_zone)
    parts_by_series: dict[str, list[SeriesRows]] = {}
    notes: list[str] = []
    for table in tables:
        layout = layout_of(table, selection)
        parts, time_notes = parts_of(table, layout, zone)
        notes += [*table.notes, *(f"{table.source}: {note}" for note in (*layout.notes, *time_notes))]
        for part in parts:
            parts_by_series.setdefault(part.series, []).append(part)
    return joined(parts_by_series.values(), carry=carry, notes=notes)


def joined(parts_by_series: Iterable[Sequence[SeriesRows]], *, carry: bool, notes: Iterable[str] = ()) -> Histories:
    """Join the parts of each series, and sort the series into accepted and refused ones."""
    results = [_tidy(parts, carry=carry) for parts in parts_by_series]
    accepted = tuple(result for result in results if isinstance(result, History))
    return Histories(accepted, tuple(result for result in results if isinstance(result, Refusal)), tuple(notes))


def _tidy(parts: Sequence[SeriesRows], *, carry: bool) -> History | Refusal:
    """Join a series' parts, and make all repairs that need no guessing."""
    series = parts[0].series
    fault = next((part.fault for part in parts if part.fault), None) or _misfit(parts) or _clash(parts)
    if fault:
        return Refusal(_printable(series), fault)
    features = parts[0].features
    rows = _Rows(np.concatenate([part.ts for part in parts]), np.concatenate([part.values for part in parts]))
    rows.sort()
    if carry:
        rows.carry(features)
    rows.drop_unmeasured()
    if not len(rows.ts):
        return Refusal(series, f"no row of {_files(parts)} has its {features[0]}: leave the series out")
    rows.drop_repeated()
    return History(series, features, rows.ts, rows.values, tuple(rows.notes))


@dataclass(slots=True)
class _Rows:
    """The rows of a series during its repairs; each repair adds a note."""

    ts: Int64  # (rows,) epoch milliseconds
    values: Float  # (rows, features)
    notes: list[str] = field(default_factory=list)

    def sort(self) -> None:
        """Sort the rows by time, if they are not sorted."""
        back = int(np.count_nonzero(self.ts[1:] < self.ts[:-1]))
        if back:
            self._keep(np.argsort(self.ts, kind="stable"))
            self.notes.append(f"rows out of order ({counted(back, 'step')} back in time): sorted")

    def carry(self, features: tuple[str, ...]) -> None:
        """Fill missing features, see `carried`."""
        self.values, filled = carried(self.values, features)
        self.notes += filled

    def drop_unmeasured(self) -> None:
        """Drop the rows without a target."""
        there = ~np.isnan(self.values[:, 0])
        absent = int(np.count_nonzero(~there))
        if absent:
            self._keep(np.flatnonzero(there))
            self.notes.append(f"{counted(absent, 'row')} without a value: dropped")

    def drop_repeated(self) -> None:
        """Of rows with the same time keep the last."""
        last = np.append(self.ts[1:] > self.ts[:-1], True)
        repeated = int(np.count_nonzero(~last))
        if repeated:
            self._keep(np.flatnonzero(last))
            self.notes.append(f"{counted(repeated, REPEATED)}: the last kept")

    def _keep(self, chosen: Int64) -> None:
        self.ts = self.ts[chosen]
        self.values = self.values[chosen]


def _misfit(parts: Sequence[SeriesRows]) -> str | None:
    named = {part.features for part in parts}
    if len(named) == 1:
        return None
    listed = " and ".join(sorted(", ".join(features) for features in named))
    return f"{_files(parts)} give it different columns ({listed}): name a target and features that all have"


def _clash(parts: Sequence[SeriesRows]) -> str | None:
    """Return a message for files that give several series the same name; their folders or repeated times show it."""
    if len(parts) == 1 or not any(part.by_file for part in parts):
        return None
    if column := distinguishing_folder([part.source for part in parts]):
        return f"{_files(parts)} share this name, their folders differ in {column!r}: add --series-column {column}"
    rows = sum(len(part.ts) for part in parts)
    repeated = rows - len(np.unique(np.concatenate([part.ts for part in parts])))
    if 4 * repeated < rows:
        return None
    return f"{_files(parts)} share this name and {repeated} times: rename a file or add a column 'series'"


def _files(parts: Sequence[SeriesRows]) -> str:
    named = list(dict.fromkeys(part.source for part in parts))
    return " and ".join(named[:2]) + (f" and {len(named) - 2} more" if len(named) > 2 else "")


def _printable(series: str) -> str:
    return series if series.isprintable() and len(series.encode()) <= MAX_NAME_BYTES else quoted(series.encode())


def carried(values: Float, features: tuple[str, ...]) -> tuple[Float, tuple[str, ...]]:
    """Fill missing features with their last value, at the start with their first one; the target is not filled."""
    gaps = np.isnan(values[:, 1:])
    if not gaps.any():
        return values, ()
    filled = values.copy()
    notes = []
    for place, name in enumerate(features[1:], start=1):
        missing = gaps[:, place - 1]
        if missing.all():
            notes.append(f"feature {name!r} has no value: 0 throughout")
            filled[:, place] = 0.0
        elif missing.any():
            notes.append(f"feature {name!r} missing in {counted(int(missing.sum()), 'row')}: the last value carried")
            filled[:, place] = _carried(values[:, place], missing)
    return filled, tuple(notes)


def _carried(column: Float, missing: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Float:
    first = int(np.argmin(missing))
    last = np.maximum.accumulate(np.where(missing, first, np.arange(len(column))))
    return column[last]


def counted(number: int, noun: str) -> str:
    """Return a number with its noun in the singular or the plural."""
    return f"{number} {noun}{'s' if number != 1 else ''}"
