"""Review of a model: its one-step forecasts over a history's tail, its errors, its interval and the next value."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Float, Int64
from tidecast.errors import HistoryError
from tidecast.files.history import History, counted
from tidecast.models.metrics import skill
from tidecast.settings import Settings
from trainer.evaluation.answers import blended, expert_answers, grid_of
from trainer.evaluation.gate import MIN_ROWS
from trainer.reports.steps import StepsAhead, steps_ahead
from trainer.reports.target import ReportTarget, with_next

MAX_ROLLING = 100  # readings in the rolling coverage: with fewer it jumps, with more it hides a bad week
SHORTEST = 2  # readings: one to forecast from, one to forecast
MAX_LAGS = 48  # of the errors' autocorrelation: two days of hourly readings


@dataclass(frozen=True, slots=True)
class Review:
    """A model's one-step forecasts of the tail and the actual readings; arrays are `(rows,)` unless noted."""

    ts: Int64  # epoch milliseconds of the readings
    actual: Float
    answer: Float
    last: Float  # the reading before each reading: the last value's forecast
    weights: Float  # (rows, experts) each expert's weight in the forecast
    half_width: float
    level: float
    gap_ms: float  # readings further apart are not joined
    next_ts: int
    next_answer: float
    bounds: tuple[float, float]  # the lowest and the highest possible forecast
    next_weights: Float  # (experts,)
    trained_on: bool  # whether the model was trained on these same readings
    steps: StepsAhead | None = None  # None: `series.horizon` is 1

    def __len__(self) -> int:
        return len(self.ts)

    @property
    def errors(self) -> Float:
        """Return reading minus forecast."""
        return self.actual - self.answer

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Return whether each reading was within its forecast's interval."""
        return np.abs(self.errors) <= self.half_width

    def interval(self, answer: Float) -> tuple[Float, Float]:
        """Return the ends of the intervals of forecasts, within the bounds."""
        return np.clip(answer - self.half_width, *self.bounds), np.clip(answer + self.half_width, *self.bounds)

    @property
    def coverage(self) -> float:
        """Return the share of readings inside the interval."""
        return float(self.inside.mean())

    @property
    def mae(self) -> float:
        """Return the model's mean absolute error."""
        return float(np.abs(self.errors).mean())

    @property
    def skill(self) -> float:
        """Return the share of the last value's error that the model saves on these readings."""
        return skill(self.mae, float(np.abs(self.actual - self.last).mean()))


def review(subject: ReportTarget, settings: Settings) -> Review:
    """Forecast the readings newer than a model's training data, and the next value, with the model's blend.

    If they are too few, the newest share of the history is used and marked as trained on.

    Raises:
        HistoryError: the history has fewer than two readings, or its newest ones are gross errors.
    """
    header = subject.model.header
    history = subject.history
    max_gap = settings.series.max_gap
    if len(history) < SHORTEST:
        raise HistoryError(
            f"series {history.series!r}: {counted(len(history), 'reading')}, and a report needs {SHORTEST}: "
            "bring a longer history"
        )
    first, trained_on = _tail(history, header.span[1], settings)
    judging = history.judging[first:]
    if not judging.any():
        raise HistoryError(
            f"series {history.series!r}: its newest readings ({len(judging)}) are gross errors, or follow one: "
            "bring a longer history, or check the sensor"
        )
    extended = with_next(history, header)
    grid = grid_of(subject.model, extended, max_gap)
    if grid is None:
        raise AssertionError("a subject's history has the columns that its model reads")
    answers = expert_answers(subject.model, subject.shared, grid, first, settings.experts)
    bounds = settings.series.bounds
    y = extended.values[first:, 0]
    blend = blended(answers, y, subject.model.panel.errors, header.largest_move, bounds)
    return Review(
        ts=history.ts[first:][judging],
        actual=history.values[first:, 0][judging],
        answer=blend.yhat[:-1][judging],
        last=history.values[first - 1 : -1, 0][judging],
        weights=blend.weights[:-1][judging],
        half_width=header.half_width,
        level=header.level,
        gap_ms=(max_gap + 1.5) * header.step_ms,
        next_ts=int(extended.ts[-1]),
        next_answer=float(blend.yhat[-1]),
        bounds=bounds,
        next_weights=blend.weights[-1],
        trained_on=trained_on,
        steps=steps_ahead(subject, settings, first) if settings.series.horizon > 1 else None,
    )


def rolling_span(rows: int) -> int:
    """Return the number of readings to average coverage over: a fifth of them, between 10 and 100."""
    return min(rows, int(np.clip(rows // 5, 10, MAX_ROLLING)))


def rolling_mean(values: NDArray[np.bool_] | Float, span: int) -> Float:
    """Return the mean of each `span` neighbours: `(rows,)` to `(rows - span + 1,)`."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    mean: Float = (total[span:] - total[:-span]) / span
    return mean


def autocorrelation(errors: Float) -> Float:
    """Return the errors' autocorrelation at lags 1, 2, …: structure that a better model could still use.

    Returns:
        `(lags,)`: a quarter of the rows, at most 48 (Box & Jenkins 1976); empty if all errors are equal.
    """
    lags = min(MAX_LAGS, len(errors) // 4)
    centred = errors - errors.mean()
    power = float(centred @ centred)
    if power == 0:
        return np.zeros(0)
    return np.array([float(centred[lag:] @ centred[:-lag]) / power for lag in range(1, lags + 1)])


def _tail(history: History, trained_until: int, settings: Settings) -> tuple[int, bool]:
    """Return the first reading to review, and whether the model was trained on it."""
    newer = history.ts > trained_until
    if np.count_nonzero(newer & history.judging) >= MIN_ROWS:
        return max(1, int(np.argmax(newer))), False
    first = max(1, len(history) - max(1, int(settings.train.test * len(history))))
    return first, bool(history.ts[first] <= trained_until)
