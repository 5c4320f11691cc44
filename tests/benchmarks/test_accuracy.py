"""The benchmark's own arithmetic: the scored rows, the yardsticks, and the sums behind the figures."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy import data_sets, measure, options, series_of
from benchmarks.harness import yardsticks
from benchmarks.harness.scores import Result, Score, figures, header, line, score
from benchmarks.harness.yardsticks import Series, season_of
from tidecast.durations import DAY_MS, HOUR_MS
from tidecast.files.history import History
from tidecast.settings import Settings
from tidecast.tools.backtest import BacktestResult
from tidecast.tools.backtest_report import Settled
from tidecast.wire import Forecast

HEAVY = "autoets,ar_ridge,boosting"


def half_too_high(histories: Sequence[History], test_size: float, settings: Settings) -> BacktestResult:
    """Return a backtest that is half a unit too high, within its band, and skips the first row of each test part."""
    del settings
    rows = {}
    for history in histories:
        first = len(history) - int(test_size * len(history))
        moments = history.ts.tolist()
        values = history.values[:, 0].tolist()
        rows[history.series] = [
            settled(moments[row], values[row], values[row - 1], values[row] + 0.5)
            for row in range(first + 1, len(history))
        ]
    return BacktestResult(rows)


def settled(ts: int, y: float, before: float, yhat: float) -> Settled:
    """Return a reading and the forecast that stood for it, two units wide."""
    made = Forecast(f"{ts}-0", "a", ts, yhat, yhat - 1, yhat + 1, 0.9, ts - HOUR_MS, None, "naive", before)
    return Settled(ts, y, before, made)


def write(path: Path, values: Sequence[float | None], series: str = "a") -> None:
    """An hourly series as a file, with an empty cell for each None."""
    rows = [
        f"{series},2024-01-{1 + t // 24:02} {t % 24:02}:00:00,{'' if v is None else v}" for t, v in enumerate(values)
    ]
    path.write_text("\n".join(["series,timestamp,value", *rows]) + "\n")


def arguments(folder: Path, *more: str) -> argparse.Namespace:
    """Return the command line of a run on a folder."""
    parser = argparse.ArgumentParser()
    options(parser)
    return parser.parse_args(["--data", str(folder), *more])


def plain(y: Sequence[float], cut: int, season: int = 1) -> Series:
    """Return a series without a missing reading."""
    return Series(np.array(y, dtype=np.float64), np.ones(len(y), np.bool_), cut, season)


def made(mae: float, last_value: float = 1.0, rows: int = 200, coverage: float = 0.9, ridge: float = 1.0) -> Score:
    """Return a score with these errors."""
    return Score(rows, {"tidecast": mae, "last_value": last_value, "ar_ridge": ridge}, coverage, 2.0)


def test_the_scored_rows_are_those_present_in_the_last_fifth_of_all_rows(tmp_path: Path) -> None:
    """Of 20 rows the last 4 count, and one of them is empty; a row without a forecast costs the last value's error."""
    write(tmp_path / "small_open.csv", [*(float(t % 2) for t in range(16)), 10.0, None, 14.0, 10.0])
    measured = measure(arguments(tmp_path, "--without", HEAVY), half_too_high)
    # Without the empty row 19 readings remain; a backtest answers the last 3 of them, and this one all but row 16.
    naive = np.mean([9, 4, 4])
    ours = np.mean([9, 0.5, 0.5])
    assert 1 - ours / naive == pytest.approx(measured["small.skill_median"])


def test_the_split_counts_rows_without_a_reading() -> None:
    """A missing reading is filled with the one before it, and marked."""
    series = series_of(HOUR_MS * np.arange(10), np.array([np.nan, 1, 2, 3, 4, 5, 6, 7, np.nan, 9.0]))
    assert 8 == series.cut
    assert [1, 1, 2, 3, 4, 5, 6, 7, 7, 9] == series.y.tolist()
    assert [0, 8] == np.flatnonzero(~series.present).tolist()


def test_only_tables_of_series_are_sets_and_a_wrong_name_ends_the_run(tmp_path: Path) -> None:
    """A table of results beside them is passed over."""
    write(tmp_path / "one_open.csv", [1.0, 2.0])
    write(tmp_path / "two.csv", [1.0, 2.0])
    (tmp_path / "baselines.csv").write_text("group,dataset,series,mae\nopen,one,a,1\n")
    assert ["one", "two"] == list(data_sets(tmp_path))
    assert ["two"] == list(data_sets(tmp_path, ["two"]))
    with pytest.raises(SystemExit, match="no set three"):
        data_sets(tmp_path, ["three"])
    with pytest.raises(SystemExit, match="--without prophet cannot be skipped"):
        measure(arguments(tmp_path, "--without", "prophet"), half_too_high)


def test_the_table_has_a_line_for_each_set_with_as_many_cells_as_its_header(tmp_path: Path) -> None:
    """On the screen and in the file; methods left out have no column."""
    for name in ("one", "two"):
        write(tmp_path / f"{name}.csv", [float(t % 3) for t in range(40)])
    measure(arguments(tmp_path, "--without", HEAVY, "--table", str(tmp_path / "table.md")), half_too_high)
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert ["set", "---", "one", "two"] == [text.split(" | ")[0].removeprefix("| ") for text in lines]
    assert 1 == len({text.count("|") for text in lines})
    assert "AutoETS" not in lines[0]


