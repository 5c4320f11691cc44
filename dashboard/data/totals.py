"""Totals over all series from Redis: counts, rates, the lag, dead letters, workers and scheduled runs."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
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
from tidecast.settings import Settings
from tidecast.wire import DISPOSITIONS, layout_of

RATE_OVER_S = 5.0
GROWTH_OVER_S = 30.0  # how long the lag must have grown


@dataclass(frozen=True, slots=True)
class Totals:
    """The figures at one time, summed over the partitions.

    Attributes:
        counts: the readings since the beginning, by disposition.
        readings_per_s: over the last seconds; None before the second call.
        forecasts_per_s: likewise.
        lag: readings that wait for their forecast; None if Redis does not report it.
        lag_growth: by how many readings the lag has grown over the last half minute; 0 if it does not keep growing.
        workers: the number of live workers.
        runs: of the schedule, for each partition that has one.
        newest: by stream of forecasts, the newest id.
    """

    counts: Counter[str]
    readings_per_s: float | None
    forecasts_per_s: float | None
    lag: int | None
    lag_growth: int
    workers: int
    runs: tuple[Run, ...]
    newest: Mapping[str, str]


class Counting:
    """A reader of the totals, which keeps the last counts to compute rates."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._keys = layout_of(settings).present()
        self._namespace = settings.namespace
        self._seen: deque[tuple[float, int, int]] = deque()
        self._lags: deque[tuple[float, int]] = deque()

    def read(self, now: float) -> Totals:
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
        counts: Counter[str] = Counter()
        for offset in offsets:
            counts.update({name: offset.counts.get(name, 0) for name in DISPOSITIONS})
        rates = self._rates(now, counts.total(), counts["forecast"])
        lag = total(lag for _, lag in counted)
        return Totals(
            counts=counts,
            readings_per_s=rates[0],
            forecasts_per_s=rates[1],
            lag=lag,
            lag_growth=self._growth(now, lag),
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

    def _growth(self, now: float, lag: int | None) -> int:
        if lag is None:
            self._lags.clear()
            return 0
        self._lags.append((now, lag))
        while now - self._lags[0][0] > GROWTH_OVER_S:
            self._lags.popleft()
        return growth_of(self._lags)

    def _newest(self, stream: str) -> str:
        info = stream_info(self._redis, stream)
        return info["last-generated-id"].decode() if info else "0-0"


def growth_of(lags: Sequence[tuple[float, int]]) -> int:
    """Return by how much a lag has grown, 0 if it does not keep growing: a large push alone is not a problem.

    Args:
        lags: at least one, with its time in seconds, the oldest first.
    """
    first_s, first = lags[0]
    last_s, last = lags[-1]
    middle_s = (first_s + last_s) / 2
    before = max(lag for at, lag in lags if at <= middle_s)
    later = [lag for at, lag in lags if at > middle_s]
    is_long = last_s - first_s >= GROWTH_OVER_S / 2
    return last - first if is_long and min(later) > before and last == max(later) else 0
