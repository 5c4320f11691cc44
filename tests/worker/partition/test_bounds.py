"""The bounds from the settings: a batch's bytes, the readings kept, and the forecasts not read yet."""

from collections.abc import Iterator

import pytest
from redis import Redis

from tests.worker.partition.harness import forecast, outcome
from tidecast.connection.lag import Progress
from tidecast.connection.partitions import offset_of
from tidecast.errors import Fenced, Unavailable
from tidecast.models.store import ModelStore
from tidecast.settings import WorkerSettings, load_settings
from tidecast.wire import Event, keys_of
from worker.loop import Worker
from worker.metrics import Health
from worker.partition.consumer import RETAIN_EVERY_S
from worker.partition.stream import Stream
from worker.stop import Stop

NOW = 1_700_000_000.0
KEPT_S = 3600.0


def stream_with(redis: Redis, **settings: object) -> Stream:
    """Return a partition under these settings."""
    return Stream(redis, keys_of(), WorkerSettings.model_validate(settings))


def test_a_batch_holds_about_so_many_bytes(redis: Redis) -> None:
    """The rest is read the next time, and one reading is read however large it is."""
    for n in range(1, 11):
        redis.xadd("readings", {"v": "x" * (999 if n < 9 else 9)}, id=f"{n}-0")
    redis.xadd("readings", {"v": "x" * 9000}, id="11-0")
    stream = stream_with(redis, batch=8, batch_bytes=3000)
    last = "0-0"
    sizes = []
    while entries := stream.read(last, None):
        last = entries[-1][0]
        sizes.append(len(entries))
    assert [3, 3, 2, 2, 1] == sizes
    assert "11-0" == last


def test_readings_answered_long_ago_are_trimmed(redis: Redis) -> None:
    """By the worker itself; those that are younger, or not yet answered, stay."""
    settings = load_settings(worker={"retention": KEPT_S, "batch": 500})
    old = round((NOW - 2 * KEPT_S) * 1000)
    young = round((NOW - KEPT_S / 2) * 1000)
    for n in range(1000):
        redis.xadd("readings", {"series": "a", "value": n}, id=f"{(old if n < 700 else young) + n}-0")
    stream = Stream(redis, keys_of(), settings.worker)
    worker = Worker(settings, [stream], ModelStore(settings.store), Health())
    worker.step(NOW)
    ids = [int(entry_id.partition(b"-")[0]) for entry_id, _ in redis.xrange("readings")]
    assert ids[0] <= old + 499, "what is not answered, and the offset itself, is there"
    assert 1000 == redis.xlen("forecasts") + sum(n > old + 499 for n in ids)
    worker.step(NOW + 1)
    before = redis.xlen("readings")
    worker.step(NOW + RETAIN_EVERY_S)
    assert 300 <= redis.xlen("readings") < min(before, 450)
    assert 1000 == redis.xlen("forecasts")
    assert "0" == str(offset_of(redis, keys_of()).counts["lost"])


def test_nothing_is_trimmed_unless_it_is_wished(redis: Redis) -> None:
    """Readings are kept for ever by default."""
    settings = load_settings()
    for n in range(1, 400):
        redis.xadd("readings", {"series": "a", "value": n}, id=f"{n}-0")
    worker = Worker(settings, [Stream(redis, keys_of(), settings.worker)], ModelStore(settings.store), Health())
    worker.run(Stop(), burst=True)
    assert 399 == redis.xlen("readings")


def test_a_fenced_worker_trims_nothing(redis: Redis) -> None:
    """The readings are another's."""
    stream = stream_with(redis)
    stream.acquire("me")
    stream.acquire("me")
    with pytest.raises(Fenced):
        stream.retain(1, 10**15)


@pytest.mark.parametrize(
    ("entry_ids", "last", "left"),
    [([f"{n}-0" for n in range(1, 301)], "9-0", 292), ([f"1000-{n}" for n in range(300)], "1000-250", 300)],
    ids=["fewer digits", "the same time"],
)
def test_neither_what_is_not_committed_nor_what_is_young_is_trimmed(
    redis: Redis, entry_ids: list[str], last: str, left: int
) -> None:
    """Ids are compared as numbers, not as text; a reading at the very time is not older."""
    for entry_id in entry_ids:
        redis.xadd("readings", {"series": "a"}, id=entry_id)
    stream = stream_with(redis)
    stream.acquire("me")
    stream.commit(1, "0-0", outcome(last, last))
    stream.retain(1, 1000)
    assert left == redis.xlen("readings")


