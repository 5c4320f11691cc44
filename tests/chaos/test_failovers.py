"""The short version of the failovers by Sentinel."""

from pathlib import Path

import pytest

from tests.chaos.failovers import failover_run


@pytest.mark.timeout(300)
def test_no_confirmed_reading_is_lost_in_a_failover(redis_program: str, tmp_path: Path) -> None:
    """Producer and worker wait for the replica, which becomes the master."""
    report = failover_run(tmp_path, 1, confirmed=True, server=redis_program)
    assert [] == report.verdict.notes
    assert (0, 0, 0) == (report.verdict.lost, report.verdict.gone, report.verdict.violations())
