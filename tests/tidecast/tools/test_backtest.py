"""The backtest is the worker: same code, same answers, and no look ahead."""

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from redis import Redis

from tests.harness.processes import run_command
from tidecast.client import Client
from tidecast.errors import HistoryError
from tidecast.files.history import History
from tidecast.models.experts import EXPERTS
from tidecast.models.presets import PRESETS, preset
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import Settings, load_settings
from tidecast.tools import backtest_report
from tidecast.tools.backtest import BacktestJob, backtest, run, write
from tidecast.wire import keys_of
from trainer import shared_networks
from trainer.data.source import Source
from trainer.evaluation.virtual_clock import entries_of
from trainer.pipeline import train
from worker.loop import Worker
from worker.metrics import Health
from worker.partition.stream import Stream
from worker.stop import Stop

QUICK = {"epochs": 1, "shared_epochs": 1}
HOUR = 3_600_000
SMALL = Spec(window=8, units=8)


def history(series: str = "wave", readings: int = 200, target: str = "value") -> History:
    """Return an hourly wave with noise."""
    t = np.arange(readings)
    values = np.sin(t / 4) + 0.1 * np.random.default_rng(len(series)).normal(size=readings)
    return History(series, (target,), HOUR * t.astype(np.int64), values[:, None])


def test_the_future_moves_no_forecast_before_it(tmp_path: Path) -> None:
    """Readings after a moment change neither model, scale nor any forecast made up to that moment."""
    settings = load_settings(store=tmp_path, train=QUICK)
    calm = history()
    wild = History(calm.series, calm.features, calm.ts, np.where(np.arange(200)[:, None] < 180, calm.values, 50.0))
    without, disturbed = (backtest([h], 0.2, settings).settled["wave"] for h in (calm, wild))
    assert 40 == len(without) == len(disturbed)
    assert [row.forecast.yhat for row in without[:20]] == [row.forecast.yhat for row in disturbed[:20]]
    assert without[25].y != disturbed[25].y


def test_each_reading_meets_the_forecast_that_stood_before_it(tmp_path: Path) -> None:
    """Row by row: the forecast was made one reading earlier, from the readings up to that one."""
    rows = backtest([history()], 0.2, load_settings(store=tmp_path, train=QUICK)).settled["wave"]
    assert [HOUR * t for t in range(160, 200)] == [row.ts for row in rows]
    assert {-HOUR} == {row.forecast.origin - row.ts for row in rows}
    assert all(row.forecast.y == row.before for row in rows)


def test_a_worker_on_redis_gives_the_same_forecasts(redis: Redis, settings: Settings, store: ModelStore) -> None:
    """Offline equals online: the same readings through a stream, in batches of another size."""
    settings = settings.model_copy(update={"train": settings.train.model_copy(update=QUICK)})
    whole = history()
    offline = backtest([whole], 0.2, settings).settled["wave"]
    first = History(whole.series, whole.features, whole.ts[:160], whole.values[:160])
    train([first], Spec(), settings, store)
    for _, fields in entries_of([whole]):
        redis.xadd("readings", fields)  # type: ignore[arg-type] # bytes are fine
    stream = Stream(redis, keys_of(), settings.worker)
    Worker(settings, [stream], store, Health()).run(Stop(), burst=True)
    with Client(settings.redis_url.get_secret_value()) as client:
        online = list(client.forecasts("0", block_ms=1, stop_when_idle=True))
    assert [row.forecast.yhat for row in offline] == pytest.approx([f.yhat for f in online[-41:-1]], rel=1e-6)


def test_a_cohort_on_redis_gives_the_same_forecasts(
    redis: Redis, settings: Settings, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three series with a network of their cohort, two features and gaps: online equals offline to 1e-6."""
    monkeypatch.setattr(shared_networks, "MIN_EXAMPLES", 100)
    settings = settings.model_copy(update={"train": settings.train.model_copy(update=QUICK)})
    histories = []
    for name in ("a", "bb", "ccc"):
        plain = history(name, 300)
        late = 400_000 * HOUR + plain.ts + 6 * HOUR * (np.arange(300) >= 270)  # a long gap in the test part
        other = np.random.default_rng(0).normal(size=(300, 1))
        histories.append(History(name, ("value", "wind"), late, np.hstack([plain.values, other])))
    offline = backtest(histories, 0.2, settings, SMALL).settled
    without = settings.train.model_copy(update={"shared_epochs": 0})
    firsts = [History(h.series, h.features, h.ts[:240], h.values[:240]) for h in histories]
    train(firsts, SMALL, settings, store)
    assert store.shared.served()
    for _, fields in entries_of(histories):
        redis.xadd("readings", fields)  # type: ignore[arg-type] # bytes are fine
    stream = Stream(redis, keys_of(), settings.worker)
    Worker(settings, [stream], store, Health()).run(Stop(), burst=True)
    with Client(settings.redis_url.get_secret_value()) as client:
        online = [f for f in client.forecasts("0", block_ms=1, stop_when_idle=True) if f.series == "bb"]
    alone = backtest(histories, 0.2, settings.model_copy(update={"train": without}), SMALL).settled
    assert [row.forecast.yhat for row in offline["bb"]] != [row.forecast.yhat for row in alone["bb"]]
    assert [row.forecast.yhat for row in offline["bb"]] == pytest.approx([f.yhat for f in online[-61:-1]], rel=1e-6)
    assert [row.forecast.yhat_upper for row in offline["bb"]] == pytest.approx(
        [f.yhat_upper for f in online[-61:-1]], rel=1e-6
    )


def test_pictures_are_named_by_the_digest_of_the_series(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A series name never becomes part of a path. With several steps there is a table and a picture of them."""
    file = tmp_path / "wave.csv"
    file.write_text("series,timestamp,value\n" + "\n".join(f"../x,{HOUR * t},{t % 7}" for t in range(60)))
    run(
        BacktestJob(Source((str(file),)), tmp_path / "out.csv", pictures=tmp_path / "drawn"),
        load_settings(train=QUICK, series={"horizon": 2}),
        as_json=True,
    )
    printed = json.loads(capsys.readouterr().out)
    assert printed["overall"]["series"] == 1
    assert [(1, 12), (2, 11)] == [(step["step"], step["readings"]) for step in printed["steps"]]
    assert printed["steps"] == printed["series"][0]["steps"]
    assert printed["steps"][0]["mae"] == pytest.approx(printed["series"][0]["mae"])
    pictures = sorted((tmp_path / "drawn").iterdir())
    assert [f"{hashlib.sha256(b'../x').hexdigest()[:12]}.png", "steps.png"] == [file.name for file in pictures]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in pictures)


