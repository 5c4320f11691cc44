"""The short version of the storm, and the workers that it must find out."""

from pathlib import Path

import pytest

from tests.chaos.controls import CONTROLS, run_control
from tests.chaos.storms.faults import FAULTS, KILLS
from tests.chaos.storms.storm import kind_of, storm_run


def test_a_storm_leaves_no_trace(tmp_path: Path) -> None:
    """Every partition's entries, counts and states equal those of a run that nothing disturbed."""
    report = storm_run(tmp_path, seconds=14, rate=150, seed=1)
    assert [] == report.violations.notes
    assert 0 == report.violations.total()
    assert {*KILLS, *FAULTS} == set(report.injections)
    assert 0 == report.crashes
    assert report.bitten("takeovers") > 0


@pytest.mark.parametrize("name", CONTROLS)
def test_a_worker_without_a_guard_is_caught(name: str, tmp_path: Path) -> None:
    """Whatever the guard would have prevented is a violation that the verifier sees."""
    assert run_control(tmp_path, name).total() > 0


def test_a_sound_worker_passes_where_the_others_are_caught(tmp_path: Path) -> None:
    """It is the missing guard that is found, not the way there."""
    assert [] == run_control(tmp_path, "sound").notes


def test_the_report_knows_the_logs_of_the_worker() -> None:
    """It separates a fenced worker, a conflict and a takeover."""
    dropped = {"event": "partition dropped", "partition": 1, "epoch": 3}
    assert "fenced" == kind_of({**dropped, "reason": "another worker holds the partition"})
    assert "conflicts" == kind_of({**dropped, "reason": "the offset is 2-1, the batch started from 1-1"})
    assert kind_of({**dropped, "reason": "a state is cut short"}) is None
    assert "takeovers" == kind_of({"event": "partition acquired", "epoch": 2})
    assert kind_of({"event": "partition acquired", "epoch": 1}) is None
