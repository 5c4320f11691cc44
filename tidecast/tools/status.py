"""How an installation does at the moment: its partitions, workers, series, retraining and dead letters."""

from dataclasses import asdict, dataclass
from typing import Any, cast

from redis import Redis

from tidecast.connection.partitions import (
    Offset,
    Run,
    offset_of,
    owner_of,
    run_of,
    server_ms,
    total,
    waiting,
    workers,
)
from tidecast.models.served import Served
from tidecast.models.store import ModelStore
from tidecast.retraining import choose_schedule
from tidecast.settings import Settings
from tidecast.wire import SEPARATOR, Keys, id_pair, keys_of

COUNTED = 20_000  # fields of a partition's states: of more the series are estimated
SAMPLED = 2000  # from so many fields
RETRAIN = {"state": "state", "last_ms": "ended_ms", "next_ms": "next_ms", "detail": "detail"}  # of a run, in JSON


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """One partition.

    Attributes:
        partition: its number.
        owner: the worker that holds it; None: nobody does.
        lag: readings that wait for an answer; None: Redis does not say.
        behind_s: how long the oldest of them has waited; 0: none waits.
        answered: readings that came to an end since the beginning, whatever it was.
        rate: how many of them a second, since the look before; None: there was none.
        series: how many are remembered, about so many where `estimated`.
        estimated: whether that is an estimate.
        dead: readings that became dead letters since the beginning.
        lost: readings that were trimmed before they were read.
        run: of the schedule; None: there is none.
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
    run: Run | None

    def as_dict(self) -> dict[str, Any]:
        """It with what is most asked of the schedule, ready for JSON."""
        told = asdict(self)
        run = told.pop("run") or {}
        return told | {"retrain": {name: run.get(field) or None for name, field in RETRAIN.items()}}


@dataclass(frozen=True, slots=True)
class Status:
    """All partitions, who is at work, and how many series have a model, at a time of Redis' in epoch milliseconds.

    `schedule` describes in one line the schedule of retraining that a worker with these settings keeps here.
    """

    at_ms: int
    partitions: tuple[PartitionStatus, ...]
    workers: tuple[str, ...]
    champions: int
    schedule: str

    def as_dict(self) -> dict[str, Any]:
        """It with its sums, ready for JSON."""
        parts = self.partitions
        rates = [one.rate for one in parts if one.rate is not None]
        return {
            "at_ms": self.at_ms,
            "partitions": [one.as_dict() for one in parts],
            "workers": self.workers,
            "champions": self.champions,
            "schedule": self.schedule,
            "series": sum(one.series for one in parts),
            "answered": sum(one.answered for one in parts),
            "rate": sum(rates) if rates else None,
            "lag": total(one.lag for one in parts),
            "dead": sum(one.dead for one in parts),
            "lost": sum(one.lost for one in parts),
        }


class Watch:
    """Looks at an installation again and again.

    Args:
        redis: where the keys are.
        settings: of the installation.
    """

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._namespace = settings.namespace
        self._keys = [keys_of(i, settings.partitions, settings.namespace) for i in range(settings.partitions)]
        self._schedule = str(choose_schedule(settings))
        self._served = Served(ModelStore(settings.store))
        self._before: Status | None = None

    def look(self) -> Status:
        """See how all does now, and how fast since the last look.

        Raises:
            RedisError: Redis does not answer, or refuses a look.
        """
        now_ms = server_ms(self._redis)
        parts = tuple(self._partition(i, keys, now_ms) for i, keys in enumerate(self._keys))
        alive = workers(self._redis, self._namespace, [one.owner for one in parts], now_ms)
        self._before = Status(now_ms, parts, tuple(sorted(alive)), len(self._served.names()), self._schedule)
        return self._before

    def _partition(self, number: int, keys: Keys, now_ms: int) -> PartitionStatus:
        offset = offset_of(self._redis, keys)
        series, estimated = _series(self._redis, keys.state)
        return PartitionStatus(
            partition=number,
            owner=owner_of(self._redis, keys, now_ms),
            lag=waiting(self._redis, keys, offset),
            behind_s=_behind_s(self._redis, keys, offset, now_ms),
            answered=offset.answered,
            rate=self._rate(number, offset.answered, now_ms),
            series=series,
            estimated=estimated,
            dead=offset.counts.get("dead", 0),
            lost=offset.counts.get("lost", 0),
            run=run_of(self._redis, number, keys),
        )

    def _rate(self, number: int, answered: int, now_ms: int) -> float | None:
        before = self._before
        if before is None or now_ms <= before.at_ms:
            return None
        return (answered - before.partitions[number].answered) / ((now_ms - before.at_ms) / 1000)


def _behind_s(redis: Redis, keys: Keys, offset: Offset, now_ms: int) -> float:
    """How long the oldest reading that waits has waited."""
    oldest = cast("list[tuple[bytes, Any]]", redis.xrange(keys.readings, f"({offset.last}", "+", count=1))
    return max(0.0, (now_ms - id_pair(oldest[0][0])[0]) / 1000) if oldest else 0.0


def _series(redis: Redis, state: str) -> tuple[int, bool]:
    """How many series are remembered; where there are many fields, by a sample: each series has several."""
    fields = int(redis.hlen(state))
    mark = SEPARATOR.encode()
    counted = fields <= COUNTED
    sample = cast("list[bytes]", redis.hrandfield(state, fields if counted else SAMPLED) or [])
    if counted:
        return sum(mark not in name for name in sample), False
    return round(fields * sum(mark not in name for name in sample) / len(sample)), True
