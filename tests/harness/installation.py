"""A healthy installation on a real server, in which a test seeds one fault."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from redis import Redis

from tests.harness.models import make_model
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.doctor.examination import examine
from tidecast.doctor.finding import Finding
from tidecast.models.store import ModelStore
from tidecast.settings import Settings, load_settings
from tidecast.wire import keys_of
from worker.loop import Worker
from worker.main import make_worker
from worker.metrics import Health
from worker.retraining.job_state import JobState

KEPT = ("--appendonly", "yes", "--appendfsync", "no")
AS_IT_WAS = {
    "appendonly": "yes",
    "save": "",
    "maxmemory": "0",
    "maxmemory-policy": "noeviction",
    "min-replicas-to-write": "0",
    "stream-node-max-entries": "100",
    "stream-node-max-bytes": "4096",
}
AGO_MS = 120_000  # when the readings that are answered arrived


@dataclass(frozen=True)
class Installation:
    """An installation in which all is well: readings answered, a champion, a run of the schedule to come."""

    server: EmbeddedRedis
    redis: Redis
    settings: Settings
    worker: Worker
    began_ms: int

    @property
    def store(self) -> ModelStore:
        """Its models."""
        return ModelStore(self.settings.store)

    @property
    def record(self) -> JobState:
        """Its schedule's."""
        return JobState(self.redis, keys_of(), "w", 100)

    def told(self, **changed: Any) -> "Installation":
        """Return the same installation with other settings."""
        return replace(self, settings=self.settings.model_copy(update=changed))

    def push(self, after_ms: int, value: str = "1.0") -> None:
        """Push a reading that arrived so long after the first."""
        ms = self.began_ms + after_ms
        self.redis.xadd("readings", {"series": "a", "value": value, "ts": ms}, id=f"{ms}-1")

    def answer(self) -> None:
        """Let the worker answer all readings."""
        self.worker.step(time.time())

    def examine(self) -> list[Finding]:
        """Return the doctor's findings."""
        return examine(self.settings)


@contextmanager
def installation(server: EmbeddedRedis, folder: Path) -> Iterator[Installation]:
    """A healthy installation on an emptied server."""
    with Redis.from_url(server.url, protocol=2) as redis:
        redis.execute_command("REPLICAOF", "NO", "ONE")
        for name, value in AS_IT_WAS.items():
            redis.config_set(name, value)
        redis.flushall()
        settings = load_settings(
            redis_url=server.url, store=folder / "models", worker={"lease": 60.0}, retrain={"every": "1h"}
        )
        ModelStore(settings.store).publish(make_model("a"))
        now_ms = time.time_ns() // 1_000_000
        made = Installation(server, redis, settings, make_worker(settings, Health()), now_ms - AGO_MS)
        for step in range(3):
            made.push(1000 * step)
        made.answer()
        made.record.plan("every 1h", now_ms + 3_600_000)
        yield made
