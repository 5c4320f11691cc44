"""Read a file's readings in the order of their times, as `push` and `replay` send them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tidecast.files.history import Histories, History, histories_of
from tidecast.files.layout import Selection
from tidecast.files.tables import read_tables


@dataclass(frozen=True, slots=True)
class Row:
    """One reading of a file: its time in epoch milliseconds, and its fields that have a number."""

    series: str
    ts: int
    values: dict[str, float]


def readings_in(source: str, selection: Selection, time_zone: str | None = None) -> Histories:
    """Read a file, a directory or `-` as training does, but leave out missing features instead of filling them.

    Raises:
        HistoryError: the source cannot be read; the message names the row and the remedy.
    """
    return histories_of(read_tables([source]), selection, time_zone, carry=False)


def in_order(histories: Sequence[History]) -> Iterator[Row]:
    """Yield the readings of all series in the order of their times; equal times follow the order of the series."""
    if not histories:
        return
    ts = np.concatenate([history.ts for history in histories])
    which = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    place = np.concatenate([np.arange(len(history)) for history in histories])
    order = np.argsort(ts, kind="stable")
    for number, row in zip(which[order].tolist(), place[order].tolist(), strict=True):
        yield _row(histories[number], row)


def _row(history: History, row: int) -> Row:
    values = history.values[row].tolist()
    # Only NaN differs from itself.
    fields = {name: value for name, value in zip(history.features, values, strict=True) if value == value}
    return Row(history.series, int(history.ts[row]), fields)
