"""Models for the worker's benchmarks: fitted linear experts, and untrained networks with random weights.

Only the cost of a network's forecast matters here, not its value. The linear experts are fitted to the random readings
of `benchmarks.harness.readings`, so that forecasts, shares and intervals have realistic sizes.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache

import numpy as np

from benchmarks.harness.readings import past_values
from tidecast.models.experts import EXPERTS, HALF_LIVES, LSTM, SHARED, LinearExperts
from tidecast.models.experts import OWN as USERS_OWN
from tidecast.models.model import Evidence, Header, Model, Scores
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.models.time_grid import Grid
from tidecast.settings import SeriesSettings
from tidecast.tools.sizing.coefficients import OWN, SHARED_NETWORK
from tidecast.tools.sizing.trial_models import COHORT, FIRST_MS, STEP_MS, name_of, random_weights
from trainer.fit.linear import fit_panel

SEASONS = {False: (24,), True: (24, 168)}  # in rows; the default panel has a day and a week of hours
PANELS = 8  # panels that are fitted once and assigned to the series in turn
HISTORY = 1000  # rows that they are fitted to
PUBLISHERS = 16  # threads: most of the time is spent waiting for the disk


def publish_models(store: ModelStore, count: int, *, default_panel: bool = False, versions: int = 1) -> None:
    """Publish a champion for the first `count` series: the cheap experts and an own LSTM(50) over 24 steps.

    Args:
        store: the destination.
        count: the number of series.
        default_panel: whether to add a second season and the network of a cohort, which is published too.
        versions: the number of versions of each; the newest is the champion.
    """
    if default_panel:
        store.shared.publish(shared_network())
    numbers = [number for _ in range(versions) for number in range(count)]
    with ThreadPoolExecutor(PUBLISHERS) as pool:
        for _ in pool.map(lambda number: store.publish(own_model(number, default_panel=default_panel)), numbers):
            pass


def own_model(number: int, *, default_panel: bool = False) -> Model:
    """Return the model of the series of this number."""
    panel = replace(_panel(number % PANELS, SEASONS[default_panel]), errors=_errors(number, default_panel))
    cohort = COHORT if default_panel else None
    return Model(_header(name_of(number), OWN, SEASONS[default_panel], cohort), random_weights(OWN, number), panel)


def shared_network() -> Model:
    """Return the network of a cohort."""
    return Model(_header(COHORT, SHARED_NETWORK, (), None), random_weights(SHARED_NETWORK, 0))


def bytes_of_weights(count: int) -> int:
    """Return the size of the own networks of `count` series as float32."""
    return count * sum(4 * int(np.prod(shape)) for shape in OWN.shapes().values())


def bytes_of_windows(count: int) -> int:
    """Return the size of the rows that the worker keeps of `count` series as float64."""
    return count * 8 * SeriesSettings().rows_kept


@cache
def _panel(number: int, seasons: tuple[int, ...]) -> LinearExperts:
    values = past_values(number + 1, HISTORY)[:, -1:]
    ts = FIRST_MS + STEP_MS * np.arange(-HISTORY, 0)
    grid = Grid(ts, values, np.zeros(HISTORY, np.int64), np.zeros(HISTORY, np.bool_))
    return fit_panel(grid, seasons, HISTORY)


def _errors(seed: int, default_panel: bool) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return error records that give several experts a share; NaN for experts that a series lacks."""
    errors = np.random.default_rng(seed).uniform(1.0, 1.1, (len(HALF_LIVES), len(EXPERTS)))
    lacks = {USERS_OWN}
    if not default_panel:
        lacks |= {EXPERTS.index("long_seasonal_naive"), EXPERTS.index("linear_season"), SHARED}
    errors[:, sorted(lacks)] = np.nan
    errors[:, LSTM] = 1.0
    return errors


def _header(series: str, spec: Spec, seasons: tuple[int, ...], shared: str | None) -> Header:
    return Header(
        series=series,
        spec=spec,
        step_ms=STEP_MS,
        seasons=seasons,
        shared=shared,
        change_scale=2.0,
        center=(0.0,),
        scale=(2.0,),
        level=0.9,
        half_width=2.0,
        span=(FIRST_MS - HISTORY * STEP_MS, FIRST_MS - STEP_MS),
        evidence=Evidence(rows=100, season=24, scores={"model": Scores(mae=1.0, rmse=1.2)}, skill=0.5, verdict="made"),
        created_ms=FIRST_MS,
    )
