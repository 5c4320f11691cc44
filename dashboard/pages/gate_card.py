"""The part of a series' page that shows what the gates of its network did over the newest window."""

from nicegui import run, ui
from redis.exceptions import RedisError

from dashboard.data.gates import Gates
from dashboard.pages import gate_charts
from dashboard.pages.frame import Context

LOOK_S = 3.0  # at most so often, and only after a new reading or with another version
MAPS = {
    "forget": ("Forget gate", "1 keeps what the cell remembers, 0 drops it"),
    "input": ("Input gate", "1 writes what is new, 0 ignores it"),
    "output": ("Output gate", "1 shows the memory, 0 hides it"),
    "cell_state": ("Cell state", "the memory itself"),
}


def gate_card(context: Context, series: str) -> None:
    """Build it for one viewer; the gates are computed on a thread, so that nobody else waits for them."""
    with ui.element("section").classes("card gates"):
        ui.label("Gates over the last window").classes("subtitle")
        said = ui.label("Reading the window …").classes("quiet")
        drawn = _Drawn()
    shown: list[tuple[int, int | None] | None] = [None]

    async def look() -> None:
        now = _readings(context, series), context.evidence.champion(series)
        if now == shown[0]:
            return
        try:
            found = await run.io_bound(context.gates.look, series)
        except (RedisError, OSError):
            return  # the banner says so, and what is shown stands still
        if found is None:
            return  # the program ends
        shown[0] = now
        said.set_text(gate_charts.sentence(found) if isinstance(found, Gates) else found)
        drawn.show(found if isinstance(found, Gates) else None)

    ui.timer(LOOK_S, look)


class _Drawn:
    """The charts; there are none before there is something to draw."""

    def __init__(self) -> None:
        self._place = ui.element("div")
        self._charts: dict[str, ui.echart] = {}

    def show(self, gates: Gates | None) -> None:
        """Draw a window, or nothing."""
        self._place.set_visibility(gates is not None)
        if gates is None:
            return
        if not self._charts:
            with self._place:
                self._build()
        gate_charts.put_means(self._charts["means"].options, gates)
        for name in MAPS:
            gate_charts.put_map(self._charts[name].options, name, gates)
        for shown in self._charts.values():
            shown.update()

    def _build(self) -> None:
        self._charts["means"] = ui.echart(gate_charts.means_chart()).classes("chart")
        with ui.element("div").classes("maps"):
            for name, (title, meaning) in MAPS.items():
                with ui.element("div").classes("map"):
                    ui.label(title).classes("subtitle")
                    ui.label(meaning).classes("quiet")
                    self._charts[name] = ui.echart(gate_charts.map_chart(name)).classes("chart")


def _readings(context: Context, series: str) -> int:
    """How many readings of a series were seen."""
    follower = context.follower
    with follower.lock:
        i = follower.recent.index.get(series)
        return 0 if i is None else int(follower.recent.count[i])
