"""Read a pipe as it arrives, by the rules of files; a bad row is refused alone, since others were already pushed."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np

from tidecast.errors import HistoryError
from tidecast.files.columns import Column
from tidecast.files.delimited import UNCLOSED, HeaderLine, decoded, has_open_quote, header_of, read_rows
from tidecast.files.folders import printable
from tidecast.files.history import Histories, History, histories_of, joined
from tidecast.files.layout import Selection, TableLayout, layout_of
from tidecast.files.parts import EarlierRows, SeriesRows, check_panel, rows_of, split
from tidecast.files.pipe import Piece, pieces_of
from tidecast.files.refusal import Refusal
from tidecast.files.tables import STDIN, Table, named, stem_of, table_of
from tidecast.files.text import Text
from tidecast.files.zones import zone_of

RECENT = 1000  # newest rows that are checked for several series that are read as one
ENOUGH = 20  # fewer rows are not checked


def follow(descriptor: int, source: str, selection: Selection, time_zone: str | None = None) -> Iterator[Histories]:
    """Yield the readings of a pipe in the groups in which they arrive; missing features stay NaN.

    A pipe that ends before its first group is read like a file.

    Raises:
        HistoryError: the pipe does not contain a table; the message names the row and the remedy.
    """
    name = "standard input" if source == STDIN else printable(source)
    stem = "stdin" if source == STDIN else stem_of(Path(source))
    pieces = pieces_of(descriptor, name)
    first = next(pieces)
    if first.is_last:
        yield histories_of([table_of(name, stem, first.data)], selection, time_zone, carry=False)
        return
    lines = _Lines(name, stem, selection, time_zone)
    for piece in chain([first], pieces):
        if piece.data:
            yield lines.read(piece)


class _Lines:
    """A reader of a table's lines, piece by piece; the first rows determine the layout of the columns."""

    def __init__(self, source: str, stem: str, selection: Selection, time_zone: str | None) -> None:
        self._source = source
        self._stem = stem
        self._selection = selection
        self._zone = zone_of(time_zone)
        self._header: HeaderLine | None = None
        self._layout: TableLayout | None = None
        self._line = 1  # the number of the next line
        self._recent: list[Table] = []
        self._earlier = EarlierRows()
        self._refused: list[Refusal] = []

    def read(self, piece: Piece) -> Histories:
        """Read the next lines, and return their histories and refusals."""
        self._refused = []
        table = self._table(piece.data)
        if table is None:
            return Histories((), tuple(self._refused))
        notes: tuple[str, ...] = ()
        if self._layout is None:
            self._layout = self._first_layout(table)
            notes = tuple(f"{self._source}: {note}" for note in self._layout.notes)
        histories = self._read(table, self._layout)
        self._check_panel(self._layout)
        return Histories(tuple(histories), tuple(self._refused), notes)

    def _table(self, data: bytes) -> Table | None:
        """Split lines into columns; return None if they contain no rows."""
        lines = self._text(data).split("\n")
        if self._header is None:
            self._header = header_of(self._source, *lines[:2])
            lines.pop(0)
            self._line += 1
        text = "\n".join(lines)
        rows = read_rows(self._header, text, self._line, self._refuse)
        self._line += text.count("\n")
        columns = named(self._source, rows.names, rows.columns)
        return Table(self._source, self._stem, columns, rows.numbers) if len(rows.numbers) else None

    def _text(self, data: bytes) -> str:
        """Decode lines; replace a line that cannot be read by an empty one, and refuse it."""
        if self._header is None:
            return decoded(self._source, data)
        lines = []
        for number, line in enumerate(data.split(b"\n"), start=self._line):
            try:
                text = decoded(self._source, line, number)
                if has_open_quote(text):  # it would swallow the next lines
                    raise HistoryError(f"row {number} of {self._source} {UNCLOSED}")
            except HistoryError as exc:
                self._refuse(str(exc))
                text = ""
            lines.append(text)
        return "\n".join(lines)

    def _refuse(self, sentence: str) -> None:
        self._refused.append(Refusal(self._source, sentence))

    def _first_layout(self, table: Table) -> TableLayout:
        """Determine the layout; features that the user did not name and that have no value yet are left out."""
        layout = layout_of(table, self._selection)
        if layout.wide or self._selection.features:
            return layout
        empty = {name for name in layout.values[1:] if table.columns[name].missing().all()}
        if not empty:
            return layout
        kept = [place for place, name in enumerate(layout.values) if name not in empty]
        note = f"not used, because they begin without a value: {', '.join(sorted(empty))}"
        return replace(
            layout,
            values=tuple(layout.values[place] for place in kept),
            features=tuple(layout.features[place] for place in kept),
            notes=(*layout.notes, note),
        )

    def _read(self, table: Table, layout: TableLayout) -> Sequence[History]:
        """Read rows; if some are bad, halve the rows until each bad row is alone, and refuse it."""
        try:
            rows = rows_of(table, layout, self._zone, self._earlier)[0]
            parts = split(table, layout, rows)
            histories = joined([[part] for part in map(_measured, parts) if part], carry=False)
        except HistoryError as exc:
            histories = Histories((), (Refusal(self._source, str(exc)),), ())
        if histories.refused and len(table) > 1:
            middle = len(table) // 2
            halves = (np.arange(middle), np.arange(middle, len(table)))
            return list(chain.from_iterable(self._read(table.take(half), layout) for half in halves))
        self._refused += histories.refused
        if not histories.refused:
            self._recent.append(table)
            self._earlier.add(rows)
        return histories.accepted

    def _check_panel(self, layout: TableLayout) -> None:
        """Raise a HistoryError if the newest rows contain several series that are read as one."""
        while len(self._recent) > 1 and sum(map(len, self._recent[1:])) >= RECENT:
            self._recent.pop(0)
        if sum(map(len, self._recent)) < ENOUGH:
            return
        self._recent = [_stacked(self._recent)]
        check_panel(self._recent[0], layout, rows_of(self._recent[0], layout, self._zone)[0])


def _measured(part: SeriesRows) -> SeriesRows | None:
    """Leave out rows without a value; return None if no rows are left. A part with a fault is returned as it is."""
    there = ~np.isnan(part.values[:, 0])
    if part.fault or there.all():
        return part
    return replace(part, ts=part.ts[there], values=part.values[there]) if there.any() else None


def _stacked(tables: Sequence[Table]) -> Table:
    """Concatenate tables of text with the same columns."""
    first = tables[0]
    columns: dict[str, Column] = {}
    for name in first.columns:
        cells = chain.from_iterable(table.columns[name].names() for table in tables)
        columns[name] = Text(list(cells))
    return Table(first.source, first.stem, columns, np.concatenate([table.rows for table in tables]))
