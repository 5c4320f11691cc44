"""The blocks of the page about what is known ahead, run in their order beside a Redis."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.documents.blocks import blocks_of
from tests.documents.sessions import Reader
from tidecast.connection.embedded import EmbeddedRedis

pytestmark = [pytest.mark.documents, pytest.mark.keras, pytest.mark.timeout(300)]


@pytest.fixture
def server(redis_program: str) -> Iterator[EmbeddedRedis]:
    """A Redis of the page's own."""
    with EmbeddedRedis(redis_program) as running:
        yield running


def test_the_blocks_of_the_page_run(tmp_path: Path, server: EmbeddedRedis) -> None:
    """The skill with prices is far above the one without, and every push writes its entries."""
    (tmp_path / "prices.csv").write_text("series,ds,price\nplant,2030-01-01 02:00,4\nplant,2030-01-01 03:00,5\n")
    with Reader(tmp_path, server.url) as reader:
        outputs = [reader.read(block) for block in blocks_of("docs/how-to/known.md")]
    without, known = (float(skill) for skill in re.findall(r"^0 +[\d.]+ +(-?[\d.]+)$", outputs[0], re.MULTILINE))
    assert known > without + 0.2
    assert 5 == len(re.findall(r"plant 2026-01-21", outputs[0]))
    assert known == pytest.approx(_step_skill(outputs[1], 2), abs=0.1), outputs[:2]
    assert "2 rows of known values pushed" in outputs[2]
    with Redis.from_url(server.url) as redis:
        entries = [fields for _, fields in redis.xrange("known")]
    assert [b"43.5", None, b"4.0", b"5.0", b"43.5", b"44.0"] == [fields.get(b"price") for fields in entries]
    assert b"-2.5" == entries[1][b"temperature"]


def _step_skill(output: str, step: int) -> float:
    """Return the skill of a step in the table that a backtest prints."""
    return float(re.findall(rf"^ +{step} +\d+ +\S+ +\S+ +(\S+)", output, re.MULTILINE)[0])
