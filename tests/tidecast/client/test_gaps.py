"""Readers are warned of forecasts that were removed before they read them."""

import logging
from typing import Any

import pytest
from redis import Redis

from tests.harness.patience import PATIENCE_S
from tests.tidecast.client.harness import Follower, both, publish
from tidecast.client.following import warn_of_gap


@both
@pytest.mark.parametrize(
    ("since", "ids", "warned"),
    [
        ("2-0", ["5-0", "6-0"], "forecasts begins at 5-0: entries after 2-0 may have been trimmed unread"),
        ("9-0", [], "forecasts ends at 6-0, before 9-0: iterate again from 0, or wait for higher ids"),
        ("5-0", ["6-0"], ""),
        ("0", ["5-0", "6-0"], ""),
        (0, ["5-0", "6-0"], ""),
    ],
)
def test_forecasts_that_are_gone_are_warned_of(
    url: str,
    redis: Redis,
    caplog: pytest.LogCaptureFixture,
    asynchronous: bool,
    since: str | int,
    ids: list[str],
    warned: str,
) -> None:
    """A reader that begins after an id that was trimmed would otherwise miss some without a warning."""
    publish(url, *(f"{i}-0" for i in range(1, 7)))
    redis.xtrim("forecasts", minid="5-0", approximate=False)
    with Follower(url, asynchronous=asynchronous) as follower:
        follower.items = follower.client.forecasts(since, block_ms=1, stop_when_idle=True)
        assert ids == [follower.next_id() for _ in ids]
        stop = StopAsyncIteration if asynchronous else StopIteration
        assert isinstance(follower.step().exception(PATIENCE_S), stop | RuntimeError)
    messages = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert ([warned] if warned else []) == messages


TRIMMED = {"first-entry": (b"5-0", []), "length": 2}
WHOLE = {"first-entry": (b"1-0", []), "length": 6}


@pytest.mark.parametrize(
    ("last", "info", "warned"),
    [
        ("2-0", TRIMMED | {"entries-added": 6, "max-deleted-entry-id": b"0-0"}, True),
        (f"2-{2**64 - 1}", TRIMMED | {"entries-added": 6, "max-deleted-entry-id": b"0-0"}, True),
        ("5-0", TRIMMED | {"entries-added": 6, "max-deleted-entry-id": b"0-0"}, False),
        ("2-0", WHOLE | {"entries-added": 7, "max-deleted-entry-id": b"4-0"}, True),
        ("4-0", WHOLE | {"entries-added": 7, "max-deleted-entry-id": b"4-0"}, False),
        ("0-7", WHOLE | {"entries-added": 6, "max-deleted-entry-id": b"0-0"}, False),
        ("2-0", {"first-entry": None, "length": 0, "entries-added": 6, "max-deleted-entry-id": b"0-0"}, True),
        ("2-0", TRIMMED, True),
        (f"2-{2**64 - 1}", TRIMMED, False),
    ],
)
def test_the_gap_is_found_by_what_each_version_of_redis_counts(
    caplog: pytest.LogCaptureFixture, last: str, info: dict[str, Any], warned: bool
) -> None:
    """Redis 7 counts what was added, but does not take trimmed entries for deleted; the replies here are made up."""
    assert warned == warn_of_gap("forecasts", last, info | {"last-generated-id": b"6-0"})
    assert warned == bool(caplog.records)


@both
def test_a_reader_that_lags_is_warned_of_the_forecasts_that_it_misses(
    url: str, redis: Redis, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, asynchronous: bool
) -> None:
    """Its connection never fails, so no error shows the loss; it is warned once for each time that it lags."""
    monkeypatch.setattr("tidecast.client.following.AT_ONCE", 2)
    publish(url, *(f"{i}-0" for i in range(1, 7)))
    with Follower(url, asynchronous=asynchronous, block_ms=1, stop_when_idle=True) as follower:
        assert ["1-0", "2-0"] == [follower.next_id() for _ in range(2)]
        redis.xtrim("forecasts", minid="5-0", approximate=False)
        publish(url, "7-0", "8-0", "9-0")
        assert [f"{i}-0" for i in range(5, 10)] == [follower.next_id() for _ in range(5)]  # the last read is not full
        publish(url, "10-0", "11-0", "12-0", "13-0")
        redis.xtrim("forecasts", minid="12-0", approximate=False)
        assert ["12-0", "13-0"] == [follower.next_id() for _ in range(2)]
    gap = "forecasts begins at {}-0: entries after {}-0 may have been trimmed unread"
    messages = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [gap.format(5, 2), gap.format(12, 9)] == messages