def test_bounds_hold_for_forecasts_and_intervals(tmp_path: Path) -> None:
    """Counts are never forecast to be negative."""
    settings = load_settings(store=tmp_path, train=QUICK, series={"minimum": 0.0, "maximum": 1.0})
    rows = backtest([history()], 0.2, settings).settled["wave"]
    bounds = [(row.forecast.yhat_lower, row.forecast.yhat, row.forecast.yhat_upper) for row in rows]
    assert all(bound is not None and 0 <= bound <= 1 for row in bounds for bound in row)
    assert {0.0, 1.0} <= {bound for row in bounds for bound in row}


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_answers_every_reading(tmp_path: Path, name: str) -> None:
    """Finite, and each under a name that the panel has."""
    settings = load_settings(store=tmp_path, train=QUICK)
    rows = backtest([history()], 0.2, settings, Spec(**preset(name))).settled["wave"]
    assert len(rows) == 40
    assert np.isfinite([row.forecast.yhat for row in rows]).all()
    assert {row.forecast.kind for row in rows} <= set(EXPERTS)


def test_the_file_has_a_row_for_each_reading_of_the_test_part(tmp_path: Path) -> None:
    """Times are in UTC, with the interval and the kind of forecast, and the same of the second step."""
    rows = backtest([history()], 0.2, load_settings(store=tmp_path, train=QUICK, series={"horizon": 2})).settled
    write(tmp_path / "new" / "out.csv", rows)
    with (tmp_path / "new" / "out.csv").open() as file:
        written = list(csv.DictReader(file))
    further = ["ts_2", "yhat_2", "yhat_2_lower", "yhat_2_upper"]
    assert ["series", "timestamp", "yhat", "yhat_lower", "yhat_upper", "kind", *further] == list(written[0])
    assert [row["ts_2"] for row in written[:-1]] == [row["timestamp"] for row in written[1:]]
    assert ("wave", "1970-01-07 16:00:00") == (written[0]["series"], written[0]["timestamp"])
    assert 40 == len(written)
    assert all(float(row["yhat_lower"]) <= float(row["yhat"]) <= float(row["yhat_upper"]) for row in written)


def test_the_same_seed_writes_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    """A backtest can be repeated."""
    files = []
    for i, seed in enumerate((5, 5, 6)):
        settings = load_settings(store=tmp_path, train=QUICK | {"seed": seed, "shared_epochs": 0})
        write(tmp_path / str(i), backtest([history()], 0.2, settings, SMALL).settled)
        files.append((tmp_path / str(i)).read_bytes())
    assert files[0] == files[1] != files[2]


def test_a_series_without_a_model_is_answered_too(tmp_path: Path) -> None:
    """Too short to train on, another target's name: still a forecast for every reading."""
    rows = backtest([history(readings=20, target="temp")], 0.5, load_settings(store=tmp_path, train=QUICK)).settled[
        "wave"
    ]
    assert {None} == {row.forecast.model for row in rows}
    assert 10 == len(rows)


