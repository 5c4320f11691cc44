"""A reading that ends or fails its worker is found by halving and set aside; the others are answered."""

import os
from pathlib import Path
from unittest import mock

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs

from tests.harness.nursery import Forked
from tests.worker.harness import NOW, Impatient, add, counts_of, elsewhere, forecasts, new_worker, quick, stream_of
from tests.worker.partition import deadly
from tests.worker.partition.deadly import POISON
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.errors import Fenced
from tidecast.online.batch import Entry
from tidecast.online.forecaster import Forecaster
from tidecast.settings import Settings
from tidecast.wire import keys_of
from worker.partition.poison import MAX_TRIES, PoisonGuard
from worker.partition.stream import Attempt, Stream
from worker.stop import Stop

BATCH = 16
pytestmark = pytest.mark.settings(**quick(BATCH))


def poison(redis: Redis, *numbers: int) -> None:
    """Push readings; the poisonous one has a value of its own."""
    for n in numbers:
        redis.xadd("readings", {"series": "a", "value": POISON if n == 13 else n / 7, "ts": n * 1000}, id=f"{n}-0")


def test_a_reading_that_always_fails_is_set_aside(
    settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the fault: its partition goes on, and the dead letter names it."""
    handle = Forecaster.handle

    def failing(self: Forecaster, entries: list[Entry], now_ms: int) -> object:
        if any(fields.get(b"value") == POISON for _, fields in entries):
            raise RuntimeError("a bug")
        return handle(self, entries, now_ms)

    monkeypatch.setattr(Forecaster, "handle", failing)
    poison(redis, *range(1, 41))
    new_worker(settings).run(Impatient(1000), burst=True)
    ((letter_id, letter),) = redis.xrange("dead")
    assert (b"13-0", b"poison", POISON) == (letter_id, letter[b"reason"], letter[b"original.value"])
    assert [n for n in range(1, 41) if n != 13] == [int(made.id.partition("-")[0]) for made in forecasts(redis)]
    assert {"read": 40, "lost": 0, "forecast": 39, "dead": 1} == counts_of(settings)


def test_a_reading_that_kills_the_process_is_set_aside(
    redis_server: EmbeddedRedis, redis: Redis, tmp_path: Path
) -> None:
    """A supervisor that starts the worker again and again is all it takes."""
    poison(redis, *range(1, 16))
    environment = {
        **os.environ,
        "TIDECAST_REDIS_URL": redis_server.url,
        "TIDECAST_STORE": str(tmp_path / "models"),
        "TIDECAST_WORKER__NAME": "one",  # it takes its own lease back at once
        "TIDECAST_WORKER__BATCH": "2",
    }
    deaths = 0
    while Forked(deadly.__name__, ["tidecast", "worker", "--burst"], tmp_path, environment, tmp_path / "log").wait():
        deaths += 1
        assert deaths < 12
    assert deaths > MAX_TRIES
    assert [b"13-0"] == [letter_id for letter_id, _ in redis.xrange("dead")]
    assert [n for n in range(1, 16) if n != 13] == [int(made.id.partition("-")[0]) for made in forecasts(redis)]


def test_workers_that_die_of_something_else_lose_no_reading(settings: Settings, redis: Redis) -> None:
    """Killed in the middle of a batch again and again, short of blaming one: all are answered."""
    add(redis, *range(1, 21))
    for _ in range(5):
        stream = stream_of(settings)
        epoch = stream.acquire("me")
        assert epoch
        poison_guard = PoisonGuard(stream, BATCH)
        poison_guard.begin()
        poison_guard.choose(epoch, "0-0", stream.read("0-0", None))  # and gone
    redis.hset("lease", "expires_ms", 0)
    new_worker(settings).run(Stop(), burst=True)
    assert list(range(1, 21)) == [int(made.id.partition("-")[0]) for made in forecasts(redis)]
    assert 0 == redis.xlen("dead")


def test_a_lease_that_was_given_back_needs_no_caution(settings: Settings, redis: Redis) -> None:
    """Only a holder that did not give its lease back may have died of a reading."""
    stream = stream_of(settings)
    epoch = stream.acquire("one")
    assert (1, False) == (epoch, stream.abandoned())
    stream.release(1)
    assert (2, False) == (stream.acquire("two"), stream.abandoned())
    assert (3, True) == (stream.acquire("two"), stream.abandoned())
    redis.hset("lease", "expires_ms", 0)
    assert (4, True) == (stream.acquire("three"), stream.abandoned())


def test_caution_costs_nothing_and_ends(settings: Settings, redis: Redis) -> None:
    """Nothing is noted without a reason, nor after a batch's worth of readings that went well."""
    stream = Stream(redis, keys_of(), settings.worker)
    epoch = stream.acquire("me") or 0
    entries: list[Entry] = [(f"{n}-0", {}) for n in range(1, BATCH + 1)]
    poison_guard = PoisonGuard(stream, BATCH)
    assert (entries, None) == poison_guard.choose(epoch, "0-0", entries)
    assert redis.hget("lease", "tried_from") is None
    poison_guard.begin()
    assert (entries[:10], None) == poison_guard.choose(epoch, "0-0", entries[:10])
    assert (b"0-0", b"10") == tuple(redis.hmget("lease", "tried_from", "tried_size"))
    assert (entries[:10], None) == poison_guard.choose(epoch, "10-0", entries[:10])
    assert (entries, None) == poison_guard.choose(epoch, "20-0", entries)
    assert b"10-0" == redis.hget("lease", "tried_from")


def test_halves_come_down_to_one_which_is_tried_twice(settings: Settings, redis: Redis) -> None:
    """Eight, four, two, one, one: then the reading is to blame. Only a new holder counts: the same one may ask
    again.
    """
    stream = Stream(redis, keys_of(), settings.worker)
    tried = []
    for _ in range(6):
        epoch = stream.acquire("me") or 0
        tried.append(stream.attempt(epoch, "0-0", 8))
        assert tried[-1] == stream.attempt(epoch, "0-0", 8)
    assert [(8, 1), (4, 1), (2, 1), (1, 1), (1, 2), (1, 3)] == [(trial.size, trial.tries) for trial in tried]
    assert Attempt(3, 1) == stream.attempt(epoch, "1-0", 3)
    assert Attempt(1, 1) == stream.attempt(stream.acquire("me") or 0, "1-0", 3)


def test_the_last_try_of_a_reading_comes_after_a_pause_in_which_no_death_counts(
    settings: Settings, redis: Redis
) -> None:
    """Workers that are killed one after the other for another reason are not killed at one moment for long."""
    stream = Stream(redis, keys_of(), settings.worker)
    for _ in range(2):
        stream.attempt(stream.acquire("me") or 0, "0-0", 1)
    for _ in range(5):
        epoch = stream.acquire("me") or 0
        assert Attempt(1, 0) == stream.attempt(epoch, "0-0", 1, MAX_TRIES)  # and gone during the pause
    assert Attempt(1, 3) == stream.attempt(epoch, "0-0", 1)


def test_a_worker_pauses_before_the_last_try_and_answers_a_sound_reading(settings: Settings, redis: Redis) -> None:
    """Three deaths that the reading did not cause do not make it a dead letter."""
    add(redis, 1, 2, 3)
    for _ in range(MAX_TRIES - 1):
        stream = stream_of(settings)
        stream.attempt(stream.acquire("me") or 0, "0-0", 1)
    redis.hset("lease", "expires_ms", 0)
    stop = Impatient(1000)
    with capture_logs() as log:
        new_worker(settings).run(stop, burst=True)
    assert (3, 0) == (len(forecasts(redis)), redis.xlen("dead"))
    assert settings.worker.lease / 2 == stop.longest_s
    (line,) = (line for line in log if line["event"] == "a reading is tried once more after a pause")
    assert "1-0" in line["why"]


def test_a_reading_that_its_last_worker_dies_of_is_set_aside(settings: Settings, redis: Redis) -> None:
    """After the pause, a reading that kills its worker again becomes a dead letter."""
    add(redis, 1, 2, 3)
    for _ in range(MAX_TRIES):
        stream = stream_of(settings)
        stream.attempt(stream.acquire("me") or 0, "0-0", 1)
    redis.hset("lease", "expires_ms", 0)
    new_worker(settings).run(Impatient(1000), burst=True)
    ((letter_id, letter),) = redis.xrange("dead")
    assert (b"1-0", b"poison") == (letter_id, letter[b"reason"])
    assert b"push it again if something else ended the worker" in letter[b"detail"]
    assert ["2-0", "3-0"] == [made.id for made in forecasts(redis)]


def test_fewer_readings_than_half_are_tried_as_they_are(settings: Settings, redis: Redis) -> None:
    """The noted readings are the handled ones: otherwise the next half would be empty."""
    stream = Stream(redis, keys_of(), settings.worker)
    assert Attempt(8, 1) == stream.attempt(stream.acquire("me") or 0, "0-0", 8)
    assert Attempt(2, 1) == stream.attempt(stream.acquire("me") or 0, "0-0", 2)


def test_halves_stay_small_until_a_batch_has_gone_well(settings: Settings, redis: Redis) -> None:
    """The reading that killed the worker may lie behind the first half; only handled readings count."""
    stream = Stream(redis, keys_of(), settings.worker)
    entries: list[Entry] = [(f"{n}-0", {}) for n in range(1, 9)]
    stream.attempt(stream.acquire("me") or 0, "0-0", 8)
    epoch = stream.acquire("me") or 0
    poison_guard = PoisonGuard(stream, BATCH)
    poison_guard.begin()
    chosen = [poison_guard.choose(epoch, f"{n}-0", entries)[0] for n in (0, 4, 8, 12, 16)]
    assert [4, 4, 4, 4, 8] == [len(each) for each in chosen]


def test_what_was_handled_to_its_end_is_not_tried_in_halves(settings: Settings, redis: Redis) -> None:
    """Taking readings back leaves no trace; a worker that was fenced takes nothing back."""
    stream = Stream(redis, keys_of(), settings.worker)
    epoch = stream.acquire("me") or 0
    stream.attempt(epoch, "0-0", 8)
    stream.clear(epoch)
    assert Attempt(8, 1) == stream.attempt(stream.acquire("me") or 0, "0-0", 8)
    with pytest.raises(Fenced):
        stream.clear(epoch)
    assert Attempt(4, 1) == stream.attempt(stream.acquire("me") or 0, "0-0", 8)


def test_an_acquittal_hides_no_other_trouble(redis_program: str, settings: Settings) -> None:
    """The note is taken back once; while Redis is away, this is left to the next worker."""
    with EmbeddedRedis(redis_program) as server:
        stream = Stream(Redis.from_url(server.url, protocol=2), keys_of(), settings.worker)
        epoch = stream.acquire("me") or 0
        poison_guard = PoisonGuard(stream, BATCH)
        poison_guard.begin()
        poison_guard.choose(epoch, "0-0", [("1-0", {})])
        poison_guard.clear(epoch)
        stream.attempt(epoch, "0-0", 8)
        poison_guard.clear(epoch)
        assert Attempt(4, 1) == stream.attempt(stream.acquire("me") or 0, "0-0", 8)
        poison_guard.choose(epoch + 1, "0-0", [("1-0", {})])
    poison_guard.clear(epoch + 1)


def test_a_partition_that_was_given_back_is_taken_up_without_caution(settings: Settings, redis: Redis) -> None:
    """The last worker ended cleanly: no note is left."""
    add(redis, 1)
    stream_of(settings).acquire("gone")
    redis.hset("lease", "expires_ms", 0)
    worker = new_worker(settings)
    assert 1 == worker.step(NOW)
    assert b"0-0" == redis.hget("lease", "tried_from")
    worker.leave()
    add(redis, 2)
    assert 1 == worker.step(NOW)
    assert b"0-0" == redis.hget("lease", "tried_from")


def test_trouble_after_the_note_is_no_readings_fault(settings: Settings, redis: Redis) -> None:
    """Redis answers nothing between two commands, again and again: the batch is read again, whole."""
    add(redis, *range(1, 11))
    stream_of(settings).acquire("gone")
    redis.hset("lease", "expires_ms", 0)
    worker = new_worker(settings)
    with mock.patch.object(Stream, "lag", side_effect=RedisConnectionError("away")):
        worker.run(Impatient(20))
    assert 0 == redis.xlen("dead")
    new_worker(settings).run(Stop(), burst=True)
    assert (10, 0) == (redis.xlen("forecasts"), redis.xlen("dead"))


def test_a_commit_that_is_refused_is_no_readings_fault(settings: Settings, redis: Redis) -> None:
    """A foreign entry is in the way of the forecasts: the partition waits for its removal, and sets nothing aside."""
    add(redis, *range(1, 21))
    redis.xadd("forecasts", {"who": "knows"}, id="99-0")
    new_worker(settings).run(Impatient(40))
    assert 0 == redis.xlen("dead")
    redis.delete("forecasts")
    redis.hset("lease", "expires_ms", 0)
    new_worker(settings).run(Stop(), burst=True)
    assert list(range(1, 21)) == [int(made.id.partition("-")[0]) for made in forecasts(redis)]


def test_a_commit_that_fails_without_a_known_reason_is_no_readings_fault(
    redis_program: str, settings: Settings
) -> None:
    """On a server without one of the commit's commands the readings were handled all the same."""
    with (
        EmbeddedRedis(redis_program, ("--rename-command", "XLEN", "NOBODY")) as server,
        Redis.from_url(server.url, protocol=2) as redis,
    ):
        settings = elsewhere(settings, server.url)
        waiting = settings.worker.model_copy(update={"wait_for_group": "plant"})  # which asks for the length
        add(redis, *range(1, 21))
        new_worker(settings.model_copy(update={"worker": waiting})).run(Impatient(40))
        assert not redis.exists("dead", "forecasts")
        redis.hset("lease", "expires_ms", 0)
        new_worker(settings).run(Stop(), burst=True)
        assert (20, 0) == (len(forecasts(redis)), redis.exists("dead"))
