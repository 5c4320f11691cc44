"""The short version of the run in which series are renamed and deleted under load and kills."""

from pathlib import Path

from tests.chaos.lives.lives_run import DELETED, NEW, lives_run


def test_series_are_renamed_and_deleted_once_whatever_kills_the_worker(tmp_path: Path) -> None:
    """All entries and states equal those of series that always had their new names; no old name is left."""
    lives = lives_run(tmp_path, readings=4000, kills=6, seed=1)
    assert [] == lives.violations.notes
    assert {"series_renamed": len(NEW), "series_deleted": len(DELETED)} == lives.events
    assert (set(), set()) == (lives.served, lives.traces)
    assert 6 == lives.kills
