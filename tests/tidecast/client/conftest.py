"""Where the shared server listens, for the tests of clients."""

import pytest
from redis import Redis

from tidecast.settings import Settings


@pytest.fixture
def url(settings: Settings, redis: Redis) -> str:  # noqa: ARG001 - it empties the server
    """Where the shared, emptied server listens."""
    return settings.redis_url.get_secret_value()
