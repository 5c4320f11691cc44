"""Pauses after failures."""

import pytest

from worker.failures.backoff import LONGEST_S, SHORTEST_S, Backoff


def test_pauses_double_up_to_the_longest() -> None:
    """A Redis that is away for an hour is not asked twenty times a second, and is found again within seconds."""
    backoff = Backoff(lease_s=60)
    for failures in range(1, 1000):
        full_s = min(LONGEST_S, SHORTEST_S * 2.0 ** (failures - 1))
        assert full_s / 2 <= backoff.pause_s(failures) <= full_s


@pytest.mark.parametrize("lease_s", [0.2, 1.0, 9.0])
def test_no_pause_outlasts_half_a_lease(lease_s: float) -> None:
    """A worker that paused longer would lose the partitions that it still serves."""
    assert Backoff(lease_s).pause_s(1000) <= lease_s / 2
