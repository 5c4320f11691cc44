"""Times and counts in Redis that no worker can have written: none stops a worker for longer than a legal one would."""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from redis import Redis
from structlog.testing import capture_logs

from dashboard.pages.formats import time_text
from tests.harness.patience import until
from tests.worker.harness import share_of
from tests.worker.retraining.harness import record
from tidecast.client import Client
from tidecast.connection.partitions import offset_of, server_ms, whole_number
from tidecast.errors import SettingsError, StreamError
from tidecast.moments import utc_text
from tidecast.settings import RetrainSettings, Settings, WorkerSettings
from tidecast.wire import Layout, keys_of
from worker.main import make_worker
from worker.membership import EVERY_S, Membership, claim_layout
from worker.metrics import Health
from worker.partition.stream import Attempt, Stream
from worker.retraining.child import RunReport, TrainingResult
from worker.retraining.job import RetrainJob
from worker.retraining.job_state import Busy, Claim, JobState
from worker.retraining.triggers import timing_of
from worker.stop import Stop

pytestmark = pytest.mark.settings(worker={"block": "1ms"})

NOW = 1_772_000_000.0
NOW_MS = 1_772_000_000_000
SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
TEN_YEARS = 3650 * DAY
NO_NUMBERS = ("", "soon", "1.5", "1e400", "nan", "inf", "0x10", "9" * 30, "9" * 5000, "\udcff")
FINISHED = TrainingResult(RunReport(1, 0, 0, 0, 1.0))


def go_on() -> bool:
    """Never cancel."""
    return False


class Bench:
    """A partition's schedule on a clock of the test's own."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.now = NOW
        self.outcome = FINISHED
        self.trained = 0

    def job(self, owner: str = "w", **settings: Any) -> RetrainJob:
        """Return a turn that begins now."""
        chosen = RetrainSettings(**({"every": "1h"} | settings))
        timing = timing_of(chosen)
        assert timing
        kept = JobState(self.redis, keys_of(), owner, 1000)
        return RetrainJob(0, kept, timing, chosen, self._train, Health(), lambda: self.now)

    def _train(self, _cancelled: Callable[[], bool]) -> TrainingResult:
        self.trained += 1
        return self.outcome

    def set(self, field: str, value: int | str) -> None:
        """Write a field of the record, as an operator's slip would."""
        self.redis.hset("retrain", field, value if isinstance(value, int) else value.encode(errors="surrogateescape"))


@pytest.fixture
def bench(redis: Redis) -> Bench:
    """An emptied server."""
    return Bench(redis)


def told(lines: list[Any]) -> list[str]:
    """Return the places that a log reports as not trusted."""
    return [line["place"] for line in lines if line["event"] == "stored value not believed"]


@pytest.mark.parametrize("ahead_ms", [2 * HOUR, 30 * DAY, TEN_YEARS, 10**17 - NOW_MS])
def test_a_next_run_beyond_the_interval_is_one_interval_from_now(bench: Bench, ahead_ms: int) -> None:
    """Otherwise the models would grow old for ten years without a warning; the log reports it once."""
    bench.job().step(go_on)
    bench.set("next_ms", NOW_MS + ahead_ms)
    with capture_logs() as lines:
        job = bench.job()
        assert NOW + 3600 == job.step(go_on) == job.step(go_on)
    assert ["retrain next_ms"] == told(lines)
    bench.now += 3600
    job.step(go_on)
    assert 1 == bench.trained


@pytest.mark.parametrize("cron", ["0 3 * * *", "20 6 * * *", "0 0 29 2 *"])
def test_a_next_run_beyond_the_next_time_of_crontab_is_that_time(bench: Bench, cron: str) -> None:
    """The longest legal span is the one to the next time of the line."""
    expected = bench.job(cron=cron, every=None).step(go_on)
    bench.set("next_ms", NOW_MS + TEN_YEARS)
    job = bench.job(cron=cron, every=None)
    assert expected == job.step(go_on)


@pytest.mark.parametrize("text", [*NO_NUMBERS, "-5"])
def test_a_next_run_that_is_not_a_number_is_one_interval_from_now(bench: Bench, text: str) -> None:
    """It ended every look at the schedule with a traceback."""
    bench.job().step(go_on)
    bench.set("next_ms", text)
    assert NOW + 3600 == bench.job().step(go_on)


def test_a_clock_that_was_set_back_for_hours_repeats_no_run(bench: Bench) -> None:
    """The time that is recorded is in the future then, and is right all the same."""
    job = bench.job(cron="0 * * * *", every=None)
    job.step(go_on)
    bench.now += 3600
    job.step(go_on)
    due = int(record(bench.redis)["next_ms"])
    bench.now -= 5 * 3600
    with capture_logs() as lines:
        assert due / 1000 == bench.job(cron="0 * * * *", every=None).step(go_on)
    assert [] == told(lines)


