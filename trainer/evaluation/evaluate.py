"""Rolling one-step evaluation on the tail, within the blend, beside the experts and the champion; the publish gate.

Every contestant answers the same readings: what it would have published live at the reading before, knowing
nothing newer.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tidecast.files.history import History
from tidecast.models import experts, time_grid
from tidecast.models.experts import EXPERTS, HALF_LIVES, NAIVE
from tidecast.models.gross_errors import Moves
from tidecast.models.model import Evidence, Model, Scores
from tidecast.models.outlier_guard import Guard, farthest
from tidecast.models.time_grid import Float, Grid

MODEL, LAST_VALUE, CHAMPION = "model", "last_value", "champion"
CHUNK = 1024  # windows answered at once: bounds the memory of a long tail
UNUSUAL_MOVE, UNUSUAL_MEAN = 5.0, 2.5  # times what is usual: beyond, a tail is unlike what came before
MOST_MOVES = 20.0  # times the usual move: larger errors do not tell one expert from another
HANDICAP = 1.6  # times the last value's error: with it an expert says e^-12 of what the last value does
ROWS = 400  # readings that tell what is usual
MIN_ROWS = 8  # on which a champion is compared: fewer would be a toss


@dataclass(frozen=True, slots=True)
class Habit:
    """How a series moves from reading to reading before its tail, and whether the tail is unlike that."""

    move: float  # the mean absolute change in most of the history
    largest: float  # and the largest
    broken: bool


@dataclass(frozen=True, slots=True)
class Contest:
    """What every contestant answered to the same readings."""

    actual: Float  # (rows,)
    answers: Mapping[str, Float]  # by contestant, (rows,) each, all finite
    season: int | None  # that the seasonal naive used
    scale: float  # the last value's MAE on the part before the tail, for MASE
    champion: Scores | None = None  # of a champion that was judged on these very readings


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the gate decided and why."""

    promote: bool
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Blended:
    """A panel's forecasts and how they came about, reading by reading."""

    answers: Float  # (readings, experts)
    says: Float  # (readings, experts) their shares
    yhat: Float  # (readings,)


def habit_of(y: Float, tail: int) -> Habit:
    """Compare the moves of the tail with those of parts of its length before it.

    The median of the parts counts, so that up to half of the history may be unusual itself. A tail is unlike them if
    its largest move is far larger than theirs (a spike, another unit) or its mean move is (noise). One that stands
    still is no danger: the last value is best there.

    Args:
        y: `(readings,)`.
        tail: the reading at which the tail begins.
    """
    moves = np.abs(np.diff(y))  # of which the one at `tail - 1` leads into the tail
    before, newest = moves[: tail - 1], moves[tail - 1 :]
    size = max(1, min(len(newest), len(before)))
    parts = before[len(before) % size :].reshape(-1, size)
    usual, largest = float(np.median(parts.mean(axis=1))), float(np.median(parts.max(axis=1)))
    broken = newest.max() > UNUSUAL_MOVE * largest or newest.mean() > UNUSUAL_MEAN * usual
    return Habit(usual or np.inf, largest, bool(broken))


def contest(
    history: History,
    tail: int,
    mine: Float,
    champion: tuple[Model, Model | None] | None,
    model: Model,
    max_gap: int,
    since: int | None = None,
) -> Contest:
    """Let a candidate's blend and its contestants forecast every reading from `tail` on.

    Gross errors do not count. Every blend begins without a record, as all its experts are new to the tail; which moves
    are usual is known. The champion takes part where it has not been trained on the reading itself; the rows are then
    those. One that was judged on this very tail, before its linear experts learned from it, brings the scores it had
    then.

    Args:
        history: the readings.
        tail: the reading from which the contestants are judged.
        mine: `(readings - tail, experts)` what the candidate's experts answered.
        champion: the model that answers now and its cohort's network.
        model: the candidate.
        max_gap: how many missing steps in a row are filled.
        since: the reading from which errors count, if the series has changed within the tail; None: all do.
    """
    y, first = history.values[:, 0], tail if since is None else since
    mine, actual = mine[first - tail :], y[first:]
    usual = habit_of(y, first).largest
    believed = history.believed[first:]
    answers = {MODEL: blended(mine, actual, usual=usual).yhat, LAST_VALUE: y[first - 1 : -1]}
    answers |= {
        name: mine[:, at]
        for at, name in enumerate(EXPERTS)
        if at != NAIVE and np.isfinite(mine[:, at]).all() and len(mine)
    }
    rows, known = believed, None
    if champion and champion[0].header.judged == (int(history.ts[tail]), int(history.ts[-1])):
        known = champion[0].header.evidence.scores.get(MODEL)
    elif champion:
        unseen = believed & (history.ts[first:] > champion[0].header.span[1])
        if (
            np.count_nonzero(unseen) >= MIN_ROWS
            and (theirs := expert_answers(*champion, history, tail, max_gap)) is not None
        ):
            # Its records have lived through the change, and so they do where it answers.
            answers[CHAMPION], rows = blended(theirs, y[tail:], usual=usual).yhat[first - tail :], unseen
    answers = {name: answer[rows] for name, answer in answers.items()}
    season = model.header.seasons[0] if model.header.seasons else None
    return Contest(actual[rows], answers, season, float(np.abs(np.diff(y[:tail])).mean()), known)


