"""The benchmark of several steps: contestants without a look ahead, errors by step, and complete figures."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.horizons import steps_for
from benchmarks.horizons.contestants import Task, last_value, seasonal_naive
from benchmarks.horizons.scores import SeriesScore, SetResult, figures
from tests.benchmarks.measuring import figures_of, write_hours
from tidecast.durations import DAY_MS, HOUR_MS

HEAVY = "autoets,autoarima,boosting"


def test_every_figure_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A day of hours is forecast from the newest fifth of the series, and the table is written."""
    write_hours(tmp_path / "load_open.csv", 400)
    table = tmp_path / "table.md"
    options = ("--data", str(tmp_path), "--without", HEAVY, "--untrained", "--series", "1", "--table", str(table))
    run = figures_of(capsys, "horizons", *options)
    names = ("mase_geo", "ratio_to_best", "coverage_by_step_min")
    assert {*(f"load.{name}" for name in names), "ratio_to_best", "coverage_by_step_min"} == set(run)
    assert run["load.ratio_to_best"] < 1
    assert "| load | 1 | 24 |" in table.read_text()


def test_naive_methods_repeat_what_they_know() -> None:
    """From the fifth row the season of three is 2, 3, 4; the second season ahead is the same."""
    task = Task(np.arange(12.0), 6, 3, 4, np.array([4]))
    assert [[4.0, 4.0, 4.0, 4.0]] == last_value(task).tolist()
    assert [[2.0, 3.0, 4.0, 2.0]] == seasonal_naive(task).tolist()


def test_a_year_of_months_and_a_week_of_days_are_forecast() -> None:
    """Weeks are forecast two months ahead."""
    assert (24, 24, 7, 8, 12) == tuple(map(steps_for, (60_000, HOUR_MS, DAY_MS, 7 * DAY_MS, 30 * DAY_MS)))


def test_the_figures_are_geometric_means_and_the_lowest_coverage() -> None:
    """A step without any error is left out; the best other method counts."""
    mase = {"tidecast": np.array([1.0, 4.0, 0.0]), "a": np.array([4.0, 4.0, 4.0]), "b": np.array([9.0, 1.0, 3.0])}
    score = SeriesScore(mase, np.array([90.0, 80.0, 1.0]), np.array([100.0, 100.0, 1.0]))
    summary = figures([SetResult("set", 3, (score,))], ["a", "b"])
    assert pytest.approx({"mase_geo": 2.0, "ratio_to_best": 2 / 3, "coverage_by_step_min": 0.8}) == {
        name: summary[f"set.{name}"] for name in ("mase_geo", "ratio_to_best", "coverage_by_step_min")
    }
