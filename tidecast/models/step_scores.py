"""Scores of forecasts by step: how errors and intervals grow with the number of steps ahead."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tidecast.arrays import Float
from tidecast.models.metrics import skill
from tidecast.wire import Forecast, steps_of

COLUMNS = ("step", "readings", "MAE", "last value's", "skill", "MASE", "coverage", "width")
_YHAT, _LOWER, _UPPER = range(3)


@dataclass(frozen=True, slots=True)
class StepScore:
    """The errors of one step ahead.

    Attributes:
        step: 1 for the next reading.
        readings: the number of forecasts with a reading.
        mae: mean absolute error, in the unit of the series.
        mae_last_value: that of the last value, which repeats the reading at the time of the forecast.
        mase: MAE over the mean change of the readings trained on; None if that is 0 or unknown.
        skill: 1 - MAE / MAE of the last value.
        coverage: the share of readings inside their interval; None without intervals.
        width: the mean width of the intervals, in the unit of the series; None without intervals.
    """

    step: int
    readings: int
    mae: float
    mae_last_value: float
    mase: float | None
    skill: float
    coverage: float | None
    width: float | None

    def cells(self) -> tuple[str, ...]:
        """Return the texts of a row below `COLUMNS`."""
        return (
            str(self.step),
            str(self.readings),
            f"{self.mae:.4g}",
            f"{self.mae_last_value:.4g}",
            f"{self.skill:.3f}",
            "" if self.mase is None else f"{self.mase:.3f}",
            "" if self.coverage is None else f"{100 * self.coverage:.1f} %",
            "" if self.width is None else f"{self.width:.4g}",
        )


def step_scores(forecasts: Sequence[Forecast], actual: Float, mean_change: float = 0.0) -> list[StepScore]:
    """Score the steps of successive forecasts of one series.

    Step k is compared with the k-th reading after the forecast, in order; after a gap that is later than its time.

    Args:
        forecasts: in the order of time, one for each reading.
        actual: `(forecasts,)` the reading after each forecast.
        mean_change: the mean absolute change of the readings trained on; 0: unknown.
    """
    steps = [steps_of(forecast) for forecast in forecasts]
    horizon = max(map(len, steps), default=0)
    table = np.full((len(steps), horizon, 3), np.nan)
    for i, each in enumerate(steps):
        table[i, : len(each)] = [(step.yhat, step.lower, step.upper) for step in each]
    last = np.array([forecast.y for forecast in forecasts])
    scored = []
    for step in range(1, min(horizon, len(steps)) + 1):
        made = table[: len(steps) - step + 1, step - 1]
        answered = np.isfinite(made[:, _YHAT])
        if answered.any():
            y = actual[step - 1 :][answered]
            scored.append(_score(step, made[answered], y, last[: len(answered)][answered], mean_change))
    return scored


def mean_scores(by_series: Sequence[Sequence[StepScore]]) -> list[StepScore]:
    """Return the scores of each step over several series: sums of readings, and otherwise means."""
    horizon = max(map(len, by_series), default=0)
    means = []
    for step in range(1, horizon + 1):
        each = [score for scores in by_series for score in scores if score.step == step]
        means.append(
            StepScore(
                step=step,
                readings=sum(score.readings for score in each),
                mae=float(np.mean([score.mae for score in each])),
                mae_last_value=float(np.mean([score.mae_last_value for score in each])),
                mase=_mean([score.mase for score in each]),
                skill=float(np.mean([score.skill for score in each])),
                coverage=_mean([score.coverage for score in each]),
                width=_mean([score.width for score in each]),
            )
        )
    return means


def _score(step: int, made: Float, y: Float, last: Float, mean_change: float) -> StepScore:
    mae = float(np.abs(y - made[:, _YHAT]).mean())
    mae_last_value = float(np.abs(y - last).mean())
    width = made[:, _UPPER] - made[:, _LOWER]
    bounded = np.isfinite(width)
    inside = (made[:, _LOWER] <= y) & (y <= made[:, _UPPER])
    return StepScore(
        step=step,
        readings=len(y),
        mae=mae,
        mae_last_value=mae_last_value,
        mase=mae / mean_change if mean_change > 0 else None,
        skill=skill(mae, mae_last_value),
        coverage=float(inside[bounded].mean()) if bounded.any() else None,
        width=float(width[bounded].mean()) if bounded.any() else None,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
