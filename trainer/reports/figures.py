"""The pictures of a report: learning curves, forecasts, experts' weights, errors and coverage of the interval."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tidecast.arrays import Float
from tidecast.models.model import Header
from tidecast.pictures.colours import FORECAST, READING
from tidecast.pictures.weights import areas
from trainer.reports import canvas
from trainer.reports.canvas import Sheet
from trainer.reports.review import Review, autocorrelation, rolling_mean, rolling_span

SHOWN = 160  # readings in the picture of the forecasts: more cannot be distinguished
WIDE_RANGE = 20.0  # losses that span more than this factor are drawn on a logarithmic scale
SAME = 1e-9  # of the errors' size: if they differ by less, the histogram has one bar
BAND = 0.2  # opacity of an interval
CONFIDENCE = 1.96  # times 1 / sqrt(rows): the 95 % bound of white noise's autocorrelation


def best_epoch(header: Header) -> int | None:
    """Return the epoch, from 1, whose weights were kept (the smallest validation loss); None if unknown."""
    known = header.training.get("best_epoch")
    if known is not None:
        return int(known)
    losses = header.curves.get("val_loss", ())
    return int(np.argmin(losses)) + 1 if losses else None


def learning(header: Header, sheet: Sheet) -> Figure:
    """Draw the losses by epoch and mark the epoch whose weights were kept."""
    figure = sheet.figure(3.0)
    axis = figure.subplots()
    canvas.style_axis(axis, sheet, "Loss by epoch")
    canvas.label(axis, sheet, x="epoch", y=f"loss ({header.spec.loss.upper()} of scaled values)")
    styles = {"loss": (READING, "training"), "val_loss": (FORECAST, "validation")}
    for name, (colour, part) in styles.items():
        losses = header.curves.get(name, ())
        axis.plot(range(1, len(losses) + 1), losses, color=colour, lw=1.6, marker=".", ms=4, label=part)
    _mark_best(axis, header, sheet)
    drawn = [loss for name in styles for loss in header.curves.get(name, ())]
    if drawn and min(drawn) > 0 and max(drawn) > WIDE_RANGE * min(drawn):
        axis.set_yscale("log")
    canvas.whole_numbers(axis.xaxis)
    canvas.legend(figure, sheet)
    return figure


def _mark_best(axis: Any, header: Header, sheet: Sheet) -> None:
    losses = header.curves.get("val_loss", ())
    best = best_epoch(header)
    if not best or best > len(losses):  # 0: a warm start whose initial weights were kept
        return
    axis.axvline(best, color=sheet.theme.quiet, lw=0.8, ls=(0, (4, 3)), zorder=0)
    ring = {"marker": "o", "ms": 8, "mfc": "none", "mec": sheet.theme.ink, "mew": 1.4, "ls": "none"}
    axis.plot([best], [losses[best - 1]], **ring, label=f"kept: epoch {best}")


def forecasts(review: Review, target: str, sheet: Sheet) -> Figure:
    """Draw the newest readings, their one-step forecasts, and the forecast of the next value."""
    figure = sheet.figure(3.6)
    axis = figure.subplots()
    newest = slice(-SHOWN, None)
    ts, actual, answer = _broken(review, review.ts[newest], review.actual[newest], review.answer[newest])
    at = canvas.moments(ts)
    axis.fill_between(
        at, *review.interval(answer), color=FORECAST, alpha=BAND, lw=0, label=f"{review.level * 100:g} % interval"
    )
    axis.plot(at, actual, color=READING, lw=1.3, label="reading")
    axis.plot(at, answer, color=FORECAST, lw=1.3, label="forecast")
    _mark_next(axis, review, sheet)
    canvas.style_axis(axis, sheet, "Readings and forecasts")
    canvas.label(axis, sheet, y=canvas.drawable(target))
    canvas.time_axis(axis, sheet)
    axis.margins(x=0.015)
    canvas.legend(figure, sheet)
    return figure


def stream(ts: NDArray[np.int64], actual: Float, forecast: Float, title: str, sheet: Sheet) -> Figure:
    """Draw the newest readings and the forecasts that were made for them.

    Args:
        ts: `(rows,)` epoch milliseconds.
        actual: `(rows,)` the readings.
        forecast: `(rows, 3)` forecast, lower and upper bound; NaN without an interval.
        title: of the picture.
        sheet: the sheet to draw on.
    """
    figure = sheet.figure(3.4)
    axis = figure.subplots()
    at = canvas.moments(ts[-SHOWN:])
    newest = forecast[-SHOWN:]
    axis.fill_between(at, newest[:, 1], newest[:, 2], color=FORECAST, alpha=BAND, lw=0, label="interval")
    axis.plot(at, actual[-SHOWN:], color=READING, lw=1.3, label="reading")
    axis.plot(at, newest[:, 0], color=FORECAST, lw=1.3, label="forecast")
    canvas.style_axis(axis, sheet, canvas.drawable(title))
    canvas.time_axis(axis, sheet)
    axis.margins(x=0.015)
    canvas.legend(figure, sheet)
    return figure


def _mark_next(axis: Any, review: Review, sheet: Sheet) -> None:
    answer = np.array([review.next_answer])
    low, high = review.interval(answer)
    at = canvas.moments(np.array([review.next_ts]))
    point = {"fmt": "o", "ms": 6, "mec": sheet.theme.paper, "mew": 0.8, "elinewidth": 1.6, "capsize": 4, "zorder": 5}
    axis.errorbar(at, answer, yerr=[answer - low, high - answer], color=FORECAST, label="next", **point)


def weights(review: Review, sheet: Sheet) -> Figure:
    """Draw each expert's weight in the forecasts over time, the largest at the bottom."""
    figure = sheet.figure(3.4)
    axis = figure.subplots()
    stacked = areas(review.weights)
    axis.stackplot(
        canvas.moments(review.ts),
        [area.weights for area in stacked],
        labels=[area.name for area in stacked],
        colors=[area.colour(sheet.theme) for area in stacked],
        edgecolor=sheet.theme.paper,  # a line between neighbours
        linewidth=1.0,
    )
    canvas.style_axis(axis, sheet, "Weights of the experts")
    canvas.time_axis(axis, sheet)
    axis.yaxis.set_major_formatter(_per_cent)
    axis.set_ylim(0, 1)
    axis.margins(x=0)
    canvas.legend(figure, sheet)
    return figure


