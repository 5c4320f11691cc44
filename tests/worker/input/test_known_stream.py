"""Values known ahead in the stream `known`: which forecasts use them, and what becomes of bad ones."""

import time
from dataclasses import replace

import numpy as np
import pytest
from redis import Redis
from structlog.testing import capture_logs

from tests.harness.models import make_model, network_alone
from tests.worker.harness import NOW, add, forecasts, new_worker, quick, sample
from tidecast.client import AsyncClient, Client
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.errors import BadReading
from tidecast.models.experts import LINEAR, LINEAR_KNOWN
from tidecast.models.model import Model
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import Settings
from tidecast.wire import DeadLetter
from worker.known_stream import FORGET_EVERY_S, LOOK_EVERY_S, KnownStream
from worker.loop import Worker
from worker.metrics import Health

pytestmark = pytest.mark.settings(**quick())


def known_model(series: str = "a") -> Model:
    """Return a model whose forecast is the last value plus the price of the time to forecast."""
    panel = network_alone()
    at = LINEAR_KNOWN - LINEAR.start
    panel.coefficients[at, 0] = 1.0
    panel.needs[at] = 1
    panel.errors[:, LINEAR_KNOWN] = 0.01
    first = (np.arange(len(panel.lags)) == 0).astype(np.int64)
    panel = replace(panel, lags=0 * first, columns=first)
    spec = Spec(window=4, units=3, known=("price",))
    return make_model(series, spec, panel=panel, network=False, half_width=1.0)


def moves(redis: Redis, series: str = "a") -> list[float]:
    """Return by how much each forecast of a series differs from its reading."""
    return [each.yhat - each.y for each in forecasts(redis) if each.series == series]


def push(redis: Redis, entry_id: str, second: float, price: str = "1", series: str = "a") -> None:
    """Add a price for a second."""
    redis.xadd("known", {"series": series, "ts": round(second * 1000), "price": price}, id=entry_id)


def test_a_forecast_uses_the_newest_value_that_arrived_no_later_than_its_reading(
    worker: Worker, store: ModelStore, redis: Redis
) -> None:
    """The ids decide, so that it does not matter when a worker reads; a correction counts from its own id on."""
    store.publish(known_model())
    for second, entry_id in ((2, "1-0"), (3, "1-1"), (4, "3-5"), (6, "4-0")):
        push(redis, entry_id, second, str(second))
    push(redis, "5-9", 6, "60")
    push(redis, "7-0", 7, "7")
    add(redis, *range(1, 7), series=("a",))
    worker.step(NOW)
    expected = [2, 3, 4, np.nan, 60, np.nan]  # the value for second 7 came too late, 5 has no value
    made = moves(redis)
    known = [each.kind == "linear_known" for each in forecasts(redis)]
    assert [not np.isnan(price) for price in expected] == known
    np.testing.assert_allclose([price for price in expected if price == price], np.array(made)[known])


def test_another_worker_makes_the_same_forecasts(settings: Settings, store: ModelStore, redis: Redis) -> None:
    """It reads the stream from its beginning, among it values that came after the readings."""
    store.publish(known_model())
    push(redis, "1-0", 2, "2")
    add(redis, 1, series=("a",))
    first = new_worker(settings)
    first.step(NOW)
    first.leave()
    push(redis, "1-1", 3, "3")
    push(redis, "9-0", 3, "30")
    add(redis, 2, series=("a",))
    new_worker(settings).step(NOW)
    np.testing.assert_allclose([2, 3], moves(redis))


def test_a_pattern_gives_values_to_all_its_series(worker: Worker, store: ModelStore, redis: Redis) -> None:
    """Their own values come first."""
    store.publish(known_model("a"))
    store.publish(known_model("b"))
    push(redis, "1-0", 3, "5", "*")
    push(redis, "1-1", 3, "6", "b")
    add(redis, 2, series=("a",))
    add(redis, 3, series=("b",))
    redis.xadd("known", {"series": "[ab]", "ts": 4000, "price": "8"}, id="2-0")
    worker.step(NOW)
    assert [pytest.approx(5)] == moves(redis, "a")
    assert [pytest.approx(8)] == moves(redis, "b")


