"""A stream of readings that was deleted and recreated with lower ids: it is answered, or the worker logs why not."""

from collections.abc import Callable

import pytest
from redis import Redis
from structlog.testing import capture_logs

from tests.worker.harness import NOW, Impatient, add, counts_of, forecasts, new_worker, quick, sample, stream_of
from tests.worker.partition.harness import major, outcome
from tidecast.connection.lag import Lag, Progress, lag_of
from tidecast.connection.partitions import offset_of, read_lag
from tidecast.errors import Conflict, Fenced
from tidecast.settings import Settings
from tidecast.wire import keys_of
from worker.metrics import Health
from worker.partition.consumer import LOOK_EVERY_S
from worker.partition.stream_warnings import WARN_EVERY_S
from worker.stop import Stop

Fault = Callable[[Redis], object]
ANSWERED = range(101, 111)
pytestmark = pytest.mark.settings(**quick())


def deleted(redis: Redis) -> None:
    """Somebody deletes the key."""
    redis.delete("readings")


def renamed(redis: Redis) -> None:
    """Somebody puts the old readings aside."""
    redis.rename("readings", "old")


def lowered(redis: Redis) -> None:
    """Somebody empties the stream and sets its last id back."""
    redis.xtrim("readings", maxlen=0, approximate=False)
    redis.execute_command("XSETID", "readings", "0-1")


FAULTS = pytest.mark.parametrize("fault", [deleted, renamed, lowered], ids=lambda fault: fault.__name__)


def put_aside(redis: Redis) -> None:
    """Follow the remedy in the message."""
    redis.rename("forecasts", "old-forecasts")


def lag(redis: Redis) -> int | None:
    """Return the lag that `tidecast status` and the doctor show."""
    keys = keys_of()
    return read_lag(redis, keys, offset_of(redis, keys)).unread


@FAULTS
@pytest.mark.parametrize("first", [1, 60])
def test_new_readings_are_answered_once_nothing_is_in_the_way(
    settings: Settings, redis: Redis, fault: Fault, first: int
) -> None:
    """A running worker notices by itself, and logs it."""
    health = Health()
    worker = new_worker(settings, health)
    add(redis, *ANSWERED)
    worker.run(Stop(), burst=True)
    fault(redis)
    put_aside(redis)
    with capture_logs() as log:
        worker.step(NOW)
        add(redis, *range(first, first + 9), series=("new",))
        worker.run(Stop(), burst=True)
        add(redis, *range(first + 9, first + 12), series=("new",))
        worker.run(Stop(), burst=True)
    assert [f"{n}-0" for n in range(first, first + 12)] == [made.id for made in forecasts(redis)]
    assert 1 == sum(line["event"] == "stream of readings was recreated" and "first" in line for line in log)
    counts = counts_of(settings)
    assert {"read": 22, "lost": 0, "forecast": 22} == counts
    assert 0 == lag(redis)


@FAULTS
def test_a_worker_that_starts_later_begins_with_them_too(settings: Settings, redis: Redis, fault: Fault) -> None:
    """Nobody was at work when it happened."""
    add(redis, *ANSWERED)
    new_worker(settings).run(Stop(), burst=True)
    fault(redis)
    put_aside(redis)
    add(redis, *range(1, 4), series=("new",))
    new_worker(settings).run(Stop(), burst=True)
    assert ["1-0", "2-0", "3-0"] == [made.id for made in forecasts(redis)]
    assert 0 == lag(redis)


@FAULTS
def test_readings_that_cannot_be_answered_are_told_of_once_and_go_on_with_the_remedy(
    settings: Settings, redis: Redis, fault: Fault
) -> None:
    """A forecast has its reading's id, and the stream of forecasts holds higher ones: it has to be put aside."""
    health = Health()
    worker = new_worker(settings, health)
    add(redis, *ANSWERED)
    worker.run(Stop(), burst=True)
    fault(redis)
    add(redis, 1, 2, 3, series=("new",))
    with capture_logs() as log:
        assert [0] * 5 == [worker.step(NOW + n * LOOK_EVERY_S) for n in range(5)]
    (line,) = (line for line in log if line["log_level"] == "error")
    assert ("readings cannot be answered", 3, "110-0") == (line["event"], line["readings"], line["answered_to"])
    assert line["remedy"].startswith("rename forecasts, which hold higher ids")
    gauges = {name: sample(health, f"tidecast_{name}") for name in ("partitions_stuck", "lag_readings")}
    assert {"partitions_stuck": 1.0, "lag_readings": 3.0} == gauges
    assert (3, 10) == (lag(redis), len(forecasts(redis)))
    assert b"110-0" == redis.hget("offset", "last")
    put_aside(redis)
    worker.run(Stop(), burst=True)
    assert ["1-0", "2-0", "3-0"] == [made.id for made in forecasts(redis)]
    assert 0.0 == sample(health, "tidecast_partitions_stuck")
    assert 1.0 == sample(health, "tidecast_streams_recreated_total")