def test_clocks_a_little_apart_believe_each_other(bench: Bench) -> None:
    """A worker whose clock is half a minute ahead writes times that are half a minute late for the others."""
    bench.now += 30
    bench.job().step(go_on)
    bench.now -= 30
    with capture_logs() as lines:
        assert NOW + 30 + 3600 == bench.job().step(go_on)
    assert [] == told(lines)


@pytest.mark.parametrize("value", [NOW_MS + TEN_YEARS, NOW_MS + DAY, *NO_NUMBERS])
def test_a_retry_is_at_most_the_longest_pause_ahead(bench: Bench, value: int | str) -> None:
    """A tenth of the interval."""
    bench.outcome = TrainingResult(failure="no memory")
    bench.job().step(go_on)
    bench.now += 3600
    bench.job().step(go_on)
    bench.set("retry_ms", value)
    assert bench.now + 360 == bench.job().step(go_on)


@pytest.mark.parametrize("value", [NOW_MS + TEN_YEARS, -5, *NO_NUMBERS])
def test_the_run_that_waits_was_due_by_now(bench: Bench, value: int | str) -> None:
    """Its due time is in events and in the next due time: they would be ten years ahead, or an error."""
    bench.outcome = TrainingResult(failure="no memory")
    bench.job().step(go_on)
    bench.now += 3600
    bench.job().step(go_on)
    bench.set("due_ms", value)
    bench.outcome = FINISHED
    bench.now += 360
    job = bench.job()
    job.step(go_on)
    assert "finished" == record(bench.redis)["state"]
    assert bench.now < job.step(go_on) <= bench.now + 3600


@pytest.mark.parametrize("field", ["tries", "runs"])
@pytest.mark.parametrize("text", NO_NUMBERS)
def test_counts_of_runs_that_are_not_numbers_are_counted_anew(bench: Bench, field: str, text: str) -> None:
    """A script that failed after its first write left a run that had no event."""
    bench.outcome = TrainingResult(failure="no memory")
    bench.job().step(go_on)
    bench.now += 3600
    bench.job().step(go_on)
    bench.set(field, text)
    bench.outcome = FINISHED
    bench.now += 360
    bench.job().step(go_on)
    kept = record(bench.redis)
    assert ("finished", "1" if field == "tries" else "2", "1") == (kept["state"], kept["tries"], kept["runs"])
    assert 1 == len([kind for _, fields in bench.redis.xrange("events") if (kind := fields[b"kind"]) == b"finished"])


@pytest.mark.parametrize("value", [TEN_YEARS, HOUR, *NO_NUMBERS])
def test_a_claim_to_a_run_ends_after_the_life_of_a_claim(redis: Redis, value: int | str) -> None:
    """Its holder is dead: a living one would have renewed it."""
    mine = JobState(redis, keys_of(), "me", 1000, 0.2)
    other = JobState(redis, keys_of(), "you", 1000, 0.2)
    mine.plan("every 1h", NOW_MS)
    assert isinstance(other.claim(NOW_MS, "t", 0), Claim)
    text = str(server_ms(redis) + value) if isinstance(value, int) else value
    redis.hset("retrain", "expires_ms", text.encode(errors="surrogateescape"))
    with capture_logs() as lines:
        assert Busy(0.2) == mine.claim(NOW_MS, "u", 0)
        claim = mine.claim(NOW_MS, "u", 0)
        assert isinstance(claim, Claim) or claim.for_s <= 0.2
    assert ["retrain expires_ms"] == told(lines)


@pytest.mark.parametrize("value", [TEN_YEARS, 2 * HOUR, *NO_NUMBERS])
def test_a_lease_that_ends_later_than_any_may_ends_after_a_lease(redis: Redis, value: int | str) -> None:
    """Its owner is dead; a partition without a worker until 2036 would not be answered."""
    mine = Stream(redis, keys_of(), WorkerSettings(lease=0.5))
    other = Stream(redis, keys_of(), WorkerSettings(lease=5.0))
    assert 1 == other.acquire("you")
    text = str(server_ms(redis) + value) if isinstance(value, int) else value
    redis.hset("lease", "expires_ms", text.encode(errors="surrogateescape"))
    with capture_logs() as lines:
        assert mine.acquire("me") is None
    assert ["lease expires_ms"] == told(lines)
    left_ms = (whole_number(redis.hget("lease", "expires_ms")) or 0) - server_ms(redis)  # type: ignore[arg-type] # bytes
    assert left_ms <= 500


def test_the_longest_lease_that_may_be_set_is_believed(redis: Redis) -> None:
    """Workers of one installation may have different settings."""
    mine = Stream(redis, keys_of(), WorkerSettings(lease=0.5))
    other = Stream(redis, keys_of(), WorkerSettings(lease=3600.0))
    assert 1 == other.acquire("you")
    with capture_logs() as lines:
        assert mine.acquire("me") is None
    assert [] == told(lines)


@pytest.mark.parametrize("text", NO_NUMBERS[1:])
def test_an_epoch_that_cannot_be_counted_up_is_one_sentence(redis: Redis, text: str) -> None:
    """It fences former owners off, so only the operator may reset it to 1."""
    redis.hset("lease", "epoch", text.encode(errors="surrogateescape"))
    with pytest.raises(StreamError, match=r"the epoch in lease is .*, which is not a whole number: .* delete that key"):
        Stream(redis, keys_of(), WorkerSettings()).acquire("me")