def test_values_whose_entries_were_trimmed_are_forgotten(settings: Settings, redis: Redis) -> None:
    """A worker that runs for years holds no more than the stream, and knows what a restarted one would know."""
    for n in range(1, 301):
        push(redis, f"{n}-0", n, series=f"s{n % 150}")
    known = KnownStream(redis, settings, Health())
    known.look(0.0)
    redis.xtrim("known", maxlen=100, approximate=False)
    for step in range(6):  # a part of the sources in each step, and not all the time
        push(redis, f"{1000 + step}-0", 2000 + step)
        known.look(FORGET_EVERY_S + LOOK_EVERY_S * step)
    again = KnownStream(redis, settings, Health())
    again.look(0.0)
    for series in ("a", *(f"s{n}" for n in range(150))):
        assert held(again, series) == held(known, series)
    assert 106 == sum(len(held(known, series)) for series in ("a", *(f"s{n}" for n in range(150))))
    assert () == known.values.fields("s10")
    redis.delete("known")
    for step in range(7, 30):
        known.look(FORGET_EVERY_S * step)
    assert [] == held(known, "a")
    push(redis, "2000-0", 8)
    known.look(FORGET_EVERY_S * 30)
    redis.delete("known")
    push(redis, "5-0", 7)  # the stream is another one, as its ids are lower
    known.look(FORGET_EVERY_S * 31)
    assert [(7000, 5)] == held(known, "a")


def held(known: KnownStream, series: str) -> list[tuple[int, int]]:
    """Return the times of the values of a series, and their moments."""
    return [pair for _, _, ts, moments, _ in known.values.of(series) for pair in zip(ts, moments, strict=True)]


def test_bad_entries_become_dead_letters_once(settings: Settings, redis: Redis, redis_server: EmbeddedRedis) -> None:
    """Under their own ids, whatever number of workers reads them; sound ones beside them count."""
    bad = [
        ({"ts": "1", "price": "1"}, "no_series", "field 'series' is missing"),
        ({"series": "a", "price": "1"}, "bad_ts", "field 'ts' is missing: send the time that the values are for"),
        ({"series": "a", "ts": "1"}, "no_value", "the entry for 'a' has no value: send at least one field"),
        ({"series": "a", "ts": "1", "price": "4,5"}, "bad_value", "field 'price' is '4,5', with a comma: send a point"),
        ({"series": "a", "ts": "tomorrow", "price": "4"}, "bad_ts", "ts 'tomorrow' is not a time"),
    ]
    for number, (fields, _, _) in enumerate(bad, 1):
        redis.xadd("known", fields, id=f"{number}-0")
    push(redis, "9-0", 2)
    health = Health()
    for _ in range(2):
        KnownStream(redis, settings, health).read_until(9)
    letters = [DeadLetter.decode(*entry) for entry in redis.xrange("known_dead")]
    assert [f"{number}-0" for number in range(1, 6)] == [letter.id for letter in letters]
    for (_, reason, detail), letter in zip(bad, letters, strict=True):
        assert reason == letter.reason
        assert letter.detail.startswith(detail)
    assert (2, 10) == tuple(
        sample(health, "tidecast_known_values_total", result=each) for each in ("taken", "rejected")
    )
    with Client(redis_server.url) as client:
        assert letters == list(client.dead(block_ms=1, stop_when_idle=True, since="0"))


def test_many_bad_entries_are_one_line_in_the_log(settings: Settings, redis: Redis) -> None:
    """A program that pushes nonsense must not fill the disk; each entry is a dead letter all the same."""
    for number in range(1, 301):
        redis.xadd("known", {"series": "a", "ts": "soon", "price": "1"}, id=f"{number}-0")
    with capture_logs() as lines:
        KnownStream(redis, settings, Health()).look(0)
    assert [line["event"] for line in lines] == ["known values were rejected"]
    assert redis.xlen("known_dead") == 300


