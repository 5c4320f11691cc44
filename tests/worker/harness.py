"""Workers, readings and rights that the tests of the worker share."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from redis import Redis

from tests.harness.connections import connected
from tidecast.client import Client
from tidecast.connection.partitions import offset_of
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import Settings
from tidecast.wire import Forecast, keys_of
from worker.known_stream import KnownStream
from worker.loop import Worker
from worker.membership import Membership
from worker.metrics import Health
from worker.partition.other_settings import OtherSettings
from worker.partition.stream import Stream
from worker.stop import Stop

NOW = 1_700_000_000.0
SPEC = Spec(window=4, units=3)
OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
LINES = re.findall(r"^ACL SETUSER .+$", OPERATIONS.read_text(), re.MULTILINE)
ALONE = {line.split()[2]: line.split() for line in LINES if " reset " in line}


def quick(batch: int = 7) -> dict[str, Any]:
    """Return the settings of a worker that hardly waits."""
    return {"worker": {"batch": batch, "block": "1ms"}, "redis_timeout": 10.0}


def elsewhere(settings: Settings, url: str) -> Settings:
    """Return the same settings for another server."""
    return settings.model_copy(update={"redis_url": SecretStr(url)})


def stream_of(settings: Settings) -> Stream:
    """Return the worker's stream on connections of its own, which the end of the test closes."""
    return Stream(connected(settings), keys_of(), settings.worker, others=OtherSettings(settings))


def counts_of(settings: Settings) -> dict[str, int]:
    """Return how many readings were committed: by disposition, and those read and lost."""
    counts = offset_of(connected(settings), keys_of()).counts
    return {name: number for name, number in counts.items() if name != "before"}


def new_worker(settings: Settings, health: Health | None = None) -> Worker:
    """Return a worker as the program makes it."""
    health = health or Health()
    known = KnownStream(connected(settings), settings, health)
    return Worker(settings, [stream_of(settings)], ModelStore(settings.store), health, known=known)


def share_of(member: Membership, now: float = NOW) -> int:
    """Return a worker's share of eight partitions."""
    member.look(now)
    return member.share(8)


def add(redis: Redis, *numbers: int, series: tuple[str, ...] = ("a", "b")) -> None:
    """Push these readings, a second apart, spread over the series; a worker that waits for some sees all at once."""
    with redis.pipeline() as together:
        for n in numbers:
            named: dict[bytes | str, str | float] = {"series": series[n % len(series)], "value": n * n % 17}
            together.xadd("readings", named | {"ts": n * 1000}, id=f"{n}-0")  # type: ignore[arg-type] # or numbers
        together.execute()


def forecasts(redis: Redis) -> list[Forecast]:
    """Return all forecasts."""
    return [Forecast.decode(*entry) for entry in redis.xrange("forecasts")]


def last(redis: Redis) -> Forecast:
    """Return the newest forecast."""
    return forecasts(redis)[-1]


def sample(registry: Health, name: str, **labels: str) -> float:
    """Return the value of a metric."""
    return registry.registry.get_sample_value(name, labels) or 0.0


class Impatient(Stop):
    """Count the waits instead of waiting, and stop after a given number of them."""

    def __init__(self, waits: int) -> None:
        super().__init__()
        self.left = waits
        self.longest_s = 0.0

    def wait(self, seconds: float) -> bool:
        """Count instead of waiting."""
        self.longest_s = max(self.longest_s, seconds)
        self.left -= 1
        if self.left == 0:
            self.set()
        return self.is_set()


@contextmanager
def running(worker: Worker) -> Iterator[None]:
    """Run the worker in a thread."""
    stop = Stop()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def push(settings: Settings, count: int) -> list[str]:
    """Push readings of five series and return their ids."""
    with Client(settings.redis_url.get_secret_value()) as client:
        return client.push_many((f"s{n % 5}", float(n % 7), 1000 + n // 5 * 1000) for n in range(count))


def rights_of(user: str) -> list[str]:
    """Return the commands that the documentation grants."""
    return [word.removeprefix("+") for word in ALONE[user] if word.startswith("+")]


def grant(redis: Redis, user: str, without: str = "") -> None:
    """Make a user as documented, less one right."""
    redis.execute_command(*(word for word in ALONE[user] if word != f"+{without}"))


def login(url: str, user: str) -> str:
    """Return the address with the user and the documented password."""
    password = next(word[1:] for word in ALONE[user] if word.startswith(">"))
    return url.replace("redis://", f"redis://{user}:{password}@")
