"""The pipeline from histories to versions: which versions are stored and promoted, and the verdict on each series."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tidecast.errors import SettingsError
from tidecast.files.history import History
from tidecast.models.experts import EXPERTS, NAIVE
from tidecast.models.model import Model
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import Settings, TrainSettings, load_settings
from trainer import pipeline
from trainer.evaluation.changepoint import change_of
from trainer.evaluation.evaluate import CHAMPION, LAST_VALUE, MODEL, blended, expert_answers
from trainer.fit.cohort import Fit, Problem, fit_cohort
from trainer.fit.keras_models import initial_weights
from trainer.fit.training_set import TrainingSet, prepare
from trainer.pipeline import Verdict, train

pytestmark = pytest.mark.keras

STEP = 3_600_000
SPEC = Spec(window=6, units=4)
NOW = 1_700_000_000_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Two quick epochs."""
    quick = TrainSettings(epochs=2, learning_rate=0.02, shared_epochs=0)
    return load_settings(store=tmp_path / "models", train=quick)


@pytest.fixture
def store(settings: Settings) -> ModelStore:
    """An empty store."""
    return ModelStore(settings.store)


def history(
    series: str = "s", readings: int = 160, *, seed: int = 0, features: tuple[str, ...] = ("value",)
) -> History:
    """Something easy to learn: waves of twelve hours and a little noise."""
    rng = np.random.default_rng(seed)
    waves = np.sin(2 * np.pi * np.arange(readings)[:, None] / 12 + np.arange(len(features)))
    return History(series, features, np.arange(readings) * STEP, waves + rng.normal(0, 0.05, waves.shape))


def turning(series: str = "s") -> History:
    """Return waves that turn into an unpredictable walk at the tail."""
    given = history(series, readings=260)
    given.values[200:] = np.random.default_rng(4).normal(size=(60, 1)).cumsum(axis=0)
    return given


def noisy(given: History) -> History:
    """Return the same, with nothing but noise before the readings that judge it."""
    values = given.values.copy()
    values[:180] = np.random.default_rng(5).normal(0, 3, values[:180].shape)
    return History(given.series, given.features, given.ts, values)


def cut(given: History, readings: int) -> History:
    """Return the history as it was when it had so many readings."""
    return History(given.series, given.features, given.ts[:readings], given.values[:readings])


def answering(change: float) -> Callable[..., list[Fit]]:
    """Return a stand-in for the fit, whose models answer the last value plus `change` scales."""

    def fit(problems: Sequence[Problem], spec: Spec, settings: TrainSettings, **_: Any) -> list[Fit]:
        weights = initial_weights(spec, seed=1) | {"dense.bias": np.array([change], np.float32)}
        return [Fit(weights, (1.0,) * settings.epochs, (1.0,) * settings.epochs, 1) for _ in problems]

    return fit


def test_a_series_is_trained_and_its_version_says_all_about_it(settings: Settings, store: ModelStore) -> None:
    """A reader needs these to trust it: span, figures, curves, settings and libraries."""
    given = history()
    (verdict,) = train([given], SPEC, settings, store, now_ms=NOW)
    number, model = store.load("s")
    header = model.header
    assert (verdict.status, verdict.version, verdict.evidence) == ("trained", number, header.evidence)
    assert verdict.reason == header.evidence.verdict
    assert {MODEL, LAST_VALUE, "seasonal_naive", "linear", "linear_lad", "lstm"} <= set(header.evidence.scores)
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
    answers = expert_answers(unseen, None, given, 104, settings.series.max_gap)
    actual = given.values[104:, 0]
    assert answers is not None
    errors = np.abs(actual - blended(answers, actual).yhat)
    assert model.header.half_width == pytest.approx(np.sort(errors)[51])  # of 56: the 52nd covers 90 % of 57
    lstm = EXPERTS.index("lstm")
    assert model.panel.errors[0, lstm] == pytest.approx(np.abs(actual - answers[:, lstm]).mean())
    assert not np.array_equal(model.panel.coefficients, before.panel.coefficients)  # it has learned from the tail since


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


def test_target_and_features_are_those_of_the_history(settings: Settings, store: ModelStore) -> None:
    """Series of different width are trained in one call, each by its own spec."""
    wide = history("wide", features=("load", "wind", "sun"))
    verdicts = train([wide, history("plain")], SPEC, settings, store)
    assert [v.status for v in verdicts] == ["trained", "trained"]
    specs = {name: store.load(name)[1].spec for name in ("wide", "plain")}
    assert (specs["wide"].target, specs["wide"].features) == ("load", ("load", "wind", "sun"))
    assert (specs["plain"].target, specs["plain"].units) == ("value", 4)


