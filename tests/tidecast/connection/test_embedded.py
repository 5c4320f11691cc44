"""A server of one's own."""

from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from tidecast.connection.embedded import EmbeddedRedis
from tidecast.errors import TidecastError

DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


def test_it_answers_on_a_port_of_its_own_and_ends_with_the_block() -> None:
    """Two servers at once do not meet, and no file or process is left behind."""
    with EmbeddedRedis() as first, EmbeddedRedis() as second:
        assert first.port != second.port
        with Redis.from_url(first.url) as redis:
            folder = Path(redis.config_get("dir")["dir"])
            redis.set("x", 1)
        with Redis.from_url(second.url) as redis:
            assert redis.get("x") is None
        pid = first.pid
    assert not folder.exists()
    assert pid is not None
    assert not Path(f"/proc/{pid}").exists()


def test_killed_it_comes_back_on_the_same_port_with_its_data() -> None:
    """With the append-only file synced at every write, nothing acknowledged is lost."""
    with EmbeddedRedis(options=DURABLE) as server, Redis.from_url(server.url) as redis:
        redis.set("x", 1)
        server.kill()
        assert server.pid is None
        with pytest.raises(RedisConnectionError):
            redis.get("x")
        server.start()
        assert b"1" == redis.get("x")


def test_a_program_that_is_no_server_is_one_sentence() -> None:
    """It names the program; process and folder are gone."""
    server = EmbeddedRedis("/bin/false")
    with pytest.raises(TidecastError, match="/bin/false did not start on port"):
        server.__enter__()
    assert not Path(server._folder.name).exists()
