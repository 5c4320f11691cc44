"""Run the worker's compiled loops over many windows of one series at once, for the trainer and for pictures.

Windows are `(n, rows, features)`, the newest row last. The last `held` rows, `(n,)`, are real; the values before them
are ignored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from tidecast.arrays import Float, Int64
from tidecast.models.calendar_seasons import two_seasons
from tidecast.models.experts import EXPERTS, PROVEN, LinearExperts
from tidecast.models.inputs import Inputs, active_cycles, calendar_inputs
from tidecast.models.model import Model, SeasonProfiles, network_seasons
from tidecast.models.spec import Cycle, Spec
from tidecast.models.time_grid import Grid
from tidecast.online.engine import Engine
from tidecast.online.kernels.linear import StackedExperts
from tidecast.online.kernels.networks.inputs import prepare
from tidecast.online.kernels.networks.threads import linear_answers
from tidecast.online.kernels.online_linear import OnlineCoefficients, forecast_online
from tidecast.online.kernels.placing.profiles import PROFILE_TERMS
from tidecast.online.kernels.placing.taking import take
from tidecast.online.kernels.placing.window_numbers import NEVER
from tidecast.online.kernels.pointers import address_of
from tidecast.online.kernels.readings import Readings
from tidecast.online.kernels.rows import Rows
from tidecast.online.kernels.scoring import BatchScores, score_batch
from tidecast.online.kernels.series_record import ONLINE_AT, named, new_record
from tidecast.online.kernels.series_rows import series_rows
from tidecast.online.window import Window
from tidecast.wire.state_format import BLOCK, NUMBER, ONLINE, SEASONS, numbers_in

_SERIES, _COHORT = "series", "cohort"
_ROBUST = EXPERTS.index("linear_robust")
ROWS_AT_ONCE = 1000  # readings whose windows are read at once: bounds the memory
LEAST_ROWS = 4 * BLOCK  # of a window whose profiles learn: they learn rows that are up to two blocks old


@dataclass(frozen=True, slots=True)
class Preparation:
    """The properties of a series on which the inputs of its network depend."""

    spec: Spec
    center: Sequence[float]  # of the scaler, by feature
    scale: Sequence[float]
    step_ms: float
    seasons: tuple[int, ...] = ()
    calendar: tuple[Cycle, ...] = ()
    panel: LinearExperts | None = None  # for a spec that learns the residuals of the linear expert

    @classmethod
    def of(cls, model: Model) -> Self:
        """Return the properties of a series with a network of its own."""
        header = model.header
        return cls(
            model.spec, header.center, header.scale, header.step_ms, header.seasons, header.calendar, model.panel
        )

    @classmethod
    def of_member(cls, network: Model, seasons: tuple[int, ...], change_scale: float) -> Self:
        """Return the properties of a series that its cohort's network forecasts."""
        return cls(network.spec, (0.0,), (change_scale,), network.header.step_ms, seasons)

    def inputs(self, windows: Float, held: Int64, next_ts: Int64) -> Inputs:
        """Prepare windows for the network, at least as many rows of each as it reads.

        Args:
            windows: the windows, with the features of the spec.
            held: how many of the rows of each are real.
            next_ts: `(n,)` the time to forecast, epoch milliseconds.
        """
        n = len(windows)
        spec = self.spec
        linear = linear_forecasts(self.panel, windows, held)[:, _ROBUST] if spec.residual and self.panel else None
        calendar = None
        if spec.calendar:
            cycles = np.tile(active_cycles(spec, self.calendar), (n, 1))
            calendar = calendar_inputs(spec, cycles, next_ts, np.full(n, self.step_ms))
        scaler = np.tile(np.array(self.center), (n, 1)), np.tile(np.array(self.scale), (n, 1))
        seasons = np.tile(network_seasons(self.seasons, spec.seasonal), (n, 1))
        return prepare(Rows.of_windows(windows, held), spec, scaler, seasons, linear, calendar)


def linear_forecasts(panel: LinearExperts, windows: Float, held: Int64) -> Float:
    """Return the forecasts of the last value and the linear experts, `(n, 1 + linear experts)`.

    An expert that reads more rows than are real has NaN.
    """
    stacked = StackedExperts.of([panel])
    return linear_answers(Rows.of_windows(windows, held), np.zeros(len(windows), np.int64), stacked)


def expert_forecasts(model: Model, shared: Model | None, windows: Float, held: Int64, next_ts: Int64) -> Float:
    """Return the forecasts of all experts, `(n, experts)`, NaN where an expert cannot forecast.

    Args:
        model: the series' model.
        shared: the network of its cohort.
        windows: the windows, with the model's features.
        held: how many of the rows of each are real, at least 1.
        next_ts: `(n,)` the time to forecast, epoch milliseconds.
    """
    engine = Engine()
    engine.put(_SERIES, 1, model)
    if shared:
        engine.put_shared(_COHORT, shared)
    slots = [engine.slot(_SERIES)] * len(windows)
    requests = engine.requests(slots, Rows.of_windows(windows, held), next_ts)
    if shared:
        requests.cohorts[:] = engine.cohort_number(_COHORT)
    return engine.predict(requests)


