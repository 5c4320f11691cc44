"""One server for all tests of the doctor: it keeps an append-only file, as a healthy one does."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tidecast.doctor.ward import KEPT, Ward, ward
from tidecast.embedded import EmbeddedRedis


@pytest.fixture(scope="session")
def kept_server(redis_program: str) -> Iterator[EmbeddedRedis]:
    """The server."""
    with EmbeddedRedis(redis_program, KEPT) as running:
        yield running


@pytest.fixture
def healthy(kept_server: EmbeddedRedis, tmp_path: Path) -> Iterator[Ward]:
    """An installation in which all is well."""
    with ward(kept_server, tmp_path) as one:
        yield one
