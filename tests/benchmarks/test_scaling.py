"""The scaling's figures are complete, and every reading of every partition was answered."""

import pytest

from tests.benchmarks.measuring import figures_of

pytestmark = pytest.mark.usefixtures("forked_programs")


def test_every_number_of_workers_has_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    """A round fails where a reading is not answered, so that a ratio stands for all of them."""
    figures = figures_of(capsys, "scaling", "--series", "8", "--workers", "1,2", "--rounds", "1", "--seconds", "0.05")
    names = ("readings_per_s", "ratio", "cores_busy", "redis_busy", "size_error")
    assert {f"{name}_{count}" for name in names for count in (1, 2)} == set(figures)
    assert 1 == figures["ratio_1"]
    assert min(figures["readings_per_s_2"], figures["cores_busy_2"], figures["redis_busy_2"]) > 0


@pytest.mark.parametrize("listed", ["0", "1,x", ""])
def test_a_wrong_number_of_workers_is_refused(capsys: pytest.CaptureFixture[str], listed: str) -> None:
    """Before anything is started."""
    with pytest.raises(SystemExit):
        figures_of(capsys, "scaling", "--workers", listed)
    assert "use whole numbers above 0, such as 1,2,4" in capsys.readouterr().err
