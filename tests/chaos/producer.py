"""A producer that pushes steadily, and repeats what failed under the same ids until it is there."""

import threading
import time
from collections.abc import Sequence

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from tests.chaos.harness import push

TICK_S = 0.05
PAUSE_S = 0.02  # after a failure
CONFIRMED_MS = 100  # how long a replica may take


class Producer(threading.Thread):
    """Push so many readings a second until all are pushed, or until told to stop.

    Attributes:
        begun: a reading of this number or above was not yet sent.
        pushed: all readings below this number were acknowledged.
        replicas: by how many replicas a reading must be confirmed (`WAIT`) before it counts as acknowledged.
    """

    def __init__(
        self, url: str, entries: Sequence[dict[bytes, bytes]], rate: int, partitions: int = 1, replicas: int = 0
    ) -> None:
        super().__init__(name="producer", daemon=True)
        self.begun = self.pushed = 0
        self.replicas = replicas
        self._url, self._entries, self._rate, self._partitions = url, entries, rate, partitions
        self._stop_asked = threading.Event()

    def stop(self) -> None:
        """End after what is under way."""
        self._stop_asked.set()
        self.join()

    def run(self) -> None:
        """Push all."""
        began, size = time.monotonic(), max(1, round(self._rate * TICK_S))
        once = Retry(NoBackoff(), 0)  # a confirmation counts only on the connection that has pushed
        with Redis.from_url(self._url, protocol=2, socket_timeout=5, retry=once) as redis:
            while self.pushed < len(self._entries) and not self._stop_asked.is_set():
                self.begun = min(self.pushed + size, len(self._entries))
                while not self._arrived(redis, list(self._entries[self.pushed : self.begun])):
                    time.sleep(PAUSE_S)
                self.pushed = self.begun
                time.sleep(max(0.0, self.pushed / self._rate - (time.monotonic() - began)))

    def _arrived(self, redis: Redis, part: list[dict[bytes, bytes]]) -> bool:
        try:
            push(redis, part, self.pushed, self._partitions)
            wanted = self.replicas
            return not wanted or int(redis.wait(wanted, CONFIRMED_MS)) >= wanted
        except RedisError:  # down, full, busy, read-only: whatever it is, it passes
            return False
