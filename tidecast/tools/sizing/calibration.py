"""Measure the coefficients of this machine with the worker's own code on a real Redis, in about two seconds."""

import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import chain
from secrets import token_hex
from statistics import median
from typing import TYPE_CHECKING, cast

import numpy as np
import structlog
from pydantic import SecretStr
from redis import Redis

from tidecast.connection import connect
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.errors import SettingsError, TidecastError
from tidecast.models.store import ModelStore
from tidecast.settings import Settings, cores, worker_threads
from tidecast.tools.own_packages import own_packages
from tidecast.tools.sizing.coefficients import OWN, Coefficients, Cost
from tidecast.tools.sizing.machine import memory_bytes, processor_name
from tidecast.tools.sizing.trial_models import (
    FIRST_MS,
    KINDS,
    PUSH,
    STEP_MS,
    Kind,
    TrialModels,
    full_state,
    id_of,
    name_of,
    value_at,
)
from tidecast.wire import Keys, keys_of

if TYPE_CHECKING:
    from worker.partition.consumer import PartitionConsumer

SERIES = 1000  # of each kind: their weights exceed the processor's caches, as in service
ROUNDS = 4  # the first does not count
BATCHES = 6  # of a round: each but the first is handled while the one before is committed
MOST_UNITS = 100  # of the measured own networks: larger ones take long, and gigabytes for all series
LEASE_S = 600.0  # longer than any calibration


def calibrate(
    settings: Settings, redis_url: str | None = None, *, units: int = OWN.units, series: int = SERIES
) -> Coefficients:
    """Measure the coefficients of this machine.

    Each kind of model has its own streams, and the kinds take turns, so that other work slows all alike.

    Args:
        settings: of the series and of the worker, which change the costs.
        redis_url: the server to measure, where keys of a namespace of their own exist meanwhile; None: one is started.
        units: of an own LSTM; of more than `MOST_UNITS` so many are measured.
        series: the number of series of each kind.

    Raises:
        SettingsError: the address is refused, or belongs to a cluster.
        TidecastError: no Redis could be started, or a reading was not answered.
    """
    own_units = min(units, MOST_UNITS)
    with own_packages(), _warnings_only(), ExitStack() as stack:
        from worker.compiling import warm

        warm(steps=settings.series.horizon)
        url = redis_url or stack.enter_context(EmbeddedRedis()).url
        redis = cast("Redis", stack.enter_context(connect(_at(settings, url))))
        if redis.info("cluster")["cluster_enabled"]:
            raise SettingsError("the measured Redis is a server of a cluster: name one without a cluster with --redis")
        namespace = f"tidecast-size-{token_hex(4)}"
        trials = {}
        for kind in KINDS:
            keys = keys_of(namespace=f"{namespace}-{kind}")
            stack.callback(_delete, redis, keys)
            trials[kind] = _Trial(redis, keys, settings, series, TrialModels(kind, own_units))
        costs = _costs(trials)
        keys = trials["own"].keys
        state_bytes = _bytes_of(redis, keys.state) / series
        reading_bytes = _entry_bytes(redis, keys.readings)
        forecast_bytes = _entry_bytes(redis, keys.forecasts)
    return Coefficients(
        processor=processor_name(),
        cores=cores(),
        memory_bytes=memory_bytes(),
        untrained=costs["none"],
        trained=costs["experts"],
        own=costs["own"].minus(costs["experts"]),
        own_units=own_units,
        shared=costs["shared"].minus(costs["experts"]),
        state_bytes=state_bytes,
        reading_bytes=reading_bytes,
        forecast_bytes=forecast_bytes,
    )


def _at(settings: Settings, redis_url: str) -> Settings:
    """Return the settings with a single Redis at this address."""
    return settings.model_copy(update={"redis_url": SecretStr(redis_url), "redis_cluster": False})


def _costs(trials: Mapping[Kind, "_Trial"]) -> dict[Kind, Cost]:
    """Return the median cost of a reading for each kind of model."""
    rounds: dict[Kind, list[Cost]] = {kind: [] for kind in trials}
    for _ in range(ROUNDS):
        for kind, trial in trials.items():
            rounds[kind].append(trial.round())
    return {kind: _median(costs[1:]) for kind, costs in rounds.items()}


