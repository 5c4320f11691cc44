"""The page of one series: its live stream, its errors, its versions and its buttons."""

import logging
from collections.abc import Awaitable, Callable

from nicegui import ui

from dashboard.actions import Actions
from dashboard.pages import charts
from dashboard.pages.formats import NOTHING, age_text, number_text, time_text
from dashboard.pages.frame import Context, chart, every_second, figure, now_ms, page, state_class
from dashboard.pages.gate_card import gate_card
from dashboard.pages.tables import events_table, plain_table
from tidecast.models.store import Version

_log = logging.getLogger(__name__)

EVENTS_SHOWN = 20
VERSIONS_SHOWN = 20
NO_VERSION = "No model yet: the last value answers, until <code>tidecast train</code> or the schedule makes one."


def detail(context: Context, series: str) -> None:
    """Build the page for one viewer."""
    with page(context, "Series"):
        with ui.element("div").classes("heading"):
            ui.label(series).classes("title")
            state = ui.label().classes("badge")

            def look() -> None:
                now = context.board.state_of(series, now_ms())
                state.set_text(now)
                state.classes(replace=f"badge {state_class(now)}")

            every_second(look)
            if context.actions:
                _buttons(context.actions, series)
        _figures(context, series)
        _stream(context, series)
        gate_card(context, series)
        _of_versions(context, series, _versions)
        with ui.element("section").classes("card"):
            ui.label("Events").classes("subtitle")
            events_table(lambda: context.follower.newest_events(EVENTS_SHOWN, series), of_series=True)


def _figures(context: Context, series: str) -> None:
    with ui.element("section").classes("figures"):
        names = ("last reading", "forecast", "skill", "interval", "coverage", "model", "age")
        shown = {name: figure(name) for name in names}
    fields = {"last reading": "y", "forecast": "yhat"}

    def look() -> None:
        row = context.board.row(series, now_ms())
        for name, label in shown.items():
            label.set_text(str(row[fields.get(name, name)] or NOTHING))
        shown["skill"].classes(replace="value worse" if row["worse"] else "value")

    every_second(look)


def _stream(context: Context, series: str) -> None:
    with ui.element("section").classes("card"):
        ui.label("Readings and forecasts, in UTC").classes("subtitle")
        stream = chart(charts.stream_chart(), "chart tall")
    with ui.element("div").classes("pair"):
        with ui.element("section").classes("card"):
            ui.label(f"Mean absolute error over {charts.SMOOTHED} readings").classes("subtitle")
            errors = chart(charts.error_chart())
        _of_versions(context, series, _learned)
    drawn = [-1]

    def look() -> None:
        follower = context.follower
        with follower.lock:
            i = follower.recent.index.get(series)
            count = -1 if i is None else int(follower.recent.count[i])
            points = None if i is None else follower.recent.of(i).copy()
        if points is None or count == drawn[0]:
            return
        drawn[0] = count
        charts.with_data(stream.options, charts.stream_data(points))
        charts.with_data(errors.options, charts.error_data(points))
        stream.update()
        errors.update()

    every_second(look)


def _of_versions(context: Context, series: str, build: Callable[[list[Version]], None]) -> None:
    """Call `build` with a series' versions, and again for each new version or champion."""
    place = ui.element("div").classes("contents")
    built: list[object] = [None]

    def look() -> None:
        versions = context.evidence.versions(series)
        now = [(version.number, version.champion) for version in versions]
        if now != built[0]:
            built[0] = now
            place.clear()
            with place:
                build(versions)

    every_second(look)


def _learned(versions: list[Version]) -> None:
    champion = next((version for version in versions if version.champion), versions[0] if versions else None)
    if champion and champion.header.curves:
        with ui.element("section").classes("card"):
            ui.label(f"How version {champion.number} learned").classes("subtitle")
            chart(charts.curve_chart(champion.header.curves))


def _versions(versions: list[Version]) -> None:
    with ui.element("section").classes("card"):
        ui.label("Versions").classes("subtitle")
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


def _buttons(actions: Actions, series: str) -> None:
    async def roll_back() -> str:
        return actions.rollback(series)

    with ui.element("div").classes("buttons"):
        again = _button("Retrain", f"Train {series} anew now?", lambda: actions.retrain(series))
        _button("Roll back", f"Let the former version of {series} answer again?", roll_back)

    def look() -> None:
        again.set_enabled(series not in actions.under_way)

    every_second(look)


def _button(name: str, question: str, deed: Callable[[], Awaitable[str]]) -> ui.button:
    """Add a button that asks for confirmation, runs `deed` and shows its result.

    If the viewer has left by then, the result is logged.
    """
    with ui.dialog() as dialog, ui.card():
        ui.label(question)
        with ui.row():
            ui.button("Yes", on_click=lambda: dialog.submit(True)).props("flat")
            ui.button("No", on_click=lambda: dialog.submit(False)).props("flat")

    async def act() -> None:
        if not await dialog:
            return
        button.disable()
        try:
            sentence = await deed()
        finally:
            button.enable()
        if button.is_deleted or not button.client.has_socket_connection:
            _log.warning("%s", sentence)
        else:
            ui.notify(sentence, timeout=8000, multi_line=True)

    button = ui.button(name, on_click=act).props("outline dense no-caps")
    return button
