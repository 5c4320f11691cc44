"""The figures of retraining are complete, no reading is lost, and the figures of changes follow their definitions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.harness.detection import splices
from benchmarks.harness.detection.changes import Variant, moved_level, moved_season
from benchmarks.harness.detection.splices import Detection
from benchmarks.harness.real import real_series, spread
from benchmarks.retrain import LEAST_CORRUPTED
from tests.benchmarks.measuring import figures_of, write_hours
from tidecast.settings import Settings

FLOW = ("--series", "4", "--readings", "60", "--rate", "40", "--calm", "3", "--seconds", "3", "--equal")


@pytest.mark.keras
@pytest.mark.usefixtures("forked_programs")
def test_every_figure_is_there_and_nothing_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    """The run is beside a flow and without TensorFlow in the worker; otherwise it ends with an error."""
    figures = figures_of(capsys, "retrain", "--only", "flow", *FLOW)
    assert {"p99_ratio", "lost", "series_per_minute"} <= set(figures)
    assert 0 == figures["lost"]
    assert figures["series_per_minute"] > 0


@pytest.mark.keras
def test_changes_are_spliced_into_a_real_series(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Every figure is there."""
    write_hours(tmp_path / "days_open.csv", LEAST_CORRUPTED, series=1)
    figures = figures_of(capsys, "retrain", "--only", "drift", "--data", str(tmp_path), "--epochs", "1")
    assert {"drift_found_share", "drift_delay_median", "false_alarms_per_5000", "error_back_share"} <= set(figures)
    assert 0 <= figures["drift_found_share"] <= 1


def test_a_change_touches_nothing_before_its_place() -> None:
    """A level moves by three standard deviations, a season by half of its length."""
    y = np.tile([0.0, 0.0, 4.0, 0.0], 10)
    level = moved_level(y[:20])(y, 24)
    season = moved_season(y[:20], 4)(y, 24)
    assert y[:24].tolist() == level[:24].tolist() == season[:24].tolist()
    np.testing.assert_allclose(level[24:], y[24:] + 3 * np.sqrt(3))
    np.testing.assert_allclose(season[24:], np.roll(y, 2)[24:])


def test_an_alarm_counts_within_a_hundred_readings_after_the_change() -> None:
    """One before it, or later, does not."""
    detections = [Detection("level", 8), Detection("level", 12), Detection("season", None)]
    result = splices.SpliceResult(1, 1, detections, 2, 20_000, [])
    assert (2 / 3, 10, 0.5) == (result.detected_share, result.delay_median, result.false_alarms_per_5000)
    assert 100 == replace(result, detections=[Detection("level", None)]).delay_median


def test_alarms_are_set_against_every_reading_that_may_tell(tmp_path: Path) -> None:
    """A champion has learned from all before the rest; without one the readings that fill the window are looked at."""
    write_hours(tmp_path / "days_open.csv", 1000, series=1)
    (history,) = real_series(tmp_path, least=1000, newest=1000)
    variant = Variant(history, history.series, 600)
    settings = Settings()
    assert 400 == splices._monitored(variant, settings, has_champion=True)
    assert 400 + settings.series.rows_kept == splices._monitored(variant, settings, has_champion=False)
    assert 1000 == splices._monitored(replace(variant, cut=10), settings, has_champion=False)


def test_series_are_spread_over_the_sets(tmp_path: Path) -> None:
    """Short ones are left out, of the others the newest readings are taken."""
    write_hours(tmp_path / "long_open.csv", 60, series=4)
    write_hours(tmp_path / "short_open.csv", 20, series=3)
    histories = real_series(tmp_path, least=30, newest=40)
    assert [f"long/s{i}" for i in range(4)] == [history.series for history in histories]
    assert {40} == {len(history) for history in histories}
    assert ["long/s1", "long/s3"] == [history.series for history in spread(histories, 2)]
