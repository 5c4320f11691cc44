"""The page of retraining: past and planned runs of the schedule, and the events."""

from html import escape

from nicegui import ui

from dashboard.pages.formats import NOTHING, age_text, time_text
from dashboard.pages.frame import Context, every_second, now_ms, page
from dashboard.pages.tables import events_table, table_html
from tidecast.connection.partitions import Run

EVENTS_SHOWN = 100
NO_SCHEDULE = (
    "<p>No worker runs a schedule. Workers do by default where the training packages are installed and the store can "
    "be written; otherwise their log contains the reason. To train by hand: <code>tidecast retrain</code>.</p>"
)


def retraining(context: Context) -> None:
    """Build the page for one viewer."""
    with page(context, "Retraining"):
        with ui.element("section").classes("card"):
            ui.label("Runs of the schedule").classes("subtitle")
            shown = ui.html("", sanitize=False)

            def refresh() -> None:
                totals = context.follower.totals
                shown.set_content(runs_html(totals.runs, now_ms()) if totals and totals.runs else NO_SCHEDULE)

            every_second(refresh)
        with ui.element("section").classes("card"):
            ui.label("Events").classes("subtitle")
            events_table(lambda: context.follower.newest_events(EVENTS_SHOWN))


def runs_html(runs: tuple[Run, ...], now: float) -> str:
    """Return the table of runs as HTML, with a row for each partition, the one that began last first."""
    columns = ("partition", "schedule", "latest run", "state", "by", "runs ended", "next", "result")
    return table_html(columns, [_cells(run, now) for run in sorted(runs, key=lambda run: -run.started_ms)])


def _cells(run: Run, now: float) -> list[str]:
    state = f'<span class="badge run-{escape(run.state)}">{escape(run.state)}</span>' if run.state else NOTHING
    again = f" (try {run.tries})" if run.tries > 1 else ""
    return [
        str(run.partition),
        escape(run.trigger) or NOTHING,
        f"{time_text(run.started_ms)}{again}",
        state,
        escape(run.owner) or NOTHING,
        str(run.runs),
        _next_text(run, now),
        escape(run.detail) or NOTHING,
    ]


def _next_text(run: Run, now: float) -> str:
    if run.state == "running" or not run.next_ms:
        return NOTHING
    left = run.next_ms - now
    return f"{time_text(run.next_ms)} (in {age_text(left)})" if left >= 1000 else f"{time_text(run.next_ms)} (due)"
