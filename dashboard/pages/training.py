"""The page of trainings on a scheduler of Dask: the runs that go on, and the newest that have ended."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from nicegui import run, ui

from dashboard.pages.formats import age_text, count_text, time_text
from dashboard.pages.frame import Context, now_ms, page
from dashboard.pages.tables import table_html
from tidecast.models.storage.training_runs import TrainingProgress, ended, running

SHOWN = 20
REFRESH_S = 2.0
NONE = (
    '<p class="quiet">No training on a scheduler. Start one: <code>tidecast train FILE --scheduler tcp://…</code></p>'
)


def training(context: Context) -> None:
    """Build the page for one viewer."""
    root = context.evidence.store.root
    with page(context, "Trainings"), ui.element("section").classes("card"):
        ui.label("Trainings on a scheduler").classes("subtitle")
        shown = ui.html("", sanitize=False)

        async def refresh() -> None:
            html = await run.io_bound(_html, root)  # on a thread, as the store may be on another machine
            shown.set_content(html or NONE)

        ui.timer(REFRESH_S, refresh)


def trainings_html(going_on: Sequence[TrainingProgress], over: Sequence[TrainingProgress], now: float) -> str:
    """Return the table of runs as HTML; those that go on come first."""
    if not going_on and not over:
        return NONE
    columns = ("began (UTC)", "state", "scheduler", "series", "done", "trained", "kept", "refused")
    rows = [_cells(each, f"last progress {age_text(now - each.changed_ms)} ago") for each in going_on]
    rows += [_cells(each, f"ended after {age_text(each.changed_ms - each.began_ms)}") for each in over]
    return table_html(columns, rows)


def _html(root: Path) -> str:
    return trainings_html(running(root), ended(root, SHOWN), now_ms())


def _cells(progress: TrainingProgress, state: str) -> list[str]:
    counts = (progress.series, progress.done, progress.trained, progress.kept, progress.refused)
    return [time_text(progress.began_ms), state, escape(progress.scheduler), *map(count_text, counts)]
