"""Corrupted readings, learned from or not, make no forecast after a retraining worse than the last value's."""

import numpy as np
import pytest

from tests.trainer.corruption import ALLOWED, CORRUPTIONS, Plan, Result, measure
from tidecast.files.history import History
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import Settings, TrainSettings

pytestmark = pytest.mark.keras

HOUR, TS = 3_600_000, 1_600_000_000_000
READINGS = 760
# A limit of its own: when noise over the whole range of a random walk ends, errors become ten times smaller, and the
# experts that were best under the noise keep their weight for some sixty readings.
SLOWER = {"walk|noise 0.3 ends 0": 1.08}
COMES_BACK = 0.9  # times the last value's errors
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
    return measure(histories, settings, ModelStore(folder), Plan(), Spec(window=6, units=4))


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_corrupted_readings_make_no_forecast_worse_than_the_last_value(results: list[Result], corruption: str) -> None:
    """Over any 200 readings, once they are clean again or if it goes on, whether or not a model learned from them."""
    chosen = [result for result in results if f"|{corruption} " in result.name]
    assert len(SHAPES) * 4 == len(chosen)
    assert [] == [result for result in chosen if max(result.ratio, result.without) > SLOWER.get(result.name, ALLOWED)]


def test_the_experts_come_back_after_a_shock(results: list[Result]) -> None:
    """After a single wrong reading, they regain weight within the readings that follow."""
    spikes = [result for result in results if result.name.startswith("wave|spike ") and result.name.endswith(" ends 0")]
    assert spikes
    assert [] == [result for result in spikes if max(result.ratio, result.without) > COMES_BACK]


def test_the_scenarios_hold_retrainings(results: list[Result]) -> None:
    """In many of them a new model is published; in the others the champion stays."""
    assert len(results) == len(SHAPES) * len(CORRUPTIONS) * 4
    assert sum(result.status == "trained" for result in results) > len(results) / 5
