"""Histories from files: one tidy array of readings for each series, and a sentence for each that is unusable."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tidecast.errors import HistoryError
from tidecast.files.refusal import Refusal
from tidecast.parsing import MAX_NAME_BYTES, quoted
from tidecast.windows import NOTHING
from trainer.layout import layout_of
from trainer.parts import Part, parts_of
from trainer.tables import read_tables

Float = NDArray[np.float64]
Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class History:
    """One series' readings, sorted, without duplicates.

    Attributes:
        series: the series' name.
        features: what the columns of `values` are called; the target first.
        ts: `(readings,)` epoch milliseconds, strictly increasing.
        values: `(readings, features)`, finite; a feature that was missing holds its last value.
        notes: what was repaired, a sentence each.
        left_out: the times of gross errors, epoch milliseconds: another value stands in their place.
    """

    series: str
    features: tuple[str, ...]
    ts: Int64
    values: Float
    notes: tuple[str, ...] = ()
    left_out: Int64 = field(default_factory=NOTHING.copy)

    def __len__(self) -> int:
        return len(self.ts)

    @property
    def believed(self) -> NDArray[np.bool_]:
        """Which readings are no gross errors, `(readings,)`."""
        return ~np.isin(self.ts, self.left_out)


@dataclass(frozen=True, slots=True)
class Histories:
    """All that the sources hold, in their order; a series is in `found` or in `refused`, never in both."""

    found: tuple[History, ...]
    refused: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()  # what was decided for whole files


def read_history(
    sources: Sequence[str | Path] | str | Path,
    *,
    target: str | None = None,
    features: Sequence[str] = (),
    time_zone: str | None = None,
) -> Histories:
    """Read files, directories of them or `-`, standard input; a series in several files is joined.

    Args:
        sources: CSV, gzip-compressed CSV, Parquet, directories of these, or `-`.
        target: the column to forecast; None: `value`, the only numeric column or the last one.
        features: further columns to use, or `("all",)` for every numeric one.
        time_zone: of times without an offset, such as `Europe/Berlin`; None: UTC.

    Raises:
        HistoryError: a file cannot be read at all; the message names it, the row and the remedy.
    """
    zone = _zone(time_zone)
    by_series: dict[str, list[Part]] = {}
    notes: list[str] = []
    for table in read_tables([sources] if isinstance(sources, str | Path) else sources):
        layout = layout_of(table, target, features)
        parts, clock_notes = parts_of(table, layout, zone)
        notes += [f"{table.source}: {note}" for note in (*layout.notes, *clock_notes)]
        for part in parts:
            by_series.setdefault(part.series, []).append(part)
    results = [_tidy(series, parts) for series, parts in by_series.items()]
    return Histories(
        tuple(result for result in results if isinstance(result, History)),
        tuple(result for result in results if isinstance(result, Refusal)),
        tuple(notes),
    )


def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise HistoryError(f"time zone {name!r} is unknown: name one such as Europe/Berlin or UTC") from exc


def _tidy(series: str, parts: Sequence[Part]) -> History | Refusal:
    """Join a series' parts and repair what can be repaired without guessing."""
    fault = next((part.fault for part in parts if part.fault), None) or _misfit(parts) or _clash(parts)
    if fault:
        return Refusal(_printable(series), fault)
    ts = np.concatenate([part.ts for part in parts])
    values = np.concatenate([part.values for part in parts])
    ts, values, notes = _sorted(ts, values)
    values, filled = carried(values, parts[0].features)
    ts, values, dropped = _measured(ts, values)
    if not len(ts):
        return Refusal(series, f"no row of {_files(parts)} has its {parts[0].features[0]}: leave the series out")
    ts, values, unique = _unique(ts, values)
    return History(series, parts[0].features, ts, values, (*notes, *filled, *dropped, *unique))


def _misfit(parts: Sequence[Part]) -> str | None:
    named = {part.features for part in parts}
    if len(named) == 1:
        return None
    listed = " and ".join(sorted(", ".join(features) for features in named))
    return f"{_files(parts)} give it different columns ({listed}): name a target and features that all have"


def _clash(parts: Sequence[Part]) -> str | None:
    """Say which files lend one name to what looks like several series: their times repeat."""
    if len(parts) == 1 or not any(part.by_file for part in parts):
        return None
    rows = sum(len(part.ts) for part in parts)
    repeated = rows - len(np.unique(np.concatenate([part.ts for part in parts])))
    if 4 * repeated < rows:
        return None
    return f"{_files(parts)} share this name and {repeated} times: rename a file or add a column 'series'"


def _files(parts: Sequence[Part]) -> str:
    named = list(dict.fromkeys(part.source for part in parts))
    return " and ".join(named[:2]) + (f" and {len(named) - 2} more" if len(named) > 2 else "")


def _printable(series: str) -> str:
    return series if series.isprintable() and len(series.encode()) <= MAX_NAME_BYTES else quoted(series.encode())


def _sorted(ts: Int64, values: Float) -> tuple[Int64, Float, tuple[str, ...]]:
    back = int(np.count_nonzero(ts[1:] < ts[:-1]))
    if not back:
        return ts, values, ()
    order = np.argsort(ts, kind="stable")
    return ts[order], values[order], (f"rows out of order ({counted(back, 'step')} back in time): sorted",)


def carried(values: Float, features: tuple[str, ...]) -> tuple[Float, tuple[str, ...]]:
    """Let each feature but the target keep its last value where missing; at the start, its first one."""
    gaps = np.isnan(values[:, 1:])
    if not gaps.any():
        return values, ()
    filled = pd.DataFrame(values[:, 1:]).ffill().bfill().fillna(0.0).to_numpy()
    notes = []
    for name, missing in zip(features[1:], gaps.T, strict=True):
        if missing.all():
            notes.append(f"feature {name!r} has no value: 0 throughout")
        elif missing.any():
            notes.append(f"feature {name!r} missing in {counted(int(missing.sum()), 'row')}: the last value carried")
    return np.column_stack([values[:, 0], filled]), tuple(notes)


def _measured(ts: Int64, values: Float) -> tuple[Int64, Float, tuple[str, ...]]:
    there = ~np.isnan(values[:, 0])
    absent = int(np.count_nonzero(~there))
    if not absent:
        return ts, values, ()
    return ts[there], values[there], (f"{counted(absent, 'row')} without a value: dropped",)


def _unique(ts: Int64, values: Float) -> tuple[Int64, Float, tuple[str, ...]]:
    last = np.append(ts[1:] > ts[:-1], True)
    repeated = int(np.count_nonzero(~last))
    if not repeated:
        return ts, values, ()
    return ts[last], values[last], (f"{counted(repeated, 'duplicate time')}: the last kept",)


def counted(number: int, noun: str) -> str:
    """A number and what it counts, in the singular or the plural."""
    return f"{number} {noun}{'s' if number != 1 else ''}"