@pytest.fixture(params=[(100, 4096), (0, 4096), (0, 0), (7, 0)], ids=str)
def blocks(request: pytest.FixtureRequest, redis: Redis) -> Iterator[None]:
    """A server whose streams have blocks of another size, or of any."""
    names = ("stream-node-max-entries", "stream-node-max-bytes")
    before = {name: redis.config_get(name)[name] for name in names}
    for name, most in zip(names, request.param, strict=True):
        redis.config_set(name, most)
    yield
    for name, most in before.items():
        redis.config_set(name, most)


@pytest.mark.usefixtures("blocks")
def test_no_stream_is_longer_than_its_setting(redis: Redis) -> None:
    """Whatever the size of its blocks: where that has no limit, 1,234 forecasts were kept of 100."""
    stream = stream_with(redis, forecasts_kept=100, dead_kept=50, events_kept=20)
    stream.acquire("me")
    last = "0-0"
    for first in range(1, 1235, 200):
        ids = [f"{n}-0" for n in range(first, min(first + 200, 1235))]
        batch = outcome(ids[-1], *ids, dead=tuple(ids))
        batch.events = [Event("series_created", "first reading received", "a") for _ in ids]
        stream.commit(1, last, batch)
        last = ids[-1]
        assert [100, 50, 20] == [redis.xlen(name) for name in ("forecasts", "dead", "events")]
    assert (b"1234-0", b"1135-0") == tuple(redis.xrange("forecasts")[i][0] for i in (-1, 0))


@pytest.mark.usefixtures("blocks")
def test_readings_are_kept_as_long_as_the_setting_says(redis: Redis) -> None:
    """Those that are older go, to the last one."""
    for n in range(1, 1001):
        redis.xadd("readings", {"series": "a"}, id=f"{n}-0")
    stream = stream_with(redis)
    stream.acquire("me")
    stream.commit(1, "0-0", outcome("900-0", "900-0"))
    assert stream.retain(1, 801)
    assert (b"801-0", 200) == (redis.xrange("readings", count=1)[0][0], redis.xlen("readings"))


def test_many_old_readings_are_trimmed_part_by_part(redis: Redis) -> None:
    """Redis serves others in between. By itself it trims ten thousand in ten seconds, fewer than may come."""
    with redis.pipeline() as together:
        for n in range(1, 30_001):
            together.xadd("readings", {"series": "a"}, id=f"{n}-0")
        together.execute()
    settings = load_settings(worker={"retention": KEPT_S, "batch": 10_000})
    stream = Stream(redis, keys_of(), settings.worker)
    stream.acquire("me")
    stream.commit(1, "0-0", outcome("30000-0", "30000-0"))
    assert not stream.retain(1, 29_901, 5_000)
    assert 25_000 == redis.xlen("readings")
    assert stream.retain(1, 29_901)
    assert 100 == redis.xlen("readings")


def test_where_the_offset_is_gone_nothing_is_trimmed(redis: Redis) -> None:
    """It is unknown which readings were answered."""
    for n in range(1, 301):
        redis.xadd("readings", {"series": "a"}, id=f"{n}-0")
    stream = stream_with(redis)
    stream.acquire("me")
    redis.delete("offset")
    stream.retain(1, 1000)
    assert 300 == redis.xlen("readings")


def test_old_readings_are_trimmed_though_the_clock_was_set_back(redis: Redis) -> None:
    """Even to a moment before which nothing can be kept for so long."""
    settings = load_settings(worker={"retention": KEPT_S})
    worker = Worker(settings, [Stream(redis, keys_of(), settings.worker)], ModelStore(settings.store), Health())
    worker.step(NOW)
    for n in range(1, 301):
        redis.xadd("readings", {"series": "a", "value": n}, id=f"{n}-0")
    assert 300 == worker.step(1.0)
    assert 300 == redis.xlen("readings")
    worker.step(NOW - KEPT_S)
    assert 100 >= redis.xlen("readings")


@pytest.fixture
def awaited(redis: Redis) -> Stream:
    """A partition that keeps five forecasts, and waits for a group that has read nothing yet."""
    stream = stream_with(redis, forecasts_kept=5, wait_for_group="plant")
    for n in range(1, 31):
        redis.xadd("readings", {"series": "a", "value": n}, id=f"{n}-0")
    redis.xgroup_create("forecasts", "plant", id="0", mkstream=True)
    stream.acquire("me")
    stream.commit(1, "0-0", outcome("4-0", *(f"{n}-0" for n in range(1, 5))))
    return stream


