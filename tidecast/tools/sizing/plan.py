"""Compute the capacity of a machine, and the needs of a load, from the coefficients of a machine.

Every formula is one line here, and `tidecast size` prints it beside its result.
"""

import math
from dataclasses import dataclass
from typing import Literal

from tidecast.errors import SettingsError
from tidecast.settings import Settings
from tidecast.tools.sizing.coefficients import Coefficients, ModelKind, own_spec

LOAD = 2 / 3  # the share of a capacity to plan with: beyond it the delay of a forecast grows
MEMORY_SHARE = 0.8  # of a machine's memory; the rest is for the system, and for peaks
PROGRAM_BYTES = 200e6  # of a worker without series, as the benchmark `memory` assumes
SERIES_BYTES = 12e3  # of a worker for each series, besides its rows and its weights, by the benchmark `memory`
PARTITIONS_PER_WORKER = 4  # room to add workers without a repartition
MOST_PARTITIONS = 256
DAY_S = 86_400
GB = 1e9


@dataclass(frozen=True, slots=True)
class Workload:
    """The models of the series, and the settings that count.

    Attributes:
        model: the networks of each series.
        units: of an own LSTM.
        settings: of the installation.
    """

    model: ModelKind
    units: int
    settings: Settings

    def __str__(self) -> str:
        own = f"own LSTM({self.units})"
        return {"none": "no model", "own": own, "shared": "shared network", "both": f"{own} and shared network"}[
            self.model
        ]

    @property
    def series_bytes(self) -> float:
        """Return the memory of a worker for one series: its rows as float64, its weights as float32, and the rest."""
        weights = own_spec(self.units).shapes().values() if self.model in ("own", "both") else ()
        return SERIES_BYTES + 8 * self.settings.series.rows_kept + 4 * sum(map(math.prod, weights))


@dataclass(frozen=True, slots=True)
class Capacity:
    """The capacity of one machine that runs Redis and workers.

    Attributes:
        one_worker_per_s: readings a second that one worker answers at most.
        cores_per_s: readings a second until all cores are busy.
        redis_per_s: readings a second until one Redis is busy.
        workers: the number of workers that reach `most_per_s`.
        partitions: a number of partitions for them.
        series: the number of series whose states and models fit in the memory.
    """

    one_worker_per_s: float
    cores_per_s: float
    redis_per_s: float
    workers: int
    partitions: int
    series: int

    @property
    def most_per_s(self) -> float:
        """Return the readings a second that the machine answers at most."""
        return min(self.cores_per_s, self.redis_per_s)

    @property
    def bound(self) -> Literal["cores", "redis"]:
        """Return the resource that bounds it."""
        return "cores" if self.cores_per_s <= self.redis_per_s else "redis"

    def of_workers(self, workers: int) -> float:
        """Return the readings a second that so many workers answer at most, on as many partitions."""
        return min(workers * self.one_worker_per_s, self.most_per_s)


@dataclass(frozen=True, slots=True)
class Needs:
    """The needs of a load.

    Attributes:
        per_s: readings a second.
        workers: the number of workers.
        partitions: the number of partitions, with room for more workers.
        redis_servers: the number of Redis servers; more than one form a cluster.
        cores: of workers and Redis together.
        machines: the number of machines like the measured one.
        workers_gb: the memory of all workers.
        redis_gb: the memory of Redis for states and forecasts, and for readings if `worker.retention` is set.
        readings_gb_per_day: the growth by readings until they are trimmed.
    """

    per_s: float
    workers: int
    partitions: int
    redis_servers: int
    cores: float
    machines: int
    workers_gb: float
    redis_gb: float
    readings_gb_per_day: float


def capacity_of(coefficients: Coefficients, workload: Workload) -> Capacity:
    """Return the capacity of the measured machine.

    Raises:
        SettingsError: it needs more partitions than are possible.
    """
    cost = coefficients.cost(workload.model, workload.units)
    cores_per_s = 1e6 * coefficients.cores / (cost.worker_us + cost.redis_us)
    redis_per_s = 1e6 / cost.redis_us
    workers = math.ceil(min(cores_per_s, redis_per_s) * cost.loop_us / 1e6)
    partitions = _partitions(workers, 0, workload.settings)
    fixed = workers * PROGRAM_BYTES + _forecasts_bytes(coefficients, partitions, workload.settings)
    each = workload.series_bytes + coefficients.state_bytes
    series = max(0, math.floor((MEMORY_SHARE * coefficients.memory_bytes - fixed) / each))
    return Capacity(1e6 / cost.loop_us, cores_per_s, redis_per_s, workers, partitions, series)


def needs_of(coefficients: Coefficients, workload: Workload, series: int, every_s: float) -> Needs:
    """Return the needs of a load.

    Args:
        coefficients: of the machine.
        workload: the models of the series.
        series: the number of series.
        every_s: the seconds from one reading of a series to the next.

    Raises:
        SettingsError: it needs more partitions than are possible.
    """
    cost = coefficients.cost(workload.model, workload.units)
    per_s = series / every_s
    load = per_s / LOAD / 1e6
    workers = math.ceil(load * cost.loop_us)
    partitions = _partitions(workers, series, workload.settings)
    workers_bytes = workers * PROGRAM_BYTES + series * workload.series_bytes
    redis_bytes = series * coefficients.state_bytes + _forecasts_bytes(coefficients, partitions, workload.settings)
    if retention_s := workload.settings.worker.retention:
        redis_bytes += per_s * retention_s * coefficients.reading_bytes
    cores = load * (cost.worker_us + cost.redis_us)
    memory = (workers_bytes + redis_bytes) / (MEMORY_SHARE * coefficients.memory_bytes)
    return Needs(
        per_s=per_s,
        workers=workers,
        partitions=partitions,
        redis_servers=math.ceil(load * cost.redis_us),
        cores=cores,
        machines=math.ceil(max(cores / coefficients.cores, memory)),
        workers_gb=workers_bytes / GB,
        redis_gb=redis_bytes / GB,
        readings_gb_per_day=per_s * DAY_S * coefficients.reading_bytes / GB,
    )


def _partitions(workers: int, series: int, settings: Settings) -> int:
    """Return a power of two that leaves room for more workers, and where each partition remembers all its series.

    Raises:
        SettingsError: this is more than `MOST_PARTITIONS`.
    """
    least = max(workers, math.ceil(series / settings.series.max_series))
    if least > MOST_PARTITIONS:
        raise SettingsError(
            f"{least} partitions are needed, and {MOST_PARTITIONS} are possible: spread the series over several "
            "namespaces, and size each of them"
        )
    return min(MOST_PARTITIONS, 1 << (max(PARTITIONS_PER_WORKER * workers, least) - 1).bit_length())


def _forecasts_bytes(coefficients: Coefficients, partitions: int, settings: Settings) -> float:
    return partitions * settings.worker.forecasts_kept * coefficients.forecast_bytes
