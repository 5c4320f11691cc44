"""The benchmark of the dashboard runs to its end."""

import pytest

from tests.benchmarks.measuring import figures_of

pytestmark = pytest.mark.browser


def test_every_figure_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a small round."""
    figures = figures_of(capsys, "dashboard", "--series", "20", "--rate", "50", "--rounds", "1", "--seconds", "1")
    assert {"first_paint_s", "core_share", "worker_slowdown"} == set(figures)
    assert 0 < figures["first_paint_s"]