def test_what_cannot_be_answered_is_said_again_every_hour(settings: Settings, redis: Redis) -> None:
    """An operator may have missed it."""
    add(redis, *ANSWERED)
    worker = new_worker(settings)
    worker.run(Stop(), burst=True)
    deleted(redis)
    add(redis, 1)
    with capture_logs() as log:
        for n in range(9):
            worker.step(NOW + n * WARN_EVERY_S / 4)
    assert 3 == sum(line["log_level"] == "error" for line in log)


def test_dead_letters_are_in_the_way_as_well(settings: Settings, redis: Redis) -> None:
    """They have their readings' ids too."""
    add(redis, *ANSWERED)
    redis.xadd("readings", {"series": "a"}, id="111-0")
    worker = new_worker(settings)
    worker.run(Stop(), burst=True)
    deleted(redis)
    put_aside(redis)
    add(redis, 1, series=("new",))
    with capture_logs() as log:
        assert 0 == worker.step(NOW)
    assert ["rename dead, which"] == [line["remedy"][:18] for line in log if line["log_level"] == "error"]
    redis.delete("dead")
    worker.run(Stop(), burst=True)
    assert ["1-0"] == [made.id for made in forecasts(redis)]


def test_a_copy_of_an_older_time_is_not_answered_again(settings: Settings, redis: Redis) -> None:
    """Readings restored alone, from a dump older than the offset, have their forecasts already."""
    add(redis, *range(1, 6))
    copy = redis.dump("readings")
    assert copy
    add(redis, *range(6, 11))
    worker = new_worker(settings)
    worker.run(Stop(), burst=True)
    before = forecasts(redis)
    redis.restore("readings", 0, copy, replace=True)
    add(redis, 6)
    with capture_logs() as log:
        assert 0 == worker.step(NOW)
    assert before == forecasts(redis)
    assert ["readings cannot be answered"] == [line["event"] for line in log if line["log_level"] == "error"]


def test_readings_with_higher_ids_go_on_as_before(settings: Settings, redis: Redis) -> None:
    """Redis chooses them: the worker can answer, and raises no alarm."""
    worker = new_worker(settings)
    add(redis, *ANSWERED)
    worker.run(Stop(), burst=True)
    deleted(redis)
    with capture_logs() as log:
        worker.step(NOW)
        add(redis, 200, 201, 202)
        worker.run(Stop(), burst=True)
        assert 0 == lag(redis)
    assert 13 == len(forecasts(redis))
    assert [] == [line for line in log if line["log_level"] == "error"]


def test_a_stream_that_is_empty_is_waited_for(settings: Settings, redis: Redis) -> None:
    """All was trimmed, or the worker itself recreated the stream: the next ids are unknown."""
    worker = new_worker(settings)
    add(redis, *ANSWERED)
    worker.run(Stop(), burst=True)
    deleted(redis)
    worker = new_worker(settings)
    with capture_logs() as log:
        worker.run(Stop(), burst=True)
    assert b"110-0" == redis.hget("offset", "last")
    assert not any(line["event"].startswith("readings") for line in log)


def test_a_commit_from_before_is_fenced(settings: Settings, redis: Redis) -> None:
    """One that was under way for long must not come after the offset has moved: it would be applied a second time."""
    add(redis, *ANSWERED)
    stream = stream_of(settings)
    epoch = stream.acquire("me") or 0
    batch = outcome("110-0", *(f"{n}-0" for n in ANSWERED))
    stream.commit(epoch, "0-0", batch)
    deleted(redis)
    put_aside(redis)
    add(redis, 1)
    stream.release(epoch)
    assert stream.acquire("you") == epoch + 1
    assert "0-0" == stream.progress().last
    with pytest.raises(Fenced):
        stream.commit(epoch, "0-0", batch)
    with pytest.raises(Conflict):
        stream.commit(epoch + 1, "110-0", outcome("111-0", "111-0"))


