"""Read the status of an installation: its partitions, workers, series, retraining and dead letters."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

from redis import Redis

from tidecast.connection.conditions import series_in_trouble
from tidecast.connection.partitions import (
    PresentSettings,
    Run,
    offset_of,
    oldest_wait_s,
    owner_of,
    read_lag,
    run_of,
    server_ms,
    total,
    workers,
)
from tidecast.models.storage.served import Served
from tidecast.models.store import ModelStore
from tidecast.online.series.condition import state_of_head
from tidecast.online.series.condition_names import SERIES_STATES
from tidecast.schedule_choice import choose_schedule
from tidecast.settings import Settings
from tidecast.wire import DISPOSITIONS, SEPARATOR, Keys, layout_of

COUNTED = 20_000  # with more fields in a partition's states, the number of series is estimated
SAMPLED = 2000  # the number of fields in the sample for the estimate
CONDITIONS_EVERY_MS = 5000
EVENTS_READ = 2000  # newest of each partition, to find the series that are not in order
RETRAIN = {"state": "state", "last_ms": "ended_ms", "next_ms": "next_ms", "detail": "detail"}  # JSON name: field of Run


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """The status of one partition.

    Attributes:
        partition: its number.
        owner: the worker that holds it; None if it is free.
        lag: the number of unanswered readings; None if Redis does not provide it.
        waited_s: how long the oldest of them has waited, in seconds; 0 without unanswered readings.
        readings: the total number of processed readings, by disposition.
        rate: processed readings per second since the last look; None for the first look.
        series: the number of series with a state.
        estimated: whether `series` is an estimate.
        lost: the total number of readings that were trimmed before they were read.
        run: the scheduled run; None without a schedule.
    """

    partition: int
    owner: str | None
    lag: int | None
    waited_s: float
    readings: Mapping[str, int]
    rate: float | None
    series: int
    estimated: bool
    lost: int
    run: Run | None

    @property
    def processed(self) -> int:
        """Return how many readings were processed, with any disposition."""
        return sum(self.readings.values())

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON, with the counts of readings, and the main fields of the run as `retrain`."""
        fields = asdict(self)
        fields |= _counts(fields.pop("readings"))
        run = fields.pop("run") or {}
        return fields | {"retrain": {name: run.get(field) or None for name, field in RETRAIN.items()}}


@dataclass(frozen=True, slots=True)
class Status:
    """The status of an installation at `at_ms`, by the clock of Redis in epoch milliseconds.

    `workers` are the live workers, and `champions` is the number of series with a model. `schedule` describes the
    retraining schedule of a worker with these settings in one line. `conditions` are the series that are not in order.
    """

    at_ms: int
    partitions: tuple[PartitionStatus, ...]
    workers: tuple[str, ...]
    champions: int
    schedule: str
    conditions: dict[str, list[str]]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields and the sums over all partitions, for JSON."""
        parts = self.partitions
        rates = [part.rate for part in parts if part.rate is not None]
        return {
            "at_ms": self.at_ms,
            "partitions": [part.as_dict() for part in parts],
            "workers": self.workers,
            "champions": self.champions,
            "schedule": self.schedule,
            "conditions": self.conditions,
            "series": sum(part.series for part in parts),
            **_counts(sum((Counter(part.readings) for part in parts), Counter())),
            "rate": sum(rates) if rates else None,
            "lag": total(part.lag for part in parts),
            "lost": sum(part.lost for part in parts),
        }


class StatusWatch:
    """A reader that returns the status of an installation repeatedly.

    Args:
        redis: the server with the keys.
        settings: the settings of the installation.
    """

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._namespace = settings.namespace
        self._present = PresentSettings(settings, redis)
        self._schedule = str(choose_schedule(settings))
        self._served = Served(ModelStore(settings.store))
        self._before: Status | None = None
        self._conditions: dict[str, list[str]] = {}
        self._conditions_at_ms = 0

    def look(self) -> Status:
        """Return the status now, with the rates since the last look.

        Raises:
            RedisError: Redis does not answer, or refuses a command.
        """
        now_ms = server_ms(self._redis)
        layout = layout_of(self._present())
        if self._before and len(self._before.partitions) != layout.partitions:
            self._before = None
        parts = tuple(self._partition(i, keys, now_ms) for i, keys in enumerate(layout.present()))
        alive = workers(self._redis, self._namespace, [part.owner for part in parts], now_ms)
        if not 0 <= now_ms - self._conditions_at_ms < CONDITIONS_EVERY_MS:
            self._conditions = series_in_trouble(self._redis, layout, state_of_head, SERIES_STATES[-1], EVENTS_READ)
            self._conditions_at_ms = now_ms
        champions = len(self._served.names())
        self._before = Status(now_ms, parts, tuple(sorted(alive)), champions, self._schedule, self._conditions)
        return self._before

    def _partition(self, number: int, keys: Keys, now_ms: int) -> PartitionStatus:
        offset = offset_of(self._redis, keys)
        series, estimated = _series(self._redis, keys.state)
        return PartitionStatus(
            partition=number,
            owner=owner_of(self._redis, keys, now_ms),
            lag=read_lag(self._redis, keys, offset).unread,
            waited_s=oldest_wait_s(self._redis, keys, offset.last, now_ms) or 0.0,
            readings={name: offset.counts.get(name, 0) for name in DISPOSITIONS},
            rate=self._rate(number, offset.answered, now_ms),
            series=series,
            estimated=estimated,
            lost=offset.counts.get("lost", 0),
            run=run_of(self._redis, number, keys),
        )

    def _rate(self, number: int, processed: int, now_ms: int) -> float | None:
        before = self._before
        if before is None or now_ms <= before.at_ms:
            return None
        return (processed - before.partitions[number].processed) / ((now_ms - before.at_ms) / 1000)


def counts_text(counts: Mapping[str, int]) -> str:
    """Return the counts of readings as text: `5 answered, 1 late, 0 duplicate, 0 dead`."""
    shown = ", ".join(f"{counts[name]} {name}" for name in ("answered", "late", "duplicate", "dead"))
    return f"{shown} (`tidecast dead` lists them)" if counts["dead"] else shown


def _counts(readings: Mapping[str, int]) -> dict[str, int]:
    """Return the counts of readings for JSON; those with a forecast are called `answered`."""
    return {("answered" if name == "forecast" else name): readings.get(name, 0) for name in DISPOSITIONS}


def _series(redis: Redis, state: str) -> tuple[int, bool]:
    """Return the number of series, and whether it is an estimate; each series may have several fields."""
    fields = int(redis.hlen(state))
    mark = SEPARATOR.encode()
    counted = fields <= COUNTED
    sample = cast("list[bytes]", redis.hrandfield(state, fields if counted else SAMPLED) or [])
    if counted:
        return sum(mark not in name for name in sample), False
    return round(fields * sum(mark not in name for name in sample) / max(len(sample), 1)), True
