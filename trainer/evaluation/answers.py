"""The one-step forecasts of a model's experts on a history, and their blend; each is as in live operation."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Float
from tidecast.files.history import History
from tidecast.models import time_grid
from tidecast.models.calendar_steps import times_after
from tidecast.models.experts import EXPERTS, NAIVE, OWN, SEASONAL_CHANGE, SEASONAL_NAIVES
from tidecast.models.gross_errors import Moves
from tidecast.models.known.inputs import KnownInputs, with_known
from tidecast.models.model import Model
from tidecast.models.own_model import OwnModel
from tidecast.models.time_grid import Grid
from tidecast.online.offline import blend_forecasts, expert_forecasts, learn_history
from tidecast.online.own_experts import OwnCall
from tidecast.own_experts.in_process import InProcess
from tidecast.settings import ExpertSettings

CHUNK = 1024  # windows forecast at once: bounds the memory for a long tail
UNBOUNDED = (-np.inf, np.inf)
ROWS = 400  # newest readings that determine the usual move


@dataclass(frozen=True, slots=True)
class Blended:
    """The forecasts of a blend, and the weights of its experts, reading by reading."""

    weights: Float  # (readings, experts)
    yhat: Float  # (readings,)


def grid_of(model: Model, history: History, max_gap: int) -> Grid | None:
    """Place a history on a model's grid, with the model's features; None if the history lacks one of them."""
    header = model.header
    features = header.spec.features
    if not set(features) <= set(history.features):
        return None
    values = history.values[:, [history.features.index(name) for name in features]]
    grid = time_grid.to_grid(
        history.ts, values, header.step_ms, max_gap, gridded=header.gridded, left_out=history.left_out
    )
    return with_known(grid, KnownInputs.of(header), history.known)


def expert_answers(
    model: Model, shared: Model | None, grid: Grid, first: int, experts: ExpertSettings | None = None
) -> Float:
    """Return each expert's one-step forecast of each reading from `first` on.

    Args:
        model: the series' model.
        shared: the network of its cohort.
        grid: the history on the model's grid.
        first: a reading of the history, above 0.
        experts: which code of own experts may run; None: they have no answers.

    Returns:
        `(readings - first, experts)`, in the series' unit, NaN where an expert cannot answer.
    """
    newest = newest_rows(grid, first)
    reach = model.rows_with(shared)
    read = grid.ts[~grid.filled]
    answers = np.full((len(newest), len(EXPERTS)), np.nan)
    for start in range(0, len(newest), CHUNK):
        part = slice(start, start + CHUNK)
        rows, held = time_grid.windows_before(grid, newest[part] + 1, reach)
        next_ts = times_after(grid.ts[newest[part]], read, model.header.step_ms, gridded=model.header.gridded)
        answers[part] = expert_forecasts(model, shared, rows, held, next_ts)
    online = learn_history(grid, model.header.seasons, model.header.step_ms, reach).forecasts[first - 1 : -1]
    answers[:, SEASONAL_CHANGE:] = online[:, SEASONAL_CHANGE:]
    naives = answers[:, SEASONAL_NAIVES]
    naives[:] = np.where(np.isfinite(naives), naives, online[:, SEASONAL_NAIVES])  # of seasons that have a profile
    if model.own and experts:
        answers[:, OWN] = _own_answers(model.header.series, model.own, grid, newest, InProcess(experts))
    return answers


def _own_answers(series: str, own: OwnModel, grid: Grid, newest: NDArray[np.int64], runner: InProcess) -> Float:
    """Return the forecasts of an expert of the user's own after these rows, NaN where it fails or has too few rows."""
    answers = np.full(len(newest), np.nan)
    for start in range(0, len(newest), CHUNK):
        windows, held = time_grid.windows_before(grid, newest[start : start + CHUNK] + 1, own.rows)
        whole = np.flatnonzero((held == own.rows) & np.isfinite(windows).all(axis=(1, 2)))
        if len(whole):
            (forecasts,), _ = runner.forecast([OwnCall(series, 0, own, windows[whole])])
            answers[start + whole] = forecasts
    return answers


def blended(
    answers: Float,
    actual: Float,
    errors: Float | None = None,
    usual: float = 0.0,
    bounds: tuple[float, float] = UNBOUNDED,
) -> Blended:
    """Blend experts' answers as the worker does, updating the error records with every reading.

    Args:
        answers: `(readings, experts)`, each made before its reading arrived.
        actual: `(readings,)`.
        errors: `(records, experts)` to begin with; None: no expert has a record.
        usual: the series' usual largest move; 0: not known.
        bounds: the lowest and the highest possible forecast.
    """
    moves = Moves(of_model=usual)
    usual_moves = np.empty(len(actual))
    for i, (y, last) in enumerate(zip(actual.tolist(), answers[:, NAIVE].tolist(), strict=True)):
        usual_moves[i] = moves.usual
        moves = moves.learn(abs(y - last), actual[max(0, i - ROWS) : i])
    scores = blend_forecasts(answers, actual, usual_moves, errors, bounds)
    return Blended(scores.weights, scores.yhat)


def newest_rows(grid: Grid, first: int) -> NDArray[np.int64]:
    """Return the grid row of the reading before each reading from `first` on: `(readings - first,)`."""
    return np.flatnonzero(~grid.filled)[first - 1 : -1]
