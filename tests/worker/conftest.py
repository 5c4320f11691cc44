"""One worker, stepped by hand."""

import pytest
from redis import Redis

from tests.worker.harness import new_worker
from tidecast.settings import Settings
from worker.loop import Worker


@pytest.fixture
def worker(settings: Settings, redis: Redis) -> Worker:  # noqa: ARG001 - it empties the server
    """One worker on the emptied server."""
    return new_worker(settings)
