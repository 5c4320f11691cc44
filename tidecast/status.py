"""How an installation does at the moment: its partitions, workers, series, retraining and dead letters."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

from redis import Redis

from tidecast.settings import Settings
from tidecast.store import ModelStore
from tidecast.wire import SEPARATOR, Keys, common_keys, keys_of

DISPOSITIONS = (b"forecast", b"duplicate", b"late", b"dead")
COUNTED = 20_000  # fields of a partition's states: of more the series are estimated
SAMPLED = 2000  # from so many fields


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """One partition.

    Attributes:
        partition: its number.
        owner: the worker that holds it; None: nobody does.
        lag: readings that wait for an answer; None: Redis does not count them, before 7.
        behind_s: how long the oldest of them has waited; 0: none waits.
        answered: readings that came to an end since the beginning, whatever it was.
        rate: how many of them a second, since the look before; None: there was none.
        series: how many are remembered, about so many where `estimated`.
        estimated: whether that is an estimate.
        dead: readings that became dead letters since the beginning.
        lost: readings that were trimmed before they were read.
        retrain: of the schedule: `state`, `last_ms` and `next_ms` (epoch milliseconds), `detail` of the last run.
    """

    partition: int
    owner: str | None
    lag: int | None
    behind_s: float
    answered: int
    rate: float | None
    series: int
    estimated: bool
    dead: int
    lost: int
    retrain: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Status:
    """All partitions, who is at work, and how many series have a model, at a time of Redis' in epoch milliseconds."""

    at_ms: int
    partitions: tuple[PartitionStatus, ...]
    workers: tuple[str, ...]
    champions: int

    def as_dict(self) -> dict[str, Any]:
        """It with its sums, ready for JSON."""
        parts = self.partitions
        rates = [one.rate for one in parts if one.rate is not None]
        lags = [one.lag for one in parts if one.lag is not None]
        return {
            **asdict(self),
            "series": sum(one.series for one in parts),
            "answered": sum(one.answered for one in parts),
            "rate": sum(rates) if rates else None,
            "lag": sum(lags) if len(lags) == len(parts) else None,
            "dead": sum(one.dead for one in parts),
            "lost": sum(one.lost for one in parts),
        }


def look(redis: Redis, server: Redis, settings: Settings, before: Status | None = None) -> Status:
    """See how all does now.

    Args:
        redis: where the keys are.
        server: whose time it is; the same, unless that is a cluster.
        settings: of the installation.
        before: the last look, which tells the rates.

    Raises:
        RedisError: Redis does not answer, or refuses a look.
    """
    count, namespace = settings.partitions, settings.namespace
    seconds, micros = server.time()
    now_ms = int(seconds) * 1000 + int(micros) // 1000
    of = [_partition(redis, i, keys_of(i, count, namespace), now_ms, before) for i in range(count)]
    roster = cast("dict[bytes, bytes]", redis.hgetall(common_keys(namespace)[1]))
    alive = {name.decode(errors="backslashreplace") for name, until in roster.items() if int(until) > now_ms}
    workers = alive | {one.owner for one in of if one.owner}
    return Status(now_ms, tuple(of), tuple(sorted(workers)), len(ModelStore(settings.store).served()))


def _partition(redis: Redis, number: int, keys: Keys, now_ms: int, before: Status | None) -> PartitionStatus:
    offset = cast("dict[bytes, bytes]", redis.hgetall(keys.offset))
    counted = {name: int(value) for name, value in offset.items() if name != b"last"}
    answered = sum(counted.get(name, 0) for name in DISPOSITIONS)
    lag, behind_s = _backlog(redis, keys, offset, now_ms)
    owner, expires = cast("list[bytes | None]", redis.hmget(keys.lease, ["owner", "expires_ms"]))
    alive = owner is not None and int(expires or 0) > now_ms
    series, estimated = _series(redis, keys.state)
    return PartitionStatus(
        partition=number,
        owner=owner.decode(errors="backslashreplace") if owner and alive else None,
        lag=lag,
        behind_s=behind_s,
        answered=answered,
        rate=_rate(number, answered, now_ms, before),
        series=series,
        estimated=estimated,
        dead=counted.get(b"dead", 0),
        lost=counted.get(b"lost", 0),
        retrain=_retrain(redis, keys.retrain),
    )


def _backlog(redis: Redis, keys: Keys, offset: Mapping[bytes, bytes], now_ms: int) -> tuple[int | None, float]:
    """How many readings wait, and for how long the oldest has."""
    last = offset.get(b"last", b"0-0").decode()
    waiting = cast("list[tuple[bytes, Any]]", redis.xrange(keys.readings, f"({last}", "+", count=1))
    if not waiting:
        return 0, 0.0
    info = redis.xinfo_stream(keys.readings)
    lag = int(info["entries-added"]) - int(offset.get(b"read", 0)) if "entries-added" in info else None
    return lag, max(0.0, (now_ms - int(waiting[0][0].partition(b"-")[0])) / 1000)


def _rate(number: int, answered: int, now_ms: int, before: Status | None) -> float | None:
    if before is None or now_ms <= before.at_ms or number >= len(before.partitions):
        return None
    return (answered - before.partitions[number].answered) / ((now_ms - before.at_ms) / 1000)


def _series(redis: Redis, state: str) -> tuple[int, bool]:
    """How many series are remembered; where there are many fields, by a sample: each series has several."""
    fields = int(redis.hlen(state))
    mark = SEPARATOR.encode()
    if fields <= COUNTED:
        return sum(mark not in name for name in cast("list[bytes]", redis.hkeys(state))), False
    sample = cast("list[bytes]", redis.hrandfield(state, SAMPLED))
    return round(fields * sum(mark not in name for name in sample) / len(sample)), True


def _retrain(redis: Redis, key: str) -> dict[str, Any]:
    found = {name.decode(): value.decode() for name, value in cast("Any", redis.hgetall(key)).items()}
    last, following = found.get("ended_ms"), found.get("next_ms")
    return {
        "state": found.get("state"),
        "last_ms": int(last) if last else None,
        "next_ms": int(following) if following else None,
        "detail": found.get("detail"),
    }
