"""Rolling one-step evaluation on the tail, beside the naive contestants and the champion, and the publish gate.

Every contestant answers the same readings: what it would have published live at the reading before, knowing
nothing newer.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from tidecast import windows
from tidecast.model import Evidence, Model, Scores
from tidecast.windows import Float, Grid
from trainer.history import History

MODEL, LAST_VALUE, SEASONAL_NAIVE, CHAMPION = "model", "last_value", "seasonal_naive", "champion"
CHUNK = 4096  # windows answered at once: bounds the memory of a long tail
MIN_ROWS = 8  # on which a champion is compared: fewer would be a toss


@dataclass(frozen=True, slots=True)
class Contest:
    """What every contestant answered to the same readings."""

    actual: Float  # (rows,)
    answers: Mapping[str, Float]  # by contestant, (rows,) each, all finite
    season: int | None  # that the seasonal naive used
    scale: float  # the last value's MAE on the part before the tail, for MASE


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the gate decided and why."""

    promote: bool
    evidence: Evidence


def contest(
    history: History, tail: int, model: Model, champion: Model | None, season: int | None, max_gap: int
) -> Contest:
    """Let the model and its contestants forecast every reading from `tail` on.

    The champion takes part where it can answer and has not been trained on the reading itself; the rows are
    those that all can answer.
    """
    grid = windows.to_grid(history.ts, history.values, model.header.step_ms, max_gap)
    y = history.values[:, 0]
    answers = {MODEL: forecasts(model, history, tail, max_gap), LAST_VALUE: y[tail - 1 : -1]}
    if season:
        answers[SEASONAL_NAIVE] = seasonal_naive(grid, tail, season)
    rows = np.isfinite(answers[MODEL])
    if champion:
        unseen = history.ts[tail:] > champion.header.span[1]
        theirs = np.where(unseen, forecasts(champion, history, tail, max_gap), np.nan)
        if np.count_nonzero(both := rows & np.isfinite(theirs)) >= MIN_ROWS:
            answers[CHAMPION], rows = theirs, both
    answers = {name: answer[rows] for name, answer in answers.items()}
    return Contest(y[tail:][rows], answers, season, float(np.abs(np.diff(y[:tail])).mean()))


def forecasts(model: Model, history: History, first: int, max_gap: int) -> Float:
    """Forecast each reading from `first` on as the worker would have at the reading before it.

    Returns `(readings - first,)`, in the series' unit; NaN where the window was not full, or the history lacks a
    feature that the model reads.
    """
    spec = model.spec
    answers = np.full(len(history) - first, np.nan)
    if not set(spec.features) <= set(history.features):
        return answers
    values = history.values[:, [history.features.index(name) for name in spec.features]]
    grid = windows.to_grid(history.ts, values, model.header.step_ms, max_gap)
    newest = _newest_rows(grid, first)
    oldest = newest - spec.window + 1
    full = np.flatnonzero(_unbroken(grid, oldest, newest))
    if not len(full):
        return answers
    every = sliding_window_view(grid.values, spec.window, axis=0).swapaxes(1, 2)  # (starts, window, features)
    for start in range(0, len(full), CHUNK):
        part = full[start : start + CHUNK]
        rows = every[oldest[part]]
        answer = model.forecast(rows)
        answers[part] = np.where(np.isfinite(answer), answer, rows[:, -1, 0])  # the worker's remedy too
    return answers


def seasonal_naive(grid: Grid, first: int, season: int) -> Float:
    """Answer each reading from `first` on by the value one season before; where a gap hides it, by the last value."""
    newest = _newest_rows(grid, first)
    before = newest + 1 - season
    answers: Float = grid.values[np.where(_unbroken(grid, before, newest), before, newest), 0]
    return answers


def scores(actual: Float, answer: Float, scale: float) -> Scores:
    """MAE, RMSE and MASE (Hyndman & Koehler 2006) of answers, both `(rows,)`; no MASE where `scale` is 0."""
    error = np.abs(actual - answer)
    mae = float(error.mean())
    return Scores(mae=mae, rmse=float(np.sqrt(np.mean(error**2))), mase=mae / scale if scale > 0 else None)


def skill(mae: float, naive_mae: float) -> float:
    """How much of the last value's error a model saves; 0 where that made none."""
    return 1 - mae / naive_mae if naive_mae > 0 else 0.0


def half_width(errors: Float, level: float) -> float:
    """The half width that covers the next |error| with probability `level`, from errors of `(rows,)`.

    Split conformal (Vovk et al. 2005). To be fed with the tail's errors: those of the validation part are the
    smallest of all epochs by choice, those of the part learned from smaller still, and the tail is the newest.
    """
    rank = int(np.ceil((len(errors) + 1) * level))
    return float(np.sort(np.abs(errors))[min(rank, len(errors)) - 1])


def judge(contest: Contest, champion: int | None) -> Ruling:
    """Decide whether a candidate may answer, and say why with the figures.

    The rule: with a champion in the contest, a strictly smaller MAE than the champion's; without, an MAE no larger
    than the last value's. No margin is asked for: where two models are equal but for noise it does not matter
    which one answers, and a margin would keep a slowly ageing champion for ever. A tie keeps the champion.

    The tail is looked at once for each candidate. Who trains many candidates on one history and lets this gate
    choose has tuned on the tail, and the winner's figures flatter it: tuning compares on the validation part.

    Args:
        contest: what all contestants answered.
        champion: the champion's version; None: there is none.
    """
    found = {name: scores(contest.actual, answer, contest.scale) for name, answer in contest.answers.items()}
    mine, naive = found[MODEL].mae, found[LAST_VALUE].mae
    gain = skill(mine, naive)
    figures = f"MAE {mine:.4g} on {len(contest.actual)} readings, last value {naive:.4g} (skill {gain:.2f})"
    promote, reason = _decide(mine, naive, found.get(CHAMPION), champion)
    evidence = Evidence(
        rows=len(contest.actual), season=contest.season, scores=found, skill=gain, verdict=f"{reason}: {figures}"
    )
    return Ruling(promote, evidence)


def _decide(mine: float, naive: float, champion: Scores | None, version: int | None) -> tuple[bool, str]:
    if champion and mine < champion.mae:
        return True, f"published, it beats version {version}, whose MAE is {champion.mae:.4g}"
    if champion:
        return False, f"not published, version {version} is at least as good with an MAE of {champion.mae:.4g}"
    if mine > naive:
        return False, "not published, it is worse than the last value"
    return True, "published, it is no worse than the last value"


def _newest_rows(grid: Grid, first: int) -> NDArray[np.int64]:
    """The grid row of the reading before each reading from `first` on: `(readings - first,)`."""
    return np.flatnonzero(~grid.filled)[first - 1 : -1]


def _unbroken(grid: Grid, oldest: NDArray[np.int64], newest: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the rows from `oldest`, which may lie before the grid, to `newest` have no long gap between them."""
    unbroken: NDArray[np.bool_] = (oldest >= 0) & (grid.segment[np.maximum(oldest, 0)] == grid.segment[newest])
    return unbroken
