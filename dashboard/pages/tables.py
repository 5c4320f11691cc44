"""Unsorted tables: versions, runs and events."""

from collections.abc import Callable, Sequence
from html import escape

from nicegui import ui

from dashboard.pages.formats import series_path, time_text
from dashboard.pages.frame import every_second
from tidecast.wire import Event

NAMELESS = ("time (UTC)", "event", "series", "reason", "reading", "detail", "remedy")  # columns clear without a name
_OWN = ' class="own"'


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> ui.html:
    """Add a table of texts, which are escaped."""
    return ui.html(table_of_texts(columns, rows), sanitize=False)


def table_of_texts(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of texts, which are escaped, as HTML."""
    return table_html(columns, [[escape(cell) for cell in row] for row in rows])


def events_table(newest: Callable[[], list[Event]], *, of_series: bool = False) -> None:
    """Add a table of the newest events, updated every second."""
    shown = ui.html("", sanitize=False)

    def refresh() -> None:
        shown.set_content(events_html(newest(), of_series=of_series))

    every_second(refresh)


def events_html(events: Sequence[Event], *, of_series: bool) -> str:
    """Return a table of events as HTML; on the page of a series the name is left out."""
    if not events:
        return '<p class="quiet">None yet.</p>'
    columns = ["time (UTC)", "event", *([] if of_series else ["series"]), "version", "detail"]
    return table_html(columns, [_event_cells(event, of_series=of_series) for event in events])


def table_html(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as HTML; names and cells must be escaped."""
    head = "".join(f"<th>{name}</th>" for name in columns)
    body = "".join(f"<tr>{_cells(columns, row)}</tr>" for row in rows)
    return f'<div class="scroll"><table class="plain"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cells(columns: Sequence[str], row: Sequence[str]) -> str:
    """Return the cells of a row as HTML; a phone shows each with its name, unless it needs none."""
    return "".join(
        f'<td data-name="{name}"{_OWN if name in NAMELESS else ""}>{cell}</td>'
        for name, cell in zip(columns, row, strict=True)
    )


def _event_cells(event: Event, *, of_series: bool) -> list[str]:
    name = f"{event.kind.replace('_', ' ')} {event.facts.get('phase', '')}".strip()
    link = f'<a href="{series_path(event.series)}">{escape(event.series)}</a>' if event.series else ""
    return [
        time_text(int(event.id.partition("-")[0])),
        f'<span class="badge event-{escape(event.kind)}">{escape(name)}</span>',
        *([] if of_series else [link]),
        str(event.version or ""),
        escape(event.detail),
    ]
