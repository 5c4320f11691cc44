"""`tidecast replay`: the forecasts of a worker, from a file and without Redis."""

import csv
import io
import json
from pathlib import Path

import pytest
from redis import Redis

from tests.harness.models import make_model, make_shared
from tests.harness.processes import TIDECAST, run_command
from tests.harness.programs.terminal import on_a_terminal
from tidecast.files.layout import Selection
from tidecast.files.readings import Row, in_order, readings_in
from tidecast.models.store import ModelStore
from tidecast.settings import Settings, load_settings
from tidecast.tools.replay import ReplayCounts, forecasts_of
from tidecast.wire import Forecast
from worker.main import make_worker
from worker.metrics import Health
from worker.stop import Stop

AT = 1_700_000_000_000


def recorded(path: Path) -> None:
    """A file of two series that take turns, out of order, with a missing value and a time that comes twice."""
    lines = [f"{'ab'[i % 2]},{AT + 1000 * i},{i * i % 17}" for i in range(60)]
    lines += [f"a,{AT + 20_500},n/a", f"a,{AT + 20_000},3"]
    path.write_text("series,timestamp,value\n" + "\n".join(lines) + "\n")


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings file but the test's own; a file of readings and a store of models."""
    monkeypatch.chdir(tmp_path)
    recorded(Path("readings.csv"))
    store = ModelStore(Path("models"))
    store.publish(make_model("a", step_ms=2000.0, shared="all"))
    store.shared.publish(make_shared("all"))


def rows_of(path: str) -> list[Row]:
    """Return the readings of a file in the order of their times."""
    return list(in_order(readings_in(path, Selection(all_by_default=True)).accepted))


def replayed(settings: Settings, rows: list[Row] | None = None) -> tuple[list[Forecast], ReplayCounts]:
    """Return the forecasts, and the counts of readings by disposition."""
    done = ReplayCounts()
    made = forecasts_of(rows or rows_of("readings.csv"), settings, done)
    return [forecast for batch in made for forecast in batch], done


def run(*words: str) -> int:
    """Run the command within this process; return its exit code."""
    return run_command("replay", *words)


def test_a_worker_on_redis_makes_the_same_forecasts(redis: Redis, settings: Settings) -> None:
    """All fields of all, and the same end for every reading."""
    options = {"batch": 7, "block": "1ms"}
    wide = load_settings(
        redis_url=settings.redis_url.get_secret_value(),
        store="models",
        worker=options,
        series={"horizon": 3, "more_levels": [0.5]},
    )
    made, done = replayed(wide)
    ids = {}
    for row in rows_of("readings.csv"):
        ids[row.ts] = ids.get(row.ts, -1) + 1
        fields = {"series": row.series, "ts": row.ts, **row.values}
        redis.xadd("readings", fields, id=f"{row.ts}-{ids[row.ts]}")
    make_worker(wide, Health()).run(Stop(), burst=True)
    assert [Forecast.decode(*entry) for entry in redis.xrange("forecasts")] == made
    counts = {name.encode(): b"%d" % count for name, count in done.counts.items()}
    assert counts.items() <= redis.hgetall("offset").items()
    assert {"forecast": 60} == dict(done.counts)


def test_the_size_of_batches_moves_no_forecast() -> None:
    """Each reading is answered as if alone."""
    single, many = (load_settings(store="models", worker={"batch": size}) for size in (1, 1000))
    assert replayed(single)[0] == replayed(many)[0]


def test_rows_are_answered_in_the_order_of_their_times() -> None:
    """In whatever order the file has them."""
    settings = load_settings(store="models")
    rows = rows_of("readings.csv")
    assert replayed(settings, rows)[0] == replayed(settings, rows[::-1])[0]


def test_forecasts_are_written_as_csv(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The rows go to standard output; the summary of the readings goes to standard error."""
    monkeypatch.setenv("TIDECAST_SERIES__HORIZON", "2")
    assert 0 == run("readings.csv")
    out, err = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(out)))
    assert (60, str(AT), "a", "") == (len(rows), rows[0]["origin"], rows[0]["series"], rows[1]["yhat_2_lower"])
    assert all(row["yhat"] for row in rows)
    assert "60 readings: 60 forecast, 0 duplicate, 0 late, 0 dead" == err.splitlines()[-1]
    assert any("1 row without a value: dropped" in line for line in err.splitlines())
    assert any("1 duplicate time: the last kept" in line for line in err.splitlines())


def test_forecasts_are_written_as_json_to_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    """As `tail --json` has them."""
    assert 0 == run("readings.csv", "--json", "--out", "made/forecasts.jsonl")
    assert "" == capsys.readouterr().out
    lines = [json.loads(line) for line in Path("made/forecasts.jsonl").read_text().splitlines()]
    made, _ = replayed(load_settings(store="models"))
    assert [(row.id, row.yhat, row.kind) for row in made] == [(row["id"], row["yhat"], row["kind"]) for row in lines]


def test_readings_without_an_answer_are_exit_code_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A refused series and one more than a worker remembers each have a line that gives the reason."""
    Path("odd.csv").write_text("series,timestamp,value\na,2024-01-01,1\nb,2024-01-01,2\nc,2024-01-01,x\n")
    monkeypatch.setenv("TIDECAST_SERIES__MAX_SERIES", "1")
    assert 3 == run("odd.csv")
    err = capsys.readouterr().err
    assert "refused: c: row 4 of odd.csv: value 'x' is not a number" in err
    assert "2 readings: 1 forecast, 0 duplicate, 0 late, 1 dead (1 too_many_series; the newest: " in err


def test_the_target_of_a_file_is_forecast_whatever_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    """As a backtest does; with a feature beside it, and epoch seconds."""
    Path("shop.csv").write_text("Date;Sales\n1709251200;5\n1709337600;7\n")
    assert 0 == run("shop.csv")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [("shop", "5.0"), ("shop", "7.0")] == [(row["series"], row["y"]) for row in rows]


def test_non_negative_bounds_every_forecast(capsys: pytest.CaptureFixture[str]) -> None:
    """It bounds every interval too."""
    assert 0 == run("readings.csv", "--json", "--non-negative")
    made = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(row["yhat_lower"] is None or row["yhat_lower"] >= 0 for row in made)


def test_an_empty_file_has_no_forecasts(capsys: pytest.CaptureFixture[str]) -> None:
    """A header alone is a mistake, as for training."""
    Path("empty.csv").write_text("series,timestamp,value\n")
    assert 1 == run("empty.csv")
    assert "has columns but no row" in capsys.readouterr().err


def test_a_bar_is_shown_on_a_terminal_that_has_no_forecasts(tmp_path: Path) -> None:
    """Beside the file that they go to."""
    code, text = on_a_terminal((TIDECAST, "replay", "readings.csv", "--out", "made.csv"), tmp_path, {})
    assert (0, True, True) == (code, "replaying" in text, "60 readings: " in text)
    assert 61 == len(Path("made.csv").read_text().splitlines())


def test_a_day_and_a_half_passes_without_waiting() -> None:
    """The clock is the readings' own; a test that waited for it would not end."""
    rows = [Row("a", AT + 60_000 * i, {"value": float(i % 7)}) for i in range(2000)]
    settings = load_settings(store="models")
    made, _ = replayed(settings, rows)
    assert 2000 == len(made)
