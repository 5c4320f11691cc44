"""Changes that are spliced into real series at known readings: of the level, and of the season's shape."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from tidecast.arrays import Float
from tidecast.files.history import History
from tidecast.models.model import Model

FITTED = 0.6  # of each series: the first part, to which champions are fitted; the worker forecasts the rest
PLACES = (0.4, 0.6, 0.8)  # places of changes in the rest
LONG = 1000  # readings; a shorter rest has a change at the first place only
LEVEL = 3.0  # standard deviations of the first part
STRONG = 0.3  # of the variance: a season with a smaller share is not moved
KINDS = ("level", "season")

Change = Callable[[Float, int], Float]  # takes the readings and the place; returns the changed readings


@dataclass(frozen=True, slots=True)
class Variant:
    """A series, unchanged or with a change."""

    history: History
    source: str  # the name of the real series
    cut: int  # the first reading of the rest
    kind: str = "unchanged"
    at: int = 0  # the first changed reading


def moved_level(past: Float) -> Change:
    """Return a change of the level by `LEVEL` standard deviations."""

    def change(y: Float, at: int) -> Float:
        changed: Float = y + LEVEL * past.std() * (np.arange(len(y)) >= at)
        return changed

    return change


def moved_season(past: Float, season: int) -> Change:
    """Return a change that delays the season's shape by half a season."""
    shape = _profile(past, season)

    def change(y: Float, at: int) -> Float:
        row = np.arange(len(y))
        changed: Float = y + (shape[(row + season // 2) % season] - shape[row % season]) * (row >= at)
        return changed

    return change


def _profile(past: Float, season: int) -> Float:
    whole = past[: len(past) // season * season].reshape(-1, season)
    profile: Float = whole.mean(axis=0) - whole.mean()
    return profile


def _is_strong(past: Float, season: int) -> bool:
    return len(past) >= 2 * season and _profile(past, season).var() >= STRONG * past.var() > 0


def variants_of(h: History, model: Model | None) -> Iterator[Variant]:
    """Yield the unchanged series, and one variant for each change at each place."""
    cut = cut_of(h)
    y = h.values[:, 0]
    past = y[:cut]
    yield Variant(replace(h, series=f"{h.series}|unchanged"), h.series, cut)
    changes = {"level": moved_level(past)}
    if model and model.header.seasons and _is_strong(past, model.header.seasons[0]):
        changes["season"] = moved_season(past, model.header.seasons[0])
    for place in PLACES if len(y) - cut >= LONG else PLACES[:1]:
        at = cut + int(place * (len(y) - cut))
        for kind, change in changes.items():
            values = change(y, at)[:, None]
            yield Variant(replace(h, series=f"{h.series}|{kind} {place}", values=values), h.series, cut, kind, at)


def cut_of(history: History) -> int:
    """Return the first reading of the rest."""
    return int(FITTED * len(history))


def first_place(variant: Variant) -> int:
    """Return the reading at the first place of changes."""
    return variant.cut + int(PLACES[0] * (len(variant.history) - variant.cut))
