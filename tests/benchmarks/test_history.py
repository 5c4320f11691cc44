"""The history's figures are there."""

import pytest

from tests.benchmarks.measuring import figures_of


def test_every_figure_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Both contestants have read every reading; otherwise the run ends with an error."""
    figures = figures_of(capsys, "history", "--series", "5", "--readings", "30", "--rounds", "1")
    assert {"seconds", "readings_per_s", "cpu_s", "peak_mb", "xrange_s", "ratio_to_xrange"} == set(figures)
    assert figures["readings_per_s"] == pytest.approx(150 / figures["seconds"])
    assert figures["peak_mb"] > 20
