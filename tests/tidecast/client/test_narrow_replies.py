"""Readers of many entries get them from a Redis that sends few at once."""

from collections.abc import Iterator

import pytest
from redis import Redis

from dashboard.data.follower import Follower
from tidecast.client import AsyncClient, Client
from tidecast.connection.paging import newest_pages, pages_of
from tidecast.connection.partitions import newest_entries
from tidecast.doctor.examination import examine
from tidecast.doctor.series import facts_of
from tidecast.settings import Settings
from tidecast.tools.frames import read_forecasts

MOST = "100kb"
COUNT = 1500
IDS = [f"{n}-0" for n in range(1, COUNT + 1)]


@pytest.fixture
def narrow(redis: Redis) -> Iterator[Redis]:
    """Forecasts and dead letters, half a megabyte of each, on a server that closes a connection with so much."""
    made = {"series": "a" * 256, "ts": 2, "yhat": 1, "level": 0.9, "origin": 1, "kind": "naive", "y": 1}
    with redis.pipeline() as together:
        for entry_id in IDS:
            together.xadd("forecasts", made, id=entry_id)  # type: ignore[arg-type] # numbers are fine
            together.xadd("dead", {"reason": "no_value", "detail": "x" * 300, "original.series": "a" * 256})
        together.execute()
    redis.hset("offset", "last", IDS[-1])
    redis.config_set("client-output-buffer-limit", f"normal {MOST} {MOST} 1")
    yield redis
    redis.config_set("client-output-buffer-limit", "normal 0 0 0")


@pytest.fixture
def url(settings: Settings) -> str:
    """Where Redis listens."""
    return settings.redis_url.get_secret_value()


@pytest.mark.usefixtures("narrow")
def test_a_client_follows_forecasts_that_are_more_than_redis_sends(url: str) -> None:
    """The same read again and again would bring none of them, for ever."""
    with Client(url) as client:
        assert IDS == [made.id for made in client.forecasts("0", block_ms=50, stop_when_idle=True, give_up_s=30)]


@pytest.mark.usefixtures("narrow")
async def test_so_does_the_one_for_asyncio(url: str) -> None:
    """By the same rule."""
    async with AsyncClient(url) as client:
        following = client.forecasts("0", block_ms=50, stop_when_idle=True, give_up_s=30)
        assert IDS == [made.id async for made in following]


def test_the_doctor_counts_dead_letters(narrow: Redis, settings: Settings) -> None:
    """Before, it reported that Redis no longer answers."""
    settings.store.mkdir()
    findings = {finding.check: finding for finding in examine(settings)}
    assert "redis" not in findings
    assert ": 1000 or more (" in findings["dead"].problem
    assert COUNT == narrow.xlen("dead")


def test_an_entry_that_redis_cannot_send_keeps_the_doctor_from_no_other_check(
    narrow: Redis, settings: Settings
) -> None:
    """XINFO sends the first entry as a whole; Redis answers all the same."""
    settings.store.mkdir()
    narrow.xadd("readings", {"series": "a", "note": "x" * 200_000}, id="1-0")
    findings = {finding.check: finding for finding in examine(settings)}
    assert "client-output-buffer-limit" in findings["entry_ids"].remedy
    assert {"redis", "lost"}.isdisjoint(findings)
    assert "dead" in findings


@pytest.mark.usefixtures("narrow")
def test_the_doctor_tells_of_a_series(settings: Settings) -> None:
    """Looking through thousands of entries."""
    facts = facts_of("a" * 256, settings, lambda _: {})
    assert IDS[-1] == facts["forecast"]["id"]
    assert COUNT == facts["dead"]["count"]


def test_the_newest_entries_come_in_pieces(narrow: Redis) -> None:
    """Newest first, and at most as many as requested."""
    ids = [entry_id.decode() for entry_id, _ in newest_entries(narrow, "forecasts", 1200)]
    assert IDS[:-1201:-1] == ids


@pytest.mark.usefixtures("narrow")
def test_a_frame_has_all_forecasts(url: str) -> None:
    """Ten thousand at once are more than some servers send."""
    frame = read_forecasts(url, match="next")
    assert COUNT == len(frame)


def test_the_trainer_reads_all_pages(narrow: Redis) -> None:
    """From the oldest on, and from the newest back."""
    ids = [entry[0].decode() for page in pages_of(narrow, "forecasts", b"-", b"+") for entry in page]
    assert IDS == ids
    back = [entry[0].decode() for page in newest_pages(narrow, "forecasts", COUNT, 1000) for entry in page]
    assert IDS[::-1] == back


def test_the_dashboard_shows_the_newest_and_follows(narrow: Redis, settings: Settings) -> None:
    """At its start, and when many come at once."""
    follower = Follower(settings, 10)
    assert follower.step(0.0)
    assert COUNT == follower.recent.count[0]
    with narrow.pipeline() as together:
        for n in range(COUNT + 1, 2 * COUNT):
            fields = {"series": "a" * 256, "yhat": 1, "level": 0.9, "origin": 1, "kind": "naive", "y": 1}
            together.xadd("forecasts", fields, id=f"{n}-0")  # type: ignore[arg-type] # numbers are fine
        together.execute()
    assert follower.step(0.1)
    assert "" == follower.trouble
    assert follower.recent.count[0] > COUNT
