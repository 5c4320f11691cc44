"""A history made ready to learn from: on its grid, split by time, scaled by what its oldest part shows.

    readings   [0 ............ validation ............ tail ............ n)
               learn from      stop by                 judge by

The scaler sees only the first part, the network the first two; the tail is for `evaluate` alone. A history that does
not bear a network may still bear the linear experts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tidecast.files.history import History
from tidecast.models import time_grid
from tidecast.models.experts import EXPERTS, Panel
from tidecast.models.inputs import Inputs, calendar_inputs, cycles_borne, network_inputs, rows_read
from tidecast.models.model import network_seasons
from tidecast.models.spec import Cycle, Spec
from tidecast.models.time_grid import Grid, Scaler, Sequences
from tidecast.settings import TrainSettings
from trainer.fit.cohort import Problem
from trainer.fit.linear import fit_panel
from trainer.fit.seasonality import cycles
from trainer.fit.seasonality import seasons as find_seasons

MIN_EXAMPLES = 8  # in each part: fewer say nothing, neither of a weight nor of an error
MIN_READINGS = 40  # for the linear experts: two dozen to fit and the rest to judge them by
TAIL_AT_LEAST, TAIL_AT_MOST = 60, 0.35  # readings, unless that is more than such a share: fewer judge by luck
OFF_GRID = 0.25  # of a step: how far from the typical one a step may be
MAX_OFF_GRID = 0.05  # of the steps: beyond, a grid would be more filled than measured, and rows count instead
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
    gridded: bool
    grid: Grid
    seasons: tuple[int, ...]
    calendar: tuple[Cycle, ...]
    scaler: Scaler
    change_scale: float
    panel: Panel  # fitted on the readings before the tail; its errors are not known yet
    rows_learned: int  # how many rows of the grid end with the last reading learned from
    rows_before_tail: int  # and with the last one before the tail
    tail: int  # the reading at which the tail begins
    without_network: str | None = None  # why the history bears no network; None: it bears one

    # Cut anew where they are needed: the windows of a thousand series at once would fill the memory.
    @property
    def learn(self) -> Sequences:
        """What the weights are fitted on."""
        return self._examples(0, self.rows_learned)

    @property
    def stop(self) -> Sequences:
        """What tells when to stop."""
        return self._examples(self.rows_learned, self.rows_before_tail)

    def _examples(self, start: int, stop: int) -> Sequences:
        """The windows whose targets lie in the rows from `start` to `stop`, as far back as the network reads."""
        seasonal = rows_read(self.spec, network_seasons(self.seasons, self.spec))
        found = time_grid.sequences(
            self.grid, self.spec.window, max(seasonal, self.panel.rows if self.spec.skip else 0)
        )
        return found.where((start <= found.rows) & (found.rows < stop))

    def problem(self, initial: Mapping[str, NDArray[Any]] | None = None) -> Problem:
        """The lesson as the cohort takes it: scaled, in float32."""
        return Problem(*self._scaled(self.learn), *self._scaled(self.stop), initial)

    def inputs(self, part: Sequences) -> Inputs:
        """A part's windows as the network reads them."""
        n, spec = len(part), self.spec
        lad = EXPERTS.index("linear_lad")
        return network_inputs(
            part.windows,
            part.held,
            spec,
            np.tile(network_seasons(self.seasons, spec), (n, 1)),
            np.tile(self.scaler.center, (n, 1)),
            np.tile(self.scaler.scale, (n, 1)),
            self.panel.answers(part.windows, part.held)[:, lad] if spec.skip else None,
            self._phases(part) if spec.calendar else None,
        )

    def _phases(self, part: Sequences) -> time_grid.Float:
        borne = np.tile(cycles_borne(self.spec, self.calendar), (len(part), 1))
        next_ts = self.grid.ts[part.rows - 1] + round(self.step_ms)
        return calendar_inputs(self.spec, borne, next_ts, np.full(len(part), self.step_ms))

    def _scaled(self, part: Sequences) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        prepared = self.inputs(part)
        return prepared.x, prepared.targets(part.targets, self.spec)


