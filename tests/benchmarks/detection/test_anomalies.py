"""The benchmark's own arithmetic: the score of alarms on labelled series, faults, and complete figures."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.harness.detection import faults
from benchmarks.harness.detection.labelled import Labelled, labelled_series, score_alarms
from tests.benchmarks.measuring import figures_of
from tidecast.arrays import Bools
from tidecast.files.history import History

MINUTE = 60_000
READINGS = 1000


def labelled(*windows: tuple[int, int]) -> Labelled:
    """Return a series of minutes with windows from one reading to another."""
    ts = np.arange(READINGS) * MINUTE
    bounds = np.array(windows, np.int64).reshape(-1, 2) * MINUTE
    return Labelled(History("s", ("value",), ts, np.zeros((READINGS, 1))), bounds)


def alarms(*places: int) -> Bools:
    """Return alarms at some readings."""
    return np.isin(np.arange(READINGS), places)


@pytest.mark.parametrize(
    ("places", "score"),
    [
        ((), 0.0),
        ((300, 600), 100.0),
        ((300, 300 + 50, 600), 100.0),  # the first in a window counts
        ((399, 600), 75.0 + 25 * 0.0253),  # the last reading of a window is hardly better than none
        ((300, 600, 200), 100 - 25 * 0.11),
        ((300, 600, 100), 100.0),  # not scored
        ((300, 600, 401), 100 - 25 * 0.0053),  # just after a window
        ((300, 600, 999), 100 - 25 * 0.11),
    ],
)
def test_alarms_are_scored_by_the_published_rules(places: tuple[int, ...], score: float) -> None:
    """A window is worth up to 2 of 4 points here; a false alarm costs .11, less just after a window."""
    result = score_alarms([(labelled((300, 399), (600, 699)), alarms(*places))])
    assert score == pytest.approx(result.score, abs=0.02)


def test_a_series_without_windows_counts_its_false_alarms() -> None:
    """Its alarms cost as much as those of others."""
    result = score_alarms([(labelled((300, 399)), alarms(300)), (labelled(), alarms(500))])
    assert (100 - 50 * 0.11, 1, 1, 1) == (result.score, result.found, result.windows, result.false_alarms)


def test_labelled_series_keep_gross_errors(tmp_path: Path) -> None:
    """A spike that a history would repair is what the benchmark asks for."""
    values = [1.0] * 50 + [-9999.0] + [1.0] * 49
    moments = np.datetime64("2024-01-01T00:00") + np.arange(100)
    rows = [f"a/b,{at},{y}" for at, y in zip(moments, values, strict=True)]
    (tmp_path / "nab_open.csv").write_text("\n".join(["series,timestamp,value", *rows]) + "\n")
    window = [["2024-01-01 00:45:00.000000", "2024-01-01 00:55:00.000000"]]
    (tmp_path / "nab_open_windows.json").write_text(json.dumps({"a/b": window, "absent": []}))
    (only,) = labelled_series(tmp_path)
    assert values == only.history.values[:, 0].tolist()
    assert [45, 55] == ((only.windows - only.history.ts[0]) // MINUTE)[0].tolist()


def test_usual_detectors_alarm_once_in_a_while() -> None:
    """A spike is over three sigma; the chart finds a step; neither repeats its alarm at once."""
    y = np.random.default_rng(0).uniform(-1, 1, faults.READINGS)
    y[3000] = 9
    y[5000:] += 3
    for detector, at in ((faults.three_sigma, 3000), (faults.control_chart, 5000)):
        alarms_at = np.flatnonzero(detector(y))
        assert (np.diff(alarms_at) > faults.SILENCE).all()
        assert ((at - faults.SILENCE < alarms_at) & (alarms_at < at + faults.WITHIN)).any()


def test_every_figure_of_the_faults_is_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two kinds of calm series are enough for all figures of this part."""
    monkeypatch.setattr(faults, "CALM", {kind: faults.CALM[kind] for kind in ("normal", "lognormal")})
    run = figures_of(capsys, "anomalies", "--only", "spliced")
    assert 1.0 == run["spliced_spikes_found_share"] == run["spliced_steps_found_share"]
    assert run["spliced_false_per_5000"] < 5
