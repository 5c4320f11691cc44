"""Requests and replies that make Redis close the connection: the same one is not repeated for ever."""

from collections.abc import Iterator

import pytest
from redis import Redis

from tests.worker.harness import counts_of, forecasts, new_worker, quick, sample, stream_of
from tidecast.settings import Settings
from tidecast.wire import DISPOSITIONS
from worker.loop import Worker
from worker.metrics import FAILURES, Health
from worker.stop import Stop

NOTE = "x" * 60_000
pytestmark = pytest.mark.settings(**quick(1000))


def narrow(redis: Redis, most: str = "1mb") -> None:
    """Let the server close a connection with more than so much of replies, or with a megabyte of a request."""
    redis.config_set("client-output-buffer-limit", f"normal {most} {most} 1")
    redis.config_set("client-query-buffer-limit", "1mb")


def widen(redis: Redis) -> None:
    """Lift the limits."""
    redis.config_set("client-output-buffer-limit", "normal 0 0 0")
    redis.config_set("client-query-buffer-limit", "1gb")


@pytest.fixture(autouse=True)
def _widened(redis: Redis) -> Iterator[None]:
    """The server is shared."""
    yield
    widen(redis)


def failures(health: Health) -> float:
    """Steps that failed."""
    return sum(sample(health, "tidecast_failures_total", kind=kind) for kind in FAILURES)


def ended(settings: Settings) -> int:
    """Return how many readings came to an end."""
    counts = counts_of(settings)
    return sum(counts.get(name, 0) for name in DISPOSITIONS)


def push(redis: Redis, count: int, note: str = NOTE, start: int = 1) -> None:
    """Push readings with a long field that is not used."""
    with redis.pipeline() as together:
        for n in range(start, start + count):
            together.xadd("readings", {"series": "a", "value": n, "ts": n * 1000, "note": note}, id=f"{n}-0")
        together.execute()


def answered_by(worker: Worker) -> None:
    """Let it answer all that is there."""
    worker.run(Stop(), burst=True)


def test_a_batch_beyond_the_output_buffer_is_read_in_parts(settings: Settings, redis: Redis) -> None:
    """Sixty entries of 60 kB where a megabyte is allowed: all are answered, and no step fails."""
    health = Health()
    push(redis, 60)
    narrow(redis)
    answered_by(new_worker(settings, health))
    assert [f"{n}-0" for n in range(1, 61)] == [made.id for made in forecasts(redis)]
    assert 0.0 == failures(health)


def test_batches_grow_again_once_the_limit_is_lifted(settings: Settings, redis: Redis) -> None:
    """It was an operator's mistake, or a burst of large entries."""
    worker = new_worker(settings)
    push(redis, 60)
    narrow(redis)
    answered_by(worker)
    widen(redis)
    sizes = []
    for n in range(50):
        push(redis, 60, "", start=100 + 60 * n)
        sizes.append(worker.step(1_700_000_000.0 + n))
        answered_by(worker)
    assert sizes[0] is not None
    assert sizes[0] < 60
    assert 60 == sizes[-1]


def test_a_batch_whose_answers_are_too_large_is_answered_in_parts(settings: Settings, redis: Redis) -> None:
    """Its dead letters quote a kilobyte of each field: two megabytes, where Redis takes one."""
    health = Health()
    for n in range(1, 101):
        redis.xadd("readings", {f"f{i}": "x" * 1000 for i in range(20)}, id=f"{n}-0")
    push(redis, 5, "", start=101)
    narrow(redis)
    answered_by(new_worker(settings, health))
    widen(redis)
    assert [f"{n}-0".encode() for n in range(1, 101)] == [letter_id for letter_id, _ in redis.xrange("dead")]
    assert [f"{n}-0" for n in range(101, 106)] == [made.id for made in forecasts(redis)]
    assert {"read": 105, "lost": 0, "dead": 100, "forecast": 5} == counts_of(settings)


def test_a_reading_that_redis_cannot_send_is_a_dead_letter(settings: Settings, redis: Redis) -> None:
    """Otherwise its partition would stand still for ever; the others beside it are answered."""
    push(redis, 2)
    push(redis, 1, "y" * 2_000_000, start=3)
    push(redis, 3, start=4)
    push(redis, 1, "z" * 2_000_000, start=7)
    narrow(redis)
    answered_by(new_worker(settings))
    widen(redis)
    assert ["1-0", "2-0", "4-0", "5-0", "6-0"] == [made.id for made in forecasts(redis)]
    for letter_id, letter in redis.xrange("dead"):
        value = {b"3-0": b"y", b"7-0": b"z"}[letter_id] * 1024
        assert (b"too_large", value) == (letter[b"reason"], letter[b"original.note"])
        assert b"the reading has 20000" in letter[b"detail"]
    assert {"read": 7, "lost": 0, "dead": 2, "forecast": 5} == counts_of(settings)


def test_states_beyond_the_output_buffer_are_loaded_in_parts(settings: Settings, redis: Redis) -> None:
    """There are hundreds of series; the next worker answers as the first one would have."""
    names = [f"series-{'n' * 200}-{i}" for i in range(400)]
    for n in range(1, 41):
        with redis.pipeline() as together:
            for i, name in enumerate(names):
                together.xadd("readings", {"series": name, "value": n + i, "ts": n * 1000}, id=f"{n}-{i}")
            together.execute()
    first = new_worker(settings)
    answered_by(first)
    stored = {name.decode(): raw for name, raw in redis.hgetall("state").items()}
    assert 400_000 < sum(map(len, stored.values()))
    narrow(redis, "50kb")
    loaded: dict[str, bytes] = {}
    for some in stream_of(settings).states():
        assert not loaded.keys() & some.keys()
        loaded |= some
    assert stored == loaded


def test_the_fields_of_a_series_come_together(settings: Settings, redis: Redis) -> None:
    """However many there are: a state is decoded as a whole."""
    fields = {f"s{i}" + (f"\x1f{block}" if block else ""): b"x" for i in range(700) for block in range(5)}
    redis.hset("state", mapping=fields)
    parts = [{name.partition("\x1f")[0] for name in some} for some in stream_of(settings).states()]
    assert 700 == sum(map(len, parts))
    assert 3 == sum(map(bool, parts))  # the others have no field: the caller can renew its lease between them
