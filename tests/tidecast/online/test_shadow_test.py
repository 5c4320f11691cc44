"""A new champion on trial, beside the former one, which goes on as if nothing had happened until there is a verdict."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tests.harness.models import make_model
from tests.harness.states import all_whole
from tests.tidecast.online.shadow_models import ENOUGH, ignorant, knowing, swinging
from tidecast.models.model import Model
from tidecast.models.spec import Spec
from tidecast.online.batch import BatchResult
from tidecast.online.forecaster import Forecaster
from tidecast.online.shadow_test import FINAL, FIRST_LOOK, Probation
from tidecast.settings import SeriesSettings

NOW_MS = 1_700_000_000_000


def started(model: Model, enough: int = ENOUGH) -> Forecaster:
    """Return a series that a first champion has answered for twenty readings."""
    forecaster = Forecaster(SeriesSettings(rows_kept=16), probation=enough)
    forecaster.set_model("a", 1, model)
    forecaster.handle(swinging(1, 21), NOW_MS)
    return forecaster


def try_out(forecaster: Forecaster, new: Model, former: Model) -> None:
    """Let a second version answer, and the first beside it, as the worker does."""
    forecaster.set_model("a", 2, new)
    assert {"a": 1} == forecaster.shadow_tests.shadows_to_load
    forecaster.attach_shadow("a", 1, former)
    assert {} == forecaster.shadow_tests.shadows_to_load


def answered(forecaster: Forecaster, first: int, stop: int, batch: int = 7) -> list[BatchResult]:
    """Answer readings in batches."""
    return [forecaster.handle(swinging(start, min(stop, start + batch)), NOW_MS) for start in range(first, stop, batch)]


def kinds(outcomes: list[BatchResult]) -> list[str]:
    """Return the kinds of the events."""
    return [event.kind for outcome in outcomes for event in outcome.events]


def test_a_worse_champion_is_rolled_back_and_the_former_answers_again_as_if_nothing_had_been() -> None:
    """Its live record was kept: forecasts and intervals are those of a series that never had another champion."""
    tried = started(knowing())
    undisturbed = started(knowing())
    try_out(tried, ignorant(), knowing())
    outcomes = answered(tried, 21, 60)
    assert ["rolled_back"] == kinds(outcomes)
    (event,) = [event for outcome in outcomes for event in outcome.events]
    assert ("a", 2) == (event.series, event.version)
    assert {"a": (2, 1)} == tried.shadow_tests.to_roll_back
    tried.set_model("a", 1, knowing())
    assert ({}, {}, None) == (
        tried.shadow_tests.to_roll_back,
        tried.shadow_tests.shadows_to_load,
        tried.states["a"].probation,
    )
    answered(undisturbed, 21, 60)
    for ours, theirs in zip(answered(tried, 60, 90), answered(undisturbed, 60, 90), strict=True):
        assert list(theirs.forecasts.yhat) == list(ours.forecasts.yhat)
        np.testing.assert_array_equal(theirs.forecasts.yhat_upper, ours.forecasts.yhat_upper)


def test_what_is_much_worse_is_found_long_before_the_probation_ends() -> None:
    """After ten comparisons at the earliest; the first reading settles the former one's forecast."""
    tried = started(knowing())
    try_out(tried, ignorant(), knowing())
    outcomes = answered(tried, 21, 60, batch=1)
    (at,) = [i for i, outcome in enumerate(outcomes) if outcome.events]
    assert FIRST_LOOK == at


@pytest.mark.parametrize("new", [knowing, ignorant])
def test_a_champion_that_is_no_worse_is_proved_after_its_probation(new: type) -> None:
    """The former one does not run any more."""
    tried = started(ignorant())
    try_out(tried, new(), ignorant())
    outcomes = answered(tried, 21, 21 + ENOUGH, batch=1)
    assert [] == kinds(outcomes)
    assert ["confirmed"] == kinds(answered(tried, 21 + ENOUGH, 60))
    assert (None, None) == (tried.states["a"].probation, tried.engine.shadow("a"))


def test_readings_that_the_new_champion_has_learned_from_prove_nothing() -> None:
    """It may have learned them by heart; they arrive when a queue was long."""
    tried = started(ignorant())
    try_out(tried, ignorant(trained_until=40_000), ignorant())
    answered(tried, 21, 41)
    trial = tried.states["a"].probation
    assert trial
    assert 0 == trial.readings
    answered(tried, 41, 46)
    assert 5 == trial.readings


@pytest.mark.parametrize("at", [21, 25])
def test_a_trial_goes_on_after_a_restart(at: int) -> None:
    """It goes on from the stored state, to the last bit, whether the former champion was there by then or not."""
    whole_time = started(knowing())
    before = started(knowing())
    stored: dict[str, bytes] = {}
    for forecaster in (whole_time, before):
        forecaster.set_model("a", 2, ignorant())
        if at > 21 or forecaster is whole_time:
            forecaster.attach_shadow("a", 1, knowing())
    expected = answered(whole_time, 21, 60, batch=1)
    before.states["a"].window.unsaved = before.states["a"].window.length
    stored |= before.states["a"].changes("a")
    for outcome in answered(before, 21, at, batch=1):
        stored |= outcome.states
    after = Forecaster(SeriesSettings(rows_kept=8), probation=ENOUGH)
    after.set_model("a", 2, ignorant())
    after.restore(stored)
    assert {"a": 1} == after.shadow_tests.shadows_to_load
    after.attach_shadow("a", 1, knowing())
    outcomes = answered(after, at, 60, batch=1)
    assert kinds(expected) == kinds(outcomes) == ["rolled_back"]
    assert all_whole({**expected[-1].states, **stored}) == all_whole({**outcomes[-1].states, **stored})


