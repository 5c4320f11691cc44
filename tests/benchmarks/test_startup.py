"""The startup's figures are there."""

import pytest

from tests.benchmarks.measuring import figures_of


def test_every_figure_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    """A round fails where the first reading is not answered."""
    figures = figures_of(capsys, "startup", "--series", "5", "--rounds", "1")
    assert {"seconds", "ready_s", "first_forecast_s", "read_s", "ratio_to_read"} == set(figures)
    assert max(figures["ready_s"], figures["first_forecast_s"]) <= figures["seconds"]
    assert figures["read_s"] < figures["seconds"]
