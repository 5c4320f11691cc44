"""The benchmark's own arithmetic: windows of first readings, contestants without a look ahead, and complete figures."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.cold_start import first_readings, untrained_forecasts
from benchmarks.harness.cold_start.contestants import CONTESTANTS, Start, forecast_all, refits
from benchmarks.harness.cold_start.windows import SetResult, figures, score_start
from tests.benchmarks.measuring import figures_of, write_hours

HEAVY = "autoets,snarimax"


def test_every_figure_is_there_and_a_window_without_readings_has_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A set of 150 readings has three windows; --series limits the series, and the table is written."""
    write_hours(tmp_path / "load_open.csv", 150)
    table = tmp_path / "table.md"
    run = figures_of(
        capsys, "cold_start", *("--data", str(tmp_path), "--without", HEAVY, "--series", "1", "--table", str(table))
    )
    windows = ("10_30", "30_100", "100_300")
    assert {f"load.skill_{window}" for window in windows} == {name for name in run if ".skill_" in name}
    ratios = {f"load.ratio_to_{method}_{window}" for method in CONTESTANTS for window in windows}
    assert {name for name in ratios if "ets" not in name and "snarimax" not in name} <= set(run)
    assert {"below_5pct_30_100", "below_2pct_100_300", "coverage_ok_share"} <= set(run)
    lines = table.read_text().splitlines()
    assert ["| load | 1 "] * 2 == [text[:11] for text in lines if "load" in text]


def test_a_worker_answers_each_reading_from_the_first_on(tmp_path: Path) -> None:
    """Forecasts come from the worker's code, in the order of the readings."""
    write_hours(tmp_path / "load_open.csv", 60)
    histories = first_readings(tmp_path / "load_open.csv", None)
    made = untrained_forecasts(histories)
    assert [h.ts.tolist() for h in histories] == [[f.origin for f in made[h.series]] for h in histories]


def test_skills_and_the_band_follow_their_definitions() -> None:
    """A window begins after as many readings as its name says; the last value stands for a missing forecast."""
    y = np.array([0.0, 1.0] * 50)
    forecasts = np.where(np.arange(100) < 30, y, y + 0.25)
    forecasts[50] = np.nan
    band = np.stack([y - 0.1, y + np.where(np.arange(100) % 5, 0.1, -0.05)], axis=1)
    start = score_start(y, {"tidecast": forecasts}, band)
    assert [(10, 30), (30, 100)] == list(start.windows)
    assert 1.0 == start.windows[10, 30].skill()
    assert 1 - (69 * 0.25 + 1) / 70 == pytest.approx(start.windows[30, 100].skill())
    assert pytest.approx(0.8) == start.coverage
    summary = figures([SetResult("flip", (start,))], ["last_value"])
    assert (0.0, 0.0) == (summary["below_5pct_30_100"], summary["coverage_ok_share"])
    assert np.isnan(score_start(np.ones(100), {"tidecast": np.ones(100)}, band).coverage)


def test_the_panel_sees_nothing_from_its_reading_on_and_learns_a_day() -> None:
    """A change of reading 180 moves no forecast up to that reading, and the one after it."""
    hour = np.arange(200)
    y = np.sin(2 * np.pi * hour / 24) + 0.02 * np.random.default_rng(0).normal(size=200)
    calm, wild = (
        CONTESTANTS["linear_panel"](Start(values, (24, 168))) for values in (y, np.where(hour == 180, 3.0, y))
    )
    assert calm[1:181].tolist() == wild[1:181].tolist()
    assert calm[181] != wild[181]
    assert np.abs(calm - y)[100:].mean() < 0.4 * np.abs(np.diff(y))[99:].mean()


def test_kept_forecasts_are_not_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of other readings, and of other methods, are."""
    starts = [Start(np.arange(n, n + 9.0), (3,)) for n in (0, 1)]
    kept = tmp_path / "kept" / "set.npz"
    first = forecast_all(starts[:1], ["seasonal_naive"], kept)
    monkeypatch.setitem(CONTESTANTS, "seasonal_naive", lambda start: -start.y)
    np.testing.assert_equal(
        [first[0], {"seasonal_naive": -starts[1].y}], forecast_all(starts, ["seasonal_naive"], kept)
    )


def test_exponential_smoothing_is_fitted_every_ten_readings_and_later_every_hundred() -> None:
    """Each fit covers the readings up to the next one."""
    fits = list(refits(555))
    assert [(10, 20), (20, 30)] == fits[:2]
    assert [(290, 300), (300, 400), (400, 500), (500, 555)] == fits[-4:]
