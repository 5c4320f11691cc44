"""The short version of the faults while a scheduler of Dask trains."""

from pathlib import Path

import pytest

from tests.chaos.trainings.training import KILL_WORKER, STOP_DRIVER, Load, training_run


@pytest.mark.keras
def test_a_killed_worker_and_a_stopped_driver_leave_one_version_for_each_run(tmp_path: Path) -> None:
    """A driver that goes on after its successor has finished ends with an error. The long version kills drivers too."""
    faults = {KILL_WORKER: 1, STOP_DRIVER: 1}
    report = training_run(tmp_path, faults, seed=1, load=Load(series=24))
    assert faults == report.faults
    assert [] == report.notes
    assert 0 == report.violations()
    assert report.runs >= 1