def test_changing_the_tail_changes_neither_scaler_nor_weights(settings: Settings, store: ModelStore) -> None:
    """The readings that judge a model have no part in making it; its figures change with them."""
    given = history()
    altered = History("t", given.features, given.ts, given.values.copy())
    altered.values[104:] = altered.values[104:] + 30 * np.sin(np.arange(56)[:, None] * 1.7)
    train([given, altered], SPEC, settings, store)
    first = store.load("s")[1]
    other = store.load("t", 1)[1]
    assert (first.header.center, first.header.scale) == (other.header.center, other.header.scale)
    assert all(np.array_equal(first.weights[name], other.weights[name]) for name in first.weights)
    assert first.header.curves == other.header.curves
    assert first.header.evidence.season == other.header.evidence.season == 12
    assert first.header.evidence.skill != other.header.evidence.skill


def test_a_series_comes_out_the_same_whatever_its_company(settings: Settings, store: ModelStore) -> None:
    """To the precision of the arithmetic."""
    train([history("alone")], SPEC, settings, store)
    train([history("a", 120, seed=1), history("together"), history("b", 200, seed=2)], SPEC, settings, store)
    alone, together = (store.load(series, 1)[1] for series in ("alone", "together"))
    for name in alone.weights:
        assert np.allclose(alone.weights[name], together.weights[name], atol=1e-5)


def test_a_candidate_worse_than_the_last_value_is_kept_but_not_promoted(settings: Settings, store: ModelStore) -> None:
    """The worker goes on with the last value; the version and its figures can be looked at."""
    (verdict,) = train([turning()], SPEC, settings, store)
    assert (verdict.status, verdict.version) == ("refused", 1)
    assert store.champion("s") is None
    evidence = store.load("s", 1)[1].header.evidence
    assert evidence == verdict.evidence
    assert evidence.skill < 0
    assert "worse than the last value" in verdict.reason


def test_a_bad_network_has_no_say_and_spoils_no_candidate(settings: Settings, store: ModelStore) -> None:
    """It is blended out within readings; the linear experts answer."""
    (verdict,) = train([history()], SPEC, settings, store, fit=answering(5.0))
    assert verdict.status == "trained"
    assert verdict.evidence is not None
    assert verdict.evidence.scores["lstm"].mae > verdict.evidence.scores[LAST_VALUE].mae
    assert verdict.evidence.skill > 0.5


def test_a_candidate_worse_than_the_champion_is_kept_but_not_promoted(settings: Settings, store: ModelStore) -> None:
    """Both are judged on the same newer readings, and the verdict has both figures."""
    given = history(readings=300)
    train([cut(given, 160)], SPEC, settings, store)
    (verdict,) = train([noisy(given)], SPEC, settings, store, season=1, fit=answering(5.0))
    assert (verdict.status, verdict.version) == ("kept the champion", 2)
    assert store.champion("s") == 1
    assert verdict.evidence is not None
    scores = verdict.evidence.scores
    assert scores[CHAMPION].mae < scores[MODEL].mae
    assert f"version 1 is at least as good with an MAE of {scores[CHAMPION].mae:.4g}" in verdict.reason


def test_a_candidate_better_than_the_champion_takes_its_place(settings: Settings, store: ModelStore) -> None:
    """Retraining on newer readings starts from the champion's weights and notes it."""
    given = history(readings=300)
    train([cut(noisy(given), 160)], SPEC, settings, store, fit=answering(5.0))
    (verdict,) = train([given], SPEC, settings, store)
    assert (verdict.status, store.champion("s")) == ("trained", 2)
    assert store.load("s")[1].header.parent == 1


def test_a_history_too_short_for_a_network_is_served_by_the_linear_experts(
    settings: Settings, store: ModelStore
) -> None:
    """The verdict gives the reason for the missing network; a longer history later brings one."""
    (verdict,) = train([history(readings=60)], Spec(window=24, units=4), settings, store, fit=unreachable)
    assert verdict.status == "trained"
    assert "60 readings bear no network" in verdict.reason
    model = store.load("s")[1]
    assert (model.header.network, dict(model.weights), model.header.curves) == (False, {}, {})
    (verdict,) = train([history(readings=260)], Spec(window=24, units=4), settings, store)
    assert (verdict.status, store.load("s")[1].header.network) == ("trained", True)
    assert store.load("s")[1].header.parent is None


