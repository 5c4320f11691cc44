"""An emptied server on which runs are due."""

import pytest
from redis import Redis

from tests.worker.retraining.bench import Bench


@pytest.fixture
def bench(redis: Redis) -> Bench:
    """An emptied server."""
    return Bench(redis)
