"""The short version of the migrations."""

from pathlib import Path

from tests.chaos.migration import migration_run


def test_slots_that_move_under_load_leave_no_trace(tmp_path: Path, redis_program: str) -> None:
    """Every partition's entries, counts and states equal those of a run on one server that nothing disturbed."""
    report = migration_run(tmp_path, migrations=2, seed=1, server=redis_program)
    assert [] == report.violations.notes
    assert 0 == report.violations.total()
    assert 0 < report.busy
    assert report.readings > 0  # how many depends on the speed of the machine
