"""Pushed readings, the worker that answers them, and all that becomes of them."""

from collections import Counter

from redis import Redis

from tests.harness.connections import connected
from tests.worker.input.odd_readings import T
from tidecast.models.store import ModelStore
from tidecast.settings import Settings
from tidecast.wire import DISPOSITIONS, Forecast, keys_of
from worker.loop import Worker
from worker.metrics import Health
from worker.partition.stream import Stream
from worker.stop import Stop

Fields = dict[bytes, bytes]


def good(series: bytes, n: int) -> Fields:
    """Return a reading without fault, the n-th second of its series."""
    return {b"series": series, b"ts": b"%d" % (T + 1000 * n), b"value": b"42"}


def add(redis: Redis, fields: Fields, entry_id: str = "*", key: str = "readings") -> str:
    """Push a reading; return its id."""
    return redis.xadd(key, fields, id=entry_id).decode()  # type: ignore[arg-type, union-attr] # bytes are fine


def worker_of(settings: Settings, health: Health | None = None) -> Worker:
    """Return a worker of all partitions, as the program makes it."""
    count = settings.partitions
    streams = [Stream(connected(settings), keys_of(i, count), settings.worker) for i in range(count)]
    return Worker(settings, streams, ModelStore(settings.store), health or Health())


def answer(settings: Settings) -> None:
    """Let the real loop answer every reading; no step of it may fail."""
    health = Health()
    worker_of(settings, health).run(Stop(), burst=True)
    failed = [
        each.value for family in health.registry.collect() for each in family.samples if "failures_t" in each.name
    ]
    assert 0 == sum(failed)


def counts(redis: Redis, key: str = "offset") -> Counter[str]:
    """Return how many readings ended with each disposition; they sum to the readings consumed."""
    fields = {name.decode(): value for name, value in redis.hgetall(key).items()}  # type: ignore[union-attr] # the synchronous client
    ended = Counter({name: int(fields[name]) for name in DISPOSITIONS if int(fields.get(name, 0))})
    assert int(fields["read"]) == ended.total()
    return ended


def forecasts(redis: Redis) -> dict[str, Forecast]:
    """Return all forecasts, by id."""
    made = [Forecast.decode(*entry) for entry in redis.xrange("forecasts")]  # type: ignore[union-attr] # the synchronous client
    return {forecast.id: forecast for forecast in made}


def stored(redis: Redis) -> dict[str, bytes]:
    """Return the fields of the stored states."""
    return {name.decode(): raw for name, raw in redis.hgetall("state").items()}  # type: ignore[union-attr] # the synchronous client


def letters(redis: Redis, key: str = "dead") -> dict[str, Fields]:
    """Return the dead letters, by id."""
    return {entry_id.decode(): fields for entry_id, fields in redis.xrange(key)}  # type: ignore[union-attr, misc] # the synchronous client
