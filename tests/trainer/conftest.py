"""The settings of the tests that train networks."""

import pytest

from tidecast.settings import Settings, TrainSettings


@pytest.fixture
def quick(settings: Settings) -> Settings:
    """Two quick epochs, and no shared network."""
    return settings.model_copy(update={"train": TrainSettings(epochs=2, learning_rate=0.02, shared_epochs=0)})