def residuals(review: Review, target: str, sheet: Sheet) -> Figure:
    """Draw the errors over time, their histogram and their autocorrelation."""
    figure, axes = sheet.mosaic([["time", "time"], ["histogram", "correlation"]], 2.8)
    _errors_over_time(axes["time"], review, canvas.drawable(target), sheet)
    _histogram(axes["histogram"], review, canvas.drawable(target), sheet)
    _correlation(axes["correlation"], review.errors, sheet)
    return figure


def _errors_over_time(axis: Any, review: Review, unit: str, sheet: Sheet) -> None:
    canvas.style_axis(axis, sheet, "Errors: reading minus forecast")
    canvas.label(axis, sheet, y=f"error ({unit})")
    ts, errors = _broken(review, review.ts, review.errors)
    axis.axhspan(-review.half_width, review.half_width, color=READING, alpha=BAND, lw=0)
    axis.axhline(0, color=sheet.theme.quiet, lw=0.8)
    axis.plot(canvas.moments(ts), errors, color=FORECAST, lw=0.9)
    canvas.time_axis(axis, sheet)
    axis.margins(x=0.015)


def _histogram(axis: Any, review: Review, unit: str, sheet: Sheet) -> None:
    canvas.style_axis(axis, sheet, "How large the errors are")
    canvas.label(axis, sheet, x=f"error ({unit})", y="readings")
    axis.axvspan(-review.half_width, review.half_width, color=READING, alpha=BAND, lw=0)
    axis.hist(review.errors, bins=_bins(review.errors), color=FORECAST, edgecolor=sheet.theme.paper, linewidth=0.5)
    axis.axvline(0, color=sheet.theme.quiet, lw=0.8)
    axis.locator_params(axis="x", nbins=6)


