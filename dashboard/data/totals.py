"""Totals over all series from Redis: counts, rates, the lag, dead letters, workers and scheduled runs."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from redis import Redis

from tidecast.connection.partitions import (
    Run,
    offset_of,
    owner_of,
    read_lag,
    run_of,
    server_ms,
    stream_info,
    total,
    workers,
)
from tidecast.wire import keys_of

RATE_OVER_S = 5.0


@dataclass(frozen=True, slots=True)
class Totals:
    """The figures at one time, summed over the partitions.

    Attributes:
        readings: consumed since the beginning.
        forecasts: made since the beginning.
        readings_per_s: over the last seconds; None before the second call.
        forecasts_per_s: likewise.
        lag: readings that wait for their forecast; None if Redis does not report it.
        dead: dead letters since the beginning.
        workers: the number of live workers.
        runs: of the schedule, for each partition that has one.
        newest: by stream of forecasts, the newest id.
    """

    readings: int
    forecasts: int
    readings_per_s: float | None
    forecasts_per_s: float | None
    lag: int | None
    dead: int
    workers: int
    runs: tuple[Run, ...]
    newest: Mapping[str, str]


class Counting:
    """A reader of the totals, which keeps the last counts to compute rates."""

    def __init__(self, redis: Redis, partitions: int, namespace: str) -> None:
        self._redis = redis
        self._keys = [keys_of(p, partitions, namespace) for p in range(partitions)]
        self._namespace = namespace
        self._seen: deque[tuple[float, int, int]] = deque()

    def look(self, now: float) -> Totals:
        """Read the totals; `now` is in seconds of any monotonic clock.

        Raises:
            RedisError: Redis is not available, or refuses.
        """
        redis = self._redis
        now_ms = server_ms(redis)
        # Read each lag right after its offset: readings that arrive in between would count as waiting.
        counted = [(offset := offset_of(redis, keys), read_lag(redis, keys, offset).unread) for keys in self._keys]
        offsets = [offset for offset, _ in counted]
        owners = [owner_of(redis, keys, now_ms) for keys in self._keys]
        runs = [run_of(redis, p, keys) for p, keys in enumerate(self._keys)]
        readings = sum(offset.answered for offset in offsets)
        forecasts = sum(offset.counts.get("forecast", 0) for offset in offsets)
        rates = self._rates(now, readings, forecasts)
        return Totals(
            readings=readings,
            forecasts=forecasts,
            readings_per_s=rates[0],
            forecasts_per_s=rates[1],
            lag=total(lag for _, lag in counted),
            dead=sum(offset.counts.get("dead", 0) for offset in offsets),
            workers=len(workers(redis, self._namespace, owners, now_ms)),
            runs=tuple(run for run in runs if run),
            newest={keys.forecasts: self._newest(keys.forecasts) for keys in self._keys},
        )

    def _rates(self, now: float, readings: int, forecasts: int) -> tuple[float | None, float | None]:
        if self._seen and readings < self._seen[-1][1]:  # Redis was emptied
            self._seen.clear()
        self._seen.append((now, readings, forecasts))
        while len(self._seen) > 2 and now - self._seen[0][0] > RATE_OVER_S:
            self._seen.popleft()
        then, before_readings, before_forecasts = self._seen[0]
        if now <= then:
            return None, None
        return (readings - before_readings) / (now - then), (forecasts - before_forecasts) / (now - then)

    def _newest(self, stream: str) -> str:
        info = stream_info(self._redis, stream)
        return info["last-generated-id"].decode() if info else "0-0"