def test_only_weights_of_the_same_spec_are_started_from(settings: Settings, store: ModelStore) -> None:
    """A champion of another shape is competed with, not inherited from."""
    given = history(readings=200)
    starts: list[Any] = []

    def spy(problems: Sequence[Problem], *args: Any, **options: Any) -> list[Fit]:
        starts.extend(problem.initial for problem in problems)
        return fit_cohort(problems, *args, **options)

    train([cut(given, 160)], SPEC, settings, store, fit=spy)
    train([cut(given, 180)], SPEC, settings, store, fit=spy)
    store.promote("s", 1)
    train([given], Spec(window=6, units=5), settings, store, fit=spy)
    assert [start is None for start in starts] == [True, False, True]
    champion = store.load("s", 1)[1].weights
    assert all(np.array_equal(starts[1][name], champion[name]) for name in champion)
    assert store.load("s", 3)[1].header.parent is None
    assert CHAMPION in store.load("s", 3)[1].header.evidence.scores


def test_the_same_command_again_trains_nothing(settings: Settings, store: ModelStore) -> None:
    """This holds if the version of that run was not promoted, too."""
    for given in (history("good"), turning("bad")):
        train([given], SPEC, settings, store)
        (verdict,) = train([given], SPEC, settings, store, fit=unreachable)
        assert (verdict.status, verdict.version) == ("already trained", 1)
        assert "already trained on this history" in verdict.reason
        assert store.versions(given.series) == [1]
    assert store.champion("bad") is None


@pytest.mark.parametrize("change", ["values", "spec", "settings", "season", "force"])
def test_anything_that_changes_the_outcome_trains_again(settings: Settings, store: ModelStore, change: str) -> None:
    """A run is known by its readings, its spec and its settings."""
    given = history()
    spec = SPEC
    season = None
    train([given], spec, settings, store, fit=answering(0.0))
    if change == "values":
        given.values[3] += 1e-9
    if change == "spec":
        spec = Spec(window=7, units=4)
    if change == "settings":
        settings = settings.model_copy(update={"train": TrainSettings(epochs=3, shared_epochs=0)})
    if change == "season":
        season = 6
    (verdict,) = train([given], spec, settings, store, season=season, force=change == "force", fit=answering(0.0))
    assert store.versions("s") == [1, 2]
    assert verdict.evidence is not None
    assert verdict.evidence.scores[CHAMPION] == store.load("s", 1)[1].header.evidence.scores[MODEL]


def test_who_returns_to_an_earlier_spec_has_it_judged_anew(settings: Settings, store: ModelStore) -> None:
    """Against the champion of today; only the newest version can make a run superfluous."""
    other = Spec(window=7, units=4)
    for spec in (SPEC, other, SPEC):
        train([history()], spec, settings, store, fit=answering(0.0))
    assert store.versions("s") == [1, 2, 3]
    (verdict,) = train([history()], SPEC, settings, store, fit=unreachable)
    assert (verdict.status, verdict.version) == ("already trained", 3)


