"""Preparation of a history for training: laid on its grid, split by time, scaled by its oldest part.

    readings   [0 ............ validation ............ tail ............ n)
               learn from      stop by                 judge by

The scaler uses only the first part, the network the first two; the tail is reserved for the gate. A history too short
for a network may be long enough for the linear experts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tidecast.files.history import History, counted
from tidecast.models import time_grid
from tidecast.models.calendar_steps import times_after
from tidecast.models.experts import LinearExperts
from tidecast.models.inputs import Inputs, rows_read
from tidecast.models.known.inputs import KnownInputs, with_known
from tidecast.models.model import Header, network_seasons
from tidecast.models.spec import Cycle, Spec
from tidecast.models.time_grid import Grid, Scaler, Sequences
from tidecast.online.offline import Preparation
from tidecast.settings import TrainSettings
from trainer.evaluation.changepoint import Change, change_of, seasons_after
from trainer.fit.known import KnownChoice, choose_inputs
from trainer.fit.linear import KnownTerms, fit_panel
from trainer.fit.own_networks import Problem
from trainer.fit.seasonality import cycles
from trainer.fit.seasonality import seasons as find_seasons

MIN_EXAMPLES = 8  # in each part: fewer determine neither a weight nor an error
MIN_READINGS = 40  # for the linear experts: two dozen to fit them and the rest to judge them
TAIL_AT_LEAST, TAIL_AT_MOST = 60, 0.35  # readings, but at most this share of the history: fewer judge by chance
OFF_GRID = 0.25  # of a step: the largest distance of a step from the typical one
MAX_OFF_GRID = 0.05  # of the steps: with more off the grid most rows would be filled, so rows replace time
LARGEST = 1e30  # networks train in float32, which ends at 3e38, and errors are squared
SMALLEST_SPREAD = 1 / LARGEST  # of the target: the linear experts divide by its changes

Cause = Literal["too short", "constant", "refused"]


@dataclass(frozen=True, slots=True)
class Untrainable:
    """The reason why a history cannot be trained on."""

    cause: Cause
    reason: str  # a sentence with figures and a remedy


@dataclass(frozen=True, slots=True)
class TrainingSet:
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
    panel: LinearExperts  # fitted on the readings before the tail; its errors are not known yet
    rows_learned: int  # rows of the grid up to the last reading of the training part
    rows_before_tail: int  # rows of the grid up to the last reading before the tail
    tail: int  # the reading at which the tail begins
    change: Change | None  # in the tail
    known: KnownChoice  # the inputs that are known ahead: the last columns of the grid
    without_network: str | None = None  # why no network can be trained on the history; None: one can

    @property
    def since(self) -> int:
        """Return the first reading that judges the model: of the tail, or after a change in it that is over."""
        return max(self.tail, self.change.over) if self.change else self.tail

    # Windows are cut again at each use: keeping those of a thousand series would fill the memory.
    @property
    def learn(self) -> Sequences:
        """Return the windows that the weights are fitted on."""
        return self._examples(0, self.rows_learned)

    @property
    def stop(self) -> Sequences:
        """Return the windows that early stopping uses."""
        return self._examples(self.rows_learned, self.rows_before_tail)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Return the numbers of windows to fit on, to stop by and to judge by."""
        bounds = (0, self.rows_learned, self.rows_before_tail, len(self.grid))
        learn, stop, judge = (
            len(time_grid.target_rows(self.grid, self.spec.window, *part)) for part in pairwise(bounds)
        )
        return learn, stop, judge

    def _examples(self, start: int, stop: int) -> Sequences:
        """Return the windows with targets in the rows from `start` to `stop`, as far back as the network reads."""
        seasonal = rows_read(self.spec, network_seasons(self.seasons, self.spec.seasonal))
        reach = max(seasonal, self.panel.rows if self.spec.residual else 0)
        return time_grid.sequences(self.grid, self.spec.window, reach, start, stop)

    def problem(self, initial: Mapping[str, NDArray[Any]] | None = None) -> Problem:
        """Return the examples as a problem for `fit_networks`: scaled, in float32."""
        return Problem(*self._scaled(self.learn), *self._scaled(self.stop), initial)

    def inputs(self, part: Sequences) -> Inputs:
        """Return a part's windows as network inputs."""
        center = tuple(self.scaler.center.tolist())
        scale = tuple(self.scaler.scale.tolist())
        preparation = Preparation(self.spec, center, scale, self.step_ms, self.seasons, self.calendar, self.panel)
        before = self.grid.ts[part.rows - 1]
        next_ts = times_after(before, self.history.ts, self.step_ms, gridded=self.gridded)
        return preparation.inputs(part.windows, part.held, next_ts)

    def _scaled(self, part: Sequences) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        prepared = self.inputs(part)
        return prepared.x, prepared.targets(part.targets, self.spec)


