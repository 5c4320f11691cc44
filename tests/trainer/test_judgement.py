"""The version that a training writes, its figures, and the verdict of the gate."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.trainer.harness import QUICK, SPEC, STEP, answering, cut, history, noisy, turning
from tidecast.models.experts import EXPERTS, NAIVE
from tidecast.models.model import Model
from tidecast.models.store import ModelStore
from tidecast.online.window import Window
from tidecast.settings import Settings
from trainer.evaluation.answers import blended, expert_answers
from trainer.evaluation.changepoint import change_of
from trainer.evaluation.gate import CHAMPION, LAST_VALUE, MODEL
from trainer.fit.own_networks import Fit, Problem
from trainer.fit.training_set import TrainingSet, prepare
from trainer.pipeline import TrainOptions, train
from trainer.verdict import PENDING, Verdict

pytestmark = [pytest.mark.keras, pytest.mark.settings(train=QUICK)]

NOW = 1_700_000_000_000


def test_a_series_is_trained_and_its_version_describes_itself(settings: Settings, store: ModelStore) -> None:
    """A reader needs these to trust it: span, figures, curves, settings and libraries."""
    given = history()
    (verdict,) = train([given], SPEC, settings, store, TrainOptions(now_ms=NOW))
    number, model = store.load("s")
    header = model.header
    assert (verdict.status, verdict.version, verdict.evidence) == ("trained", number, header.evidence)
    assert verdict.reason == header.evidence.verdict
    assert {MODEL, LAST_VALUE, "seasonal_naive", "linear", "linear_robust", "lstm"} <= set(header.evidence.scores)
    assert (header.evidence.rows, header.evidence.season, header.seasons) == (56, 12, (12, 24))
    assert header.evidence.skill > 0
    assert (header.step_ms, header.span) == (STEP, (0, 159 * STEP))
    assert {name: len(curve) for name, curve in header.curves.items()} == {"loss": 2, "val_loss": 2}
    assert header.training.items() >= {"epochs": 2, "batch": 64, "examples": 88, "validation_examples": 10}.items()
    assert {"tidecast", "numpy", "keras"} < set(header.libraries)
    assert (header.created_ms, header.parent) == (NOW, None)


def test_the_interval_and_the_first_records_come_from_the_tail(settings: Settings, store: ModelStore) -> None:
    """From the errors that the blend, and each expert, made there while the linear experts had not seen it."""
    given = history()
    train([given], SPEC, settings, store)
    model = store.load("s")[1]
    before = prepare(given, SPEC, settings.train, settings.series.max_gap)
    assert isinstance(before, TrainingSet)
    unseen = Model(model.header, model.weights, before.panel)
    answers = expert_answers(unseen, None, before.grid, 104)
    actual = given.values[104:, 0]
    errors = np.abs(actual - blended(answers, actual).yhat)
    assert model.header.half_width == pytest.approx(np.sort(errors)[51])  # of 56: the 52nd covers 90 % of 57
    lstm = EXPERTS.index("lstm")
    assert model.panel.errors[0, lstm] == pytest.approx(np.abs(actual - answers[:, lstm]).mean())
    assert not np.array_equal(model.panel.coefficients, before.panel.coefficients)  # it has learned from the tail since


def test_the_newest_rows_are_stored_as_a_window_holds_them(settings: Settings, store: ModelStore) -> None:
    """As many as the experts read and some more, with filled gaps, and none from before a long gap."""
    given = history(readings=300)
    kept = np.delete(np.arange(300), [250, 251])
    moved = given.ts[kept] + 50 * STEP * (kept > 255)
    train([replace(given, ts=moved, values=given.values[kept])], SPEC, settings, store)
    model = store.load("s")[1]
    window = Window(400, 1)
    window.step_ms = STEP
    for ts, row in zip(moved.tolist(), given.values[kept], strict=True):
        window.push(ts, row, settings.series.max_gap)
    assert model.newest
    assert window.length == len(model.newest) < model.rows + 8
    np.testing.assert_allclose(window.rows, model.newest.values)
    assert (window.last_ts, moved[-1]) == (model.newest.ts[-1], model.header.span[1])
    train(
        [replace(given, ts=given.ts[kept], values=given.values[kept])], SPEC, settings, store, TrainOptions(force=True)
    )
    newest = store.load("s")[1].newest
    assert newest
    assert model.rows + 8 == len(newest)
    assert [250 * STEP, 251 * STEP] == newest.ts[newest.filled == 1].tolist()


def test_a_series_that_is_deleted_during_its_training_gets_no_version(settings: Settings, store: ModelStore) -> None:
    """Nothing of the old name comes back."""
    train([history(readings=300)], SPEC, settings, store)
    store.delete("s")
    (verdict,) = train([history(readings=300)], SPEC, settings, store, TrainOptions(now_ms=0))
    assert ("refused", "the series was deleted or renamed during the training") == (verdict.status, verdict.reason)
    assert [] == store.series()


def test_after_a_change_the_newest_readings_alone_judge(settings: Settings, store: ModelStore) -> None:
    """Those for which no expert reads across it any more; and the first records come from them, without a handicap."""
    given = history(readings=400)
    given.values[345:] += 3
    (verdict,) = train([given], SPEC, settings, store)
    assert verdict.evidence
    change = change_of(given.values[:, 0], 340, 12)
    assert change
    assert len(given) - change.over == verdict.evidence.rows < 55
    errors = store.load("s")[1].panel.errors[0]
    assert np.nanmin(errors) < 0.5 * errors[NAIVE] < 0.5


def test_a_model_that_beats_the_champion_on_an_unusual_tail_begins_without_care(
    settings: Settings, store: ModelStore
) -> None:
    """The champion's records are of that tail too. A first model begins behind the last value."""
    given = history(readings=400)
    given.values[390:] += 30  # too few readings ago to judge by those after it
    train([replace(given, series="new")], SPEC, settings, store)
    train([cut(noisy(given), 160)], SPEC, settings, store, TrainOptions(fit=answering(5.0)))
    (verdict,) = train([given], SPEC, settings, store)
    assert verdict.status == "trained"
    first = store.load("new")[1].panel.errors[0]
    later = store.load("s")[1].panel.errors[0]
    assert np.nanmin(first) == first[NAIVE]
    assert np.nanmin(later) < 0.8 * later[NAIVE]


