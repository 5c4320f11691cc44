"""The page of one series: its live stream, its errors, its versions and its buttons."""

from collections.abc import Callable

from nicegui import ui

from dashboard.pages import charts
from dashboard.pages.buttons import buttons
from dashboard.pages.formats import NOTHING, age_text, number_text, time_text
from dashboard.pages.frame import Context, chart, every_second, figure, folded, now_ms, page, state_class
from dashboard.pages.gate_card import gate_card
from dashboard.pages.stream_card import StreamCards
from dashboard.pages.tables import events_table, plain_table
from tidecast.models.store import Version

EVENTS_SHOWN = 20
VERSIONS_SHOWN = 20
NO_VERSION = (
    "No model yet: experts that need no training answer until <code>tidecast train</code> or the schedule makes one."
)
HINTS = {
    "skill": "1 minus the mean absolute error over that of the last value, of the readings held here",
    "coverage": "The share of the readings held here that fell inside their interval",
}


def detail(context: Context, series: str, span: str) -> None:
    """Build the page for one viewer; `span` is one of `RANGES`, or empty for the newest readings."""
    with page(context, "Series"):
        with ui.element("div").classes("heading"):
            ui.label(series).classes("title")
            state = ui.label().classes("badge")

            def refresh() -> None:
                now = context.board.state_of(series, now_ms())
                state.set_text(now)
                state.classes(replace=f"badge {state_class(now)}")

            every_second(refresh)
            if context.actions:
                buttons(context.actions, context.follower, series)
        _figures(context, series)
        StreamCards(context, series, span, lambda: _of_versions(context, series, _learned))
        gate_card(context, series)
        _of_versions(context, series, _versions)
        with ui.element("section").classes("card"):
            ui.label("Events").classes("subtitle")
            events_table(lambda: context.follower.newest_events(EVENTS_SHOWN, series), of_series=True)


def _figures(context: Context, series: str) -> None:
    with ui.element("section").classes("figures"):
        names = ("last reading", "forecast", "skill", "interval", "coverage", "model", "age")
        shown = {name: figure(name, HINTS.get(name, "")) for name in names}
    fields = {"last reading": "y", "forecast": "yhat"}

    def refresh() -> None:
        row = context.board.row(series, now_ms())
        for name, label in shown.items():
            label.set_text(str(row[fields.get(name, name)] or NOTHING))
        shown["skill"].classes(replace="value worse" if row["worse"] else "value")

    every_second(refresh)


def _of_versions(context: Context, series: str, build: Callable[[list[Version]], None]) -> None:
    """Call `build` with a series' versions, and again for each new version or champion."""
    place = ui.element("div").classes("contents")
    built: list[object] = [None]

    def refresh() -> None:
        versions = context.evidence.versions(series)
        now = [(version.number, version.champion) for version in versions]
        if now != built[0]:
            built[0] = now
            place.clear()
            with place:
                build(versions)

    every_second(refresh)


def _learned(versions: list[Version]) -> None:
    champion = next((version for version in versions if version.champion), versions[0] if versions else None)
    if champion and champion.header.curves:
        with folded(f"How version {champion.number} learned"):
            chart(charts.curve_chart(champion.header.curves))


def _versions(versions: list[Version]) -> None:
    with folded("Versions"):
        if not versions:
            ui.html(NO_VERSION, sanitize=False)
            return
        columns = ("version", "network", "learned from", "made", "skill", "MAE", "last value's", "verdict")
        plain_table(columns, [_version_row(version) for version in versions[:VERSIONS_SHOWN]])


def _version_row(version: Version) -> tuple[str, ...]:
    header = version.header
    evidence = header.evidence
    spec = header.spec
    scores = evidence.scores
    network = f"{'bi-' if spec.bidirectional else ''}LSTM {spec.layers}x{spec.units}, window {spec.window}"
    return (
        f"{version.number} (answers)" if version.champion else str(version.number),
        network if header.network else "none",
        f"{time_text(header.span[0])[:10]} to {time_text(header.span[1])[:10]}",
        f"{age_text(now_ms() - header.created_ms)} ago" if header.created_ms else NOTHING,
        f"{100 * evidence.skill:.1f} %",
        number_text(scores["model"].mae),
        number_text(scores["last_value"].mae) if "last_value" in scores else NOTHING,
        evidence.verdict,
    )
