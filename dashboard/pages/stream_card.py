"""The cards of a series' readings and forecasts: live, or over the last hour, day or week."""

import time
from collections.abc import Callable, Sequence

import numpy as np
from nicegui import run, ui
from redis.exceptions import RedisError

from dashboard.data.history import RANGES, SCANNED, SeriesPoints
from dashboard.data.outlook import Outlook
from dashboard.data.recent import NAIVE, ORIGIN, POINTS, Y
from dashboard.data.weights import Weights
from dashboard.pages import charts
from dashboard.pages.formats import NOTHING, count_text, number_text, series_path, share_text, time_text
from dashboard.pages.frame import Context, chart, every_second, folded
from dashboard.pages.tables import table_of_texts
from tidecast.arrays import Float
from tidecast.models.step_scores import COLUMNS as STEP_COLUMNS
from tidecast.models.step_scores import StepScore
from tidecast.wire import Step

REFRESH_S = 1.0
EVENTS_MARKED = 100  # newest
SCORE_EVERY_S = 60.0
LIVE = f"The newest readings, at most {POINTS}. Times are in UTC."


class StreamCards:
    """One viewer's charts of a series, and its forecasts of further steps.

    Args:
        context: the data.
        series: its name.
        span: one of `RANGES`; empty: the newest readings are shown.
        beside: adds a card beside that of the steps.
    """

    def __init__(self, context: Context, series: str, span: str, beside: Callable[[], None]) -> None:
        self._context = context
        self._series = series
        self._span = span
        self._history: SeriesPoints | None = None
        self._outlook: Outlook | None = None
        self._drawn: object = None
        self._asked_id = ""
        self._scored_at = -SCORE_EVERY_S
        self._has_weights = False  # whether those over time were computed
        self._over_time: Weights | None = None
        self._build()
        with ui.element("div").classes("pair"):
            self._build_steps()
            beside()
        every_second(self._refresh)
        ui.timer(REFRESH_S, self._read_outlook)
        if span:
            self._searching = ui.timer(REFRESH_S, self._read_history)

    def _build(self) -> None:
        with ui.element("section").classes("card"):
            with ui.element("div").classes("ranges"):
                unit = self._context.follower.unit_of(self._series)
                ui.label(f"Readings and forecasts{unit and f' in {unit}'}").classes("subtitle")
                for span in ("", *RANGES):
                    path = series_path(self._series) + (f"&span={span}" if span else "")
                    ui.link(span or "live", path).classes(f"filter {'here' if span == self._span else ''}")
            self._caption = ui.label(f"Searching the {self._span} …" if self._span else LIVE).classes("quiet")
            self._stream = chart(charts.stream_chart(), "chart tall")
        with ui.element("div").classes("pair"):
            with folded(f"Mean absolute error over {charts.SMOOTHED} readings"):
                self._errors = chart(charts.error_chart())
            with folded("Weights of the experts"):
                self._weights_chart = chart(charts.weights_chart())
                self._weights_chart.set_visibility(False)
                self._weights = ui.html("", sanitize=False)

    def _build_steps(self) -> None:
        with ui.element("div").classes("contents") as self._steps_place, folded("Next steps"):
            self._steps = ui.html("", sanitize=False)
            ui.label("Errors and coverage of the newest forecasts by step").classes("quiet")
            self._by_step = chart(charts.steps_chart())
            self._scores = ui.html("", sanitize=False)
        self._steps_place.set_visibility(False)

    def _points(self) -> Float | None:
        """Return the points to draw: the newest ones, after those of the span."""
        recent = self._context.follower.recent
        with self._context.follower.lock:
            i = recent.index.get(self._series)
            points = None if i is None else recent.of(i).copy()
        if points is None or self._history is None or not len(self._history.points):
            return points
        older = self._history.points
        newer = points[points[:, ORIGIN] > older[-1, ORIGIN]]
        joined: Float = np.concatenate([older, newer])
        joined = joined[joined[:, ORIGIN] >= joined[-1, ORIGIN] - RANGES[self._span]]
        joined[1:, NAIVE] = np.diff(joined[:, Y])
        self._history.points = joined  # only the newest points will be held elsewhere
        return joined

    def _refresh(self) -> None:
        recent = self._context.follower.recent
        i = recent.index.get(self._series)
        events = self._context.follower.newest_events(EVENTS_MARKED, self._series)
        newest_event = events[0].id if events else ""
        now = (-1 if i is None else int(recent.count[i]), id(self._history), id(self._outlook), newest_event)
        if now == self._drawn:
            return
        self._drawn = now
        points = self._points()
        if points is None:
            return
        ahead = self._outlook.steps[1:] if self._outlook else ()
        charts.with_data(self._stream.options, charts.stream_data(points, ahead))
        charts.mark_events(self._stream.options, events, float(points[0, ORIGIN]))
        charts.with_data(self._errors.options, charts.error_data(points))
        for drawn in (self._stream, self._errors):
            drawn.update()

    async def _read_outlook(self) -> None:
        """Read the steps and the weights of a new forecast, on a thread, so that other viewers do not wait."""
        recent = self._context.follower.recent
        i = recent.index.get(self._series)
        newest_id = "" if i is None else recent.newest_id[i].decode()
        if newest_id == self._asked_id:
            return
        try:
            outlook = await run.io_bound(self._context.outlooks.read, self._series, newest_id)
        except (RedisError, OSError):
            return  # the banner reports it
        if outlook is None:
            return  # the program ends
        self._asked_id = newest_id
        self._outlook = outlook
        self._weights.set_content(weights_html(outlook))
        self._steps_place.set_visibility(len(outlook.steps) > 1)
        self._steps.set_content(steps_html(outlook.steps))
        self._refresh()
        await self._draw_weights(i, outlook)
        await self._draw_scores(outlook)

    async def _draw_scores(self, outlook: Outlook) -> None:
        """Draw the scores by step, if there are several: at first, and then once in a while."""
        if len(outlook.steps) < 2 or time.monotonic() < self._scored_at + SCORE_EVERY_S:
            return
        self._scored_at = time.monotonic()
        try:
            scores = await run.io_bound(self._context.outlooks.scores, self._series)
        except (RedisError, OSError):
            return  # the banner reports it
        if scores:
            charts.put_steps(self._by_step.options, scores)
            self._by_step.update()
            self._scores.set_content(scores_html(scores))

    async def _draw_weights(self, i: int | None, outlook: Outlook) -> None:
        """Draw the weights over time: computed again at first, and from then on as the worker stores them."""
        if not self._has_weights:
            self._has_weights = True
            self._over_time = await run.io_bound(self._context.weights.read, self._series)
        if i is None or not self._over_time or not outlook.weights:
            return
        newest = float(self._context.follower.recent.of(i)[-1, ORIGIN])
        self._over_time = self._over_time.with_newest(newest, outlook.weights)
        charts.put_weights(self._weights_chart.options, self._over_time.ts, self._over_time.weights)
        self._weights_chart.set_visibility(True)
        self._weights_chart.update()

    async def _read_history(self) -> None:
        points = self._points()
        if points is None:
            return  # the streams are not read yet
        self._searching.deactivate()
        newest_ms = float(points[-1, ORIGIN])
        try:
            history = await run.io_bound(
                self._context.histories.read, self._series, newest_ms, float(RANGES[self._span])
            )
        except (RedisError, OSError):
            self._caption.set_text("Redis cannot be read: the newest readings are shown.")
            return
        if history is not None:
            self._history = history
            self._caption.set_text(history_sentence(history))
            self._refresh()