def test_errors_band_and_width_follow_their_definitions() -> None:
    """Against numbers worked out by hand."""
    series = plain([0, 1, 3, 4, 6, 9], cut=4)  # mean change of the first part: 4 / 3
    band = np.array([[np.nan, np.nan]] * 4 + [[5.0, 7.0], [10.0, 14.0]])
    scored = score(series, {"tidecast": np.array([np.nan] * 4 + [7.0, np.nan])}, band)
    assert {"tidecast": 2.0, "last_value": 2.5} == scored.mae  # errors 1 and, without a forecast, 3; 2 and 3
    assert pytest.approx((0.5, 3 / (4 / 3))) == (scored.coverage, scored.width)
    assert pytest.approx(0.2) == scored.skill()


def test_the_figures_sum_up_all_sets_but_count_no_wins_on_random_walks() -> None:
    """The series with a constant test part are left out, and so is the coverage of short ones."""
    results = [
        Result("load", (made(0.5, ridge=1.0), made(1.1, ridge=1.0, coverage=0.8)), 1.0),
        Result("exchange_rate_held", (made(1.01, ridge=2.0, rows=199, coverage=0.5),), 0.5),
        Result("flat", (made(0.1, last_value=0.0, ridge=0.01, coverage=1.0),), 0.5),
    ]
    summary = figures(results)
    assert pytest.approx(0.2) == summary["load.skill_median"]
    assert "flat.skill_median" not in summary
    assert "ratio_to_boosting" not in summary
    assert pytest.approx((0.5, 1.0, -0.1)) == (summary["wins"], summary["worse_by_2pct"], summary["worst_skill"])
    assert (2 / 3, 1 / 3) == (summary["wins_over_ar_ridge"], summary["coverage_ok_share"])
    assert (2.0, 2.0) == (summary["width_median"], summary["minutes"])


def test_a_method_s_cell_shows_its_skill_and_the_geometric_mean_of_the_ratios() -> None:
    """0.5 and 2 make 1."""
    result = Result("load", (made(0.5, ridge=1.0), made(1.0, ridge=0.5)), 1.0)
    cell = line(result, ["ar_ridge"]).split(" | ")[header(["ar_ridge"])[0].split(" | ").index("AR-ridge")]
    assert ".250 (1.000)" == cell


@pytest.mark.parametrize(
    ("step_ms", "rows", "season"),
    [(HOUR_MS / 12, 1000, 288), (HOUR_MS, 1000, 24), (HOUR_MS, 60, 1), (7 * DAY_MS, 1000, 52), (30 * DAY_MS, 100, 12)],
)
def test_the_season_follows_the_step(step_ms: float, rows: int, season: int) -> None:
    """A cycle that does not fit twice into the first part is not a season."""
    ts = (step_ms * np.arange(rows)).astype(np.int64)
    assert season == season_of(ts, np.arange(rows, dtype=np.float64), int(0.8 * rows))


def test_days_have_a_year_only_where_it_errs_less_than_the_week_and_irregular_steps_have_no_season() -> None:
    """The first part decides: the test part is not used."""
    days = np.arange(2000)
    ts = DAY_MS * days
    assert 365 == season_of(ts, np.sin(2 * np.pi * days / 365), 1600)
    assert 7 == season_of(ts, np.sin(2 * np.pi * days / 7), 1600)
    assert 7 == season_of(ts[:1400], np.sin(2 * np.pi * days[:1400] / 365), 1120)
    assert 1 == season_of(ts + np.where(days % 10 == 0, HOUR_MS, 0), np.sin(2 * np.pi * days / 7), 1600)


def test_the_naive_yardsticks_look_back_one_row_and_one_season() -> None:
    """Before that they have no value."""
    series = plain(range(6), cut=4, season=3)
    np.testing.assert_array_equal([np.nan, 0, 1, 2, 3, 4], yardsticks.last_value(series))
    np.testing.assert_array_equal([np.nan, np.nan, np.nan, 0, 1, 2], yardsticks.seasonal_naive(series))


@pytest.mark.parametrize("method", ["ar_ridge", "boosting"])
def test_a_fitted_yardstick_sees_nothing_from_its_row_on(method: str) -> None:
    """A change of row 180 moves no forecast up to that row, and those after it."""
    y = np.sin(np.arange(200) / 4) + 0.1 * np.random.default_rng(0).normal(size=200)
    wild = np.where(np.arange(200) == 180, 3.0, y)
    calm, disturbed = (yardsticks.METHODS[method](plain(values.tolist(), cut=160, season=24)) for values in (y, wild))
    assert np.isfinite(calm[160:]).all()
    assert calm[160:181].tolist() == disturbed[160:181].tolist()
    assert calm[181] != disturbed[181]
    assert np.abs(calm - y)[160:].mean() < np.abs(np.diff(y))[159:].mean()
