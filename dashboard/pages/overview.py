"""The overview: the totals, and one table of all series."""

from dataclasses import asdict, replace
from typing import Any
from urllib.parse import urlencode

from nicegui import events, ui

from dashboard.data.board import SORTED_BY, USUAL_SIZE, View
from dashboard.pages.frame import Context, every_second, figure, now_ms, page
from dashboard.pages.words import count_text
from tidecast.settings import Settings

COLUMNS = (  # name, label, classes; `wide` is hidden on a phone, `num` is aligned to the right
    ("series", "series", ""),
    ("spark", "readings", ""),
    ("y", "last reading", "num wide"),
    ("yhat", "forecast", "num"),
    ("interval", "interval", "num wide"),
    ("skill", "skill", "num wide"),
    ("coverage", "coverage", "num wide"),
    ("model", "model", "wide"),
    ("age", "age", "num wide"),
    ("state", "state", ""),
)
CELLS = {
    "series": '<a class="series" :href="\'/series?name=\' + encodeURIComponent(props.row.series)">'
    "{{ props.row.series }}</a>",
    "spark": '<svg class="spark" viewBox="0 0 120 28" preserveAspectRatio="none" aria-hidden="true">'
    '<polyline :points="props.row.spark" /></svg>',
    "skill": "<span :class=\"props.row.worse ? 'worse' : ''\">{{ props.row.skill }}</span>",
    "state": "<span :class=\"'badge is-' + props.row.state.replace(' ', '-')\">{{ props.row.state }}</span>",
}
SIZES = [10, 25, 50, 100]
SKILL_HINT = "1 minus the mean absolute error over that of the last value, of the readings held here"


def overview(context: Context, settings: Settings, view: View) -> None:
    """Build the page for one viewer, with the view of the address."""
    with page(context, "Series"):
        _totals(context)
        empty = _empty(settings)
        table = _Table(context, view)

        def look() -> None:
            count = table.look()
            nothing = count == 0 and context.follower.ready.is_set() and not context.follower.trouble
            empty.set_visibility(nothing)
            table.show(not nothing)

        every_second(look)


def _totals(context: Context) -> None:
    with ui.element("section").classes("figures"):
        shown = {
            "series": figure("series"),
            "readings": figure("readings / s", "Answered, over the last seconds"),
            "forecasts": figure("forecasts / s", "Made, over the last seconds"),
            "lag": figure("lag", "Readings that wait for their answer"),
            "dead": figure("dead letters", "Readings that could not be answered, since the beginning"),
            "workers": figure("workers", "Alive at this moment"),
        }

    def look() -> None:
        shown["series"].set_text(count_text(context.board.count(now_ms())))
        totals = context.follower.totals
        if totals is None:
            return
        shown["readings"].set_text(count_text(totals.readings_per_s))
        shown["forecasts"].set_text(count_text(totals.forecasts_per_s))
        shown["lag"].set_text(count_text(totals.lag))
        shown["dead"].set_text(count_text(totals.dead))
        shown["workers"].set_text(count_text(totals.workers))

    every_second(look)


def _empty(settings: Settings) -> ui.element:
    """Show how to push the first reading."""
    with ui.element("section").classes("card empty") as whole:
        ui.label("No reading yet").classes("title")
        ui.label("Start a worker, and push the first reading:")
        named = f"{settings.namespace}:" if settings.namespace else ""
        push = f"redis-cli XADD {named}readings '*' series boiler-7 value 42.1"
        if settings.partitions > 1:
            push = "tidecast push history.csv"  # the command chooses the partition of each series
        ui.html(f"<pre>tidecast worker\n{push}</pre>", sanitize=False)
        ui.label("Its series appears here within a second or two, with a forecast of the next reading.")
    return whole


class _Table:
    """One viewer's table: search, order and page are computed on the server, and only a page of rows is sent."""

    def __init__(self, context: Context, view: View) -> None:
        self._context = context
        self._view = view
        with ui.element("section").classes("card list") as self._whole:
            with ui.element("div").classes("tools"):
                ui.input(placeholder="Search series or state", value=view.search, on_change=self._search).props(
                    'dense outlined clearable debounce=200 aria-label="Search"'
                )
                self._found = ui.label().classes("quiet")
            self._table = ui.table(columns=_columns(), rows=[], row_key="series", pagination=self._pagination(0))
            self._table.props(f':rows-per-page-options="{SIZES}" flat binary-state-sort dense color=quiet').classes(
                "rows"
            )
            self._table.props('no-data-label="No series has these words in its name or state."')
            for name, cell in CELLS.items():
                self._table.add_slot(f"body-cell-{name}", f'<q-td :props="props">{cell}</q-td>')
            self._table.on("request", self._turn)

    def show(self, wanted: bool) -> None:
        """Show or hide the table."""
        self._whole.set_visibility(wanted)

    def look(self) -> int:
        """Update the rows; return the number of all series."""
        current = self._context.board.page(self._view, now_ms())
        last = max(1, -(-current.found // self._view.size))
        if self._view.page > last:
            self._view = replace(self._view, page=last)
            current = self._context.board.page(self._view, now_ms())
        pagination = self._pagination(current.found)
        if current.rows != self._table.rows or pagination != self._table.props["pagination"]:
            self._table.props["pagination"] = pagination
            self._table.rows = current.rows
        some = self._view.search or current.found != current.series
        self._found.set_text(f"{count_text(current.found)} of {count_text(current.series)} series" if some else "")
        return current.series

    def _pagination(self, found: int) -> dict[str, Any]:
        view = self._view
        return {
            "sortBy": view.by,
            "descending": view.descending,
            "page": view.page,
            "rowsPerPage": view.size,
            "rowsNumber": found,
        }

    def _change(self, view: View) -> None:
        """Show another view, and put it into the address, so that it can be bookmarked and linked."""
        self._view = view
        self.look()
        ui.navigate.history.replace(view_path(self._view))

    def _search(self, event: events.ValueChangeEventArguments[str | None]) -> None:
        self._change(replace(self._view, search=event.value or "", page=1))

    def _turn(self, event: events.GenericEventArguments) -> None:
        pagination = event.args["pagination"]
        self._change(
            view_of(
                search=self._view.search,
                by=pagination.get("sortBy") or "",
                descending=bool(pagination.get("descending")),
                page=int(pagination.get("page") or 1),
                size=int(pagination.get("rowsPerPage") or SIZES[-1]),
            )
        )


def view_of(search: str = "", by: str = "", descending: bool = False, page: int = 1, size: int = USUAL_SIZE) -> View:
    """Return the view of an address; invalid values are replaced by the default or the nearest bound."""
    return View(search, by if by in SORTED_BY else "series", descending, max(1, page), min(max(1, size), SIZES[-1]))


def view_path(view: View) -> str:
    """Return the address of a view; default values are left out."""
    defaults = asdict(View())
    query = {name: value for name, value in asdict(view).items() if value != defaults[name]}
    return f"/?{urlencode(query)}" if query else "/"


def _columns() -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "label": label,
            "field": name,
            "sortable": name in SORTED_BY,
            "align": "right" if "num" in classes else "left",
            "classes": f"col-{name} {classes}",
            "headerClasses": f"col-{name} {classes}",
        }
        for name, label, classes in COLUMNS
    ]
