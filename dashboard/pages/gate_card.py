"""The card on a series' page that shows the gates of its network over the newest window."""

from collections.abc import Iterator
from contextlib import contextmanager

from nicegui import run, ui
from redis.exceptions import RedisError

from dashboard.data.gates import TracedGates
from dashboard.pages import gate_charts
from dashboard.pages.frame import Context, chart, folded
from tidecast.pictures.gates import GATE_MAPS

REFRESH_S = 3.0  # the shortest time between updates, which need a new reading or another version


def gate_card(context: Context, series: str) -> None:
    """Build the card for one viewer; the gates are computed on a thread, so that other viewers do not wait."""
    with folded("Gates over the last window", "gates"):
        sentence = ui.label("Reading the window …").classes("quiet")
        drawn = _Drawn()
    shown: list[tuple[int, int | None] | None] = [None]

    async def refresh() -> None:
        now = _readings(context, series), context.evidence.champion(series)
        if now == shown[0]:
            return
        try:
            gates = await run.io_bound(context.gates.read, series)
        except (RedisError, OSError):
            return  # the banner reports it, and the charts stay as they are
        if gates is None:
            return  # the program ends
        shown[0] = now
        sentence.set_text(gate_charts.sentence(gates) if isinstance(gates, TracedGates) else gates)
        drawn.show(gates if isinstance(gates, TracedGates) else None)

    ui.timer(REFRESH_S, refresh)


class _Drawn:
    """The charts of the card, built when there is a window to draw."""

    def __init__(self) -> None:
        self._place = ui.element("div")
        self._charts: dict[str, ui.echart] = {}

    def show(self, gates: TracedGates | None) -> None:
        """Draw a window, or hide the charts."""
        self._place.set_visibility(gates is not None)
        if gates is None:
            return
        if not self._charts:
            with self._place:
                self._build()
        gate_charts.put_means(self._charts["means"].options, gates)
        for gate in GATE_MAPS:
            gate_charts.put_map(self._charts[gate.name].options, gate, gates)
        for shown in self._charts.values():
            shown.update()

    def _build(self) -> None:
        with ui.element("div").classes("maps"):
            with _panel("Gates", "means over the units, beside the readings"):
                self._charts["means"] = chart(gate_charts.means_chart())
            for gate in GATE_MAPS:
                with _panel(gate.title, gate.meaning):
                    self._charts[gate.name] = chart(gate_charts.map_chart(gate), "chart heat")


@contextmanager
def _panel(title: str, meaning: str) -> Iterator[None]:
    with ui.element("div").classes("map"):
        ui.label(title).classes("subtitle")
        ui.label(meaning).classes("quiet")
        yield


def _readings(context: Context, series: str) -> int:
    """Return the number of readings of a series received so far."""
    follower = context.follower
    with follower.lock:
        i = follower.recent.index.get(series)
        return 0 if i is None else int(follower.recent.count[i])
