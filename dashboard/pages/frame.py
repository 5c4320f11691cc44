"""What all pages have: the bar at the top, the banner, colours, and a look every second."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from nicegui import ui

from dashboard.actions import Actions
from dashboard.data.board import Board
from dashboard.data.evidence import Evidence
from dashboard.data.follower import Follower
from dashboard.data.gates import GateReader

STYLE = Path(__file__).with_name("style.css")
REFRESH_S = 1.0
SKIPPED_SHOWN_S = 10.0
PAGES = (("Series", "/"), ("Retraining", "/retraining"))


@dataclass(frozen=True, slots=True)
class Context:
    """What every page reads, the same for all viewers; `actions` is None where there is no token."""

    follower: Follower
    evidence: Evidence
    board: Board
    gates: GateReader
    actions: Actions | None


@contextmanager
def page(context: Context, here: str) -> Iterator[None]:
    """The frame of a page around what the block puts into it."""
    ui.query(".nicegui-content").classes("page")
    with ui.element("header").classes("bar"):
        ui.link("Tidecast", "/").classes("brand")
        with ui.element("nav"):
            for name, path in PAGES:
                ui.link(name, path).classes("here" if name == here else "")
    with ui.element("div").classes("banner").props('role="status"') as banner:
        said = ui.label()
    banner.set_visibility(False)

    def look() -> None:
        text, grave = notice(context.follower)
        said.set_text(text)
        banner.set_visibility(bool(text))
        banner.classes(add="grave" if grave else "", remove="" if grave else "grave")

    every_second(look)
    yield


def every_second(look: Callable[[], None]) -> None:
    """Look now, so that the first paint is whole, and then every second while the page is open."""
    look()
    ui.timer(REFRESH_S, look, immediate=False)


def now_ms() -> float:
    """The time of this machine."""
    return time.time() * 1000


def series_path(series: str) -> str:
    """Where the page of a series is."""
    return f"/series?name={quote(series, safe='')}"


def figure(name: str, hint: str = "") -> ui.label:
    """A number with its name below; returns the label of the number."""
    with ui.element("div").classes(f"figure {name.partition(' ')[0]}") as whole:
        value = ui.label(" ").classes("value")
        ui.label(name).classes("name")
        if hint:
            whole.props(f'title="{hint}"')
    return value


def badge(state: str) -> ui.label:
    """The state of a series."""
    return ui.label(state).classes(f"badge {state_class(state)}")


def state_class(state: str) -> str:
    """The class that colours a state."""
    return "is-" + state.replace(" ", "-")


def notice(follower: Follower) -> tuple[str, bool]:
    """What the banner says, if anything, and whether it is grave."""
    if follower.trouble:
        return f"Redis cannot be read, and what is shown stands still. {follower.trouble}", True
    if follower.skipped_at is not None and time.monotonic() - follower.skipped_at < SKIPPED_SHOWN_S:
        return "More forecasts come than can be followed one by one: the newest are shown, others skipped.", False
    if not follower.ready.is_set():
        return "Reading what is there …", False
    if follower.recent.beyond:
        return "There are more series than are held: raise dashboard.max_series to see the others.", False
    return "", False
