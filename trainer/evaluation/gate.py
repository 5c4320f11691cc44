"""The gate: compares a candidate with the champion and the last value on the tail, and decides on publication.

All contestants forecast the same readings. Each forecast uses only the readings before it, as in live operation.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Float
from tidecast.files.history import History
from tidecast.models.experts import EXPERTS, NAIVE
from tidecast.models.metrics import scores, skill
from tidecast.models.model import Evidence, Header, Scores
from trainer.evaluation.answers import UNBOUNDED, blended
from trainer.evaluation.moves import move_stats

MODEL, LAST_VALUE, CHAMPION = "model", "last_value", "champion"
MIN_ROWS = 8  # readings needed to compare with a champion: the result on fewer would be chance


@dataclass(frozen=True, slots=True)
class Tail:
    """The newest part of a history, which judges models."""

    history: History
    start: int  # the first reading that the contestants forecast
    since: int  # the first reading whose error counts: later than `start` if the series has changed in between

    @property
    def y(self) -> Float:
        """Return the target of the whole history, `(readings,)`."""
        return self.history.values[:, 0]

    @property
    def span(self) -> tuple[int, int]:
        """Return the times of the first and the last reading, epoch milliseconds."""
        return int(self.history.ts[self.start]), int(self.history.ts[-1])


@dataclass(frozen=True, slots=True)
class ChampionContestant:
    """The current champion as a contestant."""

    header: Header
    answers: Callable[[], Float | None]  # computes `(readings - start, experts)`; None if it lacks a feature

    def unseen(self, tail: Tail) -> NDArray[np.bool_]:
        """Return the readings that count in the comparison: those newer than its training data."""
        return tail.history.judging[tail.since :] & (tail.history.ts[tail.since :] > self.header.span[1])


@dataclass(frozen=True, slots=True)
class Comparison:
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


def evaluate_candidates(
    tail: Tail,
    mine: Float,
    season: int | None,
    champion: ChampionContestant | None = None,
    bounds: tuple[float, float] = UNBOUNDED,
) -> Comparison:
    """Compare the forecasts of a candidate's blend, its experts, the last value and the champion.

    Gross errors and the readings after them do not count. Every blend begins without error records, as all its experts
    are new to the tail; the usual moves are known. The champion takes part if enough readings are newer than its
    training data; only those readings count then. A champion that was judged on this same tail, before its linear
    experts were fitted on it, keeps the scores that it had then, and only the readings of these count: the newest ones.

    Args:
        tail: the readings.
        mine: `(readings - start, experts)` the answers of the candidate's experts.
        season: the season of the candidate's seasonal naive.
        champion: the current champion.
        bounds: the lowest and the highest possible forecast of a blend.
    """
    mine = mine[tail.since - tail.start :]
    actual = tail.y[tail.since :]
    usual = move_stats(tail.y, tail.since).largest
    answers = {MODEL: blended(mine, actual, usual=usual, bounds=bounds).yhat, LAST_VALUE: tail.y[tail.since - 1 : -1]}
    answers |= {
        name: mine[:, at]
        for at, name in enumerate(EXPERTS)
        if at != NAIVE and np.isfinite(mine[:, at]).all() and len(mine)
    }
    rows = np.flatnonzero(tail.history.judging[tail.since :])
    known = None
    if champion and champion.header.judged == tail.span:
        known = champion.header.evidence.scores.get(MODEL)
        rows = rows[-champion.header.evidence.rows :]
    elif champion and (answer := _answer_of(champion, tail, usual, bounds)) is not None:
        answers[CHAMPION] = answer
        rows = np.flatnonzero(champion.unseen(tail))
    answers = {name: answer[rows] for name, answer in answers.items()}
    return Comparison(actual[rows], answers, season, float(np.abs(np.diff(tail.y[: tail.start])).mean()), known)


def _answer_of(champion: ChampionContestant, tail: Tail, usual: float, bounds: tuple[float, float]) -> Float | None:
    """Return the champion's forecasts, or None if too few readings can judge it or a feature is missing."""
    if np.count_nonzero(champion.unseen(tail)) < MIN_ROWS:
        return None
    answers = champion.answers()
    if answers is None:
        return None
    # The champion's records include a change in the tail, as they do in the worker.
    return blended(answers, tail.y[tail.start :], usual=usual, bounds=bounds).yhat[tail.since - tail.start :]


def judge(comparison: Comparison, champion: int | None) -> GateDecision:
    """Decide whether to promote a candidate, with a reason that holds the figures.

    The rule: with a champion in the contest, the candidate's MAE must be strictly smaller than the champion's;
    without one, it must not be larger than the last value's. A tie keeps the champion. The rule has no margin: if two
    models differ only by noise, either may answer, and a margin would keep a slowly ageing champion for ever.

    Each candidate is judged on the tail once. Choosing among many candidates on one history by this gate would tune on
    the tail, and the winner's figures would be too good. Tuning must compare on the validation part.

    Args:
        comparison: the forecasts of all contestants.
        champion: the champion's version; None: the series has no champion.
    """
    by_name = {name: scores(comparison.actual, answer, comparison.scale) for name, answer in comparison.answers.items()}
    if comparison.champion:
        by_name[CHAMPION] = comparison.champion
    mine = by_name[MODEL].mae
    naive = by_name[LAST_VALUE].mae
    gain = skill(mine, naive)
    figures = f"MAE {mine:.4g} on {len(comparison.actual)} readings, last value {naive:.4g} (skill {gain:.2f})"
    promote, reason = _decide(mine, naive, by_name.get(CHAMPION), champion)
    evidence = Evidence(
        rows=len(comparison.actual),
        season=comparison.season,
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
    return True, f"published, it {'beats' if mine < naive else 'is as good as'} the last value"
