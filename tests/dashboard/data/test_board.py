"""The rows of the overview: found, sorted, cut to a page; and the states."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dashboard.data.board import Board, View, spark
from dashboard.data.evidence import EvidenceReader
from dashboard.data.follower import Follower
from dashboard.data.recent import Y
from tests.dashboard.streams import entry
from tests.harness.models import make_model
from tidecast.connection.records.mutes import Mute
from tidecast.models.store import ModelStore
from tidecast.settings import load_settings

NOW = 1_700_000_003_000.0


class Desk:
    """A board whose follower is fed by hand."""

    def __init__(self, folder: Path) -> None:
        self.store = ModelStore(folder)
        self.follower = Follower(load_settings(store=folder, series={"units": {"c*": "°C"}}), 100)
        self.under_way: set[str] = set()
        self.board = Board(self.follower, EvidenceReader(folder), self.under_way)

    def feed(self, series: str, *values: float, **more: Any) -> None:
        """Let a series have these readings, a second apart."""
        self.follower.recent.add([entry(series, turn, y, y + 0.5, **more) for turn, y in enumerate(values)])

    def states(self, now: float = NOW) -> dict[str, str]:
        """Return the states of all series, in their order."""
        return {row["series"]: row["state"] for row in self.board.page(View(size=100), now).rows}

    def names(self, view: View) -> list[str]:
        """Return the series that a view shows, in their order."""
        return [row["series"] for row in self.board.page(view, NOW).rows]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """An empty one."""
    tmp_path.joinpath("models").mkdir()
    return Desk(tmp_path / "models")


def test_rows_are_sorted_by_their_figures_with_the_unknown_last(desk: Desk) -> None:
    """In both directions."""
    desk.feed("a", 3.0)
    desk.feed("b", 1.0)
    desk.feed("c", 2.0)
    desk.follower.served = {"d"}

    assert ["b", "c", "a", "d"] == desk.names(View(by="y"))
    assert ["1", "2 °C", "3", ""] == [row["y"] for row in desk.board.page(View(by="y"), NOW).rows]
    assert ["a", "c", "b", "d"] == desk.names(View(by="y", descending=True))
    assert ["d", "c", "b", "a"] == desk.names(View(by="series", descending=True))


def test_rows_are_sorted_by_the_expert_then_the_version(desk: Desk) -> None:
    """Experts by their names, whatever came first."""
    for series, kind, version in (("a", "naive", 1), ("b", "linear", 12), ("c", "linear", 3)):
        desk.feed(series, 1.0, kind=kind, model=version)
    assert ["c", "b", "a"] == desk.names(View(by="model"))


def test_a_page_is_cut_from_what_was_found(desk: Desk) -> None:
    """All words must be there, in the name or the state."""
    for i in range(30):
        desk.feed(f"Pump-{i:02}", 1.0, **({"model": 1} if i % 2 else {}))
    page = desk.board.page(View(search="pump OK", page=2, size=10), NOW)
    assert (15, 30, 5) == (page.matching, page.series, len(page.rows))
    assert "Pump-21" == page.rows[0]["series"]


def test_problems_come_first_and_those_of_muted_series_after_them(desk: Desk) -> None:
    """The worst state that applies is shown."""
    for name in ("no model", "in order", "drifted", "asked", "stuck", "hushed", "rejected"):
        desk.feed(name, 1.0, 2.0, **({} if name == "no model" else {"model": 2, "kind": "lstm"}))
    desk.follower.served = {"expected", "in order"}
    signs = desk.follower.signs
    signs.drifting |= {"drifted", "stuck"}
    signs.dead_ms |= {"rejected": NOW - 1000, "in order": NOW - 700_000, "stuck": NOW}
    signs.conditions |= {"stuck": "stuck", "hushed": "anomalous", "gone": "silent"}
    signs.mutes["hushed"] = Mute(0, None, "Ann")
    desk.under_way.add("asked")
    assert [
        ("stuck", "stuck"),
        ("rejected", "dead letters"),
        ("drifted", "drifting"),
        ("hushed", "anomalous"),
        ("asked", "retraining"),
        ("in order", "ok"),
        ("no model", "no model"),
        ("expected", "awaiting data"),
    ] == list(desk.states().items())
    assert desk.board.row("hushed", NOW)["muted"]
    run: Any = SimpleNamespace(runs=[SimpleNamespace(state="running")])
    desk.follower.totals = run
    assert "retraining" == desk.states(NOW + 1000)["drifted"]


def test_a_filter_selects_the_series_of_a_state_and_each_state_has_a_number(desk: Desk) -> None:
    """Muted series have a filter of their own beside that of their state."""
    for name in "abcd":
        desk.feed(name, 1.0)
    desk.follower.signs.conditions |= {"b": "stuck", "c": "stuck"}
    desk.follower.signs.mutes["c"] = Mute(0, None, "Ann")
    counts = desk.board.page(View(), NOW).counts
    assert (2, 2, 1) == (counts["stuck"], counts["no model"], counts["muted"])
    assert ["b", "c"] == desk.names(View(state="stuck"))
    assert ["c"] == desk.names(View(state="muted"))
    assert [] == desk.names(View(state="silent"))


def test_a_model_is_named_with_its_age(desk: Desk) -> None:
    """The age comes from the header."""
    desk.store.publish(make_model("a", created_ms=int(NOW) - 7_200_000))
    desk.feed("a", 1.0, model=1, kind="lstm")
    row = desk.board.row("a", NOW)
    assert ("lstm v1", "2 h") == (row["model"], row["age"])


def test_an_expert_is_named_in_words(desk: Desk) -> None:
    """As people write it."""
    desk.feed("a", 1.0, model=1, kind="linear_robust")
    assert "linear robust v1" == desk.board.row("a", NOW)["model"]


@pytest.mark.parametrize(("forecast_error", "worse"), [(1.2, True), (1.0009, False), (0.5, False)])
def test_a_skill_is_worse_once_it_is_shown_below_0(desk: Desk, forecast_error: float, worse: bool) -> None:
    """A skill that rounds to 0 does not raise an alarm."""
    desk.feed("a", 1.0, 2.0, 3.0, error=forecast_error)
    row = desk.board.row("a", NOW)
    assert worse is row["worse"]
    assert worse is row["skill"].startswith("-")


def test_a_version_that_was_pruned_is_named_all_the_same(desk: Desk) -> None:
    """Only its age is not known."""
    desk.feed("a", 1.0, model=7, kind="lstm")
    row = desk.board.row("a", NOW)
    assert ("lstm v7", "") == (row["model"], row["age"])


def test_an_unknown_series_has_an_empty_row(desk: Desk) -> None:
    """A page may be opened before its first reading."""
    row = desk.board.row("nobody", NOW)
    assert ("nobody", "awaiting data", "") == (row["series"], row["state"], row["y"])


def test_a_spark_of_equal_values_is_a_level_line(desk: Desk) -> None:
    """A single value does not draw a line."""
    desk.feed("a", 2.0, 2.0)
    assert "1,14.0 119,14.0" == spark(desk.follower.recent.of(0)[:, Y])
    assert "" == spark(desk.follower.recent.of(0)[:1, Y])
