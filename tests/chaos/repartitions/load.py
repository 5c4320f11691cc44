"""The load while the number of partitions changes: producers that push readings when they are due."""

import time
from collections import Counter
from collections.abc import Callable

from redis.exceptions import RedisError

from tests.chaos.repartitions.waits import Waits
from tests.chaos.stoppable import StoppableThread

TICK_S = 0.05  # between two pushes of a producer
LOOK_S = 0.01


class TickingProducer(StoppableThread):
    """Push the next readings of its series at every tick, until it is stopped; failed pushes are repeated.

    Args:
        series: the numbers of its series, which take turns.
        per_tick: how many readings are due at a tick; at most one of each series, as a repeated push must repeat the
            last reading of each of its series.
        waits: when each reading was due.
        push: pushes readings, each the number of its series and its own, and gets the number of the tick.
    """

    def __init__(
        self, series: range, per_tick: int, waits: Waits, push: Callable[[list[tuple[int, int]], int], None]
    ) -> None:
        super().__init__(f"producer of {series}")
        assert per_tick <= len(series)
        self.pushed: Counter[int] = Counter()
        self._series = series
        self._per_tick = per_tick
        self._waits = waits
        self._push = push

    def run(self) -> None:
        """Push. While a push fails or takes longer than a tick, further readings become due and wait for it."""
        began = time.time()
        for tick in range(10**9):
            due = began + tick * TICK_S
            time.sleep(max(0.0, due - time.time()))
            if self._stop_asked.is_set():
                return
            readings = self._next_readings(tick)
            self._waits.due(readings, due)
            while not self._arrived(readings, tick):
                time.sleep(LOOK_S)

    def _next_readings(self, tick: int) -> list[tuple[int, int]]:
        chosen = [self._series[(tick * self._per_tick + i) % len(self._series)] for i in range(self._per_tick)]
        readings = [(series, self.pushed[series]) for series in chosen]
        self.pushed.update(chosen)
        return readings

    def _arrived(self, readings: list[tuple[int, int]], tick: int) -> bool:
        try:
            self._push(readings, tick)
        except RedisError:
            return False
        return True