class LearnedHistory(NamedTuple):
    """The experts that learn from every reading after a history.

    Attributes:
        forecasts: `(readings, experts)`, after each reading; NaN where an expert cannot forecast.
        online: the numbers of their `ONLINE` after the last one.
        profiles: of the long seasons; None: all are short.
    """

    forecasts: Float
    online: Int64
    profiles: SeasonProfiles | None


def learn_history(grid: Grid, seasons: Sequence[int], step_ms: float, most_rows: int) -> LearnedHistory:
    """Let the experts that learn from every reading go through a history.

    Args:
        grid: the history.
        seasons: of its model, in rows.
        step_ms: the grid's step.
        most_rows: how many rows of a series its experts read.
    """
    at = np.flatnonzero(~grid.filled)
    rows_before = at - np.searchsorted(grid.segment, grid.segment[at])
    doubted = ~grid.measured[at]
    follows = (np.diff(at, prepend=-1) == 1) & (rows_before > 0)
    n = len(at)
    two = np.tile(two_seasons(seasons), (n, 1))
    terms = np.full((n, SEASONS, PROFILE_TERMS), np.nan)
    profiles = None
    if two.max(initial=0) >= most_rows:
        terms, profiles = _profiled(grid, at, two, step_ms, most_rows)
    record = new_record(1)
    forecasts = np.full((n, len(EXPERTS)), np.nan)
    nothing = np.zeros(n, np.int64)
    readings = Readings.of(nothing, grid.ts[at], grid.ts[at])._replace(
        missing=(~follows).astype(np.int64), doubted=doubted.astype(np.int64), seasons=two, profiles=terms
    )
    forecast_online(
        series_rows(n, online=address_of(record) + ONLINE_AT, trained_until=NEVER),
        readings,
        Rows(grid.values[:, 0].copy(), at + 1, np.minimum(rows_before + 1, most_rows), nothing + 1),
        forecasts,
        OnlineCoefficients.empty(0),
    )
    first = ONLINE_AT // NUMBER
    online = record.view(np.int64)[first : first + numbers_in(ONLINE)].copy()
    return LearnedHistory(forecasts, online, profiles)


def _profiled(grid: Grid, at: Int64, seasons: Int64, step_ms: float, most_rows: int) -> tuple[Float, SeasonProfiles]:
    """Return the terms of the profiles after the rows `at`, `(n, SEASONS, PROFILE_TERMS)`, and the profiles then."""
    window = Window(max(most_rows, LEAST_ROWS), 1)
    window.step_ms = step_ms
    gap = int(np.diff(at).max(initial=1))
    terms = []
    for first in range(0, len(at), ROWS_AT_ONCE):
        part = at[first : first + ROWS_AT_ONCE]
        n = len(part)
        series = series_rows(
            n,
            window=window.address,
            width=1,
            rows_read=most_rows,
            seasons=seasons[first : first + n],
            largest_move=np.inf,  # the history has no gross errors
            lowest=-np.inf,
            highest=np.inf,
        )
        readings = Readings.of(np.zeros(n, np.int64), grid.ts[part], grid.ts[part])
        ones = np.ones(n, np.int64)
        take(series, readings, ones, grid.values[part, :1].copy(), gap, lambda _: window.hold_bins())
        terms.append(readings.profiles)
    return np.concatenate(terms), window.season_profiles()


def blend_forecasts(
    forecasts: Float, actual: Float, moves: Float, errors: Float | None, bounds: tuple[float, float]
) -> BatchScores:
    """Blend the experts' forecasts of successive readings, while their records learn from each reading.

    Args:
        forecasts: `(readings, experts)`, each made before its reading arrived.
        actual: `(readings,)`.
        moves: `(readings,)` the usual largest move before each reading, 0 while it is not known.
        errors: `(records, experts)` to begin with; None: no expert has a record.
        bounds: the lowest and the highest possible forecast.
    """
    n = len(actual)
    record = new_record(1)
    if errors is not None:
        named(record).errors[:] = errors
        named(record).evidence[: len(EXPERTS)] = np.where(np.isfinite(errors[0]), PROVEN, 0)
    nothing = np.zeros(n, np.int64)
    # Each forecast is made when the reading before it arrives; nothing was forecast before the first.
    before = np.concatenate([[np.nan], actual[:-1]])[:n]
    readings = Readings.of(nothing, np.arange(n), nothing)._replace(y=before, moves=moves)
    series = series_rows(n, record=address_of(record))
    return score_batch(series, readings, forecasts, np.array([0.5]), bounds)
