"""Split a table's rows by series; a series with an unusable cell gets a sentence about that cell."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from zoneinfo import ZoneInfo

import numpy as np

from tidecast.arrays import Bools, Float, Int64
from tidecast.errors import BadReading, HistoryError
from tidecast.files import panel
from tidecast.files.columns import END_MS, FIRST_MS, FIRST_YEAR, LAST_YEAR, SPELLED, Kind, Times, numbered
from tidecast.files.layout import TableLayout
from tidecast.files.tables import Table
from tidecast.files.text import Text, is_missing, is_swallowed, is_too_long, why_no_number
from tidecast.files.zones import to_utc
from tidecast.wire.parsing import other_unit, series_of

OR_NAME_IT = ", or name it with --series-column"  # the part of the message that applies only to commands
CLOCK = frozenset(("hr", "hh", "h", "minute", "min", "mm", "second", "time", "clock", "period", "slot", "he"))
CLOCK_TIME = re.compile(r"\d{1,2}:\d\d(:\d\d)?( ?[ap]m)?", re.IGNORECASE)

_OUT_OF_RANGE = f"lies outside the years {FIRST_YEAR} to {LAST_YEAR}: correct it, or give epoch seconds or milliseconds"


@dataclass(frozen=True, slots=True)
class SeriesRows:
    """One series' rows of one file, in the file's order; NaN if missing."""

    series: str
    source: str
    by_file: bool  # whether the series is named after its file
    features: tuple[str, ...]
    ts: Int64  # (rows,)
    values: Float  # (rows, features)
    fault: str | None  # a sentence about the first unusable cell


@dataclass(frozen=True, slots=True)
class TableRows:
    """The rows of a whole table; row i belongs to the series `names[codes[i]]`."""

    names: list[str]
    codes: Int64  # (rows,)
    times: Times
    values: Float  # (rows, columns)
    bad: Bools  # (rows, columns)


@dataclass(slots=True)
class EarlierRows:
    """The rows of a table before those that are read now, as of a pipe."""

    kind: Kind = Kind.NONE  # of their times
    newest: dict[str, int] = field(default_factory=dict)  # by series, epoch milliseconds

    def add(self, rows: TableRows) -> None:
        """Add rows without bad times."""
        self.kind = rows.times.kind
        newest = np.full(len(rows.names), FIRST_MS)
        np.maximum.at(newest, rows.codes, rows.times.ms)
        for name, ms in zip(rows.names, newest.tolist(), strict=True):
            self.newest[name] = max(ms, self.newest.get(name, ms))


def parts_of(table: Table, layout: TableLayout, zone: ZoneInfo | None) -> tuple[list[SeriesRows], tuple[str, ...]]:
    """Split a table into its series; return them with notes about the times.

    Raises:
        HistoryError: a column that all series need cannot be read, or several series would be read as one.
    """
    rows, notes = rows_of(table, layout, zone)
    check_panel(table, layout, rows)
    return split(table, layout, rows), notes


def rows_of(
    table: Table, layout: TableLayout, zone: ZoneInfo | None, earlier: EarlierRows | None = None
) -> tuple[TableRows, tuple[str, ...]]:
    """Read the columns of a layout; return the rows with notes about the times.

    Args:
        table: the table, or the next rows of one.
        layout: its columns.
        zone: of times without an offset; None: UTC.
        earlier: the rows before these; None: these are all.

    Raises:
        HistoryError: a column that all series need cannot be read.
    """
    kind = earlier.kind if earlier else Kind.NONE
    rows, notes = _utc(_rows(table, layout, kind), zone, earlier)
    return rows, (*rows.times.notes, *notes)


def split(table: Table, layout: TableLayout, rows: TableRows) -> list[SeriesRows]:
    """Split the rows of a table into its series."""
    return list(_wide(table, layout, rows) if layout.wide else _long(table, layout, rows))


def _rows(table: Table, layout: TableLayout, kind: Kind) -> TableRows:
    times = _times(table, layout, kind)
    values = np.empty((len(table), len(layout.values)))
    bad = np.empty(values.shape, np.bool_)
    for place, name in enumerate(layout.values):
        values[:, place], bad[:, place] = _numbers(table, name)
    codes, names = _series(table, layout)
    return TableRows(names, codes, times, values, bad)


def times_of(table: Table, name: str, kind: Kind = Kind.NONE) -> Times:
    """Read a column of times of one kind, by default that of its first; single bad cells are only marked.

    Raises:
        HistoryError: the column cannot hold times, or its numbers are not epochs.
    """
    column = table.columns[name]
    if not column.holds_times:
        raise HistoryError(
            f"column {name!r} of {table.source} holds {column.type_name}, not times: write ISO-8601 or epochs"
        )
    times = column.times(kind)
    if times.fault:
        row, reason = times.fault
        raise HistoryError(f"{table.row(row)}: {name} {table.cell(name, row)} {reason}")
    return times


def _times(table: Table, layout: TableLayout, kind: Kind) -> Times:
    """Read the time column; a bad time refuses its series, or the whole file if it has a single series."""
    times = times_of(table, layout.time, kind)
    if times.bad.all() or (layout.series is None and times.bad.any()):
        raise HistoryError(_time_fault(table, layout.time, times.kind, int(np.argmax(times.bad))))
    return times


def _numbers(table: Table, name: str) -> tuple[Float, Bools]:
    column = table.columns[name]
    if not column.holds_numbers:
        raise HistoryError(f"column {name!r} of {table.source} holds {column.type_name}, not numbers: convert it")
    numbers = column.numbers()
    if numbers.bad.any() and np.isnan(numbers.values).all():
        fault = _number_fault(table, name, int(np.argmax(numbers.bad)))
        raise HistoryError(f"column {name!r} of {table.source} holds no usable number; {fault}")
    return numbers.values, numbers.bad


def _series(table: Table, layout: TableLayout) -> tuple[Int64, list[str]]:
    """Return the series number of each row, and the names; in wide form every row belongs to all series."""
    if layout.series is None:
        codes = np.zeros(len(table), np.int64)
        return codes, list(layout.values) if layout.wide else [table.stem]
    column = table.columns[layout.series]
    if not column.holds_names:
        raise HistoryError(
            f"column {layout.series!r} of {table.source} holds {column.type_name}, not names: convert it"
        )
    codes, names = numbered(column.names())
    if "" in names:
        row = table.row(int(np.argmax(codes == names.index(""))))
        raise HistoryError(f"{row} has no name in column {layout.series!r}: write the series' name")
    return codes, names


def _utc(rows: TableRows, zone: ZoneInfo | None, earlier: EarlierRows | None) -> tuple[TableRows, tuple[str, ...]]:
    """Convert local times to UTC; return notes about times that the clock skipped or showed twice."""
    if zone is None or rows.times.kind is not Kind.LOCAL:
        return rows, ()
    newest = [earlier.newest.get(name, FIRST_MS) for name in rows.names] if earlier else None
    localised = to_utc(rows.times.ms, rows.codes, zone, newest)
    notes = []
    if localised.skipped:
        notes.append(f"{zone.key} skips {localised.skipped} of the times: moved to the next that exists")
    if localised.twice:
        notes.append(
            f"{zone.key} shows {localised.twice} of the times twice: the earlier reading taken as before the change"
        )
    return replace(rows, times=replace(rows.times, ms=localised.ms)), tuple(notes)


def check_panel(table: Table, layout: TableLayout, rows: TableRows, *, has_target: bool = True) -> None:
    """Raise a HistoryError if so many times repeat within a series that it must contain several series.

    Args:
        table: the table.
        layout: its columns.
        rows: its rows.
        has_target: whether the first column of values is certainly a measurement, unless each is a series.
    """
    if panel.is_few(_repeated(rows), len(rows.codes)):
        return
    moments = panel.paired(rows.codes, np.unique(rows.times.ms, return_inverse=True)[1])
    columns = {name: column.codes() for name, column in table.columns.items()}
    kept = panel.without_copies(list(columns.values()))
    moments = moments[kept]
    repeated = panel.repeats(moments)
    if panel.is_few(repeated, len(kept)):
        return
    known = {layout.time, layout.series} | ({layout.values[0]} if has_target and not layout.wide else set())
    candidates = {name: codes for name, codes in columns.items() if name and name not in known}
    distinguishing = panel.distinguishing_columns(moments, _without_measurements(table, candidates), kept)
    within = "" if layout.series is None else " of their series"
    if distinguishing:
        remedy = _panel_remedy(table, layout, distinguishing)
        raise HistoryError(f"{repeated} of {len(kept)} times{within} in {table.source} repeat, and {remedy}")
    if len(kept) > 3 and panel.HALF * repeated >= len(kept) and not _within_milliseconds(rows):
        remedy = "and no column names the series: add one called 'series', or keep one reading of each time"
        if layout.series is not None:
            remedy = "and no other column distinguishes the rows: keep one reading of each time"
        raise HistoryError(f"{repeated} of {len(kept)} times{within} in {table.source} repeat, {remedy}")


def _within_milliseconds(rows: TableRows) -> bool:
    """Return whether times that differ by less than a millisecond are among those that repeat."""
    if not rows.times.below.any():
        return False
    order = np.lexsort((rows.times.below, rows.times.ms, rows.codes))
    same = (np.diff(rows.codes[order]) == 0) & (np.diff(rows.times.ms[order]) == 0)
    return bool((same & (np.diff(rows.times.below[order]) != 0)).any())


def grouped(codes: Int64, count: int) -> list[Int64]:
    """Return the rows of each of `count` series, in file order."""
    return np.split(_by_series(codes, count), np.cumsum(np.bincount(codes, minlength=count))[:-1])


def _by_series(codes: Int64, count: int) -> Int64:
    """Return the order of the rows by series, in file order within each series."""
    # NumPy sorts small integers in one pass.
    return np.argsort(codes.astype(np.min_scalar_type(count)), kind="stable")


def _repeated(rows: TableRows) -> int:
    """Count the rows that repeat a time within their series."""
    order = _by_series(rows.codes, len(rows.names))
    codes = rows.codes[order]
    steps = np.diff(rows.times.ms[order])[codes[1:] == codes[:-1]]
    if (steps > 0).all():  # the usual case
        return 0
    order = np.lexsort((rows.times.ms, rows.codes))
    ms = rows.times.ms[order]
    codes = rows.codes[order]
    return int(np.count_nonzero((ms[1:] == ms[:-1]) & (codes[1:] == codes[:-1])))


def _without_measurements(table: Table, candidates: dict[str, Int64]) -> dict[str, Int64]:
    """Leave out columns with fractions, since these are measurements."""
    return {name: codes for name, codes in candidates.items() if not _has_fractions(table, name)}


def _has_fractions(table: Table, name: str) -> bool:
    column = table.columns[name]
    if not column.holds_numbers:
        return not column.holds_names
    numbers = column.numbers()
    values = numbers.values[~np.isnan(numbers.values)]
    return bool(len(values) and not numbers.bad.any() and (values != np.rint(values)).any())


def _panel_remedy(table: Table, layout: TableLayout, columns: Sequence[str]) -> str:
    """Return a sentence about the columns that distinguish the rows, with the remedy."""
    clock = next((name for name in columns if _is_clock(table, name)), None)
    if clock is not None:
        return f"column {clock!r} distinguishes the rows: join it with {layout.time!r} into one column 'timestamp'"
    if len(columns) > 1:
        first, second = columns
        return (
            f"columns {first!r} and {second!r} together distinguish the rows: join these into one column 'series', "
            f"or into {layout.time!r} if they belong to the time"
        )
    (column,) = columns
    if layout.series is not None:
        return f"column {column!r} distinguishes the rows: join it with {layout.series!r} into one column 'series'"
    return f"column {column!r} distinguishes the rows: call it 'series'{OR_NAME_IT} {column}"


def _is_clock(table: Table, name: str) -> bool:
    """Return whether a column has times of day, by its name or its first cell."""
    plain = name.casefold()
    return plain in CLOCK or "hour" in plain or CLOCK_TIME.fullmatch(table.text(name, 0).strip()) is not None


def _wide(table: Table, layout: TableLayout, rows: TableRows) -> Iterator[SeriesRows]:
    clash = _same_millisecond(table, layout, rows, np.arange(len(table)))
    for i, name in enumerate(rows.names):
        fault = _name_fault(table, name) or clash
        if fault is None and rows.bad[:, i].any():
            fault = _number_fault(table, name, int(np.argmax(rows.bad[:, i])))
        yield SeriesRows(name, table.source, False, layout.features, rows.times.ms, rows.values[:, i : i + 1], fault)


def _long(table: Table, layout: TableLayout, rows: TableRows) -> Iterator[SeriesRows]:
    faulty = np.flatnonzero(rows.bad.any(axis=1) | rows.times.bad)
    codes, first = np.unique(rows.codes[faulty], return_index=True)
    first_faulty = dict(zip(codes.tolist(), faulty[first].tolist(), strict=True))
    for code, (name, mine) in enumerate(zip(rows.names, grouped(rows.codes, len(rows.names)), strict=True)):
        fault = _name_fault(table, name)
        if fault is None and code in first_faulty:
            fault = row_fault(table, layout, rows, first_faulty[code])
        fault = fault or _same_millisecond(table, layout, rows, mine)
        by_file = layout.series is None
        yield SeriesRows(name, table.source, by_file, layout.features, rows.times.ms[mine], rows.values[mine], fault)


def _same_millisecond(table: Table, layout: TableLayout, rows: TableRows, mine: Int64) -> str | None:
    """Return a message about the first two readings of a series in the same millisecond; None without any."""
    below = rows.times.below[mine]
    if not below.any():
        return None
    ms = rows.times.ms[mine]
    order = np.lexsort((below, ms))
    clash = (ms[order[1:]] == ms[order[:-1]]) & (below[order[1:]] != below[order[:-1]])
    if not clash.any():
        return None
    later = int(mine[order[1 + int(np.argmax(clash))]])
    return (
        f"{table.row(later)}: {layout.time} {table.cell(layout.time, later)} lies in the same millisecond as another: "
        "keep one reading of each millisecond, or aggregate them"
    )


def row_fault(table: Table, layout: TableLayout, rows: TableRows, row: int) -> str:
    """Return a sentence about the first bad cell of a row."""
    if rows.times.bad[row]:
        return _time_fault(table, layout.time, rows.times.kind, row)
    return _number_fault(table, layout.values[int(np.argmax(rows.bad[row]))], row)


def _number_fault(table: Table, name: str, row: int) -> str:
    return f"{table.row(row)}: {name} {table.cell(name, row)} {why_no_number(table.text(name, row))}"


def _time_fault(table: Table, name: str, kind: Kind, row: int) -> str:
    text = table.text(name, row)
    if is_missing(text):
        return f"{table.row(row)} has no {name}: write its time or remove the row"
    is_written = table.columns[name].is_text or table.columns[name].holds_numbers
    reason = _why_no_time(text, kind) if is_written else _OUT_OF_RANGE
    return f"{table.row(row)}: {name} {table.cell(name, row)} {reason}"


def _why_no_time(text: str, kind: Kind) -> str:
    """Return the reason for a bad time in a column of `kind`, with the remedy."""
    if is_swallowed(text):
        return "goes on over several lines: close or remove its quote"
    moments = Text([text]).moments()
    other = Kind(int(moments.kinds[0]))
    if other is Kind.NONE:
        if unit := other_unit(text.removesuffix(".0").encode(errors="replace")):
            return f"looks like {unit}: write milliseconds"
        if not is_too_long(text):
            return "is not a time: write ISO-8601 such as 2024-05-01T12:00:00Z, or epoch seconds or milliseconds"
    if other is Kind.NONE or not FIRST_MS <= moments.ms[0] < END_MS:
        return _OUT_OF_RANGE
    return f"is {SPELLED[other]}, but the first time is {SPELLED[kind]}: write all of them alike"


def _name_fault(table: Table, name: str) -> str | None:
    try:
        series_of({b"series": name.encode()})
    except BadReading as exc:
        return f"{table.source}: {exc}"
    return None