def prepare(
    history: History, spec: Spec, settings: TrainSettings, max_gap: int, season: int | None = None
) -> Lesson | Unfit:
    """Lay a history out, split it by time and scale it; or say why it cannot be trained on.

    Args:
        history: the readings.
        spec: the network's shape.
        settings: how to split.
        max_gap: how many missing steps in a row are filled.
        season: the season length in rows; None: found from the data and the calendar; 1: none.
    """
    validation, tail = split(len(history), settings)
    if unfit := _unfit(history, validation):
        return unfit
    step_ms = time_grid.typical_step(history.ts)
    gridded = on_grid(history.ts)
    grid = time_grid.to_grid(history.ts, history.values, step_ms, max_gap, gridded=gridded, left_out=history.left_out)
    measured = np.flatnonzero(~grid.filled)  # (readings,) the row of each
    # Up to the last reading of a part: rows filled after it were drawn towards the next part.
    learned, before_tail = int(measured[validation - 1]) + 1, int(measured[tail - 1]) + 1
    target, segment = grid.values[:before_tail, 0], grid.segment[:before_tail]
    seasons = find_seasons(target, segment, step_ms, gridded=gridded) if season is None else _given(season)
    panel = fit_panel(grid, seasons, before_tail)
    scaler = Scaler.fit(grid.values[:learned], spec.form)
    scale = time_grid.change_scale(grid.values[:learned, 0])
    known = cycles(int(history.ts[validation - 1] - history.ts[0]), step_ms) if gridded else ()
    lesson = Lesson(
        history, spec, step_ms, gridded, grid, seasons, known, scaler, scale, panel, learned, before_tail, tail
    )
    judged = lesson._examples(before_tail, len(grid))
    counts = len(lesson.learn), len(lesson.stop), len(judged)
    if min(counts) >= MIN_EXAMPLES:
        return lesson
    return replace(lesson, without_network=_too_few(history, spec.window, max_gap, counts, settings))


def split(readings: int, settings: TrainSettings) -> tuple[int, int]:
    """The readings at which the validation part and the tail begin."""
    tail = readings - int(max(settings.test * readings, min(TAIL_AT_LEAST, TAIL_AT_MOST * readings)))
    return tail - int(settings.validation * tail), tail


def readings_needed(window: int, settings: TrainSettings) -> int:
    """The shortest history without a gap that bears a network: it has enough examples in each part."""
    return next(n for n in count(window) if _has_enough(n, window, settings))


def on_grid(ts: NDArray[np.int64]) -> bool:
    """Whether nearly all steps are the typical one, give or take a quarter of it; at least two readings."""
    steps = np.diff(ts) / time_grid.typical_step(ts)
    return bool(np.mean(np.abs(steps - 1) > OFF_GRID) <= MAX_OFF_GRID)


def _has_enough(readings: int, window: int, settings: TrainSettings) -> bool:
    validation, tail = split(readings, settings)
    return min(validation - window, tail - validation, readings - tail) >= MIN_EXAMPLES


def _unfit(history: History, validation: int) -> Unfit | None:
    if len(history) < MIN_READINGS:
        return Unfit("too short", f"{len(history)} readings, {MIN_READINGS} are needed: bring a longer history")
    if not np.abs(history.values).max() <= LARGEST:
        return Unfit("refused", f"it holds values beyond {LARGEST:g}: bring them in a larger unit")
    learned = history.values[:validation, 0]
    if (learned == learned[0]).all():
        said = f"its first {validation} readings, the part to learn from, are all {learned[0]:g}"
        return Unfit("constant", f"{said}: the last value is the best forecast")
    return None


def _given(season: int) -> tuple[int, ...]:
    return (season,) if season > 1 else ()


def _too_few(history: History, window: int, max_gap: int, found: tuple[int, ...], settings: TrainSettings) -> str:
    if not _has_enough(len(history), window, settings):
        needed = readings_needed(window, settings)
        return f"{len(history)} readings bear no network, a window of {window} rows needs {needed}"
    parts = " + ".join(map(str, found))
    said = f"gaps of more than {max_gap} steps leave {parts} windows of {window} rows to learn from, stop by and judge"
    return f"{said}, a network needs {MIN_EXAMPLES} of each"
