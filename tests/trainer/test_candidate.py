"""The series that a run trains, and the reasons for which it leaves others out."""

import numpy as np
import pytest

from tests.trainer.harness import QUICK, SPEC, STEP, answering, cut, history, turning, unreachable
from tidecast.errors import SettingsError
from tidecast.files.history import History
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import Settings, TrainSettings
from trainer.evaluation.gate import CHAMPION, MODEL
from trainer.pipeline import TrainOptions, train

pytestmark = [pytest.mark.keras, pytest.mark.settings(train=QUICK)]


def test_the_same_command_again_trains_nothing(settings: Settings, store: ModelStore) -> None:
    """This holds if the version of that run was not promoted, too."""
    for given in (history("good"), turning("bad")):
        train([given], SPEC, settings, store)
        (verdict,) = train([given], SPEC, settings, store, TrainOptions(fit=unreachable))
        assert (verdict.status, verdict.version) == ("already trained", 1)
        assert "already trained on this history" in verdict.reason
        assert store.versions(given.series) == [1]
    assert store.champion("bad") is None


@pytest.mark.parametrize("change", ["values", "spec", "settings", "season", "force"])
def test_anything_that_changes_the_result_trains_again(settings: Settings, store: ModelStore, change: str) -> None:
    """A run is known by its readings, its spec and its settings."""
    given = history()
    spec = SPEC
    season = None
    train([given], spec, settings, store, TrainOptions(fit=answering(0.0)))
    if change == "values":
        given.values[3] += 1e-9
    if change == "spec":
        spec = Spec(window=7, units=4)
    if change == "settings":
        settings = settings.model_copy(update={"train": TrainSettings(epochs=3, shared_epochs=0)})
    if change == "season":
        season = 6
    options = TrainOptions(season=season, force=change == "force", fit=answering(0.0))
    (verdict,) = train([given], spec, settings, store, options)
    assert store.versions("s") == [1, 2]
    assert verdict.evidence is not None
    assert verdict.evidence.scores[CHAMPION] == store.load("s", 1)[1].header.evidence.scores[MODEL]


def test_an_earlier_spec_is_judged_anew(settings: Settings, store: ModelStore) -> None:
    """Against the champion of today; only the newest version can make a run superfluous."""
    other = Spec(window=7, units=4)
    for spec in (SPEC, other, SPEC):
        train([history()], spec, settings, store, TrainOptions(fit=answering(0.0)))
    assert store.versions("s") == [1, 2, 3]
    (verdict,) = train([history()], SPEC, settings, store, TrainOptions(fit=unreachable))
    assert (verdict.status, verdict.version) == ("already trained", 3)


def test_series_that_cannot_be_trained_do_not_stop_the_others(settings: Settings, store: ModelStore) -> None:
    """Each gets its verdict, in the order in which they came."""
    flat = History("flat", ("value",), np.arange(100) * STEP, np.ones((100, 1)))
    any_time = np.cumsum(np.random.default_rng(0).exponential(STEP, 160)).astype(np.int64)
    torn = History("torn", ("value",), any_time, history().values)
    huge = History("huge", ("value",), np.arange(100) * STEP, history(readings=100).values * 1e200)
    dead = history("dead", 60)
    dead.values[-21:] = -9999
    verdicts = train([flat, history("ok"), history("short", 20), torn, huge, dead], SPEC, settings, store)
    assert [(v.series, v.status) for v in verdicts] == [
        ("flat", "constant"),
        ("ok", "trained"),
        ("short", "too short"),
        ("torn", "trained"),
        ("huge", "refused"),
        ("dead", "refused"),
    ]
    assert "0 readings can judge a model, and 8 are needed" in verdicts[-1].reason
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
def test_a_season_out_of_range_is_refused_before_the_training(
    settings: Settings, store: ModelStore, season: int
) -> None:
    """The limit of the model's format, or of the longest history."""
    with pytest.raises(SettingsError, match=f"season is {season}"):
        train([history()], SPEC, settings, store, TrainOptions(season=season))
    assert [] == store.series()


@pytest.mark.parametrize(("readings", "gross"), [(120, []), (131, []), (168, [165])])
def test_a_champion_that_has_learned_the_tail_is_kept_unless_forced(
    settings: Settings, store: ModelStore, readings: int, gross: list[int]
) -> None:
    """An older or hardly newer history cannot judge it; with force, only the last value judges the candidate.

    Then the candidate does not begin with weights that have learned from an older tail either.
    """
    given = history(readings=168)
    train([cut(given, 160)], SPEC, settings, store)
    older = cut(given, readings)
    older.values[gross] = -9999
    (verdict,) = train([older], SPEC, settings, store, TrainOptions(fit=unreachable))
    assert (verdict.status, verdict.version) == ("kept the champion", 1)
    assert "bring newer ones" in verdict.reason
    (verdict,) = train([older], SPEC, settings, store, TrainOptions(force=True))
    assert (verdict.status, store.champion("s")) == ("trained", 2)
    assert (None if readings < 160 else 1) == store.load("s")[1].header.parent


def test_a_damaged_champion_is_replaced(settings: Settings, store: ModelStore) -> None:
    """No worker can load it, so it does not stand in the way; nor does the run stop at it."""
    train([history()], SPEC, settings, store)
    (file,) = settings.store.rglob("*.safetensors")
    file.write_bytes(b"damaged")
    (verdict,) = train([history()], SPEC, settings, store)
    assert (verdict.status, store.champion("s")) == ("trained", 2)
