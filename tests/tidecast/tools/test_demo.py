"""The demo: it waits as long as a worker lives, shows a run of the schedule, and prints one object for programs."""

import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from rich.console import Console

from tests.harness.patience import PATIENCE_S
from tests.tidecast.tools.harness import few
from tidecast.client import Client
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.errors import TidecastError
from tidecast.settings import Settings
from tidecast.tools import demo, demo_programs
from tidecast.tools.demo import ReplayState, RetrainingRuns
from tidecast.tools.demo_data import DemoSource
from tidecast.tools.demo_programs import DemoSetup, DemoWorker
from tidecast.tools.demo_score import DemoScore
from tidecast.wire import Event

LOG = "a line\nredis is away\n"


class Process:
    """A process that has ended, or runs for so many looks."""

    def __init__(self, looks: int, code: int = 1) -> None:
        self._looks = looks
        self._code = code

    def poll(self) -> int | None:
        """Return the exit code once the looks are used up."""
        self._looks -= 1
        return None if self._looks >= 0 else self._code


def worker(folder: Path, looks: int, code: int = 1) -> DemoWorker:
    """Return a worker with a log, which lives for so many looks."""
    log = folder / "worker.log"
    log.write_text(LOG)
    process: Any = Process(looks, code)
    return DemoWorker(process, "http://127.0.0.1:1", log, 0.0, False)


@pytest.fixture
def text() -> io.StringIO:
    """Return the demo's output."""
    return io.StringIO()


@pytest.fixture
def client(settings: Settings, redis: Redis) -> Iterator[Client]:  # noqa: ARG001 - it empties the server
    """A client of the emptied server."""
    with Client(settings.redis_url.get_secret_value()) as opened:
        yield opened


def staged(client: Client, worker: DemoWorker, text: io.StringIO) -> ReplayState:
    """Return a replay of one series, after a first reading."""
    console = Console(file=text, width=200)
    return ReplayState(client, worker, {"a": DemoScore(test_from=0)}, console, [client.push("a", 1.0, 1000)])


def happen(redis: Redis, kind: str, detail: str = "it did", series: str | None = None) -> None:
    """Put an event on the stream."""
    flat = Event(kind, detail, series, 2 if series else None).encode()
    redis.xadd("events", dict(zip(flat[::2], flat[1::2], strict=True)))  # type: ignore[arg-type] # text is fine


def answer(redis: Redis, entry_id: str) -> None:
    """Put a forecast on the stream."""
    fields = {"series": "a", "y": 1, "yhat": 1, "kind": "naive", "ts": 2000, "origin": 1000, "level": 0.9}
    redis.xadd("forecasts", fields, id=entry_id)  # type: ignore[arg-type] # numbers are fine


def test_a_run_is_shown_from_its_start_to_its_end(
    client: Client, redis: Redis, tmp_path: Path, text: io.StringIO
) -> None:
    """Started, the result for each series, finished."""
    stage = staged(client, worker(tmp_path, 100), text)
    happen(redis, "started", "the run has started, try 1")
    happen(redis, "promoted", "it beats version 1", "a")
    happen(redis, "refused", "version 1 is at least as good", "b")
    happen(redis, "finished", "the run has finished: 1 series trained")
    runs = RetrainingRuns()
    demo._await_run(stage, runs)
    assert (1, {"a": "promoted", "b": "kept"}) == (runs.finished, runs.verdicts)
    shown = [line.strip() for line in text.getvalue().splitlines()]
    assert [
        "the run has started, try 1",
        "a promoted: it beats version 1",
        "b kept: version 1 is at least as good",
        "the run has finished: 1 series trained",
    ] == shown


def test_a_run_that_found_nothing_to_do_is_counted_but_another_is_awaited(
    client: Client, redis: Redis, tmp_path: Path, text: io.StringIO
) -> None:
    """On a slow machine a run begins before the readings are there; a visitor wants to see one that judges."""
    happen(redis, "started")
    stage = staged(client, worker(tmp_path, 1), text)
    happen(redis, "finished")
    runs = RetrainingRuns()
    with pytest.raises(TidecastError, match="no run of the schedule has finished"):
        demo._await_run(stage, runs)
    assert 1 == runs.finished
    happen(redis, "started")
    happen(redis, "refused", series="a")
    happen(redis, "finished")
    demo._await_run(stage, runs)
    assert (2, {"a": "kept"}) == (runs.finished, runs.verdicts)


def test_a_run_that_began_early_and_judged_is_enough(
    client: Client, redis: Redis, tmp_path: Path, text: io.StringIO
) -> None:
    """It has read the readings from before its training; the next one would find nothing new."""
    happen(redis, "started")
    stage = staged(client, worker(tmp_path, 1), text)
    happen(redis, "promoted", series="a")
    happen(redis, "finished")
    runs = RetrainingRuns()
    demo._await_run(stage, runs)
    assert (1, {"a": "promoted"}) == (runs.finished, runs.verdicts)


def test_a_run_that_fails_ends_the_demo_with_the_workers_log(
    client: Client, redis: Redis, tmp_path: Path, text: io.StringIO
) -> None:
    """A visitor, or CI, must not wait for events that will not come."""
    stage = staged(client, worker(tmp_path, 100), text)
    happen(redis, "failed", "the run has failed: out of memory")
    with pytest.raises(TidecastError, match="the run has failed: out of memory\na line\nredis is away"):
        demo._await_run(stage, RetrainingRuns())


