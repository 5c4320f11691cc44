"""Methods that need no training: each forecasts every reading of a series from the readings before it.

They belong to the benchmark `cold_start`, not to the product. Each takes a `Start` and returns `(readings,)` forecasts,
NaN where it has none.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.cold_start.linear_panel import panel_forecasts
from benchmarks.harness.yardsticks import ETS_LONGEST, lagged
from tidecast.arrays import Float
from tidecast.settings import cores

REFIT_EVERY, REFIT_LATER = 10, 100  # readings between two fits of AutoETS, and those after `FITTED` readings
FITTED = 300  # newest readings that a fit uses: with a thousand, the fits of one series would take half a minute
SCALED_BY = 10  # readings: their changes give SNARIMAX its unit


@dataclass(frozen=True, slots=True)
class Start:
    """The first readings of a series.

    Attributes:
        y: `(readings,)`.
        seasons: the calendar's seasons for its step, in rows, the shortest first.
    """

    y: Float
    seasons: tuple[int, ...]


def last_value(start: Start) -> Float:
    """Return the reading before each reading."""
    return lagged(start.y, [1])[:, 0]


def seasonal_naive(start: Start) -> Float:
    """Return the reading one season before each reading."""
    return lagged(start.y, start.seasons[:1] or [1])[:, 0]


def autoets(start: Start) -> Float:
    """Forecast by exponential smoothing chosen by AICc, fitted again and again to the newest readings."""
    from statsforecast.models import AutoETS

    y = start.y
    season = next((season for season in start.seasons if season <= ETS_LONGEST), 1)
    forecasts = np.full(len(y), np.nan)
    for now, stop in refits(len(y)):
        first = max(0, now - FITTED)
        if np.ptp(y[first:now]) == 0:
            continue
        try:
            with np.errstate(all="ignore"):
                model = AutoETS(season_length=season).fit(y[first:now])
                forecasts[now:stop] = model.forward(y[first:stop], h=1, fitted=True)["fitted"][now - first :]
        except Exception as exc:  # the library raises a bare Exception if no model can be fitted
            print(f"AutoETS gives up on {now - first} readings of a series, the last value stands in: {exc}")
    return forecasts


def refits(readings: int) -> Iterator[tuple[int, int]]:
    """Yield the reading before which each fit is made, and the reading at which the next one follows."""
    now = REFIT_EVERY
    while now < readings:
        stop = min(readings, now + (REFIT_EVERY if now < FITTED else REFIT_LATER))
        yield now, stop
        now = stop


def snarimax(start: Start) -> Float:
    """Forecast by an online autoregression of changes with a seasonal term; its weights learn from each reading."""
    from river.linear_model import LinearRegression
    from river.preprocessing import StandardScaler
    from river.time_series import SNARIMAX

    season = start.seasons[0] if start.seasons else 1
    # With the default, gradients without a limit, one series in five diverges.
    regressor = StandardScaler() | LinearRegression(clip_gradient=1.0)
    model = SNARIMAX(p=12, d=1, q=1, m=season, sp=int(season > 1), regressor=regressor)
    usual = float(np.abs(np.diff(start.y[:SCALED_BY])).mean()) or 1.0
    first = float(start.y[0])
    forecasts = np.full(len(start.y), np.nan)
    for t, y in enumerate(((start.y - first) / usual).tolist()):
        if t > 1:
            forecasts[t] = first + usual * model.forecast(horizon=1)[0]
        model.learn_one(y)
    return forecasts


def linear_panel(start: Start) -> Float:
    """Forecast by recursive least squares on recent and seasonal changes, blended with simple experts."""
    return panel_forecasts(start.y, start.seasons[:2])


CONTESTANTS: dict[str, Callable[[Start], Float]] = {
    "last_value": last_value,
    "seasonal_naive": seasonal_naive,
    "autoets": autoets,
    "snarimax": snarimax,
    "linear_panel": linear_panel,
}
NEEDS = {"autoets": "statsforecast", "snarimax": "river"}  # packages of the extra `bench`


def forecast_all(starts: Sequence[Start], methods: Sequence[str], kept: Path | None = None) -> list[dict[str, Float]]:
    """Return the forecasts of each series by method, computed in as many processes as there are cores.

    Args:
        starts: the series.
        methods: the names of contestants.
        kept: a file of earlier forecasts, which are not computed again; the new ones are added.
    """
    tasks = {_name(start, method): (CONTESTANTS[method], start) for start in starts for method in methods}
    known = compute_all(tasks, kept, in_processes=any(method in NEEDS for method in methods))
    return [{method: known[_name(start, method)] for method in methods} for start in starts]


def compute_all(
    tasks: Mapping[str, tuple[Callable[[Any], Float], Any]], kept: Path | None, *, in_processes: bool
) -> Mapping[str, Float]:
    """Return the results of functions by name.

    Args:
        tasks: by name, a function and its argument.
        kept: a file of earlier results, which are not computed again; the new ones are added.
        in_processes: whether a function takes more time than the start of a process.
    """
    known = dict(np.load(kept)) if kept and kept.exists() else {}
    missing = {name: task for name, task in tasks.items() if name not in known}
    if missing and in_processes:
        with ProcessPoolExecutor(cores(), get_context("spawn")) as pool:
            known |= zip(missing, pool.map(_computed, missing.values()), strict=True)
    else:
        known |= {name: _computed(task) for name, task in missing.items()}
    if kept and missing:
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, **known)
    return known


def _computed(task: tuple[Callable[[Any], Float], Any]) -> Float:
    function, argument = task
    return function(argument)


def _name(start: Start, method: str) -> str:
    """Return the name of a method's forecasts of these readings in a file."""
    return f"{method}-{hashlib.sha256(start.y.tobytes() + repr(start.seasons).encode()).hexdigest()}"
