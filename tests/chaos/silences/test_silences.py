"""The short version of the run in which series fall silent while workers are killed."""

from pathlib import Path

from tests.chaos.silences.silences_run import silences_run


def test_silences_and_returns_are_reported_once_whatever_kills_the_worker(tmp_path: Path) -> None:
    """Also when it dies just before or after the commit without readings that reports a silence."""
    run = silences_run(tmp_path, readings=14 * 80, kills=8, seed=1)
    assert [] == run.violations.notes
    assert min(run.events["silent"], run.events["back"]) >= 8
    assert 8 == run.kills
