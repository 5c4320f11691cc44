"""The buttons on the page of a series; each asks before it acts. They exist only where a token is set."""

from collections.abc import Awaitable, Callable

from nicegui import run, ui

from dashboard.actions import Actions
from dashboard.data.follower import Follower
from dashboard.pages.formats import time_text
from dashboard.pages.frame import every_second, now_ms
from tidecast.connection.records.mutes import Mute

HOUR_MS = 3_600_000
TERMS = {"for an hour": HOUR_MS, "for a day": 24 * HOUR_MS, "for a week": 168 * HOUR_MS, "until unmuted": None}
ENDS = "the program ends"  # in place of a result


def buttons(actions: Actions, follower: Follower, series: str) -> None:
    """Add the buttons of a series, and the result of the newest action on it.

    The result stays on the page: a retraining takes a while, and the viewer may have left and come back.
    """

    async def roll_back() -> str:
        return await run.io_bound(actions.rollback, series) or ENDS

    with ui.element("div").classes("buttons"):
        _mute_buttons(actions, follower, series)
        again = _button(actions, series, "Retrain", f"Train {series} again now?", lambda: actions.retrain(series))
        _button(actions, series, "Roll back", f"Let the former version of {series} answer again?", roll_back)
    result = ui.label().classes("result quiet")

    def refresh() -> None:
        again.set_enabled(series not in actions.under_way)
        newest = actions.results.get(series, "")
        result.set_text(newest)
        result.set_visibility(bool(newest))

    every_second(refresh)


def _mute_buttons(actions: Actions, follower: Follower, series: str) -> None:
    answers = {"term": "for an hour", "user": ""}

    async def mute() -> str:
        return await run.io_bound(actions.mute, series, TERMS[answers["term"]], answers["user"]) or ENDS

    async def unmute() -> str:
        return await run.io_bound(actions.unmute, series, answers["user"]) or ENDS

    def choose() -> None:
        ui.radio(list(TERMS), value=answers["term"], on_change=lambda event: answers.update(term=event.value))
        ask_who()

    def ask_who() -> None:
        field = ui.input("Your name", on_change=lambda event: answers.update(user=event.value or ""))
        field.props("dense maxlength=100")

    quiet = ui.label().classes("quiet")
    on = _button(actions, series, "Mute", f"Send no notification about {series}?", mute, choose)
    off = _button(actions, series, "Unmute", f"Send notifications about {series} again?", unmute, ask_who)

    def refresh() -> None:
        present = follower.signs.mutes.get(series)
        on.set_visibility(present is None)
        off.set_visibility(present is not None)
        quiet.set_visibility(present is not None)
        if present is not None:
            quiet.set_text(_muted_text(present))

    every_second(refresh)


def _muted_text(mute: Mute) -> str:
    by = f" by {mute.user}" if mute.user else ""
    until = f" until {time_text(mute.until_ms)}" if mute.until_ms else ""
    return f"muted{by}{until}"


def _button(
    actions: Actions,
    series: str,
    name: str,
    question: str,
    deed: Callable[[], Awaitable[str]],
    ask: Callable[[], None] | None = None,
) -> ui.button:
    """Add a button that asks for confirmation, runs `deed` and keeps its result; `ask` adds fields to the question."""
    with ui.dialog() as dialog, ui.card():
        ui.label(question)
        if ask:
            ask()
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
        actions.results[series] = f"{time_text(now_ms())} UTC: {sentence}"

    button = ui.button(name, on_click=act).props("outline dense no-caps")
    return button