def test_retention_keeps_what_was_not_answered(settings: Settings, redis: Redis) -> None:
    """Their ids are old and before the offset, but they are unread."""
    keeping = settings.model_copy(update={"worker": settings.worker.model_copy(update={"retention": 1.0})})
    worker = new_worker(keeping)
    add(redis, *ANSWERED)
    worker.run(Stop(), burst=True)
    deleted(redis)
    add(redis, *range(1, 4))
    for n in range(3):
        worker.step(NOW + 100 * n)
    assert 3 == redis.xlen("readings")


@pytest.mark.parametrize(("kept", "lost"), [(5, 0), (3, 2)])
def test_what_the_new_stream_has_lost_is_counted(settings: Settings, redis: Redis, kept: int, lost: int) -> None:
    """From Redis 7 on, by its own count."""
    add(redis, *ANSWERED)
    worker = new_worker(settings)
    worker.run(Stop(), burst=True)
    deleted(redis)
    put_aside(redis)
    add(redis, *range(1, 6), series=("new",))
    redis.xtrim("readings", maxlen=kept, approximate=False)
    worker.run(Stop(), burst=True)
    expected = lost if major(redis) >= 7 else 0
    assert {"read": 10 + kept + expected, "lost": expected, "forecast": 10 + kept} == counts_of(settings)
    add(redis, 6, 7)
    assert lag(redis) == (2 if major(redis) >= 7 else None)


def info(added: int, ids: list[int], newest: int | None = None) -> dict[str, object]:
    """Return the reply of XINFO STREAM for a stream with these entries."""
    first = [b"%d-0" % ids[0], {}] if ids else None
    last = [b"%d-0" % ids[-1], {}] if ids else None
    entries = {"first-entry": first, "last-entry": last, "last-generated-id": b"%d-0" % (newest or ids[-1])}
    return {"entries-added": added, "length": len(ids), **entries}


@pytest.mark.parametrize(
    ("of", "batch", "expected"),
    [
        (info(10, [*range(1, 11)]), [4, 5], Lag(5, 0)),
        (info(10, [*range(6, 11)]), [6, 7], Lag(3, 2)),
        (info(10, [*range(6, 11)]), [4, 5], Lag(5, 0)),  # trimmed since they were read
        (info(4, [11, 12, 13, 14]), [11, 12], Lag(2, 0, correction=-3)),  # recreated with higher ids
        (info(9, [11, 12, 13, 14]), [11, 12], Lag(2, 2)),
        (info(6, [2, 3, 4, 5, 6, 7]), [4, 5], Lag(1, 0)),
        (info(4, [2, 3, 4, 5]), [4], Lag(None, 0)),  # of a count that began elsewhere
        (info(4, [2, 3, 4, 5]), [4, 5], Lag(0, 0, correction=-1)),  # until all is read
        (info(7, [1, 2, 3, 5, 6]), [5, 6], Lag(0, 0, correction=2)),  # two were deleted before they were read
        (info(5, [1, 2, 3, 4], 5), [4], Lag(0, 0, correction=1)),  # the newest was
        (info(5, [], 5), [4, 5], Lag()),
    ],
)
def test_what_waits_is_right_whatever_became_of_the_stream(
    of: dict[str, object], batch: list[int], expected: Lag
) -> None:
    """Three readings are answered, `3-0` the last; a false lag of 0 would hide a worker that stands still."""
    newest = int(str(of["last-generated-id"], "ascii").partition("-")[0])  # type: ignore[call-overload] # it is bytes
    lag = lag_of(of, Progress("3-0", 3), [f"{n}-0" for n in batch])
    assert (expected.lost, expected.unread, expected.correction) == (lag.lost, lag.unread, lag.correction)
    assert max(0, newest - batch[-1]) / 1000 == lag.behind_s


def test_a_backup_that_is_restored_under_a_worker_is_not_taken_for_a_recreated_stream(
    settings: Settings, redis: Redis
) -> None:
    """The offset goes back with the readings: those after it are answered at once, and no stream must be renamed."""
    worker = new_worker(settings)
    add(redis, *range(1, 8))
    worker.step(NOW)
    add(redis, 8, 9)
    backup = {key: redis.dump(key) for key in redis.scan_iter()}
    add(redis, *range(10, 15))
    worker.step(NOW)
    worker.step(NOW)
    redis.flushall()
    for key, value in backup.items():
        redis.restore(key, 0, value)
    with capture_logs() as logs:
        for _ in range(3):
            worker.step(NOW, Impatient(9))
    assert list(range(1, 10)) == [int(forecast.id.partition("-")[0]) for forecast in forecasts(redis)]
    assert "Redis has lost data" in [line["event"] for line in logs]
    assert "readings cannot be answered" not in [line["event"] for line in logs]
