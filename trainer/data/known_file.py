"""Read values that are known ahead from files: a row for each time, a column for each field."""

from collections.abc import Iterable, Sequence
from zoneinfo import ZoneInfo

import numpy as np

from tidecast.arrays import Int64
from tidecast.errors import HistoryError
from tidecast.files.columns import Kind
from tidecast.files.layout import TableLayout, fields_of
from tidecast.files.parts import row_fault, rows_of
from tidecast.files.tables import Table, read_tables
from tidecast.files.zones import to_utc, zone_of
from tidecast.models.known.values import ALWAYS, KnownValues
from trainer.data.known_frame import ALL_SERIES, KNOWN_AT


def add_known_files(
    values: KnownValues,
    files: Sequence[str],
    readings: Iterable[Table] = (),
    series_column: str | None = None,
    time_zone: str | None = None,
) -> tuple[str, ...]:
    """Add the values of files, as `tidecast.train` takes those of a frame `future`; return notes on unused columns.

    Args:
        values: gets the values.
        files: CSV, gzip-compressed CSV, Parquet or directories of these.
        readings: the tables of the readings; their columns of the same names give values for times that the files lack.
        series_column: the column with the names of the series; None: the usual ones. A table without one has values
            for all series.
        time_zone: the zone of times without an offset; None: UTC.

    Raises:
        HistoryError: a file cannot be read; the message names the row and the remedy.
    """
    zone = zone_of(time_zone)
    tables = list(read_tables(files))
    layouts = [fields_of(table, _present(table, series_column), (KNOWN_AT,)) for table in tables]
    fields = {name for layout in layouts for name in layout.values}
    for table in readings:
        shared = tuple(name for name in table.columns if name in fields)
        if shared:
            layout = fields_of(table, _present(table, series_column), ())
            _add(values, table, _only(layout, shared), zone, table.stem)
    for table, layout in zip(tables, layouts, strict=True):
        _add(values, table, layout, zone, ALL_SERIES)
    return tuple(
        f"{table.source}: {note}" for table, layout in zip(tables, layouts, strict=True) for note in layout.notes
    )


def _present(table: Table, column: str | None) -> str | None:
    return column if column in table.columns else None


def _only(layout: TableLayout, names: tuple[str, ...]) -> TableLayout:
    return TableLayout(layout.time, layout.series, names, False, names)


def _add(values: KnownValues, table: Table, layout: TableLayout, zone: ZoneInfo | None, nameless: str) -> None:
    """Add the values of a table; without a column of series they are those of `nameless`."""
    rows, _ = rows_of(table, layout, zone)
    bad = rows.bad.any(axis=1) | rows.times.bad
    if bad.any():
        raise HistoryError(row_fault(table, layout, rows, int(np.argmax(bad))))
    moments = _moments(table, rows.codes, zone)
    for code, name in enumerate(rows.names if layout.series else [nameless]):
        mine = np.flatnonzero(rows.codes == code)
        for place, column in enumerate(layout.values):
            there = mine[np.isfinite(rows.values[mine, place])]
            values.add(name, column, rows.times.ms[there], rows.values[there, place], moments[there])


def _moments(table: Table, series: Int64, zone: ZoneInfo | None) -> Int64:
    """Return since when the values of each row are known; without a time they were always known."""
    column = next((column for name, column in table.columns.items() if name.casefold() == KNOWN_AT), None)
    if column is None:
        return np.full(len(table), ALWAYS)
    times = column.times()
    missing = column.missing()
    wrong = times.bad & ~missing
    if wrong.any():
        row = int(np.argmax(wrong))
        raise HistoryError(f"{table.row(row)}: {KNOWN_AT} {column.text(row)!r} is not a time: write ISO-8601")
    ms = to_utc(times.ms, series, zone).ms if zone and times.kind is Kind.LOCAL else times.ms
    return np.where(missing, ALWAYS, ms)
