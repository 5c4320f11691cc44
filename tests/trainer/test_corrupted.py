"""Corrupted readings, learned from or not, make no forecast after a retraining worse than the last value's."""

import numpy as np
import pytest

from tests.trainer.corruption import ALLOWED, CORRUPTIONS, Result, measure
from tidecast.settings import Settings, TrainSettings
from tidecast.spec import Spec
from tidecast.store import ModelStore
from trainer.history import History

pytestmark = pytest.mark.keras

HOUR, TS = 3_600_000, 1_600_000_000_000
READINGS = 760
NO_WORSE = 1.1  # times the errors without a retraining
SHAPES = {
    "wave": lambda t, rng: 50 + 10 * np.sin(2 * np.pi * t / 24) + rng.normal(0, 1, len(t)),
    "walk": lambda t, rng: 100 + rng.normal(0, 1, len(t)).cumsum(),
    "counts": lambda t, rng: rng.poisson(6 + 5 * np.sin(2 * np.pi * t / 24)).astype(np.float64),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    """Every shape in every scenario, once for all tests."""
    t = np.arange(READINGS)
    histories = [
        History(name, ("value",), TS + t * HOUR, shape(t, np.random.default_rng(i))[:, None])
        for i, (name, shape) in enumerate(SHAPES.items())
    ]
    folder = tmp_path_factory.mktemp("models")
    settings = Settings(store=folder, train=TrainSettings(epochs=2, learning_rate=0.02, shared_epochs=0))
    return measure(histories, settings, ModelStore(folder), spec=Spec(window=6, units=4))


@pytest.mark.parametrize("corruption", [name for name in CORRUPTIONS if not name.startswith("spike")])
def test_a_model_made_from_corrupted_readings_is_not_worse_than_the_last_value(
    results: list[Result], corruption: str
) -> None:
    """Over any 200 readings, once they are clean again or if it goes on."""
    found = [one for one in results if f"|{corruption} " in one.name and one.status == "trained"]
    assert [] == [one for one in found if one.ratio > ALLOWED]


def test_retraining_makes_nothing_worse(results: list[Result]) -> None:
    """Beside the champion that would have stayed.

    Spikes that come after the retraining, or lie one season back when an expert reads them, reach the blend of every
    model: there the last value is no yardstick of the retraining.
    """
    assert len(results) == len(SHAPES) * len(CORRUPTIONS) * 4
    assert sum(one.status == "trained" for one in results) > len(results) / 4
    assert [] == [one for one in results if one.ratio > NO_WORSE * max(1.0, one.without)]