def _median(costs: list[Cost]) -> Cost:
    return Cost(
        worker_us=median(cost.worker_us for cost in costs),
        loop_us=median(cost.loop_us for cost in costs),
        redis_us=median(cost.redis_us for cost in costs),
    )


class _Trial:
    """The consumer of a partition whose series all have one kind of model.

    Args:
        redis: the server.
        keys: of its own.
        settings: of the series and of the worker.
        series: the number of series.
        models: of all series.
    """

    def __init__(self, redis: Redis, keys: Keys, settings: Settings, series: int, models: TrialModels) -> None:
        self.keys = keys
        self._redis = redis
        self._series = series
        self._target = settings.series.target
        self._pushed = 0
        self._batch = settings.worker.batch
        self._consumer = self._acquired(models, settings)

    def round(self) -> Cost:
        """Push some batches of readings, and measure the cost of their answers.

        Raises:
            TidecastError: the readings are not answered.
        """
        count = BATCHES * self._batch
        self._push(count)
        redis_before = self._redis_s()
        cpu_before = time.process_time()
        began = time.perf_counter()
        answered = 0
        while answered < count:
            step = self._consumer.step(time.time(), None)
            if not step:
                raise TidecastError(f"only {answered} of {count} readings were answered: try again with an idle Redis")
            answered += step
        took = time.perf_counter() - began
        cpu = time.process_time() - cpu_before
        redis = self._redis_s() - redis_before
        per_reading = 1e6 / count
        return Cost(worker_us=cpu * per_reading, loop_us=took * per_reading, redis_us=redis * per_reading)

    def _acquired(self, models: TrialModels, settings: Settings) -> "PartitionConsumer":
        """Return a consumer that has loaded its models and the states of its series."""
        from tidecast.online.engine import Engine
        from tidecast.online.forecaster import Forecaster
        from worker.metrics import Health
        from worker.partition.consumer import PartitionConsumer
        from worker.partition.lease import PartitionLease
        from worker.partition.series_orders import SeriesOrders
        from worker.partition.stream import Stream

        of_series = settings.series.model_copy(update={"max_series": self._series})
        of_worker = settings.worker.model_copy(update={"retention": None, "wait_for_group": ""})
        forecaster = Forecaster(of_series, Engine(worker_threads(settings)))
        models.give(forecaster, self._series, settings.series.target)
        self._fill(settings)
        stream = Stream(self._redis, self.keys, of_worker)
        lease = PartitionLease(stream, self.keys.lease, LEASE_S)
        orders = SeriesOrders(stream, forecaster, ModelStore(settings.store), settings)
        consumer = PartitionConsumer(0, stream, lease, forecaster, Health(), orders, of_worker)
        consumer.step(time.time(), None)
        return consumer

    def _fill(self, settings: Settings) -> None:
        """Write the states of all series, with full windows."""
        rows = settings.series.rows_kept
        values = np.array([value_at(row) for row in range(rows)])
        fields: dict[str, bytes] = {}
        for number in range(self._series):
            fields |= full_state(name_of(number), settings.series.target, values)
        self._redis.hset(self.keys.state, mapping=fields)  # type: ignore[arg-type] # bytes are fine

    def _push(self, count: int) -> None:
        push = self._redis.register_script(PUSH)
        for _ in range(0, count, self._batch):
            readings = range(self._pushed, self._pushed + self._batch)
            push(keys=[self.keys.readings], args=[self._target, *chain.from_iterable(map(self._reading, readings))])
            self._pushed += self._batch

    def _reading(self, number: int) -> tuple[bytes | str | int | float, ...]:
        """Return the arguments of a reading; the series have their readings in turn."""
        ts = FIRST_MS + STEP_MS * (number // self._series)
        return id_of(number), name_of(number % self._series), ts, value_at(number)

    def _redis_s(self) -> float:
        used = self._redis.info("cpu")
        return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


@contextmanager
def _warnings_only() -> Iterator[None]:
    """Log only warnings within the block, on standard error: the consumers log when they acquire a partition."""
    former = structlog.get_config()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        yield
    finally:
        structlog.configure(**former)


def _delete(redis: Redis, keys: Keys) -> None:
    redis.delete(*(getattr(keys, name) for name in Keys.__slots__))


def _bytes_of(redis: Redis, key: str) -> int:
    return redis.memory_usage(key, samples=0) or 0


def _entry_bytes(redis: Redis, stream: str) -> float:
    return _bytes_of(redis, stream) / redis.xlen(stream)