@pytest.mark.parametrize("text", ["", "soon", "5", "1-2-3", "-1-0", "1-x", "99999999999999999999-0", "9" * 30 + "-0"])
def test_an_offset_that_is_not_an_entry_id_is_one_sentence(redis: Redis, text: str) -> None:
    """It ended every try with an error of the script, and `tidecast status` with a traceback."""
    redis.hset("offset", "last", text)
    with pytest.raises(StreamError, match=r"last in offset is .*, which is not an entry id: .* delete that key"):
        Stream(redis, keys_of(), WorkerSettings()).acquire("me")
    assert "0-0" == offset_of(redis, keys_of()).last


def test_an_offset_at_the_last_entry_id_of_all_is_one(redis: Redis) -> None:
    """Each of its numbers has 64 bits."""
    redis.hset("offset", "last", f"{2**64 - 1}-{2**64 - 1}")
    assert 1 == Stream(redis, keys_of(), WorkerSettings()).acquire("me")


@pytest.mark.parametrize("text", ["many", "0", "-1", "1.0", "9999"])
def test_a_number_of_partitions_that_is_not_one_is_not_recommended(redis: Redis, text: str) -> None:
    """The message used to recommend it to the operator."""
    redis.set("partitions", text)
    with pytest.raises(SettingsError, match=f"^partitions in Redis is '{text}', not a number: delete it while no"):
        claim_layout(redis, Layout((4,)))


@pytest.mark.parametrize("value", [TEN_YEARS, 2 * HOUR, *NO_NUMBERS])
def test_a_ghost_among_the_workers_counts_for_a_lease_at_most(redis: Redis, value: int | str) -> None:
    """Partitions were left to it, and were not answered."""
    text = str(server_ms(redis) + value) if isinstance(value, int) else value
    redis.hset("workers", "ghost", text.encode(errors="surrogateescape"))
    membership = Membership(redis, Layout((8,)), "me", 0.01)
    looks = count()
    with capture_logs() as lines:
        assert 4 == share_of(membership, NOW)
        until(lambda: 8 == share_of(membership, NOW + EVERY_S * next(looks)))
    assert ["workers ghost"] == told(lines)


@pytest.fixture
def answering(settings: Settings, redis: Redis) -> Callable[[], int]:
    """Let a new worker answer one more reading; gives how many forecasts there are then."""

    def answer() -> int:
        with Client(settings.redis_url.get_secret_value()) as client:
            client.push("a", 1.0)
        make_worker(settings, Health()).run(Stop(), burst=True)
        return int(redis.xlen("forecasts"))

    return answer


@pytest.mark.parametrize("field", ["read", "lost", "forecast"])
@pytest.mark.parametrize("text", NO_NUMBERS)
def test_counts_of_readings_that_are_not_numbers_stop_no_worker(
    answering: Callable[[], int], redis: Redis, field: str, text: str
) -> None:
    """They inform; the offset is what counts."""
    assert 1 == answering()
    redis.hset("offset", field, text.encode(errors="surrogateescape"))
    assert 2 == answering()
    assert {"read", "lost", "forecast"} <= {name.decode() for name in redis.hkeys("offset")}
    assert all(whole_number(value) is not None for name, value in redis.hgetall("offset").items() if name != b"last")


@pytest.mark.parametrize("field", ["tried_size", "tries"])
@pytest.mark.parametrize("text", NO_NUMBERS[:6])
def test_a_try_that_is_not_a_number_blames_no_reading(redis: Redis, field: str, text: str) -> None:
    """The tries are counted from the beginning."""
    stream = Stream(redis, keys_of(), WorkerSettings())
    epoch = stream.acquire("me") or 0
    stream.attempt(epoch, "0-0", 8)
    redis.hset("lease", field, text)
    assert stream.attempt(stream.acquire("me") or 0, "0-0", 8) in (Attempt(8, 1), Attempt(4, 1))


def test_a_time_beyond_the_calendar_can_be_shown() -> None:
    """Status, pages and events show what the record holds: any number must have a text."""
    assert "100000000000000000 ms after 1970" == utc_text(10**17) == time_text(10**17)


@pytest.mark.parametrize("field", ["next_ms", "expires_ms"])
def test_a_schedule_gives_way_to_no_other_that_cannot_be(bench: Bench, field: str) -> None:
    """The default schedule yields to one that an operator keeps, but not to an impossible time."""
    bench.job(every="5m").step(go_on)
    bench.set("next_ms", NOW_MS - 2 * HOUR)
    bench.set(field, NOW_MS + TEN_YEARS)
    timing = timing_of(RetrainSettings(every="1h"))
    assert timing
    kept = JobState(bench.redis, keys_of(), "w", 1000)
    assert "" == kept.other_trigger(timing.text, NOW_MS)
