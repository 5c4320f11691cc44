"""The rows of the overview: searched, sorted and paged on the server."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.data.evidence import EvidenceReader
from dashboard.data.follower import Follower
from dashboard.data.recent import KIND, KINDS, LOWER, ORIGIN, UPPER, YHAT, Y
from dashboard.data.states import AWAITING, STATES, States, ranks_of, states_of
from dashboard.pages.formats import age_text, number_text, share_text, time_text
from tidecast.arrays import Float

SPARK_POINTS = 40
SPARK_WIDTH, SPARK_HEIGHT = 120, 28
SORTED_BY = ("state", "series", "y", "last", "yhat", "skill", "coverage", "model")
MUTED = "muted"  # a filter beside the states
WORSE = -0.005  # a skill below this is not rounded to 0 on the page
USUAL_SIZE = 25  # rows of a page
VERSIONS = 1e6  # more than a series' versions
_BY_NAME = np.argsort(np.argsort(KINDS))  # the place of each kind among their names


@dataclass(frozen=True, slots=True)
class View:
    """The search, filter, order and page that a viewer selected.

    Attributes:
        search: words; every word must occur in a series' name or state.
        state: one of `STATES` or `MUTED`; empty: all series are shown.
        by: the column to sort by; by state the worst come first.
        descending: the largest first.
        page: from 1.
        size: rows of a page.
    """

    search: str = ""
    state: str = ""
    by: str = "state"
    descending: bool = False
    page: int = 1
    size: int = USUAL_SIZE


@dataclass(frozen=True, slots=True)
class Page:
    """The rows of one page, the number of matching series, of all series, and of those in each state."""

    rows: list[dict[str, Any]]
    matching: int
    series: int
    counts: dict[str, int]


class Board:
    """The table of all series; its columns are computed once for all viewers.

    Args:
        follower: the data of the streams.
        evidence: the data of the models.
        under_way: the series that a button is retraining.
    """

    def __init__(self, follower: Follower, evidence: EvidenceReader, under_way: Collection[str] = ()) -> None:
        self._follower = follower
        self._evidence = evidence
        self._under_way = under_way
        self._of: tuple[float, int] = (-1.0, -1)
        self._names: list[str] = []
        self._by_name: NDArray[np.int64] = np.empty(0, np.int64)
        self._place: dict[str, int] = {}
        self._states: States = np.empty(0, np.int64)
        self._muted: NDArray[np.bool_] = np.empty(0, bool)
        self._columns: dict[str, Float] = {}

    def page(self, view: View, now_ms: float) -> Page:
        """Return one page of a view."""
        with self._follower.lock:
            return self._page(view, now_ms)

    def _page(self, view: View, now_ms: float) -> Page:
        self._refresh(now_ms)
        order = self._sorted(self._matching(view), view)
        first = max(0, view.page - 1) * view.size
        rows = [self._row(int(i), now_ms) for i in order[first : first + view.size]]
        counts = dict(zip(STATES, np.bincount(self._states, minlength=len(STATES)).tolist(), strict=True))
        return Page(rows, len(order), len(self._names), counts | {MUTED: int(self._muted.sum())})

    def count(self, now_ms: float) -> int:
        """Return the number of series."""
        with self._follower.lock:
            self._refresh(now_ms)
            return len(self._names)

    def row(self, series: str, now_ms: float) -> dict[str, Any]:
        """Return one series as a row of the table."""
        with self._follower.lock:
            self._refresh(now_ms)
            at = self._place.get(series)
            return _blank(series) if at is None else self._row(at, now_ms)

    def state_of(self, series: str, now_ms: float) -> str:
        """Return the state of one series."""
        with self._follower.lock:
            self._refresh(now_ms)
            at = self._place.get(series)
            return STATES[AWAITING if at is None else self._states[at]]

    def is_known(self, series: str) -> bool:
        """Return whether a series has a forecast or a model; True as well until the streams have been read."""
        follower = self._follower
        with follower.lock:
            held = series in follower.recent.index or series in follower.served
        return held or not follower.ready.is_set() or bool(self._evidence.versions(series))

    def names(self) -> list[str]:
        """Return the names of all series."""
        with self._follower.lock:
            return [*self._follower.recent.names, *self._follower.served]

    def _refresh(self, now_ms: float) -> None:
        """Recompute the columns of all series, about once a second at most."""
        follower = self._follower
        recent = follower.recent
        stamp = (now_ms // 900, len(recent) + len(follower.served))
        if stamp == self._of:
            return
        self._of = stamp
        awaited = [name for name in follower.served if name not in recent.index]
        names = [*recent.names, *awaited]
        if names != self._names:
            self._names = names
            self._by_name = np.array(sorted(range(len(names)), key=names.__getitem__), np.int64)
            self._place = {name: i for i, name in enumerate(names)}
        runs = follower.totals.runs if follower.totals else ()
        running = any(run.state == "running" for run in runs)
        states = states_of(recent, follower.signs, self._under_way, now_ms, running=running)
        self._states = np.concatenate([states, np.full(len(awaited), AWAITING)])
        self._muted = np.zeros(len(names), bool)
        self._muted[[self._place[name] for name in follower.signs.mutes if name in self._place]] = True
        self._columns = self._figures(len(awaited))

    def _figures(self, awaited: int) -> dict[str, Float]:
        """Return the columns to sort by, `(series,)` each, NaN without a value."""
        recent = self._follower.recent
        newest = recent.newest()
        skill, coverage = recent.scores()
        model = _BY_NAME[newest[:, KIND].astype(int)] * VERSIONS + recent.model[: len(recent)]
        figures = {
            "y": newest[:, Y],
            "last": newest[:, ORIGIN],
            "yhat": newest[:, YHAT],
            "skill": skill,
            "coverage": coverage,
            "model": model,
        }
        missing = np.full(awaited, np.nan)
        columns = {name: np.concatenate([values, missing]) for name, values in figures.items()}
        return columns | {"state": ranks_of(self._states, self._muted).astype(float)}

    def _matching(self, view: View) -> NDArray[np.int64]:
        """Return the places of the series that the search and the filter select, sorted by name."""
        rows = self._by_name
        if view.state == MUTED:
            rows = rows[self._muted[rows]]
        elif view.state:
            rows = rows[self._states[rows] == STATES.index(view.state)]
        words = view.search.casefold().split()
        if not words:
            return rows
        texts = ((i, f"{self._names[i].casefold()}\n{STATES[self._states[i]]}") for i in rows.tolist())
        return np.array([i for i, text in texts if all(word in text for word in words)], np.int64)

    def _sorted(self, rows: NDArray[np.int64], view: View) -> NDArray[np.int64]:
        """Sort rows by a column, equal values by name; rows without a value are last in either direction."""
        if view.by == "series":
            return rows[::-1] if view.descending else rows
        values = self._columns[view.by][rows]
        return rows[np.argsort(-values if view.descending else values, kind="stable")]

    def _row(self, i: int, now_ms: float) -> dict[str, Any]:
        name = self._names[i]
        columns = self._columns
        row = _blank(name) | {"state": STATES[self._states[i]], "muted": bool(self._muted[i])}
        row |= {"skill": share_text(columns["skill"][i]), "coverage": share_text(columns["coverage"][i])}
        row["worse"] = bool(columns["skill"][i] < WORSE)
        recent = self._follower.recent
        held = recent.index.get(name)
        if held is None:
            return row | self._model_of(name, self._evidence.champion(name), now_ms)
        points = recent.of(held)
        last = points[-1]
        value = f"{number_text(last[Y])} {self._follower.unit_of(name)}".strip()
        row |= {"y": value, "yhat": number_text(last[YHAT]), "spark": spark(points[:, Y])}
        row["last"] = time_text(last[ORIGIN])
        if last[LOWER] == last[LOWER]:
            row["interval"] = f"{number_text(last[LOWER])} to {number_text(last[UPPER])}"
        version = int(recent.model[held])
        kind = recent.kind_of(held).replace("_", " ")
        return row | {"model": kind} | self._model_of(name, version or None, now_ms, kind)

    def _model_of(self, name: str, version: int | None, now_ms: float, kind: str = "") -> dict[str, str]:
        if version is None:
            return {}
        header = self._evidence.header(name, version)
        shown = f"{kind} v{version}".strip()
        return {"model": shown, "age": age_text(now_ms - header.created_ms) if header and header.created_ms else ""}


def _blank(series: str) -> dict[str, Any]:
    texts = dict.fromkeys(("spark", "y", "last", "yhat", "interval", "skill", "coverage", "model", "age"), "")
    return {"series": series, "state": STATES[AWAITING], "muted": False, "worse": False, **texts}


def spark(values: Float) -> str:
    """Return the points of a sparkline for an SVG polyline."""
    shown = values[-SPARK_POINTS:]
    if len(shown) < 2:
        return ""
    low = float(shown.min())
    high = float(shown.max())
    height = (high - low) or 1.0
    x = np.linspace(1, SPARK_WIDTH - 1, len(shown))
    y = SPARK_HEIGHT - 2 - (shown - low) / height * (SPARK_HEIGHT - 4) if high > low else np.full(len(shown), 14.0)
    return " ".join(f"{a:.0f},{b:.1f}" for a, b in zip(x, y, strict=True))
