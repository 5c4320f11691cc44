"""Several steps ahead: the forecasts of a worker over a history's tail, their scores by step, and the next ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tidecast.files.history import known_values
from tidecast.models.step_scores import StepScore, step_scores
from tidecast.online.forecaster import Forecaster
from tidecast.own_experts.in_process import InProcess
from tidecast.pictures.colours import FORECAST, LAST_VALUE, READING
from tidecast.settings import Settings
from tidecast.wire import Step, steps_of
from trainer.evaluation.virtual_clock import forecasts_from
from trainer.reports import canvas
from trainer.reports.canvas import Sheet
from trainer.reports.target import ReportTarget

ERRORS = (
    "The mean absolute error of each step ahead beside that of the last value, and the share of readings inside the "
    "interval of that step; the dashed line is the aim. These intervals adapt with every reading, as a worker's do: at "
    "the first step they differ from those above, which have one width."
)
NEXT_HEAD = ("step", "time (UTC)", "forecast", "interval")
_BAR = 0.38  # of the distance between two steps


@dataclass(frozen=True, slots=True)
class StepsAhead:
    """The steps that a worker forecasts at each reading; the intervals adapt, as in a worker.

    Attributes:
        scores: of the forecasts of the tail, by step; empty without forecasts.
        ahead: the forecasts made at the newest reading.
    """

    scores: list[StepScore]
    ahead: tuple[Step, ...]


def steps_ahead(subject: ReportTarget, settings: Settings, first: int) -> StepsAhead:
    """Forecast the readings from `first` on with the worker's code, `series.horizon` steps at each.

    Args:
        subject: the version and the history.
        settings: of the series and of own experts.
        first: a reading of the history, above 0.
    """
    history = subject.history
    series = settings.series.model_copy(update={"target": history.features[0]})
    forecaster = Forecaster(series, own=InProcess(settings.experts))
    cohort = subject.model.header.shared
    if cohort and subject.shared:
        forecaster.set_shared_network(cohort, subject.shared)
    forecaster.set_model(history.series, subject.number, subject.model)
    forecaster.known = known_values([history])
    by_series, _ = forecasts_from([history], {history.series: first}, forecaster)
    made = [forecast for forecast in by_series[history.series] if forecast.origin >= history.ts[first - 1]]
    actual = np.array([forecast.y for forecast in made[1:]])
    changes = np.abs(np.diff(history.values[:first, 0]))
    scores = step_scores(made[:-1], actual, float(changes.mean()) if len(changes) else 0.0)
    return StepsAhead(scores, steps_of(made[-1]) if made else ())


def errors_by_step(scores: Sequence[StepScore], level: float, unit: str, sheet: Sheet) -> Figure:
    """Draw the error and the coverage of each step.

    Args:
        scores: at least one.
        level: the coverage that the intervals aim at.
        unit: the name of the errors' unit.
        sheet: the sheet to draw on.
    """
    figure, axes = sheet.mosaic([["error", "coverage"]], 2.8)
    steps = np.array([score.step for score in scores])
    axis = axes["error"]
    canvas.style_axis(axis, sheet, "Mean absolute error by step")
    canvas.label(axis, sheet, x="step", y=f"error ({canvas.drawable(unit)})")
    bars = (("forecast", FORECAST, "mae", -0.5), ("last value", LAST_VALUE, "mae_last_value", 0.5))
    for label, colour, name, side in bars:
        heights = [getattr(score, name) for score in scores]
        axis.bar(steps + side * _BAR, heights, width=_BAR, color=colour, label=label)
    canvas.whole_numbers(axis.xaxis)
    _coverage(axes["coverage"], scores, level, sheet)
    canvas.legend(figure, sheet)
    return figure


def _coverage(axis: Any, scores: Sequence[StepScore], level: float, sheet: Sheet) -> None:
    canvas.style_axis(axis, sheet, "Readings inside the interval by step")
    canvas.label(axis, sheet, x="step")
    known = [(score.step, score.coverage) for score in scores if score.coverage is not None]
    axis.plot([step for step, _ in known], [share for _, share in known], color=READING, lw=1.6, marker=".", ms=6)
    axis.axhline(level, color=sheet.theme.quiet, lw=1.0, ls=(0, (4, 3)))
    axis.set_ylim(min([0.6, *(share - 0.05 for _, share in known)]), 1.03)
    axis.yaxis.set_major_formatter(lambda share, _: f"{share * 100:.0f} %" if share <= 1 else "")
    canvas.whole_numbers(axis.xaxis)
