"""The rows of the overview: searched, sorted and paged on the server."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.data.evidence import Evidence
from dashboard.data.follower import Follower
from dashboard.data.recent import ARRIVED, LOWER, UPPER, YHAT, Recent, Y
from dashboard.pages.words import age_text, number_text, share_text
from tidecast.arrays import Float

STALE_GAPS = 5  # usual gaps without a reading after which a series is stale
STALE_AT_LEAST_MS = 30_000
SPARK_POINTS = 40
SPARK_WIDTH, SPARK_HEIGHT = 120, 28
STATES = ("drifting", "retraining", "stale", "live", "naive", "awaiting data")
SORTED_BY = ("series", "y", "yhat", "skill", "coverage", "model", "state")
WORSE = -0.005  # a skill below this is not rounded to 0 on the page
USUAL_SIZE = 25  # rows of a page
DRIFTING, RETRAINING, STALE, LIVE, NAIVE, AWAITING = range(len(STATES))


@dataclass(frozen=True, slots=True)
class View:
    """The search, order and page that a viewer selected.

    Attributes:
        search: words; every word must occur in a series' name or state.
        by: the column to sort by.
        descending: the largest first.
        page: from 1.
        size: rows of a page.
    """

    search: str = ""
    by: str = "series"
    descending: bool = False
    page: int = 1
    size: int = USUAL_SIZE


@dataclass(frozen=True, slots=True)
class Page:
    """The rows of one page, the number of matching series, and the number of all series."""

    rows: list[dict[str, Any]]
    found: int
    series: int


class Board:
    """The table of all series; its columns are computed once for all viewers.

    Args:
        follower: the data of the streams.
        evidence: the data of the models.
        under_way: the series that a button is retraining.
    """

    def __init__(self, follower: Follower, evidence: Evidence, under_way: Collection[str] = ()) -> None:
        self._follower = follower
        self._evidence = evidence
        self._under_way = under_way
        self._of: tuple[float, int] = (-1.0, -1)
        self._names: list[str] = []
        self._place: dict[str, int] = {}
        self._columns: dict[str, Any] = {}

    def page(self, view: View, now_ms: float) -> Page:
        """Return one page of a view."""
        with self._follower.lock:
            return self._page(view, now_ms)

    def _page(self, view: View, now_ms: float) -> Page:
        self._refresh(now_ms)
        order = self._sorted(self._matching(view.search), view)
        first = max(0, view.page - 1) * view.size
        rows = [self._row(int(i), now_ms) for i in order[first : first + view.size]]
        return Page(rows, len(order), len(self._names))

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
            return STATES[AWAITING if at is None else self._columns["state"][at]]

    def is_known(self, series: str) -> bool:
        """Return whether a series has a forecast or a model; True as well until the streams have been read."""
        follower = self._follower
        with follower.lock:
            held = series in follower.recent.index or series in follower.served
        return held or not follower.ready.is_set() or bool(self._evidence.versions(series))

    def _refresh(self, now_ms: float) -> None:
        """Recompute the columns of all series, about once a second at most."""
        recent = self._follower.recent
        stamp = (now_ms // 900, len(recent) + len(self._follower.served))
        if stamp == self._of:
            return
        self._of = stamp
        awaited = [name for name in self._follower.served if name not in recent.index]
        self._names = recent.names[: len(recent)] + awaited
        newest = recent.newest()
        more = np.full(len(awaited), np.nan)
        skill, coverage = recent.scores()
        size = len(newest)
        self._place = {name: i for i, name in enumerate(self._names)}
        self._columns = {
            "y": np.concatenate([newest[:, Y], more]),
            "yhat": np.concatenate([newest[:, YHAT], more]),
            "skill": np.concatenate([skill[:size], more]),
            "coverage": np.concatenate([coverage[:size], more]),
            "state": np.concatenate([self._states(recent, newest, now_ms), np.full(len(awaited), AWAITING)]).astype(
                int
            ),
        }

    def _states(self, recent: Recent, newest: Float, now_ms: float) -> NDArray[np.int64]:
        size = len(newest)
        states = np.where(recent.model[:size] > 0, LIVE, NAIVE)
        silent_ms = np.fmax(STALE_AT_LEAST_MS, STALE_GAPS * recent.gap_ms[:size])
        states[now_ms - newest[:, ARRIVED] > silent_ms] = STALE
        running = any(run.state == "running" for run in (self._follower.totals.runs if self._follower.totals else ()))
        for name, kind in list(self._follower.told.items()):
            if kind == "drift" and (i := recent.index.get(name, size)) < size:
                # A scheduled run retrains series with drift first.
                states[i] = RETRAINING if running else DRIFTING
        for name in self._under_way:
            if (i := recent.index.get(name, size)) < size:
                states[i] = RETRAINING
        return states

    def _matching(self, search: str) -> list[int]:
        words = search.casefold().split()
        if not words:
            return list(range(len(self._names)))
        states = self._columns["state"]
        return [
            i
            for i, name in enumerate(self._names)
            if all(word in name.casefold() or word in STATES[states[i]] for word in words)
        ]

    def _sorted(self, rows: list[int], view: View) -> Sequence[int]:
        """Sort rows by a column, equal values by name; rows without a value are last in either direction."""
        rows.sort(key=self._names.__getitem__, reverse=view.by == "series" and view.descending)
        if view.by == "series":
            return rows
        if view.by == "model":
            recent = self._follower.recent
            size = len(recent)
            keys: list[Any] = [(recent.kind[i], int(recent.model[i])) if i < size else ("", 0) for i in rows]
            with_value = [(key, i) for key, i in zip(keys, rows, strict=True) if key[0]]
        else:
            column = self._columns[view.by]
            with_value = [(column[i], i) for i in rows if column[i] == column[i]]
        with_value.sort(key=lambda pair: pair[0], reverse=view.descending)
        known = {i for _, i in with_value}
        return [i for _, i in with_value] + [i for i in rows if i not in known]

    def _row(self, i: int, now_ms: float) -> dict[str, Any]:
        name = self._names[i]
        state = STATES[self._columns["state"][i]]
        row = _blank(name) | {"state": state}
        row |= {"skill": share_text(self._columns["skill"][i]), "coverage": share_text(self._columns["coverage"][i])}
        row["worse"] = bool(self._columns["skill"][i] < WORSE)
        recent = self._follower.recent
        held = recent.index.get(name)
        if held is None:
            return row | self._model_of(name, self._evidence.champion(name), now_ms)
        points = recent.of(held)
        last = points[-1]
        row |= {"y": number_text(last[Y]), "yhat": number_text(last[YHAT]), "spark": spark(points[:, Y])}
        if last[LOWER] == last[LOWER]:
            row["interval"] = f"{number_text(last[LOWER])} to {number_text(last[UPPER])}"
        version = int(recent.model[held])
        kind = recent.kind[held].replace("_", " ")
        return row | {"model": kind} | self._model_of(name, version or None, now_ms, kind)

    def _model_of(self, name: str, version: int | None, now_ms: float, kind: str = "") -> dict[str, str]:
        if version is None:
            return {}
        header = self._evidence.header(name, version)
        shown = f"{kind} v{version}".strip()
        return {"model": shown, "age": age_text(now_ms - header.created_ms) if header and header.created_ms else ""}


def _blank(series: str) -> dict[str, Any]:
    texts = dict.fromkeys(("spark", "y", "yhat", "interval", "skill", "coverage", "model", "age"), "")
    return {"series": series, "state": STATES[AWAITING], "worse": False, **texts}


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
