"""The inputs of a model that are known ahead: values that users push, special days, and the phases of the calendar.

In rows they are further columns after the features. A row holds the values for the time after it, so the newest row
holds those for the time to forecast.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tidecast.arrays import Float, Int64
from tidecast.durations import DAY_MS
from tidecast.models.calendar_steps import MONTH_MS, months_in
from tidecast.models.known.values import KnownValues
from tidecast.models.time_grid import Grid

if TYPE_CHECKING:
    from tidecast.models.model import Header

MARK = "@"  # before the name of an input that is computed from the time
HOLIDAY = "@holiday"
WAVES = {  # the phases: days after the epoch at which they begin, and their length in days
    "@hour": (0.0, 1.0),
    "@weekday": (4.0, 7.0),  # the first Monday
    "@year": (0.0, 365.25),
}
CALENDAR = tuple(f"{wave}_{part}" for wave in WAVES for part in ("sin", "cos"))


@dataclass(frozen=True, slots=True)
class SpecialDays:
    """The special days of a place from `first` to `last`, in its local time; all are days since 1970-01-01."""

    days: tuple[int, ...] = ()  # increasing
    first: int = 0
    last: int = -1
    # When the local clock changes, in epoch milliseconds, and what it is ahead of UTC from then on, in milliseconds.
    offsets: tuple[tuple[int, int], ...] = ()

    def local(self, times: Int64) -> Int64:
        """Return what the local clock shows at some times, in milliseconds as if it showed UTC."""
        if not self.offsets:
            return times
        starts, offsets = np.array(self.offsets, np.int64).T
        at: Int64 = np.maximum(np.searchsorted(starts, times, side="right") - 1, 0)
        return np.asarray(times + offsets[at], np.int64)


@dataclass(frozen=True, slots=True)
class KnownInputs:
    """The known inputs of a model on its grid, and what is needed to look them up."""

    names: tuple[str, ...]
    step_ms: float
    special: SpecialDays = SpecialDays()

    @classmethod
    def of(cls, header: "Header") -> "KnownInputs":
        """Return the known inputs of a model."""
        return cls(header.spec.known, header.step_ms, header.special_days)

    @property
    def row_ms(self) -> float:
        """Return the mean distance of rows, milliseconds: most months have 31 days, and many of them would be off."""
        return min(self.step_ms, months_in(self.step_ms) * MONTH_MS or self.step_ms)

    def chosen(self, names: Sequence[str]) -> "KnownInputs":
        """Return only these inputs."""
        return replace(self, names=tuple(names))

    def look_up(self, values: KnownValues | None, series: str, times: Int64, as_of: Int64 | int) -> Float:
        """Return the inputs of a series for some times: `(times, names)`, NaN where one is not known."""
        pushed = [name for name in self.names if not name.startswith(MARK)]
        table = np.full((len(times), len(self.names)), np.nan)
        if pushed and values is not None:
            places = [self.names.index(name) for name in pushed]
            table[:, places] = values.look_up(series, pushed, times, as_of, self.step_ms / 2)
        if len(pushed) < len(self.names):
            local = self.special.local(times)
            for at, name in enumerate(self.names):
                if name.startswith(MARK):
                    table[:, at] = self._computed(name, local)
        return table

    def rows(self, values: KnownValues | None, series: str, next_ts: int, count: int, as_of: int) -> Float:
        """Return the inputs of the newest `count` rows before a time to forecast: `(count, names)`."""
        before = np.rint(self.row_ms * np.arange(count - 1, -1, -1)).astype(np.int64)
        return self.look_up(values, series, next_ts - before, as_of)

    def _computed(self, name: str, local: Int64) -> Float:
        if name != HOLIDAY:
            wave, _, part = name.rpartition("_")
            begin, length = WAVES[wave]
            angle = 2 * np.pi * (local / DAY_MS - begin) / length
            return np.sin(angle) if part == "sin" else np.cos(angle)
        day = local // DAY_MS
        marks = np.isin(day, np.array(self.special.days, np.int64)).astype(np.float64)
        return np.where((day >= self.special.first) & (day <= self.special.last), marks, np.nan)


@dataclass(frozen=True, slots=True)
class KnownSeries:
    """All that is known ahead of one series, for its training."""

    series: str
    values: KnownValues
    special: SpecialDays = SpecialDays()
    computed: tuple[str, ...] = ()  # the inputs that are computed from the time

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of all its inputs."""
        return (*self.values.fields(self.series), *self.computed)


def with_known(grid: Grid, inputs: KnownInputs, known: KnownSeries | None) -> Grid:
    """Return a grid with known inputs as further columns; each row holds those that were known at its own time."""
    if not inputs.names:
        return grid
    times = grid.ts + round(inputs.step_ms)
    columns = inputs.look_up(known.values if known else None, known.series if known else "", times, grid.ts)
    return replace(grid, values=np.column_stack([grid.values, columns]))
