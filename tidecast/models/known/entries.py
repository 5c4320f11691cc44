"""Add entries of the stream `known` to the values that are known ahead."""

from collections.abc import Iterable

import numpy as np

from tidecast.models.known.values import LATEST, KnownValues
from tidecast.wire.known import KnownEntry


def add_entries(values: KnownValues, entries: Iterable[tuple[int, KnownEntry]]) -> None:
    """Add entries, each with the moment since which it is known; later ones of one moment count.

    A moment is that of an entry id, which may be beyond all times of readings.
    """
    columns: dict[tuple[str, str], list[tuple[int, float, int]]] = {}
    for moment, entry in entries:
        for name, value in entry.values.items():
            columns.setdefault((entry.source, name), []).append((entry.ts, value, min(moment, LATEST)))
    for (source, name), rows in columns.items():
        ts, numbers, moments = zip(*rows, strict=True)
        values.add(source, name, np.array(ts, np.int64), np.array(numbers), np.array(moments, np.int64))
