"""One installation that has answered some readings."""

import pytest
from redis import Redis

from tests.worker.layout.harness import SERIES, Plant
from tidecast.settings import Settings


@pytest.fixture
def plant(settings: Settings, redis: Redis) -> Plant:  # noqa: ARG001 - it empties the server
    """A new installation of one partition that has answered some readings."""
    plant = Plant(settings)
    plant.push(5 * SERIES)
    plant.serve(1)
    return plant


@pytest.fixture
def expected(plant: Plant) -> dict[str, bytes]:
    """The states."""
    return plant.states()
