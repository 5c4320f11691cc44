"""A producer that pushes steadily, and repeats failed pushes under the same ids until they arrive."""

import time
from collections.abc import Sequence

from redis import Redis
from redis.exceptions import RedisError

from tests.chaos.harness import push
from tests.chaos.stoppable import StoppableThread
from tidecast.connection import connect
from tidecast.settings import load_settings

TICK_S = 0.05
PAUSE_S = 0.02  # after a failure
CONFIRMED_MS = 100  # how long a replica may take


class Producer(StoppableThread):
    """Push so many readings a second until all are pushed, or until `stop` is called.

    Attributes:
        begun: a reading of this number or above was not yet sent.
        pushed: all readings below this number were acknowledged.
        replicas: by how many replicas a reading must be confirmed (`WAIT`) before it counts as acknowledged.
    """

    def __init__(
        self,
        url: str,
        entries: Sequence[dict[bytes, bytes]],
        rate: int,
        partitions: int = 1,
        replicas: int = 0,
        routed: int = 0,
    ) -> None:
        super().__init__("producer")
        self.begun = self.pushed = 0
        self.replicas = replicas
        self._url = url
        self._entries = entries
        self._rate = rate
        self._partitions = partitions
        self._routed = routed

    def run(self) -> None:
        """Push all."""
        began = time.monotonic()
        size = max(1, round(self._rate * TICK_S))
        with connect(load_settings(redis_url=self._url)) as redis:
            while self.pushed < len(self._entries) and not self._stop_asked.is_set():
                self.begun = min(self.pushed + size, len(self._entries))
                while not self._arrived(redis, list(self._entries[self.pushed : self.begun])):
                    time.sleep(PAUSE_S)
                self.pushed = self.begun
                time.sleep(max(0.0, self.pushed / self._rate - (time.monotonic() - began)))

    def _arrived(self, redis: Redis, part: list[dict[bytes, bytes]]) -> bool:
        try:
            push(redis, part, self.pushed, self._partitions, self._routed)
            count = self.replicas
            return not count or int(redis.wait(count, CONFIRMED_MS)) >= count
        except RedisError:  # down, full, busy, read-only: whatever it is, it passes
            return False
