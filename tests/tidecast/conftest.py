"""A healthy installation, on a server that keeps an append-only file as one should."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.installation import KEPT, Installation, installation
from tidecast.connection.embedded import EmbeddedRedis


@pytest.fixture(scope="session")
def kept_server(redis_program: str) -> Iterator[EmbeddedRedis]:
    """The server."""
    with EmbeddedRedis(redis_program, KEPT) as running:
        yield running


@pytest.fixture
def healthy(kept_server: EmbeddedRedis, tmp_path: Path) -> Iterator[Installation]:
    """An installation in which all is well."""
    with installation(kept_server, tmp_path) as made:
        yield made
