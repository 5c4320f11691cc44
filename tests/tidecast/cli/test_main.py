"""The `tidecast` command: help, exit codes, and sentences instead of tracebacks."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
import typer
from redis import Redis

from tests.harness.forecasts import sent
from tests.harness.models import make_model
from tests.harness.processes import run_command
from tidecast import __version__
from tidecast.cli import main as cli
from tidecast.client import Client
from tidecast.files.history import counted
from tidecast.models.model import Evidence, Scores
from tidecast.models.store import ModelStore
from tidecast.settings import Settings
from tidecast.tools.tail import line
from tidecast.wire import Forecast

NOBODY = "redis://127.0.0.1:1/0"
DAY_MS = 86_400_000


def commands(command: Any, *path: str) -> Iterator[tuple[str, ...]]:
    """Yield every command and group of commands, as the words after `tidecast`."""
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, *path, name)


ALL = sorted(commands(typer.main.get_command(cli.app)))


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings file but the test's own."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    """`--help` exits 0 and describes the command."""
    assert 0 == run_command(*words, "--help")
    assert "Usage:" in capsys.readouterr().out


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """It is the package's version."""
    assert 0 == run_command("--version")
    assert f"{__version__}\n" == capsys.readouterr().out


def test_the_installed_program_ends_the_same_way(tmp_path: Path) -> None:
    """As its own process: exit code 1, one line on standard error, nothing on standard output."""
    program = Path(sys.executable).with_name("tidecast")
    result = subprocess.run(
        [program, "tail", "--redis", NOBODY],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ},
        check=False,
    )
    assert (1, "", 1) == (result.returncode, result.stdout, result.stderr.count("\n"))


@pytest.mark.parametrize("words", [("--help",), ("series", "list"), ("tail", "--since", "0")], ids=" ".join)
def test_a_reader_that_closes_the_pipe_is_no_failure(settings: Settings, redis: Redis, words: tuple[str, ...]) -> None:
    """As in `tidecast tail | head`: exit code 0, and nothing on standard error."""
    forecast = Forecast("1-0", "a", 2000, 1.5, 1.0, 2.0, 0.9, 1000, None, "naive", 1.25)
    redis.xadd("forecasts", sent(forecast), id="1-0")
    reader, writer = os.pipe()
    os.close(reader)
    program = Path(sys.executable).with_name("tidecast")
    address = {"TIDECAST_REDIS_URL": settings.redis_url.get_secret_value()}
    try:
        ended = subprocess.run(
            [program, *words], stdout=writer, stderr=subprocess.PIPE, text=True, env=os.environ | address, check=False
        )
    finally:
        os.close(writer)
    assert (0, "") == (ended.returncode, ended.stderr)


def test_pushed_readings_are_counted(capsys: pytest.CaptureFixture[str], settings: Settings, redis: Redis) -> None:
    """The readings go to the chosen namespace."""
    Path("readings.csv").write_text("series,ts,value\na,1,2\na,2,3\n")
    url = settings.redis_url.get_secret_value()
    assert 0 == run_command("push", "readings.csv", "--redis", url, "--namespace", "plant")
    assert "2 readings pushed\n" == capsys.readouterr().out
    assert 2 == redis.xlen("plant:readings")


def test_recorded_readings_are_archived_and_trained_on(
    capsys: pytest.CaptureFixture[str], settings: Settings, redis: Redis
) -> None:
    """Series come from the stream, and from the archive if it is named; if there are no readings, a message says so."""
    where = ("--redis", settings.redis_url.get_secret_value())
    train = ("train", "--recorded", "--dry-run", "--json", *where)
    assert 1 == run_command(*train)
    assert capsys.readouterr().err.startswith("tidecast: nothing is recorded (no worker has answered")
    now_ms = time.time_ns() // 1_000_000
    for age_ms in (10 * DAY_MS, 2 * DAY_MS, 1000):
        last = redis.xadd("readings", {"series": "a", "value": 1, "ts": now_ms - age_ms}, id=f"{now_ms - age_ms}-0")
    redis.hset("offset", "last", last)
    assert 0 == run_command("archive", *where)
    assert "readings archived in history: 1\n" == capsys.readouterr().out
    for more, count in (((), 2), (("--history", "history"), 3), (("--history", "history", "--since", "36h"), 1)):
        assert 0 == run_command(*train, *more)
        assert [("a", counted(count, "reading"))] == [
            (v["series"], v["reason"]) for v in json.loads(capsys.readouterr().out)
        ]
    for more, sentence in (
        (("--target", "valeu"), "nothing recorded can be used (2 readings that a worker refuses too (2 no_value)"),
        (("--features", "valeu"), "no reading has the field 'valeu': did you mean 'value'?"),
    ):
        assert 1 == run_command(*train, *more)
        assert sentence in capsys.readouterr().err
    assert 0 == run_command(*train, "--features", "none")