@pytest.mark.parametrize("code", [1, -9])
def test_a_worker_that_ends_in_the_replay_ends_the_demo(
    client: Client, tmp_path: Path, text: io.StringIO, code: int
) -> None:
    """At once, with its exit code and the end of its log."""
    stage = staged(client, worker(tmp_path, 0, code), text)
    with pytest.raises(
        TidecastError, match=f"has no forecast, and the worker has ended with exit code {code}:\na line"
    ):
        list(demo._forecasts(stage, "0", stage.ids[-1]))


def test_a_forecast_that_comes_late_is_waited_for(
    client: Client, redis: Redis, tmp_path: Path, text: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker may be slow, for as long as it lives: it is checked after each wait without a forecast."""
    monkeypatch.setattr(demo, "BLOCK_MS", 1)
    stage = staged(client, worker(tmp_path, 100), text)
    looks = 0

    def look(_what: str, _since: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 5:
            answer(redis, stage.ids[-1])

    monkeypatch.setattr(DemoWorker, "check", lambda _self, what, since: look(what, since))
    assert stage.ids == [forecast.id for forecast in demo._forecasts(stage, "0", stage.ids[-1])]
    assert 5 == looks


def test_a_worker_that_is_silent_for_ever_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lives, and answers nothing."""
    monkeypatch.setattr(demo_programs, "TIMEOUT_S", 5.0)
    monkeypatch.setattr("time.monotonic", lambda: 1000.0)
    silent = worker(tmp_path, 100)
    silent.check("reading 1-0 has no forecast", since=995.5)
    with pytest.raises(TidecastError, match="reading 1-0 has no forecast, and the worker was silent for 5 s:\na line"):
        silent.check("reading 1-0 has no forecast", since=994.0)


def test_a_worker_that_does_not_start_ends_the_demo_with_its_log(tmp_path: Path, settings: Settings) -> None:
    """Such as one with a wrong setting in the visitor's environment."""
    place = DemoSetup(settings.redis_url.get_secret_value(), "no such namespace", tmp_path)
    with (
        pytest.raises(TidecastError, match="ended with exit code 2 before it was ready:\ntidecast: setting namespace"),
        demo_programs.worker(place, print),
    ):
        pass


def test_without_its_packages_the_demo_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each of them, before anything is trained."""
    for name in demo.PACKAGES:
        with monkeypatch.context() as patch:
            patch.setattr(demo, "find_spec", lambda wanted, name=name: None if wanted == name else object())
            with pytest.raises(TidecastError, match=r"pip install 'tidecast\[demo\]'"):
                demo.run(None, tmp_path, as_json=True)


def test_series_of_the_same_columns_are_trained_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each training imports TensorFlow, and gets the target, the features and the past of its series alone."""
    trained: list[tuple[str, list[str]]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        file = Path(command[command.index("train") + 1])
        options = command[command.index("--target") : command.index("--store")]
        trained.append((" ".join(options), file.read_text().split()))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(demo_programs.subprocess, "run", run)
    level, wind = (DemoSource(name, "level", features, []) for name, features in (("a", ()), ("b", ("wind",))))
    heat = [DemoSource(name, "heat", ("wind",), []) for name in ("c", "d")]
    for source in (level, wind, *heat):
        source.readings.extend((source.series, {"level": 1, "heat": 2, "wind": 3}, ts) for ts in range(5))
    demo_programs.train([level, wind, *heat], tmp_path, quiet=True)
    assert [
        ("--target level", ["series,timestamp,level", *(f"a,{ts},1" for ts in range(4))]),
        ("--target level --features wind", ["series,timestamp,wind,level", *(f"b,{ts},3,1" for ts in range(4))]),
        (
            "--target heat --features wind",
            ["series,timestamp,wind,heat", *(f"{name},{ts},3,2" for name in "cd" for ts in range(4))],
        ),
    ] == trained


def test_a_training_that_fails_ends_the_demo_with_its_output(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its exit code and the end of what it printed."""
    done = subprocess.CompletedProcess([], 3, "", "it has no memory")
    monkeypatch.setattr(demo_programs.subprocess, "run", lambda *_, **__: done)
    with pytest.raises(TidecastError, match="training ended with exit code 3:\nit has no memory"):
        demo_programs.train([DemoSource("a", "level", (), [("a", {"level": 1}, 0)])], tmp_path, quiet=True)


def test_for_programs_the_demo_prints_one_object_and_nothing_else(
    redis_server: EmbeddedRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """From the training to a run of the schedule and the picture, with real processes, which all end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "sources", few)
    monkeypatch.setitem(demo_programs.SCHEDULE, "RETRAIN__MIN_NEW", "12")
    demo.run(redis_server.url, Path("out"), as_json=True)
    (line,) = capfd.readouterr().out.splitlines()
    result = json.loads(line)
    assert result["scheduled_runs"] >= 1
    assert {"a", "b"} == set(result["retrained"])
    assert {"promoted", "kept"} >= set(result["retrained"].values())
    assert 0 < result["ready_cold_s"] < PATIENCE_S
    assert isinstance(result["compiled"], bool)
    assert (result["readings"], 0) == (result["forecasts"], result["unanswered"])
    assert result["readings"] == sum(result["dispositions"].values())
    assert (tmp_path / result["picture"]).read_bytes().startswith(b"\x89PNG")
    assert ["out"] == [path.name for path in tmp_path.iterdir()]
