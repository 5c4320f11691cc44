"""A history made ready to learn from: on its grid, split by time, scaled by what its oldest part shows.

    readings   [0 ............ validation ............ tail ............ n)
               learn from      stop by                 judge by

The scaler sees only the first part, the network the first two; the tail is for `evaluate` alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tidecast import windows
from tidecast.model import Spec
from tidecast.settings import TrainSettings
from tidecast.windows import Grid, Scaler, Sequences
from trainer.cohort import Problem
from trainer.history import History

MIN_EXAMPLES = 8  # in each part: fewer say nothing, neither of a weight nor of an error
MAX_OFF_GRID = 0.5  # of the steps: beyond, the grid is a fiction and "the next row" means nothing
OFF_GRID = 0.25  # of a step: how far from a whole number of steps two readings may lie and still be on the grid
LARGEST = 1e30  # float32, in which networks learn, ends at 3e38, and errors are squared

Cause = Literal["too short", "constant", "irregular", "refused"]


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why nothing can be learned from a history."""

    cause: Cause
    reason: str  # a sentence with the figures and the remedy


@dataclass(frozen=True, slots=True)
class Lesson:
    """One series ready to train."""

    history: History
    spec: Spec
    step_ms: float
    grid: Grid
    scaler: Scaler
    learn: Sequences  # what the weights are fitted on
    stop: Sequences  # what tells when to stop
    tail: int  # the reading at which the tail begins

    @property
    def rows_before_tail(self) -> int:
        """How many rows of the grid end with the last reading before the tail."""
        return int(np.flatnonzero(~self.grid.filled)[self.tail - 1]) + 1

    def problem(self, initial: Mapping[str, NDArray[Any]] | None = None) -> Problem:
        """The lesson as the cohort takes it: scaled, in float32."""
        return Problem(*self._scaled(self.learn), *self._scaled(self.stop), initial)

    def _scaled(self, part: Sequences) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        center, scale, form = self.scaler.center, self.scaler.scale, self.spec.form
        x = windows.scale_windows(part.windows, center, scale, form)
        y = windows.scale_targets(part.targets, part.windows[:, -1, 0], center[0], scale[0], form)
        return x.astype(np.float32), y.astype(np.float32)


def prepare(history: History, spec: Spec, settings: TrainSettings, max_gap: int) -> Lesson | Unfit:
    """Lay a history out, split it by time and scale it; or say why it cannot be trained on."""
    validation, tail = split(len(history), settings)
    if unfit := _unfit(history, validation, spec, settings):
        return unfit
    step_ms = windows.typical_step(history.ts)
    grid = windows.to_grid(history.ts, history.values, step_ms, max_gap)
    examples = windows.sequences(grid, spec.window)
    reading = (np.cumsum(~grid.filled) - 1)[examples.rows]  # (examples,) which reading each target is
    learn, stop = examples.where(reading < validation), examples.where((validation <= reading) & (reading < tail))
    counts = len(learn), len(stop), int(np.count_nonzero(reading >= tail))
    if min(counts) < MIN_EXAMPLES:
        return Unfit("irregular", _gaps(spec.window, max_gap, counts))
    scaler = Scaler.fit(grid.values[: np.flatnonzero(~grid.filled)[validation]], spec.form)
    return Lesson(history, spec, step_ms, grid, scaler, learn, stop, tail)


def split(readings: int, settings: TrainSettings) -> tuple[int, int]:
    """The readings at which the validation part and the tail begin."""
    tail = readings - int(settings.test * readings)
    return tail - int(settings.validation * tail), tail


def readings_needed(window: int, settings: TrainSettings) -> int:
    """The shortest history without a gap that has enough examples in each part."""
    return next(n for n in count(window) if _has_enough(n, window, settings))


def _has_enough(readings: int, window: int, settings: TrainSettings) -> bool:
    validation, tail = split(readings, settings)
    return min(validation - window, tail - validation, readings - tail) >= MIN_EXAMPLES


def _unfit(history: History, validation: int, spec: Spec, settings: TrainSettings) -> Unfit | None:
    if not _has_enough(len(history), spec.window, settings):
        needed = readings_needed(spec.window, settings)
        reason = f"{len(history)} readings; a window of {spec.window} rows needs {needed}"
        return Unfit("too short", f"{reason}: bring a longer history or a shorter window")
    if not np.abs(history.values).max() <= LARGEST:
        return Unfit("refused", f"it holds values beyond {LARGEST:g}: bring them in a larger unit")
    learned = history.values[:validation, 0]
    if (learned == learned[0]).all():
        said = f"its first {validation} readings, the part to learn from, are all {learned[0]:g}"
        return Unfit("constant", f"{said}: the last value is the best forecast")
    if (share := off_grid(history.ts)) > MAX_OFF_GRID:
        said = f"{share:.0%} of its steps are no multiple of the typical {windows.typical_step(history.ts) / 1000:g} s"
        return Unfit("irregular", f"{said}: resample it to a regular step")
    return None


def off_grid(ts: NDArray[np.int64]) -> float:
    """The share of steps that lie between two places of the grid."""
    steps = np.diff(ts) / windows.typical_step(ts)
    return float(np.mean(np.abs(steps - np.maximum(1, np.rint(steps))) > OFF_GRID))


def _gaps(window: int, max_gap: int, found: tuple[int, ...]) -> str:
    parts = " + ".join(map(str, found))
    said = (
        f"gaps of more than {max_gap} steps leave {parts} windows of {window} rows to learn from, stop by and judge by"
    )
    return f"{said}, {MIN_EXAMPLES} of each are needed: fill the gaps, allow longer ones or shorten the window"