def test_a_candidate_worse_than_the_last_value_is_kept_but_not_promoted(settings: Settings, store: ModelStore) -> None:
    """The worker goes on with the last value; the version and its figures can be looked at."""
    (verdict,) = train([turning()], SPEC, settings, store)
    assert (verdict.status, verdict.version) == ("refused", 1)
    assert store.champion("s") is None
    evidence = store.load("s", 1)[1].header.evidence
    assert evidence == verdict.evidence
    assert evidence.skill < 0
    assert "worse than the last value" in verdict.reason


def test_a_bad_network_gets_no_weight_and_spoils_no_candidate(settings: Settings, store: ModelStore) -> None:
    """It is blended out within readings; the linear experts answer."""
    (verdict,) = train([history()], SPEC, settings, store, TrainOptions(fit=answering(5.0)))
    assert verdict.status == "trained"
    assert verdict.evidence is not None
    assert verdict.evidence.scores["lstm"].mae > verdict.evidence.scores[LAST_VALUE].mae
    assert verdict.evidence.skill > 0.5


def test_a_candidate_worse_than_the_champion_is_kept_but_not_promoted(settings: Settings, store: ModelStore) -> None:
    """Both are judged on the same newer readings, and the verdict has both figures."""
    given = history(readings=300)
    train([cut(given, 160)], SPEC, settings, store)
    (verdict,) = train([noisy(given)], SPEC, settings, store, TrainOptions(season=1, fit=answering(5.0)))
    assert (verdict.status, verdict.version) == ("kept the champion", 2)
    assert store.champion("s") == 1
    assert verdict.evidence is not None
    scores = verdict.evidence.scores
    assert scores[CHAMPION].mae < scores[MODEL].mae
    assert f"version 1 is at least as good with an MAE of {scores[CHAMPION].mae:.4g}" in verdict.reason


def test_a_candidate_better_than_the_champion_takes_its_place(settings: Settings, store: ModelStore) -> None:
    """Retraining on newer readings starts from the champion's weights and notes it."""
    given = history(readings=300)
    train([cut(noisy(given), 160)], SPEC, settings, store, TrainOptions(fit=answering(5.0)))
    (verdict,) = train([given], SPEC, settings, store)
    assert (verdict.status, store.champion("s")) == ("trained", 2)
    assert store.load("s")[1].header.parent == 1


@pytest.mark.parametrize("where", ["loss", "weights"])
def test_a_training_that_diverged_is_refused(settings: Settings, store: ModelStore, where: str) -> None:
    """It is not stored: it has no figures to show."""

    def diverged(problems: Sequence[Problem], *args: Any, **options: Any) -> list[Fit]:
        (fit,) = answering(np.nan if where == "weights" else 0.0)(problems, *args, **options)
        return [Fit(fit.weights, (np.nan,), (np.nan,), 0) if where == "loss" else fit]

    (verdict,) = train([history()], SPEC, settings, store, TrainOptions(fit=diverged))
    assert (verdict.status, verdict.version) == ("refused", None)
    assert "diverged" in verdict.reason
    assert store.versions("s") == []


@pytest.mark.parametrize(("given", "used"), [(None, 12), (6, 6), (1, None)])
def test_the_season_is_found_unless_it_is_given(
    settings: Settings, store: ModelStore, given: int | None, used: int | None
) -> None:
    """A single row is not a season, and then the seasonal naive does not compete."""
    (verdict,) = train([history()], SPEC, settings, store, TrainOptions(season=given, fit=answering(0.0)))
    assert verdict.evidence is not None
    assert verdict.evidence.season == used
    assert ("seasonal_naive" in verdict.evidence.scores) is (used is not None)


def test_a_verdict_is_ready_for_json() -> None:
    """With its evidence or without."""
    plain = Verdict("s", "too short", "20 readings")
    assert plain.as_dict() == {
        "series": "s",
        "status": "too short",
        "reason": "20 readings",
        "version": None,
        "evidence": None,
    }
    judged = Verdict("s", "trained", "published", 1, PENDING)
    assert judged.as_dict()["evidence"]["verdict"] == "not judged yet"
