"""The common frame of all pages: the bar at the top, the banner, colours, and an update every second."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from nicegui import ui

from dashboard.actions import Actions
from dashboard.data.board import Board
from dashboard.data.dead_letters import DeadLetterReader
from dashboard.data.evidence import EvidenceReader
from dashboard.data.follower import Follower
from dashboard.data.gates import GateReader
from dashboard.data.history import HistoryReader
from dashboard.data.outlook import OutlookReader
from dashboard.data.weights import WeightReader
from dashboard.pages.formats import count_text
from tidecast.pictures.colours import DARK, LIGHT
from tidecast.settings import Settings

STYLE = (
    f":root {{ {LIGHT.variables()} }} body.body--dark {{ {DARK.variables()} }}"
    + Path(__file__).with_name("style.css").read_text()
)
_TOGGLE = """(event) => {
  const button = event.currentTarget;
  button.setAttribute("aria-expanded", button.parentElement.classList.toggle("open"));
}"""
REFRESH_S = 1.0
SKIPPED_SHOWN_S = 10.0
PAGES = (("Series", "/"), ("Retraining", "/retraining"), ("Trainings", "/training"), ("Dead letters", "/dead"))
NO_WORKER = "No worker is running, so no reading is answered. Start one: tidecast worker"


@dataclass(frozen=True, slots=True)
class Context:
    """The data sources of all pages, the same for all viewers; `actions` is None without a token."""

    follower: Follower
    evidence: EvidenceReader
    board: Board
    gates: GateReader
    dead_letters: DeadLetterReader
    outlooks: OutlookReader
    histories: HistoryReader
    weights: WeightReader
    actions: Actions | None

    @classmethod
    def of(cls, settings: Settings, follower: Follower) -> Self:
        """Return the data sources for a reader of the streams."""
        evidence = EvidenceReader(settings.store)
        actions = Actions(settings) if settings.dashboard.token.get_secret_value() else None
        return cls(
            follower,
            evidence,
            Board(follower, evidence, actions.under_way if actions else ()),
            GateReader(settings),
            DeadLetterReader(settings),
            OutlookReader(settings),
            HistoryReader(settings),
            WeightReader(settings),
            actions,
        )


@contextmanager
def page(context: Context, here: str) -> Iterator[None]:
    """Put the frame of a page around the elements that the block adds."""
    ui.query(".nicegui-content").classes("page")
    with ui.element("header").classes("bar"):
        ui.link("Tidecast", "/").classes("brand")
        with ui.element("nav"):
            for name, path in PAGES:
                ui.link(name, path).classes("here" if name == here else "")
    with ui.element("div").classes("banner").props('role="status"') as banner:
        sentence = ui.label()
    banner.set_visibility(False)

    def refresh() -> None:
        text, grave = notice(context.follower)
        sentence.set_text(text)
        banner.set_visibility(bool(text))
        banner.classes(add="grave" if grave else "", remove="" if grave else "grave")

    every_second(refresh)
    yield


@contextmanager
def folded(title: str, classes: str = "") -> Iterator[None]:
    """Put a card with a title around the elements of the block; on a phone a press on the title opens it."""
    with ui.element("section").classes(f"card fold {classes}"):
        with ui.element("button").classes("subtitle").props('aria-expanded="false"') as button:
            ui.label(title)
        button.on("click", js_handler=_TOGGLE)
        with ui.element("div").classes("body"):
            yield


def every_second(refresh: Callable[[], None]) -> None:
    """Call `refresh` now, so that the first paint is complete, and then every second while the page is open."""
    refresh()
    ui.timer(REFRESH_S, refresh, immediate=False)


def now_ms() -> float:
    """Return the time of this machine, epoch milliseconds."""
    return time.time() * 1000


def figure(name: str, hint: str = "") -> ui.label:
    """Add a number with its name below; return the label of the number."""
    with ui.element("div").classes(f"figure {name.partition(' ')[0]}") as whole:
        value = ui.label(" ").classes("value")
        ui.label(name).classes("name")
        if hint:
            whole.props(f'title="{hint}"')
    return value


def chart(options: dict[str, Any], classes: str = "chart") -> ui.echart:
    """Add a chart; as SVG its text follows the theme."""
    return ui.echart(options, renderer="svg").classes(classes)


def state_class(state: str) -> str:
    """Return the CSS class that colours a state."""
    return "is-" + state.replace(" ", "-")


def notice(follower: Follower) -> tuple[str, bool]:
    """Return the text of the banner, or an empty text, and whether the problem is grave."""
    totals = follower.totals
    if follower.trouble:
        return f"Redis cannot be read. The page shows the last known values. {follower.trouble}", True
    if totals and not totals.workers and (totals.lag or totals.counts.total()):
        return NO_WORKER, True
    if totals and totals.lag_growth:
        waiting = f"{count_text(totals.lag)} readings wait, {count_text(totals.lag_growth)} more than half a minute ago"
        return f"The workers do not keep up: {waiting}. Start another worker, or run tidecast size.", True
    if follower.skipped_at is not None and time.monotonic() - follower.skipped_at < SKIPPED_SHOWN_S:
        return "Forecasts come too fast to follow each: the page shows the newest and skips others.", False
    if not follower.ready.is_set():
        return "Reading the streams …", False
    if follower.recent.beyond:
        return "Some series are not shown: raise dashboard.max_series.", False
    return "", False