def test_the_scores_are_those_of_the_written_forecasts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """MAE and skill recomputed from the file and the data."""
    whole = history()
    file = tmp_path / "wave.csv"
    lines = [f"wave,{ts},{value!r}" for ts, value in zip(whole.ts.tolist(), whole.values[:, 0].tolist(), strict=True)]
    file.write_text("\n".join(["series,timestamp,value", *lines]))
    run(
        BacktestJob(Source((str(file),)), tmp_path / "out.csv"),
        load_settings(store=tmp_path, train=QUICK),
        as_json=True,
    )
    (score,) = json.loads(capsys.readouterr().out)["series"]
    with (tmp_path / "out.csv").open() as written:
        rows = list(csv.DictReader(written))
    yhat, lower, upper = (np.array([float(row[name]) for row in rows]) for name in ("yhat", "yhat_lower", "yhat_upper"))
    y = whole.values[160:, 0]
    before = whole.values[159:-1, 0]
    assert score["mae"] == pytest.approx(np.abs(y - yhat).mean())
    assert score["skill"] == pytest.approx(1 - np.abs(y - yhat).mean() / np.abs(y - before).mean())
    assert score["width"] == pytest.approx((upper - lower).mean())
    assert score["width"] == pytest.approx(score["steps"][0]["width"])
    assert score["season"] == 25  # the wave's length, 8 pi
    seasonal = np.abs(y - whole.values[135:175, 0]).mean()
    assert score["skill_seasonal"] == pytest.approx(1 - np.abs(y - yhat).mean() / seasonal)


def test_gross_errors_are_not_in_the_scale_of_mase(tmp_path: Path) -> None:
    """A sensor's -9999 among the readings trained on would make every forecast look perfect."""
    broken = history()
    broken.values[[50, 90]] = -9999.0
    settled = backtest([broken], 0.2, load_settings(store=tmp_path, train=QUICK)).settled["wave"]
    clean, damaged = (backtest_report.score(each, settled, 0.2) for each in (history(), broken))
    assert clean.mase == pytest.approx(damaged.mase, rel=0.05)
    assert damaged.steps[0].mase == damaged.mase


def test_a_history_that_cannot_be_split_is_one_sentence(tmp_path: Path) -> None:
    """A backtest without answers has failed."""
    file = tmp_path / "short.csv"
    file.write_text("series,timestamp,value\na,2024-01-01,1\n")
    with pytest.raises(HistoryError, match="the longest has 1 reading, too few for a test part of 20%: add"):
        run(BacktestJob(Source((str(file),)), tmp_path / "out.csv"), load_settings(store=tmp_path), as_json=True)


def days(first: str, count: int, *, unit: str) -> str:
    """Return a file of so many daily readings from a date on."""
    start = np.datetime64(first, unit)
    rows = [f"a,{start + np.timedelta64(day, 'D')}Z,{day % 7}" for day in range(count)]
    return "\n".join(("series,timestamp,value", *rows))


@pytest.mark.parametrize(
    ("first", "unit"), [("1970-01-01", "s"), ("1969-12-20", "s"), ("1970-01-25", "ms"), ("1955-06-01", "s")]
)
def test_every_reading_of_early_years_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], first: str, unit: str
) -> None:
    """The unit of a date is known, so the guess that a number may be seconds never touches it."""
    file = tmp_path / "old.csv"
    file.write_text(days(first, 80, unit=unit))
    code = command(monkeypatch, str(file), "--out", str(tmp_path / "out.csv"), "--test-size", "0.9", "--json")
    answer = json.loads(capsys.readouterr().out)
    assert (0, 72, []) == (code, answer["series"][0]["readings"], answer["refused"])
    assert 73 == len((tmp_path / "out.csv").read_text().splitlines())


def command(monkeypatch: pytest.MonkeyPatch, file: str, *words: str) -> int:
    """Run `tidecast backtest` in this process, with little training; return its exit code."""
    monkeypatch.setenv("TIDECAST_TRAIN__EPOCHS", "1")
    monkeypatch.setenv("TIDECAST_TRAIN__SHARED_EPOCHS", "0")
    return run_command("backtest", "--data", file, *words)


def test_series_without_answers_are_named_with_exit_code_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A refused and a too short series each have a line and an entry of the list; the others are answered."""
    file = tmp_path / "three.csv"
    rows = [f"good,2024-01-{day:02},{day}" for day in range(1, 31)]
    file.write_text(
        "\n".join(("series,timestamp,value", *rows, "bad,2024-01-01,x", "bad,2024-01-02,1", "few,2024-01-01,1"))
    )
    code = command(monkeypatch, str(file), "--out", str(tmp_path / "out.csv"), "--json")
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert (3, ["good"], ["bad", "few"]) == (
        code,
        *([s["series"] for s in answer[key]] for key in ("series", "refused")),
    )
    assert "row 32" in answer["refused"][0]["reason"]
    assert "1 reading, too few for a test part of 20%" in answer["refused"][1]["reason"]
    assert ["refused: bad:", "refused: few:"] == [" ".join(line.split()[:2]) for line in err.splitlines()[-2:]]


def test_unanswered_readings_are_counted_with_the_workers_reason(tmp_path: Path) -> None:
    """A backtest of more series than a worker may remember reports the readings without an answer, and the reason."""
    settings = load_settings(store=tmp_path, train=QUICK | {"shared_epochs": 0}, series={"max_series": 1})
    tested = backtest([history("a", 40), history("b", 40)], 0.2, settings)
    (refusal,) = tested.refused
    assert (refusal.series, len(tested.settled["a"]), len(tested.settled["b"])) == ("b", 8, 0)
    assert refusal.reason.startswith("8 of 8 readings were not answered: ")
    assert "series.max_series" in refusal.reason