def test_readings_that_passed_without_the_former_champion_are_not_compared() -> None:
    """Its forecasts before them belong to other readings."""
    tried = started(knowing())
    tried.set_model("a", 2, ignorant())
    answered(tried, 21, 25)
    tried.attach_shadow("a", 1, knowing())
    answered(tried, 25, 30)
    trial = tried.states["a"].probation
    assert trial
    assert 4 == trial.readings


def test_a_verdict_outlives_a_restart() -> None:
    """The store may not have been written yet; no event is sent twice."""
    tried = started(knowing())
    try_out(tried, ignorant(), knowing())
    stored: dict[str, bytes] = {}
    tried.states["a"].window.unsaved = tried.states["a"].window.length
    for outcome in answered(tried, 21, 60):
        stored |= outcome.states
    after = Forecaster(SeriesSettings(rows_kept=8), probation=ENOUGH)
    after.set_model("a", 2, ignorant())
    after.restore(stored)
    assert {"a": (2, 1)} == after.shadow_tests.to_roll_back
    after.attach_shadow("a", 1, knowing())
    assert [] == kinds(answered(after, 60, 90))


def test_a_third_version_is_compared_with_the_last_that_was_proved() -> None:
    """The other one is itself on trial."""
    tried = started(knowing())
    try_out(tried, ignorant(), knowing())
    answered(tried, 21, 25)
    tried.set_model("a", 3, ignorant())
    trial = tried.states["a"].probation
    assert trial
    assert (3, 1, 0) == (trial.version, trial.former, trial.readings)
    assert ["rolled_back"] == kinds(answered(tried, 25, 60))


def test_without_probation_nobody_is_tried() -> None:
    """A first champion or an older version is not tried either."""
    tried = started(knowing(), enough=0)
    tried.set_model("a", 2, ignorant())
    assert ({}, None) == (tried.shadow_tests.shadows_to_load, tried.states["a"].probation)
    tried = Forecaster(SeriesSettings(), probation=ENOUGH)
    tried.handle(swinging(1, 21), NOW_MS)
    tried.set_model("a", 2, ignorant())
    tried.handle(swinging(21, 23), NOW_MS)
    tried.set_model("a", 1, knowing())
    assert ({}, None) == (tried.shadow_tests.shadows_to_load, tried.states["a"].probation)


def test_a_trial_that_was_stored_for_other_intervals_goes_on() -> None:
    """Its record takes their size, whether or not the new champion has had a reading by then."""
    for until in (21, 25):
        tried = started(knowing())
        try_out(tried, ignorant(), knowing())
        answered(tried, 21, until)
        state = tried.states["a"]
        state.window.unsaved = state.window.length
        after = Forecaster(SeriesSettings(rows_kept=8, more_levels=(0.5, 0.7)), probation=ENOUGH)
        after.set_model("a", 2, ignorant())
        after.restore(state.changes("a"))
        trial = after.states["a"].probation
        assert trial
        assert len(after.states["a"].record) == len(trial.record)
        after.attach_shadow("a", 1, knowing())
        assert ["rolled_back"] == kinds(answered(after, until, 60))


def test_a_champion_that_reads_other_features_is_not_tried() -> None:
    """The windows of the two would not be the same."""
    tried = started(knowing())
    tried.set_model("a", 2, make_model("a", Spec(window=2, units=1, features=("value", "b")), span=(0, 1)))
    assert ({}, None) == (tried.shadow_tests.shadows_to_load, tried.states["a"].probation)


@hypothesis.given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=2, max_size=60))
def test_the_statistic_is_that_of_diebold_and_mariano(errors: list[tuple[float, float]]) -> None:
    """The mean of the differences of the absolute errors over its standard error."""
    trial = Probation.of(2, 1, np.zeros(3), 0)
    for ours, theirs in errors:
        trial.compare(ours, theirs)
    trial.compare(np.nan, 1.0)
    d = np.array([abs(ours) - abs(theirs) for ours, theirs in errors])
    assert len(d) == trial.readings
    if d.std() > 1e-3:
        assert trial.standard_errors == pytest.approx(d.mean() / (d.std(ddof=1) / np.sqrt(len(d))), rel=1e-4, abs=1e-6)


def test_of_equal_champions_few_are_called_worse() -> None:
    """500 pairs of errors with heavy tails: about one in a hundred by the last look, a few more by those before."""
    random = np.random.default_rng(0)
    worse = 0
    for _ in range(500):
        trial = Probation.of(2, 1, np.zeros(3), 0)
        verdict = None
        common = random.standard_t(3, 100)
        for e, ours, theirs in zip(common, *random.normal(0, 0.3, (2, 100)), strict=True):
            trial.compare(e + ours, e + theirs)
            verdict = trial.verdict(100)
            if verdict is not None:
                break
        worse += verdict is False
    assert worse / 500 < 0.03
    assert FINAL > 2