def history_sentence(history: SeriesPoints) -> str:
    """Return how far back a history reaches, from which source, and why not further."""
    parts = history.parts
    readings = [ts for source, ts in parts.items() if source != "forecasts"]
    sentences = [f"Forecasts since {time_text(parts['forecasts'])}."] if "forecasts" in parts else []
    if readings:
        sources = " and ".join(source for source in parts if source != "forecasts")
        sentences.append(f"Readings alone since {time_text(min(readings))}, from the {sources}.")
    if not history.whole:
        sentences.append(f"Older ones were not found among the newest {count_text(SCANNED)} entries of Redis.")
    return " ".join([*sentences, history.problem]).strip()


def steps_html(steps: Sequence[Step]) -> str:
    """Return the table of the forecasts of all steps as HTML."""
    rows = [
        (
            str(step.step),
            NOTHING if step.ts is None else time_text(step.ts),
            number_text(step.yhat),
            NOTHING
            if step.lower is None or step.upper is None
            else f"{number_text(step.lower)} to {number_text(step.upper)}",
        )
        for step in steps
    ]
    return table_of_texts(("step", "time (UTC)", "forecast", "interval"), rows)


def scores_html(scores: Sequence[StepScore]) -> str:
    """Return the table of the scores by step as HTML, without the columns that are not known here."""
    rows = [dict(zip(STEP_COLUMNS, score.cells(), strict=True)) for score in scores]
    columns = [name for name in STEP_COLUMNS if any(row[name] for row in rows)]
    return table_of_texts(columns, [[row[name] for name in columns] for row in rows])


def weights_html(outlook: Outlook) -> str:
    """Return the present weights of the experts as bars in HTML."""
    if not outlook.weights:
        return '<p class="quiet">No worker has stored a state of this series yet.</p>'
    bars = "".join(
        f'<div class="weight"><span>{name.replace("_", " ")}</span><i style="width:{100 * weight:.1f}%"></i>'
        f"<span>{share_text(weight)}</span></div>"
        for name, weight in outlook.weights.items()
    )
    guarded = " The blend is watched after a shock: the last value may answer in its place." if outlook.guarded else ""
    return f'<p class="quiet">Weights in the newest forecast.{guarded}</p><div class="weights">{bars}</div>'
