"""The pipeline from histories to versions: shapes, company, warm starts and interruptions."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.harness.models import make_model
from tests.trainer.harness import QUICK, SPEC, answering, cut, history, unreachable
from tidecast.files.history import History
from tidecast.models.known.inputs import KnownSeries
from tidecast.models.known.values import KnownValues
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.online.forecaster import Forecaster
from tidecast.settings import Settings
from trainer.evaluation.gate import CHAMPION
from trainer.fit.own_networks import Fit, Problem, fit_networks
from trainer.pipeline import TrainOptions, train
from trainer.runs import plan

pytestmark = [pytest.mark.keras, pytest.mark.settings(train=QUICK)]


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


def test_series_of_which_one_needs_a_known_input_are_trained_together(settings: Settings, store: ModelStore) -> None:
    """The pattern of a file covers them all, and which inputs help is chosen series by series."""
    plain = history("plain")
    planned = history("planned", seed=1)
    plan_ahead = np.random.default_rng(2).normal(size=len(planned.ts))
    planned.values[1:, 0] += 3 * plan_ahead[1:]
    values = KnownValues()
    values.add("planned", "plan", planned.ts, plan_ahead)
    progress: list[float] = []
    for now_ms in (0, 1):  # also from the weights of a champion
        given = [plain, replace(planned, known=KnownSeries("planned", values))]
        options = TrainOptions(now_ms=now_ms, force=True, progress=progress.append)
        train(given, SPEC, settings, store, options)
    known = {name: store.load(name, 2)[1].spec.known for name in ("plain", "planned")}
    assert {"plain": (), "planned": ("plan",)} == known
    assert progress[: len(progress) // 2] == sorted(progress[: len(progress) // 2])


def test_a_series_comes_out_the_same_whatever_its_company(settings: Settings, store: ModelStore) -> None:
    """To the precision of the arithmetic."""
    train([history("alone")], SPEC, settings, store)
    train([history("a", 120, seed=1), history("together"), history("b", 200, seed=2)], SPEC, settings, store)
    alone, together = (store.load(series, 1)[1] for series in ("alone", "together"))
    for name in alone.weights:
        assert np.allclose(alone.weights[name], together.weights[name], atol=1e-5)


def test_a_history_too_short_for_a_network_is_served_by_the_linear_experts(
    settings: Settings, store: ModelStore
) -> None:
    """The verdict gives the reason for the missing network; a longer history later brings one."""
    (verdict,) = train([history(readings=60)], Spec(window=24, units=4), settings, store, TrainOptions(fit=unreachable))
    assert verdict.status == "trained"
    assert "too few readings for a network: 60, " in verdict.reason
    model = store.load("s")[1]
    assert (model.header.network, dict(model.weights), model.header.curves) == (False, {}, {})
    (verdict,) = train([history(readings=260)], Spec(window=24, units=4), settings, store)
    assert (verdict.status, store.load("s")[1].header.network) == ("trained", True)
    assert store.load("s")[1].header.parent is None


def test_a_season_longer_than_any_window_is_learned_as_a_profile(settings: Settings, store: ModelStore) -> None:
    """A worker forecasts with it from the first reading after the history on."""
    day = 1440
    values = np.random.default_rng(0).normal(size=day) * 5
    given = History("s", ("value",), np.arange(4 * day) * 60_000, np.tile(values, 4)[:, None])
    (verdict,) = train([given], SPEC, settings, store, TrainOptions(season=day, fit=answering(0.0)))
    version, model = store.load("s")
    assert ("trained", (day,)) == (verdict.status, model.header.seasons)
    forecaster = Forecaster(settings.series)
    forecaster.set_model("s", version, model)
    assert forecaster.rows_read("s") < day
    fields = {b"series": b"s", b"value": b"%.6f" % values[0], b"ts": b"%d" % (4 * day * 60_000)}
    (forecast,) = forecaster.handle([(f"{4 * day * 60_000}-0", fields)], 4 * day * 60_000).forecasts
    assert forecast.yhat == pytest.approx(values[1], abs=0.5)


def test_only_weights_of_the_same_spec_are_started_from(settings: Settings, store: ModelStore) -> None:
    """A champion of another shape is competed with, not inherited from."""
    given = history(readings=200)
    starts: list[Any] = []

    def spy(problems: Sequence[Problem], *args: Any, **options: Any) -> list[Fit]:
        starts.extend(problem.initial for problem in problems)
        return fit_networks(problems, *args, **options)

    train([cut(given, 160)], SPEC, settings, store, TrainOptions(fit=spy))
    train([cut(given, 180)], SPEC, settings, store, TrainOptions(fit=spy))
    store.promote("s", 1)
    train([given], Spec(window=6, units=5), settings, store, TrainOptions(fit=spy))
    assert [start is None for start in starts] == [True, False, True]
    champion = store.load("s", 1)[1].weights
    assert all(np.array_equal(starts[1][name], champion[name]) for name in champion)
    assert store.load("s", 3)[1].header.parent is None
    assert CHAMPION in store.load("s", 3)[1].header.evidence.scores


def test_an_interrupted_run_goes_on_where_it_stopped(
    settings: Settings, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The series of a published chunk are not trained again."""
    monkeypatch.setattr(plan, "SERIES", 2)
    histories = [history(f"s{i}", 200 + 10 * i) for i in range(5)]
    calls: list[int] = []

    def interrupted(problems: Sequence[Problem], *args: Any, **options: Any) -> list[Fit]:
        calls.append(len(problems))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return answering(0.0)(problems, *args, **options)

    with pytest.raises(KeyboardInterrupt):
        train(histories, SPEC, settings, store, TrainOptions(fit=interrupted))
    verdicts = train(histories, SPEC, settings, store, TrainOptions(fit=interrupted))
    assert [v.status for v in verdicts] == ["already trained"] * 4 + ["trained"]
    assert calls == [2, 2, 1, 1]


@pytest.mark.parametrize("before", [0, 1])
def test_a_champion_that_came_during_the_training_is_kept(settings: Settings, store: ModelStore, before: int) -> None:
    """The new version was compared with the former champion only, and never with the present one."""
    for _ in range(before):
        store.publish(make_model("s", SPEC))
    at_the_same_time = before + 1

    def overtaken(*args: Any, **options: Any) -> list[Fit]:
        store.publish(make_model("s", SPEC, seed=1))
        return answering(0.0)(*args, **options)

    (verdict,) = train([history()], SPEC, settings, store, TrainOptions(fit=overtaken, force=True))
    assert ("kept the champion", at_the_same_time) == (verdict.status, verdict.version)
    assert f"version {at_the_same_time} became champion during the training: train again" in verdict.reason
    assert at_the_same_time == store.champion("s") == store.versions("s")[-1]
    (verdict,) = train([history()], SPEC, settings, store, TrainOptions(fit=answering(0.0), force=True))
    assert "during the training" not in verdict.reason


def test_the_progress_never_goes_back_and_ends_with_all(
    settings: Settings, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It moves within a chunk too, epoch by epoch."""
    monkeypatch.setattr(plan, "SERIES", 2)
    progress: list[float] = []
    train([history(f"s{i}", 200 + i) for i in range(3)], SPEC, settings, store, TrainOptions(progress=progress.append))
    assert progress == sorted(progress)
    assert progress[-1] == 3
    assert any(0 < done < 2 for done in progress)
