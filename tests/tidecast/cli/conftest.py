"""Where commands find Redis without an option."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from redis import Redis

from tidecast.settings import Settings


@pytest.fixture
def url(settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:  # noqa: ARG001 - it empties the server
    """The address of the emptied server, set in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIDECAST_REDIS_URL", settings.redis_url.get_secret_value())
    yield settings.redis_url.get_secret_value()
    structlog.reset_defaults()  # the command's log goes to what this test captured
