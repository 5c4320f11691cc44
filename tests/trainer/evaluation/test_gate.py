"""The gate keeps to its rule, and compares on the same unseen readings."""

from dataclasses import replace

import numpy as np
import pytest

from tests.harness.models import make_model
from tests.trainer.evaluation.harness import STEP, answers_of, history, model_of
from tidecast.files.history import History
from tidecast.models.metrics import scores, skill
from tidecast.models.model import Model, Scores
from tidecast.models.spec import Spec
from trainer.evaluation.answers import blended
from trainer.evaluation.gate import (
    CHAMPION,
    LAST_VALUE,
    MODEL,
    ChampionContestant,
    Comparison,
    Tail,
    evaluate_candidates,
    judge,
)
from trainer.evaluation.moves import move_stats


def test_scores_are_the_textbook_ones() -> None:
    """By hand: errors 1, 0 and 3 where the last value's were 2 on average."""
    score = scores(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 6.0]), scale=2.0)
    assert (score.mae, score.rmse, score.mase) == pytest.approx((4 / 3, np.sqrt(10 / 3), 2 / 3))


def test_a_part_before_the_tail_that_never_changes_leaves_no_mase() -> None:
    """A last value without error leaves no skill either: neither is a division by zero."""
    assert scores(np.zeros(2), np.ones(2), scale=0.0).mase is None
    assert skill(1.0, 0.0) == 0.0
    assert skill(1.0, 4.0) == 0.75


def contestants(model: float, champion: float | None = None) -> Comparison:
    """Return a comparison in which the last value is off by 2, the others as given."""
    errors = {MODEL: model, LAST_VALUE: 2.0} | ({CHAMPION: champion} if champion is not None else {})
    return Comparison(np.zeros(10), {name: np.full(10, error) for name, error in errors.items()}, None, 2.0)


@pytest.mark.parametrize(
    ("model", "champion", "promoted"),
    [
        (1.0, None, True),
        (2.0, None, True),
        (2.1, None, False),
        (1.0, 1.1, True),
        (1.1, 1.1, False),
        (1.2, 1.1, False),
        (3.0, 4.0, True),
    ],
)
def test_the_gate_promotes_a_candidate_that_improves_on_the_present_forecasts(
    model: float, champion: float | None, promoted: bool
) -> None:
    """Without a champion the last value answers; a tie keeps the champion; a bad champion gives way to a better one."""
    decision = judge(contestants(model, champion), champion=7 if champion else None)
    assert decision.promote is promoted
    assert decision.evidence.verdict.startswith("published" if promoted else "not published")


def test_the_evidence_has_the_figures_whatever_the_decision() -> None:
    """All contestants' scores on the same rows, and a sentence with the numbers."""
    for champion in (0.5, 1.5):
        evidence = judge(contestants(1.0, champion), champion=7).evidence
        assert {name: score.mae for name, score in evidence.scores.items()} == {
            MODEL: 1.0,
            LAST_VALUE: 2.0,
            CHAMPION: champion,
        }
        assert (evidence.rows, evidence.skill) == (10, 0.5)
        for words in ("version 7", f"{champion:.4g}", "MAE 1 on 10 readings", "last value 2", "skill 0.50"):
            assert words in evidence.verdict


def comparison_of(given: History, tail: int, model: Model, champion: Model | None = None) -> Comparison:
    """Return a comparison without a cohort's network."""
    current = ChampionContestant(champion.header, lambda: answers_of(champion, given, tail)) if champion else None
    season = model.header.seasons[0] if model.header.seasons else None
    return evaluate_candidates(Tail(given, tail, tail), answers_of(model, given, tail), season, current)


def test_every_expert_that_answered_all_readings_is_scored_beside_the_blend() -> None:
    """The season is the first of the model's; an expert that a gap silenced is left out."""
    given = history(gap_share=0)
    model = model_of(given, Spec(window=6, units=4))
    compared = comparison_of(given, 40, model)
    assert {MODEL, LAST_VALUE, "seasonal_naive", "smoothing", "linear_recent", "lstm"} <= set(compared.answers)
    assert compared.season == 5
    assert compared.answers["seasonal_naive"].tolist() == given.values[35:-5, 0].tolist()
    assert compared.answers[LAST_VALUE].tolist() == given.values[39:-1, 0].tolist()
    usual = move_stats(given.values[:, 0], 40).largest
    alone = blended(answers_of(model, given, 40), given.values[40:, 0], usual=usual)
    assert compared.answers[MODEL].tolist() == alone.yhat.tolist()
    torn = history()
    assert "lstm" not in comparison_of(torn, 30, model).answers


def test_the_champion_is_judged_only_by_readings_newer_than_it_was_trained_on() -> None:
    """The part that it has learned by heart proves nothing; with too few other readings it is left out."""
    given = history(gap_share=0)
    model = make_model("s", step_ms=STEP)

    def trained_until(reading: int) -> Model:
        span = (0, int(given.ts[reading]))
        return Model(model.header.model_copy(update={"span": span}), model.weights, model.panel)

    half = comparison_of(given, 40, model, trained_until(59))
    assert CHAMPION in half.answers
    assert half.actual.tolist() == given.values[60:, 0].tolist()
    late = comparison_of(given, 40, model, trained_until(len(given) - 3))
    assert CHAMPION not in late.answers
    assert len(late.actual) == 40


def test_a_champion_of_the_same_tail_is_compared_on_the_readings_that_judged_it() -> None:
    """Its figures are of those alone that its own champion had not seen."""
    given = history(gap_share=0)
    model = make_model("s", step_ms=STEP)
    own = model.header.evidence.model_copy(update={"rows": 25, "scores": {MODEL: Scores(mae=0.1, rmse=0.2)}})
    judged = {"judged": Tail(given, 40, 40).span, "evidence": own}
    champion = Model(model.header.model_copy(update=judged), model.weights, model.panel)
    compared = comparison_of(given, 40, model, champion)
    assert given.values[55:, 0].tolist() == compared.actual.tolist()
    assert own.scores[MODEL] == compared.champion


def test_neither_a_gross_error_nor_the_reading_after_it_judges() -> None:
    """The value in the place of the error lies between its neighbours, so it would reveal half of the next reading."""
    given = history(gap_share=0)
    given = replace(given, left_out=given.ts[[50, 51]])
    compared = comparison_of(given, 40, make_model("s", step_ms=STEP))
    assert np.delete(given.values[40:, 0], [10, 11, 12]).tolist() == compared.actual.tolist()


def test_the_bounds_of_the_settings_bound_the_blends() -> None:
    """As in the worker: below them, no contestant would forecast."""
    given = history(gap_share=0)
    low = float(np.median(given.values[:, 0]))
    mine = answers_of(make_model("s", step_ms=STEP), given, 40)
    compared = evaluate_candidates(Tail(given, 40, 40), mine, None, bounds=(low, np.inf))
    assert compared.answers[MODEL].min() == low


def test_mase_is_measured_by_the_part_before_the_tail() -> None:
    """A wild tail does not make its own errors look small."""
    given = history()
    given.values[40:, 0] *= 100
    compared = comparison_of(given, 40, make_model("s", step_ms=STEP))
    assert compared.scale == pytest.approx(np.abs(np.diff(given.values[:40, 0])).mean())
