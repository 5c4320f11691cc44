"""The short version of the repartitions, and the workers that it must find out."""

from pathlib import Path

import pytest

from tests.chaos.repartitions.controls import CONTROLS
from tests.chaos.repartitions.repartition_run import CONTROL_RATE, repartition_run


def test_repartitions_under_load_leave_no_trace(tmp_path: Path) -> None:
    """Every series' forecasts equal those of a run that nothing disturbed."""
    report = repartition_run(tmp_path, rounds=1, rate=300, seed=1)
    assert [] == report.notes
    assert 0 == report.total()
    assert (3, True) == (report.repartitions, report.kills.total() > 0)


@pytest.mark.parametrize("name", CONTROLS)
def test_a_worker_without_a_guard_is_caught(name: str, tmp_path: Path) -> None:
    """Whatever the guard would have prevented is a violation."""
    assert repartition_run(tmp_path, rounds=1, rate=CONTROL_RATE, seed=1, calm=True, control=name).total() > 0