def prepare(
    history: History,
    spec: Spec,
    settings: TrainSettings,
    max_gap: int,
    season: int | None = None,
    champion: Header | None = None,
) -> TrainingSet | Untrainable:
    """Prepare a history for training: lay it on a grid, split it by time and scale it; or return why it is unfit.

    Args:
        history: the readings.
        spec: the network's shape.
        settings: how to split.
        max_gap: how many missing steps in a row are filled.
        season: the season length in rows; None: from the data and the calendar; 1: no season.
        champion: of the series' present model.
    """
    validation, tail = split(len(history), settings)
    if unfit := _unfit(history, validation):
        return unfit
    step_ms = time_grid.typical_step(history.ts)
    gridded = on_grid(history.ts)
    grid = time_grid.to_grid(history.ts, history.values, step_ms, max_gap, gridded=gridded, left_out=history.left_out)
    learned, before_tail = _row_ends(grid, validation, tail)
    seasons = _seasons(grid, before_tail, step_ms, gridded=gridded) if season is None else _given(season)
    change = change_of(history.values[:, 0], tail, min(seasons, default=None))
    if season is None and champion:
        seasons = seasons_after(seasons, champion.seasons, change, len(history))
    known = _known_inputs(history, spec, grid, step_ms, seasons, before_tail, gridded=gridded)
    grid = with_known(grid, known.inputs, history.known)
    training_set = TrainingSet(
        history=history,
        spec=spec.model_copy(update={"known": known.inputs.names}),
        step_ms=step_ms,
        gridded=gridded,
        grid=grid,
        seasons=seasons,
        calendar=cycles(int(history.ts[validation - 1] - history.ts[0]), step_ms) if gridded else (),
        scaler=Scaler.fit(grid.values[:learned], spec.target_transform),
        change_scale=time_grid.change_scale(grid.values[:learned, 0]),
        panel=fit_panel(grid, seasons, before_tail, known.terms),
        rows_learned=learned,
        rows_before_tail=before_tail,
        tail=tail,
        change=change,
        known=known,
    )
    if unjudged := _unjudged(training_set):
        return unjudged
    if min(training_set.sizes) >= MIN_EXAMPLES:
        return training_set
    return replace(training_set, without_network=_too_few(training_set, max_gap, settings))


def _row_ends(grid: Grid, validation: int, tail: int) -> tuple[int, int]:
    """Return how many rows the part to learn from has, and how many precede the tail.

    A part ends at its last reading: rows filled after it are interpolated towards the next part.
    """
    measured = np.flatnonzero(~grid.filled)  # (readings,) the row of each reading
    return int(measured[validation - 1]) + 1, int(measured[tail - 1]) + 1


def _seasons(grid: Grid, stop: int, step_ms: float, *, gridded: bool) -> tuple[int, ...]:
    """Return the seasons found in the rows before `stop`, and those of the calendar."""
    return find_seasons(grid.values[:stop, 0], grid.segment[:stop], step_ms, gridded=gridded)


def _known_inputs(
    history: History, spec: Spec, grid: Grid, step_ms: float, seasons: Sequence[int], stop: int, *, gridded: bool
) -> KnownChoice:
    """Return the known inputs that help, or those that the spec names; none off the grid."""
    if history.known is None or not gridded:
        return KnownChoice(KnownInputs((), step_ms))
    if spec.known:
        inputs = KnownInputs(spec.known, step_ms, history.known.special)
        return KnownChoice(inputs, KnownTerms(len(spec.known)))
    inputs = KnownInputs(history.known.names, step_ms, history.known.special)
    return choose_inputs(grid, inputs, history.known, seasons, stop)


def split(readings: int, settings: TrainSettings) -> tuple[int, int]:
    """Return the readings at which the validation part and the tail begin."""
    tail = readings - int(max(settings.test * readings, min(TAIL_AT_LEAST, TAIL_AT_MOST * readings)))
    return tail - int(settings.validation * tail), tail


def readings_needed(window: int, settings: TrainSettings) -> int:
    """Return the number of readings without a gap that give enough examples for a network in each part."""
    return next(n for n in count(window) if _has_enough(n, window, settings))


def on_grid(ts: NDArray[np.int64]) -> bool:
    """Return whether nearly all steps are within a quarter of the typical one; needs at least two readings."""
    steps = np.diff(ts) / time_grid.typical_step(ts)
    return bool(np.mean(np.abs(steps - 1) > OFF_GRID) <= MAX_OFF_GRID)


def _has_enough(readings: int, window: int, settings: TrainSettings) -> bool:
    validation, tail = split(readings, settings)
    return min(validation - window, tail - validation, readings - tail) >= MIN_EXAMPLES


def _unfit(history: History, validation: int) -> Untrainable | None:
    if len(history) < MIN_READINGS:
        has = counted(len(history), "reading")
        return Untrainable("too short", f"{has}, {MIN_READINGS} are needed: bring a longer history")
    if not np.abs(history.values).max() <= LARGEST:
        return Untrainable("refused", f"it holds values beyond {LARGEST:g}: bring them in a larger unit")
    learned = history.values[:validation, 0]
    if (learned == learned[0]).all():
        finding = f"its first {validation} readings, the part to learn from, are all {learned[0]:g}"
        return Untrainable("constant", f"{finding}: the last value is the best forecast")
    if np.ptp(learned) < SMALLEST_SPREAD:
        return Untrainable(
            "refused", f"its values differ by less than {SMALLEST_SPREAD:g}: bring them in a smaller unit"
        )
    return None


def _unjudged(training_set: TrainingSet) -> Untrainable | None:
    judging = training_set.history.judging[training_set.since :]
    count = int(np.count_nonzero(judging))
    if count >= MIN_EXAMPLES:
        return None
    finding = f"{counted(count, 'reading')} can judge a model, and {MIN_EXAMPLES} are needed"
    why = f"the others of the newest {len(judging)} are gross errors, or follow one"
    return Untrainable("refused", f"{finding}: {why}; bring newer ones")


def _given(season: int) -> tuple[int, ...]:
    return (season,) if season > 1 else ()


def _too_few(training_set: TrainingSet, max_gap: int, settings: TrainSettings) -> str:
    readings = len(training_set.history)
    window = training_set.spec.window
    if not _has_enough(readings, window, settings):
        needed = readings_needed(window, settings)
        return f"too few readings for a network: {readings}, and {needed} are needed for a window of {window} rows"
    parts = " + ".join(map(str, training_set.sizes))
    why = f"gaps of more than {max_gap} steps leave {parts} windows of {window} rows to learn from, stop by and judge"
    return f"{why}, a network needs {MIN_EXAMPLES} of each"
