"""What Redis says of all series together: counts, rates, the lag, dead letters, workers and runs of the schedule."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from redis import Redis
from redis.exceptions import ResponseError

from tidecast.wire import Keys, common_keys, keys_of

DISPOSITIONS = ("forecast", "duplicate", "late", "dead")  # one of them ends every reading
RATE_OVER_S = 5.0


@dataclass(frozen=True, slots=True)
class Run:
    """What a partition's record says of its schedule; times in epoch milliseconds, 0 where not known.

    Attributes:
        partition: whose.
        trigger: `every 6h` or `cron 0 3 * * * UTC`.
        state: of the latest run: `running`, `waiting`, `finished`, `failed`; empty before the first.
        due_ms: when it was due.
        tries: how often it was begun.
        started_ms: when it began last.
        ended_ms: when a run ended last.
        next_ms: when the next one is due.
        runs: how many have ended.
        owner: who runs it.
        detail: how it ended.
    """

    partition: int
    trigger: str
    state: str
    due_ms: int
    tries: int
    started_ms: int
    ended_ms: int
    next_ms: int
    runs: int
    owner: str
    detail: str

    @classmethod
    def of(cls, partition: int, record: Mapping[bytes, bytes]) -> "Run":
        """Read a partition's record."""
        text = {name.decode(): value.decode(errors="replace") for name, value in record.items()}

        def number(name: str) -> int:
            return _number(text.get(name, ""))

        return cls(
            partition,
            trigger=text.get("trigger", ""),
            state=text.get("state", ""),
            due_ms=number("due_ms"),
            tries=number("tries"),
            started_ms=number("started_ms"),
            ended_ms=number("ended_ms"),
            next_ms=number("retry_ms") or number("next_ms"),
            runs=number("runs"),
            owner=text.get("owner", ""),
            detail=text.get("detail", ""),
        )


@dataclass(frozen=True, slots=True)
class Totals:
    """The figures of one moment, summed over the partitions.

    Attributes:
        readings: taken in since the beginning.
        forecasts: made since the beginning.
        readings_per_s: over the last seconds; None before two looks.
        forecasts_per_s: the same.
        lag: readings that wait for their answer; None where Redis does not say.
        dead: dead letters since the beginning.
        workers: how many are alive.
        runs: of the schedule, for each partition that keeps one.
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
    """Asks Redis for the totals, and remembers enough of the answers to say how fast they grow."""

    def __init__(self, redis: Redis, partitions: int, namespace: str, group: str) -> None:
        self._redis = redis
        self._keys = [keys_of(p, partitions, namespace) for p in range(partitions)]
        _, self._workers = common_keys(namespace)
        self._group = group
        self._seen: deque[tuple[float, int, int]] = deque()

    def look(self, now: float) -> Totals:
        """Ask for the totals; `now` is in seconds of any steady clock.

        Raises:
            RedisError: Redis is away, or refuses.
        """
        counts = [self._counts(keys) for keys in self._keys]
        readings = sum(sum(value for name, value in one.items() if name in DISPOSITIONS) for one in counts)
        forecasts = sum(one.get("forecast", 0) for one in counts)
        rates = self._rates(now, readings, forecasts)
        records = [cast("dict[bytes, bytes]", self._redis.hgetall(keys.retrain)) for keys in self._keys]
        lags = [self._lag(keys) for keys in self._keys]
        return Totals(
            readings=readings,
            forecasts=forecasts,
            readings_per_s=rates[0],
            forecasts_per_s=rates[1],
            lag=None if None in lags else sum(cast("list[int]", lags)),
            dead=sum(one.get("dead", 0) for one in counts),
            workers=self._alive(),
            runs=tuple(Run.of(p, record) for p, record in enumerate(records) if record),
            newest={keys.forecasts: self._newest(keys.forecasts) for keys in self._keys},
        )

    def _counts(self, keys: Keys) -> dict[str, int]:
        found = cast("dict[bytes, bytes]", self._redis.hgetall(keys.offset))
        return {name.decode(): _number(value.decode()) for name, value in found.items() if name != b"last"}

    def _rates(self, now: float, readings: int, forecasts: int) -> tuple[float | None, float | None]:
        if self._seen and readings < self._seen[-1][1]:  # somebody has emptied Redis
            self._seen.clear()
        self._seen.append((now, readings, forecasts))
        while len(self._seen) > 2 and now - self._seen[0][0] > RATE_OVER_S:
            self._seen.popleft()
        then, before_readings, before_forecasts = self._seen[0]
        if now <= then:
            return None, None
        return (readings - before_readings) / (now - then), (forecasts - before_forecasts) / (now - then)

    def _lag(self, keys: Keys) -> int | None:
        """What XINFO says of the passive group; before there is one, every reading waits."""
        groups = self._asked(self._redis.xinfo_groups, keys.readings)
        for group in groups or ():
            if group["name"] == self._group.encode():
                lag = group.get("lag")
                return None if lag is None else int(lag)
        return self._redis.xlen(keys.readings)

    def _newest(self, stream: str) -> str:
        info = self._asked(self._redis.xinfo_stream, stream)
        return cast("bytes", info["last-generated-id"]).decode() if info else "0-0"

    def _alive(self) -> int:
        """Those on the roster, and those that hold a lease: a worker of a single partition keeps no roster."""
        seconds, micros = self._redis.time()
        known = cast("dict[bytes, bytes]", self._redis.hgetall(self._workers))
        for keys in self._keys:
            owner, until = cast("list[bytes | None]", self._redis.hmget(keys.lease, ["owner", "expires_ms"]))
            if owner and until:
                known[owner] = max(until, known.get(owner, b""), key=_as_number)
        return sum(_as_number(until) > 1000 * seconds + micros // 1000 for until in known.values())

    @staticmethod
    def _asked(command: Any, key: str) -> Any:
        try:
            return command(key)
        except ResponseError as exc:
            if "no such key" not in str(exc):
                raise
            return None


def _as_number(raw: bytes) -> int:
    return _number(raw.decode(errors="replace"))


def _number(text: str) -> int:
    return int(text) if text.lstrip("-").isdigit() else 0
