"""How long readings wait for their forecasts while the number of partitions changes, as another program sees it."""

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from redis import Redis
from redis.exceptions import RedisError

from tests.chaos.harness import EPOCH
from tests.chaos.stoppable import StoppableThread
from tidecast.connection.partitions import at_present
from tidecast.settings import load_settings
from tidecast.wire import Layout, layout_of

LOOK_S = 0.005
MOMENT_S = 0.1  # a wait that is not noted
AT_ONCE = 1000  # forecasts of a stream


@dataclass(slots=True)
class Waits:
    """The time from the moment a reading is due, whether or not its producer could push it, to its forecast.

    Attributes:
        outages: from when to when Redis was down, in epoch seconds.
        periods: from when to when readings waited for longer than a moment.
    """

    outages: list[tuple[float, float]] = field(default_factory=list)
    periods: set[tuple[float, float]] = field(default_factory=set)
    _due: dict[tuple[int, int], float] = field(default_factory=dict)

    def due(self, readings: Iterable[tuple[int, int]], at: float) -> None:
        """Note that readings are due: series and number of each."""
        for reading in readings:
            self._due[reading] = at

    def answered(self, series: int, number: int, at: float) -> None:
        """Note that the forecast of a reading was read; a second one changes nothing."""
        due = self._due.pop((series, number), None)
        if due is not None and at - due > MOMENT_S:
            self.periods.add((due, at))

    def longest_s(self) -> float:
        """Return the longest wait."""
        return max((at - due for due, at in self.periods), default=MOMENT_S)

    def longest_up_s(self) -> float:
        """Return the longest wait without the time in which Redis had been killed and did not answer again."""
        waits_s = (
            at - due - sum(max(0.0, min(at, end) - max(due, began)) for began, end in self.outages)
            for due, at in self.periods
        )
        return max(waits_s, default=MOMENT_S)


class Watch(StoppableThread):
    """Read the forecasts of all partitions as they come, and measure how long their readings have waited.

    Args:
        url: the address of Redis.
        waits: when each reading was due.
    """

    def __init__(self, url: str, waits: Waits) -> None:
        super().__init__("watch")
        self._url = url
        self._waits = waits

    def run(self) -> None:
        """Follow the forecasts until all that were published before the thread was stopped are read."""
        position: dict[str, str] = {}
        read_to_end: set[str] = set()  # the streams of former partitions, which get no forecasts any more
        with Redis.from_url(self._url, protocol=2) as redis:
            while True:
                last_look = self._stop_asked.is_set()
                with suppress(RedisError):
                    layout = layout_of(at_present(redis, load_settings(redis_url=self._url)))
                    names = _streams(layout)
                    position = {name: position.get(name, "0-0") for name in names if name not in read_to_end}
                    empty = set(position) - self._read(redis, position)
                    read_to_end |= empty - {keys.forecasts for keys in layout.present()}
                    if last_look and len(empty) == len(position):
                        return
                time.sleep(LOOK_S)

    def _read(self, redis: Redis, position: dict[str, str]) -> set[str]:
        """Read the next forecasts of streams, and move their positions; return the streams that had some."""
        filled = set()
        for stream, entries in redis.xread(position, count=AT_ONCE) or []:  # type: ignore[arg-type] # strings are fine
            now = time.time()
            for _, fields in entries:
                series = int(fields[b"series"].partition(b"-")[2])
                self._waits.answered(series, (int(fields[b"origin"]) - EPOCH) // 1000, now)
            filled.add(stream.decode())
            position[stream.decode()] = entries[-1][0].decode()
        return filled


def _streams(layout: Layout) -> Sequence[str]:
    return [part.keys.forecasts for part in layout.every_part()]