def ids(redis: Redis) -> list[bytes]:
    """Return the ids of the forecasts in the stream."""
    return [entry_id for entry_id, _ in redis.xrange("forecasts")]


def test_what_a_slow_consumer_has_not_acknowledged_is_kept(awaited: Stream, redis: Redis) -> None:
    """The worker waits for the consumer: an entry that was read but not acknowledged is kept."""
    more = outcome("7-0", "5-0", "6-0", "7-0")
    with pytest.raises(Unavailable, match="group plant has not acknowledged") as caught:
        awaited.commit(1, "4-0", more)
    assert "FULL" == caught.value.code
    redis.xreadgroup("plant", "me", {"forecasts": ">"}, count=3)
    with pytest.raises(Unavailable):
        awaited.commit(1, "4-0", more)
    assert [b"1-0", b"2-0", b"3-0", b"4-0"] == ids(redis)
    assert Progress("4-0", 4) == awaited.progress()
    redis.xack("forecasts", "plant", "1-0", "2-0")
    awaited.commit(1, "4-0", more)
    assert [b"3-0", b"4-0", b"5-0", b"6-0", b"7-0"] == ids(redis)


def test_a_group_that_is_awaited_but_not_there_loses_nothing(awaited: Stream, redis: Redis) -> None:
    """As if it had not read anything yet."""
    redis.xgroup_destroy("forecasts", "plant")
    with pytest.raises(Unavailable):
        awaited.commit(1, "4-0", outcome("7-0", "5-0", "6-0", "7-0"))
    assert 4 == len(ids(redis))


def test_a_batch_larger_than_the_room_is_published_once_all_is_read(awaited: Stream, redis: Redis) -> None:
    """A small limit slows the worker, but does not stop it."""
    redis.xreadgroup("plant", "me", {"forecasts": ">"})
    redis.xack("forecasts", "plant", *ids(redis))
    awaited.commit(1, "4-0", outcome("300-0", *(f"{n}-0" for n in range(5, 301))))
    assert 297 == len(ids(redis))


def test_a_batch_without_a_forecast_needs_no_room(awaited: Stream, redis: Redis) -> None:
    """Where more is kept than there is room for, dead letters go their way all the same."""
    redis.xadd("forecasts", {"who": "knows"}, id="4-1")
    redis.xadd("forecasts", {"who": "knows"}, id="4-2")
    awaited.commit(1, "4-0", outcome("5-0", dead=("5-0",)))
    assert (6, 1) == (len(ids(redis)), redis.xlen("dead"))


def test_two_forecasts_that_are_not_acknowledged_are_waited_for(awaited: Stream, redis: Redis) -> None:
    """Only beside a single one, which is always left, is a batch that is too large published."""
    redis.xreadgroup("plant", "me", {"forecasts": ">"})
    redis.xack("forecasts", "plant", "1-0", "2-0")
    with pytest.raises(Unavailable):
        awaited.commit(1, "4-0", outcome("8-0", *(f"{n}-0" for n in range(5, 9))))
    assert [b"3-0", b"4-0"] == ids(redis)


def test_what_was_acknowledged_stays_while_there_is_room(awaited: Stream, redis: Redis) -> None:
    """For consumers that are not waited for."""
    redis.xreadgroup("plant", "me", {"forecasts": ">"})
    redis.xack("forecasts", "plant", *ids(redis))
    awaited.commit(1, "4-0", outcome("5-0", "5-0"))
    assert 5 == len(ids(redis))


def test_another_group_is_not_the_one_that_is_awaited(awaited: Stream, redis: Redis) -> None:
    """However far it has read."""
    redis.xgroup_create("forecasts", "archive", id="$")
    with pytest.raises(Unavailable):
        awaited.commit(1, "4-0", outcome("7-0", "5-0", "6-0", "7-0"))
    assert 4 == len(ids(redis))


def test_without_a_group_the_oldest_forecasts_go(redis: Redis) -> None:
    """As many stay as are wished."""
    stream = stream_with(redis, forecasts_kept=100)
    stream.acquire("me")
    for n in range(1, 1001):
        stream.commit(1, f"{n - 1}-0", outcome(f"{n}-0", f"{n}-0"))
    assert 100 == len(ids(redis))
    assert forecast("1000-0").id.encode() == ids(redis)[-1]
