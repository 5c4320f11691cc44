"""The parts of the pages: texts, charts, tables and the buttons' actions."""

from collections import Counter
from dataclasses import asdict, replace
from math import nan
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from dashboard.actions import Actions, summary_text
from dashboard.data.board import View
from dashboard.data.follower import Follower
from dashboard.data.history import SeriesPoints
from dashboard.data.recent import ANOMALY, COLUMNS, Recent, Y
from dashboard.data.totals import Totals
from dashboard.pages import charts
from dashboard.pages.formats import age_text, count_text, number_text, series_path, share_text, time_text
from dashboard.pages.frame import notice
from dashboard.pages.overview import corrected, view_path
from dashboard.pages.retraining import runs_html
from dashboard.pages.stream_card import history_sentence
from dashboard.pages.tables import events_html
from dashboard.pages.training import NONE, trainings_html
from tests.dashboard.streams import entry
from tests.harness.models import make_model
from tests.harness.processes import run_command
from tidecast.cli.commands.operate import dashboard
from tidecast.connection.partitions import Run
from tidecast.models.experts import EXPERTS
from tidecast.models.storage.training_runs import TrainingProgress, ended, running
from tidecast.models.store import ModelStore
from tidecast.settings import load_settings
from tidecast.wire import Event, Step


def test_numbers_and_times_as_people_read_them() -> None:
    """Unknown values are shown as a dash."""
    assert ("42.1", "1.2346e+09", "-") == (number_text(42.1), number_text(1234567890.0), number_text(nan))
    assert ("91 %", "0 %", "-") == (share_text(0.914), share_text(-0.001), share_text(nan))
    assert ("3 h", "2 d", "now") == (age_text(10_800_000), age_text(172_800_000), age_text(3))
    assert ("12,345", "-") == (count_text(12_345.2), count_text(None))
    assert "2026-03-01 03:00:10" == time_text(1772334010000)


def test_a_forecast_is_drawn_where_it_was_due() -> None:
    """Beside the reading that it foretold, and the newest one ahead of all."""
    recent = Recent(1)
    for turn in range(3):
        bounds = {"yhat_lower": turn, "yhat_upper": turn + 3}
        recent.add([entry("a", turn, y=turn, yhat=turn + 1.5, anomaly=turn % 2, **bounds)])
    ahead = (Step(2, 9, 5.0, 4.0, 6.5), Step(3, 10, 5.5, None, None), Step(4, None, 0.0, 0.0, 0.0))
    truth, forecast, lower, width, odd = charts.stream_data(recent.of(0), ahead)
    times = [point[0] for point in truth]
    assert [times[1], times[2], times[2] + 1000, 9, 10] == [point[0] for point in forecast]
    assert [1.5, 2.5, 3.5, 5.0, 5.5] == [point[1] for point in forecast]
    assert [[0, 1, 2, 4.0], [3, 3, 3, 2.5]] == [[point[1] for point in line] for line in (lower, width)]
    assert [[times[1], 1.0]] == odd
    assert [[], [], [], [], []] == charts.stream_data(recent.of(0)[:0])


def test_of_many_points_the_extremes_and_the_anomalies_are_drawn() -> None:
    """A spike of one reading is in the chart of a week."""
    points = np.zeros((10_000, len(COLUMNS)))
    points[:, Y] = np.random.default_rng(1).normal(size=10_000)
    points[3456, Y] = 50.0
    points[777, ANOMALY] = 1.0
    drawn = charts.thinned(points)
    assert {777, 3456, 9999} <= set(drawn.tolist())
    assert len(drawn) <= charts.MOST_POINTS + 2
    assert list(range(96)) == charts.thinned(points[:96]).tolist()


def test_events_that_change_the_condition_are_lines_in_the_chart() -> None:
    """Within the span, at the time of their reading."""
    events = [Event(kind, "x", "a", facts={"ts": ts}) for kind, ts in (("stuck", 5), ("stuck", 1), ("promoted", 5))]
    options = charts.stream_chart()
    charts.mark_events(options, [*events, Event("level_changed", "x", "a")], 3.0)
    assert [{"xAxis": 5, "name": "stuck"}] == options["series"][-1]["markLine"]["data"]


def test_the_weights_of_the_experts_are_drawn_as_areas() -> None:
    """The largest first, the small ones together; each expert has its own colour."""
    weights = np.zeros((2, len(EXPERTS)))
    weights[:, EXPERTS.index("lstm")] = 0.7, 0.8
    weights[:, EXPERTS.index("naive")] = 0.29, 0.19
    weights[:, EXPERTS.index("smoothing")] = 0.01
    options = charts.weights_chart()
    charts.put_weights(options, np.array([1.0, 2.0]), weights)
    assert ["lstm", "naive", "other"] == options["legend"]["data"]
    assert [[1.0, 0.7], [2.0, 0.8]] == options["series"][0]["data"]
    assert "var(--expert-0)" == options["series"][1]["areaStyle"]["color"]


def test_a_history_is_described_by_its_sources() -> None:
    """How far back they reach, and why not further."""
    points = np.empty((0, len(COLUMNS)))
    whole = SeriesPoints(points, {"forecasts": 1772334010000}, whole=True)
    assert "Forecasts since 2026-03-01 03:00:10." == history_sentence(whole)
    parts = {"forecasts": 1772334010000, "readings": 1772333000000, "window": 1772330000000}
    sentence = history_sentence(SeriesPoints(points, parts, whole=False, problem="The archive was not read: why"))
    assert "Readings alone since 2026-03-01 01:53:20, from the readings and window." in sentence
    assert "Older ones were not found" in sentence
    assert sentence.endswith("The archive was not read: why")


