"""When a run of the schedule trains the network of a cohort."""

from typing import Any

import numpy as np
import pytest

from tests.harness.models import make_model
from tidecast.files.history import History
from tidecast.models.store import ModelStore
from tidecast.settings import Settings, TrainSettings
from trainer import shared_networks
from trainer.fit.training_set import TrainingSet
from trainer.retrain import refresh_shared as module
from trainer.retrain.refresh_shared import is_due, refresh_shared

pytestmark = [pytest.mark.keras, pytest.mark.settings(train={"shared_epochs": 1})]

HOUR = 3_600_000
NAME = "value every 3600 s"


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cohort small enough for a test."""
    for each in (shared_networks, module):
        monkeypatch.setattr(each, "MIN_EXAMPLES", 200)


def members(count: int = 3, readings: int = 300) -> list[History]:
    """Hourly waves with noise."""
    t = np.arange(readings)
    noise = np.random.default_rng(0).normal(0, 0.1, (count, readings))
    return [History(f"s{i}", ("value",), HOUR * t, (np.sin(t / 4) + noise[i])[:, None]) for i in range(count)]


def network(knows: int, **changed: Any) -> Any:
    """Return a network trained on the first `knows` readings of its series."""
    return make_model(NAME, step_ms=HOUR, span=(0, HOUR * (knows - 1)), **changed)


@pytest.mark.parametrize(("knows", "expected"), [(201, False), (200, True), (10, True)])
def test_a_network_is_due_once_a_fifth_as_much_is_new_as_it_has_learned_from(knows: int, expected: bool) -> None:
    """Over all its series together; the newest 60 of their 300 readings judge, so it would not learn from them."""
    assert expected == is_due(members(), network(knows), TrainSettings())


@pytest.mark.parametrize(("given", "expected"), [((1, 300), True), ((3, 60), False)])
def test_where_there_is_none_there_must_be_enough_to_learn_from(given: tuple[int, int], expected: bool) -> None:
    """Readings of all series together."""
    assert expected == is_due(members(*given), None, TrainSettings())


def test_a_network_is_trained_once_and_only_where_the_time_suffices(settings: Settings, store: ModelStore) -> None:
    """By the measured time of an example; the next run, with a few readings more, finds it fresh."""
    refresh_shared(members(), settings, store, 0.01)
    assert [] == store.shared.series()
    for readings in (300, 310):
        refresh_shared(members(readings=readings), settings, store, 60)
    assert [1] == store.shared.versions(NAME)


def test_a_cohort_keeps_its_name_when_its_step_is_measured_a_little_otherwise(
    settings: Settings, store: ModelStore
) -> None:
    """Otherwise each run would begin another network."""
    store.shared.publish(network(10))
    longer = [History(h.series, h.features, h.ts * 1001 // 1000, h.values) for h in members()]
    refresh_shared(longer, settings, store, 60)
    assert [NAME] == store.shared.series()
    assert [1, 2] == store.shared.versions(NAME)


def test_gross_errors_are_not_learned_from(
    settings: Settings, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the training of the series' own networks."""
    given = members()
    given[0].values[100] = -9999.0
    learned: list[TrainingSet] = []
    monkeypatch.setattr(module, "train_shared", lambda sets, *_: learned.extend(sets))
    refresh_shared(given, settings, store, 60)
    assert {"s0": 1, "s1": 0, "s2": 0} == {each.history.series: len(each.history.left_out) for each in learned}
    assert min(each.grid.values.min() for each in learned) > -2