def test_an_interrupted_run_goes_on_where_it_stopped(
    settings: Settings, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The series of a published chunk are not trained again."""
    monkeypatch.setattr(pipeline, "CHUNK", 2)
    histories = [history(f"s{i}", 200 + 10 * i) for i in range(5)]
    calls: list[int] = []

    def interrupted(problems: Sequence[Problem], *args: Any, **options: Any) -> list[Fit]:
        calls.append(len(problems))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return answering(0.0)(problems, *args, **options)

    with pytest.raises(KeyboardInterrupt):
        train(histories, SPEC, settings, store, fit=interrupted)
    verdicts = train(histories, SPEC, settings, store, fit=interrupted)
    assert [v.status for v in verdicts] == ["already trained"] * 4 + ["trained"]
    assert calls == [2, 2, 1, 1]


def test_series_that_cannot_be_trained_do_not_stop_the_others(settings: Settings, store: ModelStore) -> None:
    """Each gets its verdict, in the order in which they came."""
    flat = History("flat", ("value",), np.arange(100) * STEP, np.ones((100, 1)))
    any_time = np.cumsum(np.random.default_rng(0).exponential(STEP, 160)).astype(np.int64)
    torn = History("torn", ("value",), any_time, history().values)
    huge = History("huge", ("value",), np.arange(100) * STEP, history(readings=100).values * 1e200)
    verdicts = train([flat, history("ok"), history("short", 20), torn, huge], SPEC, settings, store)
    assert [(v.series, v.status) for v in verdicts] == [
        ("flat", "constant"),
        ("ok", "trained"),
        ("short", "too short"),
        ("torn", "trained"),
        ("huge", "refused"),
    ]
    assert store.series() == ["ok", "torn"]
    assert not store.load("torn")[1].header.gridded
    refused = [v for v in verdicts if v.status != "trained"]
    assert all(v.version is None and v.evidence is None and v.reason for v in refused)


def test_a_column_that_cannot_be_a_field_refuses_its_series_alone(settings: Settings, store: ModelStore) -> None:
    """Its name is in the sentence; the others are trained."""
    names = ["ts", "series", "load\xa0mw", ""]
    bad = [history(f"{name} {i}", features=(name, "value")[:: 1 - 2 * i]) for name in names for i in (0, 1)]
    *refused, good = train([*bad, history("good")], SPEC, settings, store)
    for name, verdict in zip([name for name in names for _ in (0, 1)], refused, strict=True):
        assert ("refused", f"{name!r} cannot be a reading's field: name the column otherwise") == (
            verdict.status,
            verdict.reason,
        )
    assert good.version == 1


@pytest.mark.parametrize("season", [0, -3, 1440, 160])
def test_a_season_out_of_range_is_said_before_the_training(settings: Settings, store: ModelStore, season: int) -> None:
    """The limit of the model's format, or of the longest history."""
    with pytest.raises(SettingsError, match=f"season is {season}"):
        train([history()], SPEC, settings, store, season=season)
    assert [] == store.series()


@pytest.mark.parametrize("where", ["loss", "weights"])
def test_a_training_that_diverged_is_refused(settings: Settings, store: ModelStore, where: str) -> None:
    """It is not stored: it has no figures to show."""

    def diverged(problems: Sequence[Problem], *args: Any, **options: Any) -> list[Fit]:
        (fit,) = answering(np.nan if where == "weights" else 0.0)(problems, *args, **options)
        return [Fit(fit.weights, (np.nan,), (np.nan,), 0) if where == "loss" else fit]

    (verdict,) = train([history()], SPEC, settings, store, fit=diverged)
    assert (verdict.status, verdict.version) == ("refused", None)
    assert "diverged" in verdict.reason
    assert store.versions("s") == []


@pytest.mark.parametrize("readings", [120, 131])
def test_a_champion_that_knows_the_tail_by_heart_is_kept_unless_forced(
    settings: Settings, store: ModelStore, readings: int
) -> None:
    """An older or hardly newer history cannot judge it; with force, only the last value judges the candidate."""
    train([history()], SPEC, settings, store)
    older = cut(history(), readings)
    (verdict,) = train([older], SPEC, settings, store, fit=unreachable)
    assert (verdict.status, verdict.version) == ("kept the champion", 1)
    assert "bring newer ones" in verdict.reason
    (verdict,) = train([older], SPEC, settings, store, force=True)
    assert (verdict.status, store.champion("s")) == ("trained", 2)


def test_a_damaged_champion_is_replaced(settings: Settings, store: ModelStore) -> None:
    """No worker can load it, so it does not stand in the way; nor does the run stop at it."""
    train([history()], SPEC, settings, store)
    (file,) = settings.store.rglob("*.safetensors")
    file.write_bytes(b"damaged")
    (verdict,) = train([history()], SPEC, settings, store)
    assert (verdict.status, store.champion("s")) == ("trained", 2)


@pytest.mark.parametrize(("given", "used"), [(None, 12), (6, 6), (1, None)])
def test_the_season_is_found_unless_it_is_given(
    settings: Settings, store: ModelStore, given: int | None, used: int | None
) -> None:
    """A single row is not a season, and then there is no seasonal naive."""
    (verdict,) = train([history()], SPEC, settings, store, season=given, fit=answering(0.0))
    assert verdict.evidence is not None
    assert verdict.evidence.season == used
    assert ("seasonal_naive" in verdict.evidence.scores) is (used is not None)


def test_the_progress_never_goes_back_and_ends_with_all(
    settings: Settings, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It moves within a chunk too, epoch by epoch."""
    monkeypatch.setattr(pipeline, "CHUNK", 2)
    progress: list[float] = []
    train([history(f"s{i}", 200 + i) for i in range(3)], SPEC, settings, store, progress=progress.append)
    assert progress == sorted(progress)
    assert progress[-1] == 3
    assert any(0 < done < 2 for done in progress)


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
    judged = Verdict("s", "trained", "published", 1, pipeline.PENDING)
    assert judged.as_dict()["evidence"]["verdict"] == "not judged yet"


def unreachable(*_: Any, **__: Any) -> list[Fit]:
    """A fit that must not be called."""
    raise AssertionError("nothing was to be trained")
