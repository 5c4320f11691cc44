"""Muted series, on a real Redis."""

import pytest
from redis import Redis

from tidecast.connection.records.mutes import Mute, mute_series, read_mutes, unmute_series
from tidecast.wire import keys_of

KEYS = keys_of()


def test_a_mute_holds_until_its_end_or_until_it_is_lifted(redis: Redis) -> None:
    """Each change is an event with the user's name."""
    for series, until_ms in (("for a while", 2000), ("for good", None)):
        mute_series(redis, KEYS, series, Mute(1000, until_ms, "Ann"))
    assert {"for a while", "for good"} == set(read_mutes(redis, KEYS, 1999))
    assert {"for good": Mute(1000, None, "Ann")} == read_mutes(redis, KEYS, 2000)
    unmute_series(redis, KEYS, "for good", "Bob")
    assert {} == read_mutes(redis, KEYS, 2000)
    entries = [fields for _, fields in redis.xrange("events")]
    assert [b"muted", b"muted", b"unmuted"] == [fields[b"kind"] for fields in entries]
    assert [b"Ann", b"Ann", b"Bob"] == [fields[b"user"] for fields in entries]


@pytest.mark.parametrize("raw", [b"1", b"{}", b"\xff", b'{"since": 1, "until": "soon", "user": ""}'])
def test_a_value_by_another_program_mutes_all_the_same(redis: Redis, raw: bytes) -> None:
    """A user who set the field by hand wanted no notification."""
    redis.hset("muted", "a", raw)
    assert {"a": Mute(0, None, "")} == read_mutes(redis, KEYS, 1.0)