def expert_answers(model: Model, shared: Model | None, history: History, first: int, max_gap: int) -> Float | None:
    """What each expert would have said to each reading from `first` on, at the reading before it.

    Returns `(readings - first, experts)`, in the series' unit, NaN where one could not answer; None if the history
    lacks a feature that the model reads.
    """
    spec = model.spec
    if not set(spec.features) <= set(history.features):
        return None
    values = history.values[:, [history.features.index(name) for name in spec.features]]
    header = model.header
    grid = time_grid.to_grid(
        history.ts, values, header.step_ms, max_gap, gridded=header.gridded, left_out=history.left_out
    )
    newest = _newest_rows(grid, first)
    reach = max(model.rows, model.rows_with(shared))
    answers = np.full((len(newest), len(EXPERTS)), np.nan)
    for start in range(0, len(newest), CHUNK):
        part = slice(start, start + CHUNK)
        rows, held = time_grid.windows_before(grid, newest[part] + 1, reach)
        answers[part] = model.answers(rows, held, shared, grid.ts[newest[part]])
    return answers


def blended(answers: Float, actual: Float, errors: Float | None = None, usual: float = 0.0) -> Blended:
    """Blend experts' answers as the worker does, each record learning from every reading that came.

    Args:
        answers: `(readings, experts)`, each made before its reading came.
        actual: `(readings,)`.
        errors: `(records, experts)` to begin with; None: no expert has a record.
        usual: the series' usual largest move; 0: not known.
    """
    guard, moves = Guard(), Moves(of_model=usual)
    record = np.full((len(HALF_LIVES), len(EXPERTS)), np.nan) if errors is None else errors
    says, yhat = np.empty_like(answers), np.empty(len(answers))
    for i, (said, y) in enumerate(zip(answers, actual.tolist(), strict=True)):
        says[i], last = experts.shares(record, said), float(said[NAIVE])
        together = experts.blend(says[i], said)
        yhat[i] = guard.answer(last, together, moves.usual)
        says[i] = np.eye(len(EXPERTS))[NAIVE] if guard.distrusts else says[i]
        moves = moves.learn(abs(y - last), actual[max(0, i - ROWS) : i])
        record = experts.learn(record, said, y, farthest(moves.usual))
        guard = guard.learn(last, together, y, moves.usual)
    return Blended(answers, says, yhat)


def first_errors(answers: Float, actual: Float, habit: Habit) -> Float:
    """The records that a model begins with: each expert's mean absolute error on the tail, `(records, experts)`.

    After a tail that was unlike all before it no expert begins better than the last value: what it was good at there
    may be over, and a record of huge errors would take hundreds of readings to tell anything of small ones.
    """
    error = np.minimum(np.abs(answers - actual[:, None]), MOST_MOVES * habit.move)
    known = np.isfinite(error)
    total = np.where(known, error, 0.0).sum(axis=0)
    mean = np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)
    if habit.broken:
        others = np.arange(len(mean)) != NAIVE
        mean = np.where(others, np.maximum(mean, HANDICAP * mean[NAIVE]), mean)
    return np.tile(mean, (len(HALF_LIVES), 1))


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
    if contest.champion:
        found[CHAMPION] = contest.champion
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