def test_a_worker_in_burst_answers_what_is_there_and_tail_shows_it(
    capsys: pytest.CaptureFixture[str], settings: Settings, redis: Redis
) -> None:
    """The shortest way through the whole program, without a model."""
    url = settings.redis_url.get_secret_value()
    with Client(url) as client:
        ids = client.push_many([("a", 1.0, 1000), ("a", 2.0, 2000)])
        subprocess.run(
            [Path(sys.executable).with_name("tidecast"), "worker", "--burst", "--redis", url, "--store", "models"],
            check=True,
            capture_output=True,
        )
        made = list(client.forecasts("0", block_ms=1, stop_when_idle=True))
    assert ids == [forecast.id for forecast in made] == [entry_id.decode() for entry_id, _ in redis.xrange("forecasts")]
    assert 0 == run_command("tail", "--since", "0", "-n", "2", "--redis", url)
    assert "".join(f"{line(forecast)}\n" for forecast in made) == capsys.readouterr().out


def test_check_counts_the_champions_and_does_nothing(capsys: pytest.CaptureFixture[str], store: ModelStore) -> None:
    """No Redis is needed; a broken champion is exit code 1."""
    store.publish(make_model("a"))
    store.publish(make_model("b"), promote=False)
    assert 0 == run_command("worker", "--check", "--store", str(store.root), "--redis", NOBODY)
    assert f"settings are valid; 1 champions in {store.root}\n" == capsys.readouterr().out
    for file in store.root.rglob("*.safetensors"):
        file.write_bytes(b"broken")
    assert 1 == run_command("worker", "--check", "--store", str(store.root))
    assert "not a whole model file" in capsys.readouterr().err


def test_models_are_listed_and_shown_as_json(capsys: pytest.CaptureFixture[str], store: ModelStore) -> None:
    """Every version with its evidence; show prints all of one."""
    for name in ("b", "a", "b"):
        store.publish(make_model(name))
    assert 0 == run_command("models", "list", "--json", "--store", str(store.root))
    listed = json.loads(capsys.readouterr().out)
    assert [("a", 1, True), ("b", 1, False), ("b", 2, True)] == [
        (row["series"], row["version"], row["champion"]) for row in listed
    ]
    assert 0 == run_command("models", "show", "b", "--version", "1", "--store", str(store.root))
    shown = json.loads(capsys.readouterr().out)
    assert {"version": 1, **make_model("b").header.model_dump(mode="json")} == shown


def test_a_version_without_a_network_is_listed_without_one(
    capsys: pytest.CaptureFixture[str], store: ModelStore
) -> None:
    """Its history was too short; the shape in its header is the one that was asked for."""
    for network in (True, False):
        store.publish(make_model("a", network=network))
    assert 0 == run_command("models", "list", "--json", "--store", str(store.root))
    assert ["lstm 1x5, window 6", "none"] == [row["network"] for row in json.loads(capsys.readouterr().out)]


def test_a_model_that_cannot_be_read_hides_no_other_one(capsys: pytest.CaptureFixture[str], store: ModelStore) -> None:
    """The others are listed, the fault is named, and the exit code is 1."""
    for series in "abc":
        store.publish(make_model(series))
    (store.folder("b") / "champion").write_text("newest")
    (store.folder("c") / "000001.safetensors").write_bytes(b"cut")
    assert 1 == run_command("models", "list", "--json", "--store", str(store.root))
    out, err = capsys.readouterr()
    assert ["a"] == [row["series"] for row in json.loads(out)]
    assert "b: " in err
    assert "holds no version's number" in err
    assert "\nc: " in err


def test_models_are_listed_as_a_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], store: ModelStore
) -> None:
    """The listing is for people; an empty store is not an error."""
    monkeypatch.setenv("COLUMNS", "200")
    assert 0 == run_command("models", "list", "--store", str(store.root))
    store.publish(make_model("boiler-7"))
    assert 0 == run_command("models", "list", "--store", str(store.root))
    evidence = Evidence(
        rows=9, season=None, scores={"model": Scores(mae=1 / 7, rmse=1)}, skill=0.5, verdict="published"
    )
    store.publish(make_model("boiler-8", evidence=evidence))
    assert 0 == run_command("models", "list", "--store", str(store.root))
    shown = capsys.readouterr().out
    assert "boiler-7" in shown
    assert " 0.1429 " in shown  # all digits of an error would leave no room for the verdict


@pytest.mark.parametrize(
    "words", [("train", "x.csv"), ("backtest", "--data", "x.csv", "--out", "o.csv"), ("replay", "x.csv")]
)
@pytest.mark.usefixtures("url")
def test_a_line_of_the_log_is_not_part_of_a_command_s_json(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """An own expert that was left out is a line of the log, which a program that reads standard output must not get."""
    assert 0 != run_command(*words)
    structlog.get_logger("tidecast.experts").warning("an own expert was left out")
    out, err = capsys.readouterr()
    assert not out
    assert "an own expert was left out" in err
