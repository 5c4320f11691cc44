"""Turn a series into model input: the time grid, gaps, scaling and sequences.

The trainer processes a whole history at once (`to_grid`, `sequences`), the worker one reading at a time
(`online/window.py`). Both place readings by the same rule, so that the inputs in service equal those in training. In
every array of rows, column 0 is the target; the other features follow.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Float

TargetTransform = Literal["change", "level", "raw"]

NOTHING = np.zeros(0, np.int64)
CLIP = 20.0  # in units of the scale: a spike must not drive a recurrent state out of its trained range


@dataclass(frozen=True, slots=True)
class Grid:
    """A history on its time grid, with `rows` rows; a segment ends where a gap was too long to fill."""

    ts: NDArray[np.int64]  # (rows,) epoch milliseconds
    values: Float  # (rows, features)
    segment: NDArray[np.int64]  # (rows,) numbered from 0
    filled: NDArray[np.bool_]  # (rows,) True where interpolated
    left_out: NDArray[np.int64] = field(default_factory=NOTHING.copy)  # the rows of readings that are gross errors

    def __len__(self) -> int:
        return len(self.ts)

    @property
    def measured(self) -> NDArray[np.bool_]:
        """Return which rows hold a reading that is not a gross error, `(rows,)`."""
        measured = ~self.filled
        measured[self.left_out] = False
        return measured


@dataclass(frozen=True, slots=True)
class Sequences:
    """Training examples: the rows that a model reads, and the value after them."""

    windows: Float  # (examples, reach, features)
    held: NDArray[np.int64]  # (examples,) how many of a window's rows are real; the others lie before the history
    targets: Float  # (examples,)
    rows: NDArray[np.int64]  # (examples,) the grid row of each target

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True, slots=True)
class Scaler:
    """The center and scale of each feature, fitted on the training part alone."""

    center: Float  # (features,)
    scale: Float  # (features,), all > 0

    @classmethod
    def fit(cls, values: Float, transform: TargetTransform) -> Self:
        """Fit a scaler on `values` of shape `(rows, columns)`; NaN is left out."""
        width = values.shape[1]
        if transform == "raw":
            return cls(np.zeros(width), np.ones(width))
        known = ~np.isnan(values)
        counts = np.maximum(known.sum(axis=0), 1)
        center = np.where(known, values, 0.0).sum(axis=0) / counts
        scale = np.sqrt((np.where(known, values - center, 0.0) ** 2).sum(axis=0) / counts)
        if transform == "change":
            center[0] = 0.0
            scale[0] = change_scale(values[:, 0])
        return cls(center, np.where(scale > 0, scale, 1.0))


def change_scale(values: Float) -> float:
    """Return the mean of |d - median d| over a series' changes d, which one spike cannot increase much."""
    changes = np.diff(values)
    if not len(changes):
        return 1.0
    size = float(np.abs(changes - np.median(changes)).mean())
    return size if size > 0 else 1.0


def slots(delta_ms: Any, step_ms: float) -> Any:
    """Return how many grid steps lie between two readings, at least 1, even if the second is early."""
    return np.maximum(1, np.rint(delta_ms / step_ms)).astype(np.int64)


def typical_step(ts: NDArray[np.int64]) -> float:
    """Return the median step of a history in milliseconds.

    Raises:
        ValueError: there are fewer than two readings.
    """
    if len(ts) < 2:
        raise ValueError("a step needs at least two readings")
    return float(np.median(np.diff(ts)))


def to_grid(
    ts: NDArray[np.int64],
    values: Float,
    step_ms: float,
    max_gap: int,
    *,
    gridded: bool = True,
    left_out: NDArray[np.int64] = NOTHING,
) -> Grid:
    """Place readings on the grid: up to `max_gap` missing steps are interpolated, a longer gap starts a segment.

    Args:
        ts: `(readings,)` epoch milliseconds, strictly increasing.
        values: `(readings, features)`, finite.
        step_ms: the grid's step.
        max_gap: how many steps in a row may be missing.
        gridded: False: the readings have no regular step, and each is the row after the last.
        left_out: the times of readings that are gross errors.
    """
    wrong = np.flatnonzero(np.isin(ts, left_out))
    if len(ts) == 0 or not gridded:
        return Grid(ts, values, np.zeros(len(ts), np.int64), np.zeros(len(ts), np.bool_), wrong)
    taken = slots(np.diff(ts), step_ms)
    broken = taken - 1 > max_gap
    place = np.concatenate([[0], np.cumsum(np.where(broken, 1, taken))])
    rows = np.arange(place[-1] + 1)
    filled = np.ones(len(rows), np.bool_)
    filled[place] = False
    segment = np.zeros(len(rows), np.int64)
    segment[place[1:][broken]] = 1
    columns = [np.interp(rows, place, values[:, f]) for f in range(values.shape[1])]
    times = np.interp(rows, place, ts.astype(np.float64)).astype(np.int64)
    return Grid(times, np.stack(columns, axis=1), np.cumsum(segment), filled, place[wrong])


def target_rows(grid: Grid, window: int, start: int = 0, stop: int | None = None) -> NDArray[np.int64]:
    """Return the rows from `start` to `stop` that may be targets: `window` rows of their segment precede them.

    A filled row, or the row of a gross error, may be in a window but is never a target, because its value was not
    measured. It is never a window's last row either: it was interpolated towards the next reading, and would reveal the
    target.
    """
    rows = np.arange(min(max(start, window), len(grid)), len(grid) if stop is None else stop)
    measured = grid.measured
    usable = (grid.segment[rows] == grid.segment[rows - window]) & measured[rows] & measured[rows - 1]
    targets: NDArray[np.int64] = rows[usable]
    return targets


def sequences(grid: Grid, window: int, reach: int | None = None, start: int = 0, stop: int | None = None) -> Sequences:
    """Return the windows before the target rows from `start` to `stop`, and the values of these rows.

    Args:
        grid: the history.
        window: the number of rows that a window must have within its segment.
        reach: the number of rows to return, where the segment is long enough; None: `window`.
        start: the first row that may be a target.
        stop: the first row after those; None: all rows are used.
    """
    rows = target_rows(grid, window, start, stop)
    return Sequences(*windows_before(grid, rows, window if reach is None else reach), grid.values[rows, 0], rows)


def rows_held(grid: Grid, rows: NDArray[np.int64], reach: int) -> NDArray[np.int64]:
    """Return how many rows of the same segment are before each of `rows`, `reach` at most: `(rows,)`."""
    starts = np.searchsorted(grid.segment, grid.segment[np.maximum(rows - 1, 0)])
    held: NDArray[np.int64] = np.minimum(rows - starts, reach)
    return held


def windows_before(grid: Grid, rows: NDArray[np.int64], reach: int) -> tuple[Float, NDArray[np.int64]]:
    """Return the `reach` rows before each of `rows`, and how many of them are real, that is in the same segment.

    Returns:
        `(rows, reach, features)`, 0 in rows that are not real; and `(rows,)` the number of real rows.
    """
    held = rows_held(grid, rows, reach)
    at = rows[:, None] + np.arange(-reach, 0)
    real = np.arange(reach) >= reach - held[:, None]
    return np.where(real[..., None], grid.values[np.where(real, at, 0)], 0.0), held
