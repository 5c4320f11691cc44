"""Read values that are known ahead from files: a row for each time, a column for each field."""

from collections.abc import Collection, Iterable, Sequence

from tidecast.files.known import KNOWN_AT, check_no_target, known_rows
from tidecast.files.layout import Selection, fields_of
from tidecast.files.tables import Table, read_tables
from tidecast.files.zones import zone_of
from tidecast.models.known.values import KnownValues


def add_known_files(
    values: KnownValues,
    files: Sequence[str],
    readings: Iterable[Table] = (),
    targets: Collection[str] = (),
    series_column: str | None = None,
    time_zone: str | None = None,
) -> tuple[str, ...]:
    """Add the values of files, as `tidecast.train` takes those of a frame `future`; return notes on unused columns.

    Args:
        values: gets the values.
        files: CSV, gzip-compressed CSV, Parquet or directories of these.
        readings: the tables of the readings; their columns of the same names give values for times that the files lack.
        targets: the names of the columns to forecast, case-folded.
        series_column: the column with the names of the series; None: the usual ones. A table without one has values
            for all series.
        time_zone: the zone of times without an offset; None: UTC.

    Raises:
        HistoryError: a file cannot be read; the message names the row and the remedy.
    """
    zone = zone_of(time_zone)
    selection = Selection(series=series_column)
    tables = list(read_tables(files))
    layouts = [fields_of(table, selection, (KNOWN_AT,), may_lack_series=True) for table in tables]
    for table, layout in zip(tables, layouts, strict=True):
        check_no_target(table.source, layout.values, targets)
    fields = {name for layout in layouts for name in layout.values}
    for table in readings:
        shared = tuple(name for name in table.columns if name in fields)
        if shared:
            chosen = Selection(series=series_column, features=shared)
            known_rows(table, fields_of(table, chosen, may_lack_series=True), zone, table.stem).add_to(values)
    for table, layout in zip(tables, layouts, strict=True):
        known_rows(table, layout, zone).add_to(values)
    notes: list[str] = []
    for table, layout in zip(tables, layouts, strict=True):
        notes += [*table.notes, *(f"{table.source}: {note}" for note in layout.notes)]
    return tuple(notes)
