"""When a model is wrong: its errors by hour and weekday, and the stretches with the largest errors."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from tidecast.arrays import Float, Int64
from tidecast.durations import DAY_MS, HOUR_MS
from tidecast.pictures.colours import FORECAST
from trainer.reports import canvas
from trainer.reports.canvas import Sheet
from trainer.reports.review import Review, rolling_mean

STRETCHES = 5  # in the table
STRETCH_SHARE = 20  # a stretch has this part of the readings
SHORTEST_STRETCH = 3  # readings
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
FIRST_WEEKDAY = 3  # the epoch began on a Thursday


class Stretch(NamedTuple):
    """Successive readings with large errors.

    Attributes:
        first_ts: the time of the first reading, epoch milliseconds.
        last_ts: the time of the last one.
        mae: their mean absolute error.
    """

    first_ts: int
    last_ts: int
    mae: float


def has_hours(reviewed: Review) -> bool:
    """Return whether the readings span two days and fall on several hours of the day."""
    spans = len(reviewed) > 1 and reviewed.ts[-1] - reviewed.ts[0] >= 2 * DAY_MS
    return bool(spans and len(np.unique(_hours(reviewed.ts))) > 1)


def errors_by_time(reviewed: Review, target: str, sheet: Sheet) -> Figure:
    """Draw the mean absolute error for each hour of the day and each weekday, in UTC."""
    figure, axes = sheet.mosaic([["hour", "weekday"]], 2.8)
    mean = float(np.abs(reviewed.errors).mean())
    parts = (("hour", _hours(reviewed.ts), 24), ("weekday", _weekdays(reviewed.ts), len(WEEKDAYS)))
    for name, groups, count in parts:
        axis = axes[name]
        canvas.style_axis(axis, sheet, f"Mean absolute error by {name}")
        canvas.label(axis, sheet, x=f"{name} (UTC)", y=f"error ({canvas.drawable(target)})")
        axis.bar(np.arange(count), mean_by_group(np.abs(reviewed.errors), groups, count), width=0.7, color=FORECAST)
        axis.axhline(mean, color=sheet.theme.ink, lw=1.0, ls=(0, (4, 3)))
    axes["weekday"].set_xticks(range(len(WEEKDAYS)), WEEKDAYS)
    return figure


def mean_by_group(values: Float, groups: Int64, count: int) -> Float:
    """Return the mean of the values in each group, `(count,)`, NaN for a group without values."""
    sums = np.bincount(groups, values, count)
    sizes = np.bincount(groups, minlength=count)
    means: Float = np.divide(sums, sizes, out=np.full(count, np.nan), where=sizes > 0)
    return means


def worst_stretches(reviewed: Review) -> list[Stretch]:
    """Return the stretches with the largest mean errors, the worst first; no two overlap."""
    length = max(SHORTEST_STRETCH, len(reviewed) // STRETCH_SHARE)
    if len(reviewed) < 2 * length:
        return []
    means = rolling_mean(np.abs(reviewed.errors), length)
    chosen: list[int] = []
    for start in np.argsort(-means, kind="stable").tolist():
        if all(abs(start - other) >= length for other in chosen):
            chosen.append(start)
        if len(chosen) == STRETCHES:
            break
    ts = reviewed.ts
    return [Stretch(int(ts[start]), int(ts[start + length - 1]), float(means[start])) for start in chosen]


def stretch_rows(
    stretches: Sequence[Stretch], mean: float, moment: Callable[[int], str]
) -> list[tuple[str, str, str, str]]:
    """Return the rows of a table of stretches.

    Args:
        stretches: the stretches.
        mean: the mean absolute error of all readings.
        moment: formats a time.
    """
    return [
        (moment(each.first_ts), moment(each.last_ts), f"{each.mae:.4g}", f"{each.mae / mean:.1f}" if mean else "")
        for each in stretches
    ]


def _hours(ts: Int64) -> Int64:
    return (ts // HOUR_MS) % 24


def _weekdays(ts: Int64) -> Int64:
    return (ts // DAY_MS + FIRST_WEEKDAY) % 7
