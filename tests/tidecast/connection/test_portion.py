"""How many entries are requested at once, where Redis closes the connection over too many."""

import socket
import time
from collections.abc import Callable, Iterator

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from tidecast.connection.portion import CALM_REQUESTS, Portion, answers, shrinking

WHOLE_S = 60.0  # the time limit of a request in the test of a silent server


@pytest.fixture
def narrow(redis: Redis) -> Iterator[Redis]:
    """A server that closes a connection with more than a megabyte of replies."""
    redis.config_set("client-output-buffer-limit", "normal 1mb 1mb 1")
    yield redis
    redis.config_set("client-output-buffer-limit", "normal 0 0 0")


def closing_above(most: int, error: type[Exception]) -> tuple[Callable[[int], int], list[int]]:
    """Return a request that fails for more than so many entries, and a list of the requested counts."""
    counts: list[int] = []

    def ask(count: int) -> int:
        counts.append(count)
        if count > most:
            raise error("closed")
        return count

    return ask, counts


@pytest.mark.parametrize("error", [RedisConnectionError, RedisTimeoutError])
def test_half_as_many_are_asked_for_until_redis_gives_them(redis: Redis, error: type[Exception]) -> None:
    """The same request would fail for ever; it is repeated once, as the connection may just have been idle."""
    portion = Portion(1000)
    ask, counts = closing_above(100, error)
    assert 62 == shrinking(redis, portion, ask)
    assert [1000, 1000, 500, 250, 125, 62] == counts


def test_one_entry_that_redis_does_not_give_is_an_error(redis: Redis) -> None:
    """A smaller request is impossible."""
    ask, counts = closing_above(0, RedisConnectionError)
    with pytest.raises(RedisConnectionError):
        shrinking(redis, Portion(4), ask)
    assert [4, 4, 2, 1] == counts


def test_a_server_that_is_away_shrinks_nothing() -> None:
    """The size of the request is not the reason."""
    away, portion = Redis(port=1, retry=Retry(NoBackoff(), 0)), Portion(1000)
    ask, counts = closing_above(0, RedisConnectionError)
    with pytest.raises(RedisConnectionError):
        shrinking(away, portion, ask)
    assert ([1000], 1000) == (counts, portion.count)


def test_a_server_that_accepts_and_never_answers_is_found_within_a_short_time() -> None:
    """A request has already waited for `redis_timeout`; a worker that must stop would wait twice."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        redis = Redis(port=silent.getsockname()[1], socket_timeout=WHOLE_S, retry=Retry(NoBackoff(), 0))
        began = time.monotonic()
        assert not answers(redis)
    assert time.monotonic() - began < WHOLE_S / 2


def test_any_other_error_is_raised_as_it_is(redis: Redis) -> None:
    """Redis has answered."""
    ask, counts = closing_above(0, ResponseError)
    with pytest.raises(ResponseError):
        shrinking(redis, Portion(1000), ask)
    assert [1000] == counts


def test_it_grows_again_after_a_while() -> None:
    """Up to the size at which it failed, and beyond only after some that went well."""
    portion = Portion(1000)
    for _ in range(3):
        portion.refused()
    assert 125 == portion.count
    sizes = []
    for _ in range(3 * CALM_REQUESTS):
        portion.went_well()
        sizes.append(portion.count)
    assert [125, 250, 500, 1000] == sorted(set(sizes))
    assert 125 == sizes[CALM_REQUESTS - 2]
    assert 1000 == sizes[-1]


def test_what_is_too_large_now_may_be_small_soon() -> None:
    """Entries of another size follow: no failure has set a limit."""
    portion = Portion(1000)
    portion.halve()
    portion.halve()
    portion.went_well()
    assert 500 == portion.count
    for _ in range(20):
        portion.halve()
    assert 1 == portion.count


def test_a_reply_beyond_the_output_buffer_is_asked_for_in_parts(narrow: Redis) -> None:
    """As Redis really closes the connection."""
    for n in range(60):
        narrow.xadd("readings", {"note": "x" * 60_000}, id=f"{n + 1}-0")
    portion = Portion(1000)
    entries = shrinking(narrow, portion, lambda count: narrow.xrange("readings", count=count))
    assert 1 <= len(entries) < 20
    assert portion.count == len(entries)


def test_a_user_without_the_right_to_ask_is_answered_all_the_same(redis: Redis) -> None:
    """A refusal is an answer."""
    redis.execute_command("ACL", "SETUSER", "nobody", "reset", "on", ">secret-word")
    pool = redis.connection_pool.connection_kwargs
    mute = Redis(host=pool["host"], port=pool["port"], username="nobody", password="secret-word")  # noqa: S106 - no secret
    assert answers(mute)
    redis.execute_command("ACL", "DELUSER", "nobody")