def _bins(errors: Float) -> Float:
    """Return the edges of a histogram's bars: more for more errors; one bar if the errors hardly differ."""
    low = float(errors.min())
    high = float(errors.max())
    size = max(abs(low), abs(high))
    if high - low <= SAME * size:
        return np.array([low - (size or 1), high + (size or 1)])
    return np.linspace(low, high, int(np.clip(2 * np.sqrt(len(errors)), 8, 50)) + 1)


def _correlation(axis: Any, errors: Float, sheet: Sheet) -> None:
    canvas.style_axis(axis, sheet, "Do errors repeat?")
    canvas.label(axis, sheet, x="lag (readings)", y="autocorrelation")
    correlation = autocorrelation(errors)
    lags = np.arange(1, len(correlation) + 1)
    noise = CONFIDENCE / np.sqrt(len(errors))
    axis.axhspan(-noise, noise, color=READING, alpha=BAND, lw=0)
    axis.axhline(0, color=sheet.theme.quiet, lw=0.8)
    axis.bar(lags, correlation, width=0.6, color=FORECAST)
    reach = max(0.3, noise * 1.5, *np.abs(correlation)) if len(correlation) else 1.0
    axis.set_ylim(-1.1 * reach, 1.1 * reach)
    canvas.whole_numbers(axis.xaxis)


def coverage(review: Review, sheet: Sheet) -> Figure:
    """Draw the share of readings inside the interval, rolling and overall, and mark each reading outside."""
    figure = sheet.figure(2.8)
    axis = figure.subplots()
    span = rolling_span(len(review))
    canvas.style_axis(axis, sheet, "Readings inside the interval")
    at = canvas.moments(review.ts)
    rolling = rolling_mean(review.inside, span)
    axis.plot(at[span - 1 :], rolling, color=READING, lw=1.6, marker=_dot(rolling), label=f"last {span}")
    axis.axhline(review.coverage, color=sheet.theme.ink, lw=1.0, label=f"all: {review.coverage * 100:.1f} %")
    axis.axhline(review.level, color=sheet.theme.quiet, lw=1.0, ls=(0, (4, 3)), label=f"aim: {review.level * 100:g} %")
    lowest = min(0.6, float(rolling.min()) - 0.05, review.coverage - 0.05)
    outside = at[~review.inside]
    axis.plot(outside, np.full(len(outside), 1.03), "|", color=FORECAST, ms=7, label=f"outside: {len(outside)}")
    axis.set_ylim(lowest, 1.07)
    axis.yaxis.set_major_formatter(_per_cent)
    axis.set_xlim(at[0], at[-1] + np.timedelta64(1, "ms"))
    axis.margins(x=0.015)
    canvas.time_axis(axis, sheet)
    canvas.legend(figure, sheet)
    return figure


def _per_cent(share: float, _: float) -> str:
    return f"{share * 100:.0f} %" if share <= 1 else ""


def _dot(line: Float) -> str | None:
    """Return a marker for a line of one point, which is invisible without one."""
    return "." if len(line) == 1 else None


def _broken(review: Review, ts: NDArray[np.int64], *columns: Float) -> tuple[Any, ...]:
    """Break lines at gaps in the history, so that no line is drawn where nothing was measured."""
    gaps = np.flatnonzero(np.diff(ts) > review.gap_ms) + 1
    return np.insert(ts, gaps, ts[gaps - 1]), *(np.insert(column, gaps, np.nan) for column in columns)
