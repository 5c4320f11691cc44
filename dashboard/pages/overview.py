"""The overview: the totals, and one table of all series."""

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any
from urllib.parse import urlencode

from nicegui import events, ui

from dashboard.data.board import MUTED, SORTED_BY, Page, View
from dashboard.data.states import STATES
from dashboard.pages.formats import count_text
from dashboard.pages.frame import Context, every_second, figure, now_ms, page, state_class
from tidecast.settings import Settings
from tidecast.wire import DISPOSITIONS

COLUMNS = (  # name, label, classes; `wide` is hidden on a phone, `num` is aligned to the right
    ("series", "series", ""),
    ("spark", "readings", ""),
    ("y", "reading", "num wide"),
    ("last", "time (UTC)", "num wide"),
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
    "state": "<span :class=\"'badge is-' + props.row.state.replace(' ', '-')\">{{ props.row.state }}</span>"
    '<span v-if="props.row.muted" class="muted-mark">muted</span>',
}
SIZES = [10, 25, 50, 100]


def overview(context: Context, settings: Settings, view: View) -> None:
    """Build the page for one viewer, with the view of the address."""
    with page(context, "Series"):
        _totals(context)
        empty = _empty(settings)
        table = _Table(context, view)

        def refresh() -> None:
            count = table.refresh()
            nothing = count == 0 and context.follower.ready.is_set() and not context.follower.trouble
            empty.set_visibility(nothing)
            table.show(not nothing)

        every_second(refresh)


def _totals(context: Context) -> None:
    with ui.element("section").classes("figures"):
        shown = {
            "series": figure("series"),
            "readings": figure("readings / s", "Answered, over the last seconds"),
            "forecasts": figure("forecasts / s", "Made, over the last seconds"),
            "lag": figure("lag", "Readings that wait for their answer"),
            "workers": figure("workers", "Alive at this moment"),
            "forecast": figure("answered", "Readings answered with a forecast, since the beginning"),
            "late": figure("late", "Readings with an earlier time than their series' newest, since the beginning"),
            "duplicate": figure("duplicates", "Readings with their series' newest time again, since the beginning"),
            "dead": figure("dead letters", "Readings that could not be answered, since the beginning"),
        }

    def refresh() -> None:
        shown["series"].set_text(count_text(context.board.count(now_ms())))
        totals = context.follower.totals
        if totals is None:
            return
        shown["readings"].set_text(count_text(totals.readings_per_s))
        shown["forecasts"].set_text(count_text(totals.forecasts_per_s))
        shown["lag"].set_text(count_text(totals.lag))
        shown["workers"].set_text(count_text(totals.workers))
        for disposition in DISPOSITIONS:
            shown[disposition].set_text(count_text(totals.counts[disposition]))

    every_second(refresh)


def _empty(settings: Settings) -> ui.element:
    """Show how to push the first reading."""
    with ui.element("section").classes("card empty") as whole:
        ui.label("No reading yet").classes("title")
        ui.label("Start a worker, and push the first reading:")
        named = f"{settings.namespace}:" if settings.namespace else ""
        push = f"redis-cli XADD {named}readings '*' series boiler-7 value 42.1"
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
                self._matching = ui.label().classes("quiet")
            self._filters = _Filters(self._filter)
            self._table = ui.table(columns=_columns(), rows=[], row_key="series", pagination=self._pagination(0))
            self._table.props(f':rows-per-page-options="{SIZES}" flat binary-state-sort dense color=quiet').classes(
                "rows"
            )
            self._table.props('no-data-label="No series matches."')
            for name, cell in CELLS.items():
                self._table.add_slot(f"body-cell-{name}", f'<q-td :props="props">{cell}</q-td>')
            self._table.on("request", self._turn)

    def show(self, wanted: bool) -> None:
        """Show or hide the table."""
        self._whole.set_visibility(wanted)

    def refresh(self) -> int:
        """Update the rows; return the number of all series."""
        current = self._context.board.page(self._view, now_ms())
        last = max(1, -(-current.matching // self._view.size))
        if self._view.page > last:
            self._view = replace(self._view, page=last)
            current = self._context.board.page(self._view, now_ms())
        pagination = self._pagination(current.matching)
        if current.rows != self._table.rows or pagination != self._table.props["pagination"]:
            self._table.props["pagination"] = pagination
            self._table.rows = current.rows
        some = self._view.search or current.matching != current.series
        matching = f"{count_text(current.matching)} of {count_text(current.series)} series"
        self._matching.set_text(matching if some else "")
        self._filters.show(current, self._view.state)
        return current.series

    def _pagination(self, matching: int) -> dict[str, Any]:
        view = self._view
        return {
            "sortBy": view.by,
            "descending": view.descending,
            "page": view.page,
            "rowsPerPage": view.size,
            "rowsNumber": matching,
        }

    def _change(self, view: View) -> None:
        """Show another view, and put it into the address, so that it can be bookmarked and linked."""
        self._view = view
        self.refresh()
        ui.navigate.history.replace(view_path(self._view))

    def _search(self, event: events.ValueChangeEventArguments[str | None]) -> None:
        self._change(replace(self._view, search=event.value or "", page=1))

    def _filter(self, state: str) -> None:
        self._change(replace(self._view, state=state, page=1))

    def _turn(self, event: events.GenericEventArguments) -> None:
        pagination = event.args["pagination"]
        turned = replace(
            self._view,
            by=pagination.get("sortBy") or "",
            descending=bool(pagination.get("descending")),
            page=int(pagination.get("page") or 1),
            size=int(pagination.get("rowsPerPage") or SIZES[-1]),
        )
        self._change(corrected(turned))


class _Filters:
    """The buttons above the table: one for each state that a series has, with the number of such series."""

    def __init__(self, choose: Callable[[str], None]) -> None:
        self._shown: dict[str, tuple[ui.element, ui.label]] = {}
        with ui.element("div").classes("filters"):
            for state in ("", *STATES, MUTED):
                button = ui.element("button").classes(f"filter {state_class(state)}" if state else "filter")
                button.on("click", lambda state=state: choose(state))
                with button:
                    self._shown[state] = (button, ui.label())

    def show(self, page: Page, chosen: str) -> None:
        """Show the numbers of a page, and which state is selected."""
        for state, (button, label) in self._shown.items():
            count = page.counts[state] if state else page.series
            label.set_text(f"{state or 'all'} {count_text(count)}")
            button.set_visibility(bool(count) or state == chosen)
            button.props(f'aria-pressed="{"true" if state == chosen else "false"}"')


def corrected(view: View) -> View:
    """Return a view with invalid values replaced by the default or the nearest bound."""
    usual = View()
    return View(
        view.search,
        view.state if view.state in (*STATES, MUTED) else usual.state,
        view.by if view.by in SORTED_BY else usual.by,
        view.descending,
        max(1, view.page),
        min(max(1, view.size), SIZES[-1]),
    )


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
