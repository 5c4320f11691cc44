"""Read tables of values that are known ahead: a row for each time, a column for each field."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np

from tidecast.arrays import Float, Int64
from tidecast.errors import HistoryError
from tidecast.files.columns import Kind
from tidecast.files.layout import TableLayout
from tidecast.files.parts import check_panel, grouped, row_fault, rows_of, times_of
from tidecast.files.tables import Table
from tidecast.files.zones import to_utc
from tidecast.models.known.values import ALWAYS, KnownValues

KNOWN_AT = "known_at"  # the column with the moments since which values are known
ALL_SERIES = "*"


@dataclass(frozen=True, slots=True)
class KnownRows:
    """The values of a table; row i belongs to `sources[codes[i]]`.

    Attributes:
        sources: series or patterns.
        codes: `(rows,)`.
        ts: `(rows,)` the times that the values are for, epoch milliseconds.
        known_at: `(rows,)` since when they are known, epoch milliseconds; `ALWAYS` without a moment.
        fields: the names of the columns of `values`.
        values: `(rows, fields)`, NaN if missing.
    """

    sources: list[str]
    codes: Int64
    ts: Int64
    known_at: Int64
    fields: tuple[str, ...]
    values: Float

    def add_to(self, known: KnownValues) -> None:
        """Add the values to those of other tables."""
        for source, mine in zip(self.sources, grouped(self.codes, len(self.sources)), strict=True):
            for place, field in enumerate(self.fields):
                there = mine[~np.isnan(self.values[mine, place])]
                known.add(source, field, self.ts[there], self.values[there, place], self.known_at[there])

    def in_order(self) -> Iterator[tuple[str, int, dict[str, float], int]]:
        """Yield source, time, values and moment of each row that has a value, in the order of the times."""
        there = ~np.isnan(self.values)
        for row in np.argsort(self.ts, kind="stable").tolist():
            values = {self.fields[place]: float(self.values[row, place]) for place in np.flatnonzero(there[row])}
            if values:
                yield self.sources[self.codes[row]], int(self.ts[row]), values, int(self.known_at[row])


def check_no_target(source: str, fields: Iterable[str], targets: Collection[str]) -> None:
    """Check that no field is the target: a model would learn from the values that it must forecast.

    Args:
        source: the name of the table in messages.
        fields: the names of its fields.
        targets: the names of the columns to forecast, case-folded.

    Raises:
        HistoryError: a field is a target.
    """
    if target := next((name for name in fields if name.casefold() in targets), None):
        raise HistoryError(
            f"column {target!r} of {source} is the target, which is not known ahead: remove the column, or rename "
            "it if it holds other values"
        )


def known_rows(table: Table, layout: TableLayout, zone: ZoneInfo | None, nameless: str = ALL_SERIES) -> KnownRows:
    """Read the values of a table.

    Args:
        table: the table.
        layout: its columns; see `fields_of`.
        zone: of times without an offset; None: UTC.
        nameless: the source of the values if no column names the series.

    Raises:
        HistoryError: a cell cannot be read, or several series would be read as one.
    """
    rows, _ = rows_of(table, layout, zone)
    bad = rows.bad.any(axis=1) | rows.times.bad
    if bad.any():
        raise HistoryError(row_fault(table, layout, rows, int(np.argmax(bad))))
    column = next((name for name in table.columns if name.casefold() == KNOWN_AT), None)
    if column is None:  # otherwise a time may have several values, which correct each other
        check_panel(table, layout, rows, has_target=False)
        known_at: Int64 = np.full(len(table), ALWAYS)
    else:
        known_at = _moments(table, column, rows.codes, zone)
    sources = rows.names if layout.series else [nameless]
    return KnownRows(sources, rows.codes, rows.times.ms, known_at, layout.values, rows.values)


def _moments(table: Table, name: str, series: Int64, zone: ZoneInfo | None) -> Int64:
    """Return since when the values of each row are known; without a time they were always known."""
    times = times_of(table, name)
    missing = table.columns[name].missing()
    wrong = times.bad & ~missing
    if wrong.any():
        row = int(np.argmax(wrong))
        raise HistoryError(f"{table.row(row)}: {name} {table.cell(name, row)} is not a time: write ISO-8601")
    ms = to_utc(times.ms, series, zone).ms if zone and times.kind is Kind.LOCAL else times.ms
    return np.where(missing, ALWAYS, ms)
