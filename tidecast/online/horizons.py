"""Forecasts of more than one step: each is fed back as if it had come, and every expert answers again."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tidecast.models import experts
from tidecast.models.time_grid import Float
from tidecast.online.engine import Engine, Question
from tidecast.online.intervals import Tracker
from tidecast.online.kernels.scoring import Scores
from tidecast.settings import SeriesSettings

if TYPE_CHECKING:
    from tidecast.online.forecaster import Accepted

More = dict[str, list[float | None]]


class Horizons:
    """The steps after the next one, with an interval for each from its own errors."""

    def __init__(self, settings: SeriesSettings) -> None:
        self._settings = settings

    def ahead(self, engine: Engine, accepted: Sequence["Accepted"], scores: Scores) -> More:
        """Forecast the steps 2 to `horizon` of each reading: `yhat_2`, `yhat_2_lower`, `yhat_2_upper` and so on."""
        further = range(2, self._settings.horizon + 1)
        more: More = {f"yhat_{step}{end}": [] for step in further for end in ("", "_lower", "_upper")}
        if more and accepted:
            for one, path in zip(accepted, self._paths(engine, accepted, scores), strict=True):
                self._publish(one, path, more)
        return more

    def _paths(self, engine: Engine, accepted: Sequence["Accepted"], scores: Scores) -> Float:
        """Roll every series forward in the shares that its experts have now: `(readings, horizon - 1)`."""
        rows = [one.question.rows for one in accepted]
        path = np.empty((len(accepted), self._settings.horizon))
        path[:, 0] = scores.yhat
        for step in range(1, path.shape[1]):
            rows = [_followed(old, yhat) for old, yhat in zip(rows, path[:, step - 1].tolist(), strict=True)]
            answers = engine.answers([_asked(one, new, step) for one, new in zip(accepted, rows, strict=True)])
            for i, (said, shares) in enumerate(zip(answers, scores.says, strict=True)):
                says = np.where(np.isfinite(said), shares, 0.0)
                total = says.sum()
                path[i, step] = experts.blend(says / total, said) if total > 0 else path[i, step - 1]
            path[:, step] = self._bounded(path[:, step])
        return path[:, 1:]

    def _publish(self, one: "Accepted", path: Float, more: More) -> None:
        state, steps = one.member.state, len(path)
        if len(state.ahead) != steps:
            state.ahead = np.full((steps, steps + 1), np.nan)
            state.ahead_trackers = [Tracker() for _ in range(steps)]
        if one.skipped:  # the steps that were skipped settle nothing
            state.ahead[:] = np.nan
        seat = one.question.seat
        new = seat is None or one.ts > seat.trained_until  # what a model has learned from says nothing of it
        for i, yhat in enumerate(path.tolist()):
            # Row i holds what was said i + 2 steps ahead: its oldest entry is about this reading.
            tracker, row = state.ahead_trackers[i], state.ahead[i, : i + 2]
            if np.isfinite(row[0]) and new:
                tracker.settle(one.y - float(row[0]), self._settings.level)
            row[:-1], row[-1] = row[1:].copy(), yhat
            name, half = f"yhat_{i + 2}", tracker.known
            ends = (None, None) if half is None else self._bounded(np.array([yhat - half, yhat + half])).tolist()
            for end, value in zip(("", "_lower", "_upper"), (yhat, *ends), strict=True):
                more[name + end].append(value)

    def _bounded(self, values: Float) -> Float:
        low, high = self._settings.minimum, self._settings.maximum
        bounded: Float = np.clip(values, -np.inf if low is None else low, np.inf if high is None else high)
        return bounded


def _asked(one: "Accepted", rows: Float, further: int) -> Question:
    """What a reading's experts are asked once the forecasts of so many further steps have come true."""
    before = one.question
    ahead = round(further * (before.next_ts - one.ts))
    return replace(before, rows=rows, next_ts=before.next_ts + ahead)


def _followed(rows: Float, yhat: float) -> Float:
    """The rows once the forecast has come true; the other features keep their last value."""
    newest = rows[-1:].copy()
    newest[0, 0] = yhat
    return np.concatenate([rows, newest])
