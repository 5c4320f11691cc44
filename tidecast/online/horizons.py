"""Forecasts of more than one step: each is fed back as if it were a reading, and all experts forecast again."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tidecast.arrays import Float
from tidecast.models import experts
from tidecast.online.engine import Engine, PredictionRequest
from tidecast.online.intervals import Tracker
from tidecast.online.kernels.scoring import BatchScores
from tidecast.settings import SeriesSettings

if TYPE_CHECKING:
    from tidecast.online.forecaster import Accepted

More = dict[str, list[float | None]]


class Horizons:
    """The forecasts of the steps after the next one, each with an interval from its own errors."""

    def __init__(self, settings: SeriesSettings) -> None:
        self._settings = settings

    def ahead(self, engine: Engine, accepted: Sequence["Accepted"], scores: BatchScores) -> More:
        """Forecast the steps 2 to `horizon` of each reading: `yhat_2`, `yhat_2_lower`, `yhat_2_upper` and so on."""
        further = range(2, self._settings.horizon + 1)
        more: More = {f"yhat_{step}{end}": [] for step in further for end in ("", "_lower", "_upper")}
        if more and accepted:
            for reading, path in zip(accepted, self._paths(engine, accepted, scores), strict=True):
                self._publish(reading, path, more)
        return more

    def _paths(self, engine: Engine, accepted: Sequence["Accepted"], scores: BatchScores) -> Float:
        """Roll every series forward with the present shares of its experts: `(readings, horizon - 1)`."""
        rows = [reading.question.rows for reading in accepted]
        path = np.empty((len(accepted), self._settings.horizon))
        path[:, 0] = scores.yhat
        for step in range(1, path.shape[1]):
            rows = [_followed(old, yhat) for old, yhat in zip(rows, path[:, step - 1].tolist(), strict=True)]
            answers = engine.answers([_asked(reading, new, step) for reading, new in zip(accepted, rows, strict=True)])
            for i, (forecasts, shares) in enumerate(zip(answers, scores.weights, strict=True)):
                usable = np.where(np.isfinite(forecasts), shares, 0.0)
                total = usable.sum()
                path[i, step] = experts.blend(usable / total, forecasts) if total > 0 else path[i, step - 1]
            path[:, step] = self._bounded(path[:, step])
        return path[:, 1:]

    def _publish(self, reading: "Accepted", path: Float, more: More) -> None:
        state = reading.member.state
        steps = len(path)
        if len(state.ahead) != steps:
            state.ahead = np.full((steps, steps + 1), np.nan)
            state.ahead_trackers = [Tracker() for _ in range(steps)]
        if reading.skipped:  # no reading came for the skipped steps: their forecasts cannot be scored
            state.ahead[:] = np.nan
        slot = reading.question.slot
        new = slot is None or reading.ts > slot.trained_until  # a model is not judged by readings that it learned from
        for i, yhat in enumerate(path.tolist()):
            # Row i holds the forecasts i + 2 steps ahead: its oldest entry is the forecast of this reading.
            tracker = state.ahead_trackers[i]
            row = state.ahead[i, : i + 2]
            if np.isfinite(row[0]) and new:
                tracker.settle(reading.y - float(row[0]), self._settings.level)
            row[:-1], row[-1] = row[1:].copy(), yhat
            name = f"yhat_{i + 2}"
            half = tracker.known
            ends = (None, None) if half is None else self._bounded(np.array([yhat - half, yhat + half])).tolist()
            for end, value in zip(("", "_lower", "_upper"), (yhat, *ends), strict=True):
                more[name + end].append(value)

    def _bounded(self, values: Float) -> Float:
        low = self._settings.minimum
        high = self._settings.maximum
        bounded: Float = np.clip(values, -np.inf if low is None else low, np.inf if high is None else high)
        return bounded


def _asked(reading: "Accepted", rows: Float, further: int) -> PredictionRequest:
    """Return the question for a reading's experts after so many further steps."""
    before = reading.question
    ahead = round(further * (before.next_ts - reading.ts))
    return replace(before, rows=rows, next_ts=before.next_ts + ahead)


def _followed(rows: Float, yhat: float) -> Float:
    """Return the rows with the forecast appended; the other features keep their last value."""
    newest = rows[-1:].copy()
    newest[0, 0] = yhat
    return np.concatenate([rows, newest])
