"""A table's rows by series, and for a series with an unusable cell the sentence that says which."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tidecast.errors import BadReading, HistoryError
from tidecast.parsing import series_of
from trainer import columns
from trainer.columns import Kind, Numbers, Times
from trainer.layout import Layout
from trainer.tables import Table

Float = NDArray[np.float64]
Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Part:
    """One series' rows of one file, in the file's order; NaN where missing."""

    series: str
    source: str
    by_file: bool  # the series has no name of its own: the file's stands for it
    features: tuple[str, ...]
    ts: Int64  # (rows,)
    values: Float  # (rows, features)
    fault: str | None  # the first one, as a sentence


@dataclass(frozen=True, slots=True)
class _Rows:
    """A whole table's rows; row i belongs to the series `names[codes[i]]`."""

    names: list[str]
    codes: Int64  # (rows,)
    times: Times
    values: Float  # (rows, columns)
    bad: NDArray[np.bool_]  # (rows, columns)


def parts_of(table: Table, layout: Layout, zone: ZoneInfo | None) -> tuple[list[Part], tuple[str, ...]]:
    """Split a table into its series; returns notes on its clock too.

    Raises:
        HistoryError: a column that all series need cannot be read.
    """
    rows, notes = _utc(_rows(table, layout), zone)
    if layout.series is None and not layout.wide:
        _check_alone(table, rows.times.ms)
    return list(_wide(table, layout, rows) if layout.wide else _long(table, layout, rows)), notes


def _rows(table: Table, layout: Layout) -> _Rows:
    times = _times(table, layout)
    read = [_numbers(table, name) for name in layout.values]
    codes, names = _series(table, layout)
    values, bad = (np.stack(arrays, axis=1) for arrays in zip(*((n.values, n.bad) for n in read), strict=True))
    return _Rows(names, codes, times, values, bad)


def _times(table: Table, layout: Layout) -> Times:
    """Read the time column; one bad time refuses its series, or the file if that is all it holds."""
    column = table.columns[layout.time]
    if not (columns.is_time(column) or columns.is_text(column) or columns.is_number(column)):
        raise HistoryError(
            f"column {layout.time!r} of {table.source} holds {column.type}, not times: write ISO-8601 or epochs"
        )
    if reason := columns.why_no_epoch(column):
        raise HistoryError(f"{table.row(0)}: {layout.time} {reason}")
    times = columns.times(column)
    if times.bad.all() or (layout.series is None and times.bad.any()):
        raise HistoryError(_time_fault(table, layout.time, times.kind, int(np.argmax(times.bad))))
    return times


def _numbers(table: Table, name: str) -> Numbers:
    column = table.columns[name]
    if not (columns.is_text(column) or columns.is_number(column)):
        raise HistoryError(f"column {name!r} of {table.source} holds {column.type}, not numbers: convert it")
    numbers = columns.numbers(column)
    if numbers.bad.any() and np.isnan(numbers.values).all():
        fault = _number_fault(table, name, int(np.argmax(numbers.bad)))
        raise HistoryError(f"column {name!r} of {table.source} holds no usable number; {fault}")
    return numbers


def _series(table: Table, layout: Layout) -> tuple[Int64, list[str]]:
    """Say which series each row belongs to; in wide form every row belongs to all of them."""
    if layout.series is None:
        codes = np.zeros(len(table), np.int64)
        return codes, list(layout.values) if layout.wide else [table.stem]
    column = table.columns[layout.series]
    if not (columns.is_text(column) or columns.is_number(column)):
        raise HistoryError(f"column {layout.series!r} of {table.source} holds {column.type}, not names: convert it")
    codes, names = pd.factorize(np.array(columns.names(column), dtype=object))
    if "" in names:
        row = table.row(int(np.argmax(codes == list(names).index(""))))
        raise HistoryError(f"{row} has no name in column {layout.series!r}: write the series' name")
    return codes.astype(np.int64), list(names)


def _utc(rows: _Rows, zone: ZoneInfo | None) -> tuple[_Rows, tuple[str, ...]]:
    """Bring local times to UTC; returns notes on those that the clock skipped or showed twice."""
    if zone is None or rows.times.kind is not Kind.LOCAL:
        return rows, ()
    ms, skipped, twice = columns.to_utc(rows.times.ms, rows.codes, zone)
    notes = []
    if skipped:
        notes.append(f"{zone.key} skips {skipped} of the times: moved to the next that exists")
    if twice:
        notes.append(f"{zone.key} shows {twice} of the times twice: the first reading taken as before the change")
    return replace(rows, times=replace(rows.times, ms=ms)), tuple(notes)


def _check_alone(table: Table, ts: Int64) -> None:
    """Refuse a file without names whose times repeat like those of several series in one column."""
    repeated = len(ts) - len(np.unique(ts))
    if len(ts) > 3 and 2 * repeated >= len(ts):
        raise HistoryError(
            f"{repeated} of {table.source}'s {len(ts)} times repeat and no column names the series: "
            "call the one that does 'series'"
        )


def _wide(table: Table, layout: Layout, rows: _Rows) -> Iterator[Part]:
    for i, name in enumerate(rows.names):
        fault = _name_fault(table, name)
        if fault is None and rows.bad[:, i].any():
            fault = _number_fault(table, name, int(np.argmax(rows.bad[:, i])))
        yield Part(name, table.source, False, layout.features, rows.times.ms, rows.values[:, i : i + 1], fault)


def _long(table: Table, layout: Layout, rows: _Rows) -> Iterator[Part]:
    faulty = np.flatnonzero(rows.bad.any(axis=1) | rows.times.bad)
    codes, first = np.unique(rows.codes[faulty], return_index=True)
    first_faulty = dict(zip(codes.tolist(), faulty[first].tolist(), strict=True))
    ends = np.cumsum(np.bincount(rows.codes, minlength=len(rows.names)))
    by_series = np.split(np.argsort(rows.codes, kind="stable"), ends[:-1])
    for code, (name, mine) in enumerate(zip(rows.names, by_series, strict=True)):
        fault = _name_fault(table, name)
        if fault is None and code in first_faulty:
            fault = _row_fault(table, layout, rows, first_faulty[code])
        by_file = layout.series is None
        yield Part(name, table.source, by_file, layout.features, rows.times.ms[mine], rows.values[mine], fault)


def _row_fault(table: Table, layout: Layout, rows: _Rows, row: int) -> str:
    if rows.times.bad[row]:
        return _time_fault(table, layout.time, rows.times.kind, row)
    return _number_fault(table, layout.values[int(np.argmax(rows.bad[row]))], row)


def _number_fault(table: Table, name: str, row: int) -> str:
    return f"{table.row(row)}: {name} {table.cell(name, row)} {columns.why_no_number(table.said(name, row))}"


def _time_fault(table: Table, name: str, kind: Kind, row: int) -> str:
    said = table.said(name, row)
    if columns.is_missing(said):
        return f"{table.row(row)} has no {name}: write its time or remove the row"
    return f"{table.row(row)}: {name} {table.cell(name, row)} {columns.why_no_time(said, kind)}"


def _name_fault(table: Table, name: str) -> str | None:
    try:
        series_of({b"series": name.encode()})
    except BadReading as exc:
        return f"{table.source}: {exc}"
    return None
