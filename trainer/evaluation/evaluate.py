"""Rolling one-step evaluation of a model's blend on the tail, and the gate that decides on publication.

All contestants (the candidate, its experts, the champion) forecast the same readings. Each forecast uses only the
readings before it, as in live operation.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Float
from tidecast.files.history import History
from tidecast.models import experts, time_grid
from tidecast.models.experts import EXPERTS, HALF_LIVES, NAIVE
from tidecast.models.gross_errors import Moves
from tidecast.models.metrics import scores, skill
from tidecast.models.model import Evidence, Model, Scores
from tidecast.models.outlier_guard import OutlierGuard, farthest
from tidecast.models.time_grid import Grid

MODEL, LAST_VALUE, CHAMPION = "model", "last_value", "champion"
CHUNK = 1024  # windows forecast at once: bounds the memory for a long tail
UNUSUAL_MOVE, UNUSUAL_MEAN = 5.0, 2.5  # times the usual: with larger moves a tail is unlike the history before
MOST_MOVES = 20.0  # times the usual move: larger errors are cut, as they do not distinguish experts
HANDICAP = 1.6  # times the last value's error: an expert with this error gets e^-12 of the last value's weight
ROWS = 400  # newest readings that determine the usual move
MIN_ROWS = 8  # readings needed to compare with a champion: the result on fewer would be chance


@dataclass(frozen=True, slots=True)
class MoveStats:
    """The usual moves of a series from reading to reading before its tail."""

    move: float  # the mean absolute change in most of the history
    largest: float  # the largest absolute change in most of the history
    broken: bool  # whether the tail moves unlike that


@dataclass(frozen=True, slots=True)
class Contest:
    """The forecasts of all contestants for the same readings."""

    actual: Float  # (rows,)
    answers: Mapping[str, Float]  # by contestant, (rows,) each, all finite
    season: int | None  # the season of the seasonal naive
    scale: float  # the last value's MAE on the part before the tail, for MASE
    champion: Scores | None = None  # scores of a champion that was judged on these same readings


@dataclass(frozen=True, slots=True)
class GateDecision:
    """The gate's decision and the evidence for it."""

    promote: bool
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Blended:
    """A panel's forecasts, with the answers and shares of its experts, reading by reading."""

    answers: Float  # (readings, experts)
    weights: Float  # (readings, experts) the experts' shares of the blend
    yhat: Float  # (readings,)


def habit_of(y: Float, tail: int) -> MoveStats:
    """Compare the moves of the tail with those of earlier parts of the same length.

    The median over the parts is used, so that up to half of the history may be unusual itself. A tail is unlike them
    if its largest move (a spike, another unit) or its mean move (noise) is far larger than theirs. A tail that stands
    still does no harm: the last value is the best forecast there.

    Args:
        y: `(readings,)`.
        tail: the reading at which the tail begins.
    """
    moves = np.abs(np.diff(y))  # the move at index `tail - 1` leads into the tail
    before = moves[: tail - 1]
    newest = moves[tail - 1 :]
    size = max(1, min(len(newest), len(before)))
    parts = before[len(before) % size :].reshape(-1, size)
    usual = float(np.median(parts.mean(axis=1)))
    largest = float(np.median(parts.max(axis=1)))
    broken = newest.max() > UNUSUAL_MOVE * largest or newest.mean() > UNUSUAL_MEAN * usual
    return MoveStats(usual or np.inf, largest, bool(broken))


def evaluate_candidates(
    history: History,
    tail: int,
    mine: Float,
    champion: tuple[Model, Model | None] | None,
    model: Model,
    max_gap: int,
    since: int | None = None,
) -> Contest:
    """Forecast every reading from `tail` on with a candidate's blend and with its contestants.

    Gross errors do not count. Every blend begins without error records, as all its experts are new to the tail; the
    usual moves are known. The champion takes part if enough readings are newer than its training data; only those
    readings count then. A champion that was judged on this same tail, before its linear experts were fitted on it,
    keeps the scores that it had then.

    Args:
        history: the readings.
        tail: the reading from which the contestants are judged.
        mine: `(readings - tail, experts)` the answers of the candidate's experts.
        champion: the current champion and its cohort's network.
        model: the candidate.
        max_gap: how many missing steps in a row are filled.
        since: the reading from which errors count, if the series has changed within the tail; None: all count.
    """
    y = history.values[:, 0]
    first = tail if since is None else since
    mine = mine[first - tail :]
    actual = y[first:]
    usual = habit_of(y, first).largest
    believed = history.believed[first:]
    answers = {MODEL: blended(mine, actual, usual=usual).yhat, LAST_VALUE: y[first - 1 : -1]}
    answers |= {
        name: mine[:, at]
        for at, name in enumerate(EXPERTS)
        if at != NAIVE and np.isfinite(mine[:, at]).all() and len(mine)
    }
    rows = believed
    known = None
    if champion and champion[0].header.judged == (int(history.ts[tail]), int(history.ts[-1])):
        known = champion[0].header.evidence.scores.get(MODEL)
    elif champion:
        unseen = believed & (history.ts[first:] > champion[0].header.span[1])
        if (
            np.count_nonzero(unseen) >= MIN_ROWS
            and (champion_answers := expert_answers(*champion, history, tail, max_gap)) is not None
        ):
            # The champion's records include the change, as they do in the worker.
            answers[CHAMPION] = blended(champion_answers, y[tail:], usual=usual).yhat[first - tail :]
            rows = unseen
    answers = {name: answer[rows] for name, answer in answers.items()}
    season = model.header.seasons[0] if model.header.seasons else None
    return Contest(actual[rows], answers, season, float(np.abs(np.diff(y[:tail])).mean()), known)


