"""Champions move while readings flow: no reading is lost, and the new versions answer."""

import pytest

from tests.benchmarks.measuring import figures_of


def test_every_figure_is_there_and_nothing_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    """A round fails where a series is not answered by the version that was moved to."""
    found = figures_of(capsys, "swap", "--series", "5", "--rate", "50", "--rounds", "1", "--seconds", "0.4")
    p99 = {"p99_ratio", "p99_ratio_to_moves_elsewhere", "p99_calm_ms", "p99_elsewhere_ms", "p99_swap_ms"}
    assert {*p99, "lost", "flow_per_s"} == set(found)
    assert (0, 50) == (found["lost"], found["flow_per_s"])


def test_no_more_flows_than_the_worker_can_bear(capsys: pytest.CaptureFixture[str]) -> None:
    """And the rate says so."""
    found = figures_of(capsys, "swap", "--series", "5", "--rate", "1e9", "--rounds", "1", "--seconds", "0.1")
    assert 0 < found["flow_per_s"] < 1e6
    assert 0 == found["lost"]
