"""The load while the number of partitions changes: producers, and a program that measures how long readings wait."""

import time
from collections import Counter
from collections.abc import Callable

from redis import Redis
from redis.exceptions import RedisError

from tests.chaos.stoppable import StoppableThread
from tidecast.connection.partitions import at_present
from tidecast.settings import load_settings
from tidecast.wire import layout_of

TICK_S = 0.05  # between two pushes of a producer
LOOK_S = 0.01


class TickingProducer(StoppableThread):
    """Push the next reading of each of its series at every tick, until it is stopped; failed pushes are repeated."""

    def __init__(self, series: range, per_tick: int, push: Callable[[list[tuple[int, int]], int], None]) -> None:
        super().__init__(f"producer of {series}")
        self.pushed: Counter[int] = Counter()
        self._series = series
        self._per_tick = per_tick
        self._push = push

    def run(self) -> None:
        """Push."""
        began = time.monotonic()
        for tick in range(10**9):
            if self._stop_asked.is_set():
                return
            chosen = [self._series[(tick * self._per_tick + i) % len(self._series)] for i in range(self._per_tick)]
            readings = [(series, self.pushed[series]) for series in dict.fromkeys(chosen)]
            while not self._arrived(readings, tick):
                time.sleep(LOOK_S)
            self.pushed.update(series for series, _ in readings)
            time.sleep(max(0.0, (tick + 1) * TICK_S - (time.monotonic() - began)))

    def _arrived(self, readings: list[tuple[int, int]], tick: int) -> bool:
        try:
            self._push(readings, tick)
        except RedisError:
            return False
        return True


class Watch(StoppableThread):
    """Look at the newest forecasts, and measure how long their readings have waited.

    Attributes:
        longest_s: the longest wait, in seconds.
    """

    def __init__(self, url: str) -> None:
        super().__init__("watch")
        self._url = url
        self.longest_s = 0.0

    def run(self) -> None:
        """Follow the forecasts of all generations."""
        position: dict[str, str] = {}
        with Redis.from_url(self._url, protocol=2) as redis:
            while not self._stop_asked.is_set():
                try:
                    layout = layout_of(at_present(redis, load_settings(redis_url=self._url)))
                    position = {part.keys.forecasts: "0-0" for part in layout.every_part()} | position
                    for stream, entries in redis.xread(position, count=1000) or []:  # type: ignore[arg-type]
                        now = time.time()
                        oldest_ms = min(int(entry_id.partition(b"-")[0]) for entry_id, _ in entries)
                        self.longest_s = max(self.longest_s, now - oldest_ms / 1000)
                        position[stream.decode()] = entries[-1][0].decode()
                except RedisError:
                    pass
                time.sleep(LOOK_S)