def test_series_without_their_values_are_counted(settings: Settings, store: ModelStore, redis: Redis) -> None:
    """They are forecast without them; the metric shows that someone has stopped to push."""
    store.publish(known_model())
    push(redis, "1-0", 2)
    add(redis, 1, series=("a",))
    health = Health()
    worker = new_worker(settings, health)
    worker.step(NOW)
    assert 0 == sample(health, "tidecast_series_without_known")
    add(redis, 2, series=("a",))
    worker._census._began_at = -np.inf  # the next count is due
    worker.step(NOW)
    assert 1 == sample(health, "tidecast_series_without_known")
    assert ["linear_known", "naive"] == [each.kind for each in forecasts(redis)]


def test_values_pushed_just_before_a_reading_count(
    settings: Settings, store: ModelStore, redis: Redis, redis_server: EmbeddedRedis
) -> None:
    """In the same millisecond too: the worker waits until the server's clock has passed it."""
    store.publish(known_model())
    worker = new_worker(settings)
    now_ms = round(time.time() * 1000)
    with Client(redis_server.url) as client:
        for n in range(20):
            client.push_known("a", {"price": n + 1.0}, now_ms + (n + 1) * 1000)
            client.push("a", 0.0, now_ms + n * 1000)
            worker.step(time.time())
    np.testing.assert_allclose(np.arange(1, 21), moves(redis))


async def test_the_clients_check_values_as_the_worker_does(redis_server: EmbeddedRedis, redis: Redis) -> None:
    """Both write the same entry; a time far ahead is allowed, and needed."""
    far = "2030-01-01T00:00:00Z"
    with Client(redis_server.url) as client:
        client.push_known("shop-*", {"price": 4.5, "plan": 7}, far, known_at=5)
        with pytest.raises(BadReading, match="ts 'soon' is not a time"):
            client.push_known("a", 1.0, "soon")
        with pytest.raises(BadReading, match="field 'price' is 'nan'"):
            client.push_known("a", {"price": float("nan")}, far)
    async with AsyncClient(redis_server.url) as client:
        await client.push_known("shop-*", {"price": 4.5, "plan": 7}, far, known_at=5)
    (_, first), (_, second) = redis.xrange("known")
    values = {b"price": b"4.5", b"plan": b"7.0"}
    assert {b"series": b"shop-*", b"ts": far.encode(), **values, b"known_at": b"5"} == first == second


def test_values_that_the_user_may_not_read_stop_no_forecast(worker: Worker, store: ModelStore, redis: Redis) -> None:
    """Forecasts are made without them, and the log names the right."""
    store.publish(known_model())
    push(redis, "1-0", 2)
    redis.execute_command("ACL", "SETUSER", "default", "resetkeys", "~[^k]*")
    try:
        with capture_logs() as lines:
            add(redis, *range(1, 20), series=("a",))
            for later in range(9):
                worker.step(NOW + later)
    finally:
        redis.execute_command("ACL", "SETUSER", "default", "~*")
    assert 19 == len(forecasts(redis))
    assert "grant the worker's user ~known" in [line.get("remedy") for line in lines]


@pytest.mark.parametrize("entry_id", [f"{2**63}-0", f"{2**64 - 1}-{2**64 - 1}"])
def test_an_id_beyond_all_times_and_a_new_stream_after_it_do_not_end_the_reading(
    worker: Worker, store: ModelStore, redis: Redis, entry_id: str
) -> None:
    """Redis gives no lower id again, so the stream must be deleted: values in the new one count at once."""
    store.publish(known_model())
    push(redis, "1-0", 2)
    push(redis, entry_id, 3, "7")
    add(redis, 1, 2, series=("a",))
    worker.step(NOW)
    assert [1.0, 0.0] == moves(redis)
    redis.delete("known")
    push(redis, "2-5", 4, "3")
    add(redis, 3, series=("a",))
    with capture_logs() as lines:
        worker.step(NOW + 1)
    assert [1.0, 0.0, 3.0] == moves(redis)
    assert [entry_id] == [line["read_to"] for line in lines if "known values was recreated" in line["event"]]
