"""Capacities and needs follow from the coefficients by the printed formulas."""

import pytest

from tests.tidecast.tools.sizing.harness import coefficients, workload
from tidecast.errors import SettingsError
from tidecast.settings import load_settings
from tidecast.tools.sizing.plan import capacity_of, needs_of


def test_the_cores_bound_a_machine_with_few() -> None:
    """20 us of the worker and 5 us of Redis on 4 cores; one worker needs 20 us for each reading."""
    capacity = capacity_of(coefficients(), workload())
    assert (50_000, 160_000, 200_000) == (capacity.one_worker_per_s, capacity.cores_per_s, capacity.redis_per_s)
    assert (160_000, "cores", 4) == (capacity.most_per_s, capacity.bound, capacity.workers)
    assert [50_000, 100_000, 160_000] == [capacity.of_workers(count) for count in (1, 2, 4)]


def test_redis_bounds_a_machine_with_many_cores() -> None:
    """It has one thread."""
    capacity = capacity_of(coefficients(cores=64), workload())
    assert (200_000, "redis", 4) == (capacity.most_per_s, capacity.bound, capacity.workers)


def test_the_series_of_a_machine_fit_in_its_memory() -> None:
    """8 GB less four programs and the forecasts of 16 partitions; rows, weights and the rest of each series."""
    capacity = capacity_of(coefficients(), workload())
    weights = 4 * (4 * 50 * (1 + 50 + 1) + 50 + 1)
    assert (8e9 - 4 * 200e6 - 16 * 1e6 * 200) // (12_000 + 400 * 8 + weights + 5000) == capacity.series
    assert 16 == capacity.partitions


def test_a_machine_without_the_memory_has_no_series() -> None:
    """The number is never below 0."""
    assert 0 == capacity_of(coefficients(memory_bytes=10**9), workload()).series


def test_the_needs_of_a_load_leave_a_third_free() -> None:
    """60,000 readings a second take 1.2 seconds of loops, 1.2 cores of workers and 0.3 of Redis."""
    needs = needs_of(coefficients(), workload(), 600_000, 10)
    assert 60_000 == needs.per_s
    assert (2, 8, 1) == (needs.workers, needs.partitions, needs.redis_servers)
    assert 1.5 * 1.5 == pytest.approx(needs.cores)
    assert 60_000 * 86_400 * 50 / 1e9 == pytest.approx(needs.readings_gb_per_day)
    assert 600_000 * 5000 / 1e9 + 8 * 0.2 == pytest.approx(needs.redis_gb)
    assert 0.4 + 600_000 * workload().series_bytes / 1e9 == pytest.approx(needs.workers_gb)
    assert 5 == needs.machines  # by their memory: 38.7 GB, 8 GB of each


def test_a_heavy_load_needs_a_cluster() -> None:
    """A million readings a second are 5 seconds of Redis."""
    needs = needs_of(coefficients(), workload(), 10_000_000, 10)
    assert (30, 128, 8) == (needs.workers, needs.partitions, needs.redis_servers)


def test_a_small_load_needs_one_of_each() -> None:
    """A partition is fixed, so that there is room for three more workers."""
    needs = needs_of(coefficients(), workload(), 1, 3600)
    assert (1, 4, 1, 1) == (needs.workers, needs.partitions, needs.redis_servers, needs.machines)


def test_readings_count_while_they_are_kept() -> None:
    """With `worker.retention` they are part of the memory of Redis."""
    kept = load_settings(worker={"retention": "1h"})
    without = needs_of(coefficients(), workload(), 1000, 1)
    difference = needs_of(coefficients(), workload(settings=kept), 1000, 1).redis_gb - without.redis_gb
    assert 1000 * 3600 * 50 / 1e9 == pytest.approx(difference)


def test_every_partition_remembers_its_series() -> None:
    """Series are spread over more partitions than the workers need."""
    assert 64 == needs_of(coefficients(), workload(), 5_000_000, 86_400).partitions


def test_more_partitions_than_possible_are_refused() -> None:
    """The sentence names the way out."""
    with pytest.raises(SettingsError, match="500 partitions are needed, and 256 are possible: spread the series over"):
        needs_of(coefficients(), workload("none"), 50_000_000, 86_400)