def expert_answers(model: Model, shared: Model | None, history: History, first: int, max_gap: int) -> Float | None:
    """Return each expert's one-step forecast of each reading from `first` on.

    Returns:
        `(readings - first, experts)`, in the series' unit, NaN where an expert cannot answer; None if the history
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
    """Blend experts' answers as the worker does, updating the error records with every reading.

    Args:
        answers: `(readings, experts)`, each made before its reading arrived.
        actual: `(readings,)`.
        errors: `(records, experts)` to begin with; None: no expert has a record.
        usual: the series' usual largest move; 0: not known.
    """
    guard = OutlierGuard()
    moves = Moves(of_model=usual)
    record = np.full((len(HALF_LIVES), len(EXPERTS)), np.nan) if errors is None else errors
    shares = np.empty_like(answers)
    yhat = np.empty(len(answers))
    for i, (answer, y) in enumerate(zip(answers, actual.tolist(), strict=True)):
        shares[i] = experts.shares(record, answer)
        last = float(answer[NAIVE])
        together = experts.blend(shares[i], answer)
        yhat[i] = guard.answer(last, together, moves.usual)
        shares[i] = np.eye(len(EXPERTS))[NAIVE] if guard.distrusts else shares[i]
        moves = moves.learn(abs(y - last), actual[max(0, i - ROWS) : i])
        record = experts.learn(record, answer, y, farthest(moves.usual))
        guard = guard.learn(last, together, y, moves.usual)
    return Blended(answers, shares, yhat)


def first_errors(answers: Float, actual: Float, habit: MoveStats) -> Float:
    """Return the initial error records of a model: each expert's mean absolute error on the tail, `(records, experts)`.

    After an unusual tail every expert begins behind the last value: a good record there may not carry over, and a
    record of huge errors would need hundreds of readings before small errors show.
    """
    error = np.minimum(np.abs(answers - actual[:, None]), MOST_MOVES * habit.move)
    known = np.isfinite(error)
    total = np.where(known, error, 0.0).sum(axis=0)
    mean = np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)
    if habit.broken:
        others = np.arange(len(mean)) != NAIVE
        mean = np.where(others, np.maximum(mean, HANDICAP * mean[NAIVE]), mean)
    return np.tile(mean, (len(HALF_LIVES), 1))


def half_width(errors: Float, level: float) -> float:
    """Return the half width that covers the next |error| with probability `level`, from errors of `(rows,)`.

    Split conformal (Vovk et al. 2005). Pass the errors of the tail, the newest part: the epoch was chosen for the
    smallest validation errors, and the errors on the training part are smaller still.
    """
    rank = int(np.ceil((len(errors) + 1) * level))
    return float(np.sort(np.abs(errors))[min(rank, len(errors)) - 1])


def judge(contest: Contest, champion: int | None) -> GateDecision:
    """Decide whether to promote a candidate, with a reason that holds the figures.

    The rule: with a champion in the contest, the candidate's MAE must be strictly smaller than the champion's;
    without one, it must not be larger than the last value's. A tie keeps the champion. The rule has no margin: if two
    models differ only by noise, either may answer, and a margin would keep a slowly ageing champion for ever.

    Each candidate is judged on the tail once. Choosing among many candidates on one history by this gate would tune on
    the tail, and the winner's figures would be too good. Tuning must compare on the validation part.

    Args:
        contest: the forecasts of all contestants.
        champion: the champion's version; None: the series has no champion.
    """
    by_name = {name: scores(contest.actual, answer, contest.scale) for name, answer in contest.answers.items()}
    if contest.champion:
        by_name[CHAMPION] = contest.champion
    mine = by_name[MODEL].mae
    naive = by_name[LAST_VALUE].mae
    gain = skill(mine, naive)
    figures = f"MAE {mine:.4g} on {len(contest.actual)} readings, last value {naive:.4g} (skill {gain:.2f})"
    promote, reason = _decide(mine, naive, by_name.get(CHAMPION), champion)
    evidence = Evidence(
        rows=len(contest.actual),
        season=contest.season,
        scores=by_name,
        skill=gain,
        verdict=f"{reason}: {figures}",
    )
    return GateDecision(promote, evidence)


def _decide(mine: float, naive: float, champion: Scores | None, version: int | None) -> tuple[bool, str]:
    if champion and mine < champion.mae:
        return True, f"published, it beats version {version}, whose MAE is {champion.mae:.4g}"
    if champion:
        return False, f"not published, version {version} is at least as good with an MAE of {champion.mae:.4g}"
    if mine > naive:
        return False, "not published, it is worse than the last value"
    return True, "published, it is no worse than the last value"


def _newest_rows(grid: Grid, first: int) -> NDArray[np.int64]:
    """Return the grid row of the reading before each reading from `first` on: `(readings - first,)`."""
    return np.flatnonzero(~grid.filled)[first - 1 : -1]
