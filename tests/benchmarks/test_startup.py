"""The startup's figures are there."""

import pytest

from tests.benchmarks.measuring import figures_of


def test_every_figure_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    """A round fails where the first reading is not answered."""
    found = figures_of(capsys, "startup", "--series", "5", "--rounds", "2")
    assert {"seconds", "ready_s", "first_forecast_s", "read_s", "ratio_to_read"} == set(found)
    assert max(found["ready_s"], found["first_forecast_s"]) <= found["seconds"]
    assert found["read_s"] < found["seconds"]
