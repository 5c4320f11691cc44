"""A model looked at again: its one-step forecasts over a history's tail, its errors, its interval, the next value."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tidecast.errors import HistoryError
from tidecast.files.history import History
from tidecast.models.time_grid import Float
from tidecast.settings import Settings
from trainer.evaluation.evaluate import MIN_ROWS, blended, expert_answers, skill
from trainer.reports.target import Subject, with_next

Int64 = NDArray[np.int64]

MAX_ROLLING = 100  # readings in a rolling coverage: fewer jump, more hide a bad week
SHORTEST = 2  # readings: one to forecast from, one to forecast
MAX_LAGS = 48  # of the errors' autocorrelation: two days of hours


@dataclass(frozen=True, slots=True)
class Review:
    """What a model forecast for the tail, one step ahead, and what came; all arrays are `(rows,)`."""

    ts: Int64  # epoch milliseconds of the readings
    actual: Float
    answer: Float
    last: Float  # the reading before each one: the last value's forecast
    says: Float  # (rows, experts) each expert's share in the forecast
    half_width: float
    level: float
    gap_ms: float  # readings further apart are not joined
    next_ts: int
    next_answer: float
    next_says: Float  # (experts,)
    trained_on: bool  # the model has learned from these very readings

    def __len__(self) -> int:
        return len(self.ts)

    @property
    def errors(self) -> Float:
        """Reading minus forecast."""
        return self.actual - self.answer

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Whether each reading fell within its forecast's interval."""
        return np.abs(self.errors) <= self.half_width

    @property
    def coverage(self) -> float:
        """The share of readings inside the interval."""
        return float(self.inside.mean())

    @property
    def mae(self) -> float:
        """The model's mean absolute error."""
        return float(np.abs(self.errors).mean())

    @property
    def skill(self) -> float:
        """How much of the last value's error the model saves on these readings."""
        return skill(self.mae, float(np.abs(self.actual - self.last).mean()))


def review(subject: Subject, settings: Settings) -> Review:
    """Let a model's blend forecast the readings newer than those that it was trained on, and the next one.

    Where there are too few of them, the newest share of the history is shown, and marked as trained on.

    Raises:
        HistoryError: the history has no two readings.
    """
    header, history, max_gap = subject.model.header, subject.history, settings.series.max_gap
    if len(history) < SHORTEST:
        raise HistoryError(
            f"series {history.series!r}: {len(history)} readings, a report needs {SHORTEST}: bring a longer history"
        )
    first, trained_on = _tail(history, header.span[1], settings)
    extended = with_next(history, header.step_ms)
    answers = expert_answers(subject.model, subject.shared, extended, first, max_gap)
    if answers is None:
        raise AssertionError("a subject's history has the columns that its model reads")
    found = blended(answers, extended.values[first:, 0], subject.model.panel.errors, header.largest_move)
    believed = history.believed[first:]
    return Review(
        ts=history.ts[first:][believed],
        actual=history.values[first:, 0][believed],
        answer=found.yhat[:-1][believed],
        last=history.values[first - 1 : -1, 0][believed],
        says=found.says[:-1][believed],
        half_width=header.half_width,
        level=header.level,
        gap_ms=(max_gap + 1.5) * header.step_ms,
        next_ts=int(history.ts[-1]) + max(1, round(header.step_ms)),
        next_answer=float(found.yhat[-1]),
        next_says=found.says[-1],
        trained_on=trained_on,
    )


def rolling_span(rows: int) -> int:
    """Over how many readings coverage is averaged: a fifth of them, between 10 and 100."""
    return min(rows, int(np.clip(rows // 5, 10, MAX_ROLLING)))


def rolling_mean(values: NDArray[np.bool_], span: int) -> Float:
    """The mean of each `span` neighbours: `(rows,)` to `(rows - span + 1,)`."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    mean: Float = (total[span:] - total[:-span]) / span
    return mean


def autocorrelation(errors: Float) -> Float:
    """The errors' correlation with themselves at lags 1, 2, …: what a better model could still have used.

    Returns `(lags,)`: a quarter of the rows and 48 at most (Box & Jenkins 1976); none where no error differs.
    """
    lags = min(MAX_LAGS, len(errors) // 4)
    centred = errors - errors.mean()
    power = float(centred @ centred)
    if power == 0:
        return np.zeros(0)
    return np.array([float(centred[lag:] @ centred[:-lag]) / power for lag in range(1, lags + 1)])


def _tail(history: History, trained_until: int, settings: Settings) -> tuple[int, bool]:
    """The first reading to look at, and whether the model was trained on it."""
    newer = int(np.count_nonzero(history.ts > trained_until))
    if newer >= MIN_ROWS:
        return max(1, len(history) - newer), False
    return max(1, len(history) - int(settings.train.test * len(history))), True