def test_errors_are_means_over_the_last_readings() -> None:
    """As a loop has them."""
    rng = np.random.default_rng(1)
    values, errors = rng.normal(size=30), rng.normal(size=30)
    recent = Recent(1)
    recent.add([entry("a", i, values[i], 0.0, **({"error": errors[i]} if i else {})) for i in range(30)])
    forecast, naive = charts.error_data(recent.of(0))
    due = [np.abs(errors[max(1, i - charts.SMOOTHED + 1) : i + 1]).mean() for i in range(1, 30)]
    assert pytest.approx(due, rel=1e-6) == [point[1] for point in forecast]
    assert 29 == len(naive)


def test_what_others_wrote_is_shown_and_not_run() -> None:
    """A series' name and an event's detail are data."""
    shown = events_html([Event("drift", "<b>x</b>", "<script>", 1, "1772334010000-0")], of_series=False)
    assert "<script>" not in shown
    assert "<b>" not in shown
    begins = Event("anomaly", "x", "a", facts={"phase": "begins"}, id="1-0")
    assert ">anomaly begins<" in events_html([begins], of_series=True)
    assert "/series?name=a%2Fb%26c" == series_path("a/b&c")
    assert "<i>" not in runs_html((Run.of(0, {b"state": b"<i>", b"detail": b"<i>"}),), 0.0)


def test_a_view_is_kept_in_the_address() -> None:
    """It is short for the default one, and impossible values are corrected."""
    view = View(search="pump naïve&x", state="stuck", by="skill", descending=True, page=3, size=50)
    query = {name: values[0] for name, values in parse_qs(urlsplit(view_path(view)).query).items()}
    assert {name: str(value) for name, value in asdict(view).items()} == query
    assert "/" == view_path(View())
    assert View(size=100) == corrected(View(state="nonsense", by="nonsense", page=-2, size=9999))
    assert 1 == corrected(View(size=0)).size


def test_a_run_is_told_with_its_next_time() -> None:
    """A run that is due is shown as such."""
    run = Run.of(2, {b"trigger": b"every 6h", b"state": b"waiting", b"retry_ms": b"3600000", b"next_ms": b"9"})
    assert "(in 1 h)" in runs_html((run,), 0.0)
    assert "(due)" in runs_html((run,), 3_600_000.0)


def test_the_banner_says_what_is_not_shown(tmp_path: Path) -> None:
    """That nothing was read yet, that there are more series than are held, and first of all why nothing moves."""
    follower = Follower(load_settings(store=tmp_path), 1)
    assert "Reading" in notice(follower)[0]
    follower.ready.set()
    assert ("", False) == notice(follower)
    follower.recent.add([entry(name, 0, 1.0, 1.0) for name in "ab"])
    assert "max_series" in notice(follower)[0]
    follower.recent.beyond = 0
    lagging = Totals(Counter(forecast=1), None, None, 500, 0, 1, (), {})
    for totals, sentence in (
        (lagging, ""),
        (replace(lagging, lag_growth=300), "500 readings wait, 300 more"),
        (replace(lagging, workers=0), "No worker is running"),
        (replace(lagging, workers=0, lag=0, counts=Counter()), ""),
    ):
        follower.totals = totals
        assert sentence in notice(follower)[0]
        assert bool(sentence) is notice(follower)[1]
    follower.trouble = "ConnectionError: gone"
    assert notice(follower)[1]
    assert "ConnectionError: gone" in notice(follower)[0]


def test_roll_back_says_what_came_of_it(tmp_path: Path) -> None:
    """It shows the version that answers, or why none does."""
    store = ModelStore(tmp_path)
    actions = Actions(load_settings(store=tmp_path))
    assert "No rollback: " in actions.rollback("a")
    store.publish(make_model("a"))
    store.publish(make_model("a", seed=1))
    assert "a: version 1 answers again" == actions.rollback("a")
    assert 1 == store.champion("a")


async def test_a_retraining_that_fails_says_why(tmp_path: Path) -> None:
    """The page shows the command's own message, and the series is not marked as running any more."""
    actions = Actions(load_settings(store=tmp_path, redis_url="nonsense"))
    assert "Retraining a failed: " in await actions.retrain("a")
    assert set() == actions.under_way


def test_a_run_is_summed_up_in_words() -> None:
    """Counts of zero are left out."""
    assert "1 trained, 2 put off" == summary_text({"trained": 1, "kept": 0, "put_off": 2, "seconds": 1.5})
    assert "nothing to do" == summary_text({"trained": 0})


def test_without_its_extra_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence, exit code 1."""
    monkeypatch.setattr(dashboard, "dashboard_installed", lambda: False)
    assert 1 == run_command("dashboard")
    assert "tidecast: the dashboard needs its extra: pip install 'tidecast[dashboard]'\n" == capsys.readouterr().err


def test_trainings_show_their_progress(tmp_path: Path) -> None:
    """Those that go on come first; a damaged line of the log is skipped."""
    progress = TrainingProgress(0, 90_000, "tcp://<here>:8786", 500, trained=100, kept=20, refused=3)
    (tmp_path / "runs" / "id" / "token").mkdir(parents=True)
    progress.write(tmp_path / "runs" / "id" / "token")
    replace(progress, series=7).log(tmp_path)
    with (tmp_path / "runs.log").open("a") as log:
        log.write('{"series": 5\n')
    assert [500] == [each.series for each in running(tmp_path)]
    assert [7] == [each.series for each in ended(tmp_path, 20)]
    html = trainings_html(running(tmp_path), ended(tmp_path, 20), 150_000)
    assert html.index("last progress 1 min ago") < html.index("ended after")
    assert "tcp://&lt;here&gt;:8786" in html
    assert ">123<" in html
    assert NONE == trainings_html([], [], 0)
