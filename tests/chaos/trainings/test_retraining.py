"""The short version of the kills while the schedule retrains."""

from pathlib import Path

from tests.chaos.trainings.retraining import retraining_run


def test_killed_children_and_workers_leave_the_store_and_the_schedule_whole(tmp_path: Path) -> None:
    """Every reading is answered once."""
    report = retraining_run(tmp_path, child_kills=1, worker_kills=1, seed=1, life_s=1.5, window=300)
    assert [] == report.notes
    assert 0 == report.violations()
    assert (1, 1) == (report.child_kills, report.worker_kills)
    assert report.runs >= 1
