"""One file has the same readings, or is refused with the same sentence, whichever command reads it."""

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.harness.models import make_model
from tests.harness.processes import run_command
from tests.tidecast.files.odd_files import READ, REFUSED, OddFile, Readings
from tidecast.errors import TidecastError
from tidecast.files.history import History
from tidecast.files.readings import Row
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.moments import utc_datetime
from tidecast.settings import Settings

DOORS = ("train", "tune", "backtest", "report", "explain", "push", "pipe", "replay")
FAILED = 1
SOME_REFUSED = 3


class SeenError(TidecastError):
    """Ends a command that has read its file."""


class Door:
    """Runs a command on a file and keeps the readings that it read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, redis: Redis, series: str) -> None:
        self.readings: dict[str, list[tuple[str, float]]] = {}
        self._monkeypatch = monkeypatch
        self._redis = redis
        self._series = series

    def __call__(self, door: str, file: OddFile) -> int:
        """Read a file; returns the exit code."""
        words = {
            "train": ["train", file.name, "--json"],
            "tune": ["tune", file.name, "--series", self._series],
            "backtest": ["backtest", "--data", file.name, "--out", "out.csv"],
            "report": ["report", self._series, file.name],
            "explain": ["explain", self._series, file.name],
            "push": ["push", file.name],
            "pipe": ["push", "-"],
            "replay": ["replay", file.name],
        }[door]
        code = self._run([*words, *file.options], Path(file.name) if door == "pipe" else None)
        for _, fields in self._redis.xrange("readings"):
            self._keep(fields)
        return code

    def _run(self, words: Sequence[str], piped: Path | None) -> int:
        with piped_in(piped, self._monkeypatch):
            return run_command(*words)

    def _keep(self, fields: dict[bytes, bytes]) -> None:
        time = fields[b"ts"].decode()
        moment = utc_datetime(int(time)).isoformat() if time.lstrip("-").isdecimal() else time
        (target,) = [float(value) for name, value in fields.items() if name not in (b"series", b"ts")][:1]
        self.readings.setdefault(fields[b"series"].decode(), []).append((plain(moment), target))

    def keep_histories(self, histories: Sequence[History]) -> None:
        """Keep the readings of a command that trains."""
        for history in histories:
            times = [plain(utc_datetime(ts).isoformat()) for ts in history.ts.tolist()]
            self.readings[history.series] = list(zip(times, history.values[:, 0].tolist(), strict=True))

    def keep_rows(self, rows: Iterator[Row]) -> None:
        """Keep the readings of a command that answers."""
        for row in rows:
            moment = plain(utc_datetime(row.ts).isoformat())
            self.readings.setdefault(row.series, []).append((moment, next(iter(row.values.values()))))


def plain(moment: str) -> str:
    """Return a time in UTC without its offset, and without zeros of a fraction."""
    moment = moment.removesuffix("+00:00")
    return moment.rstrip("0") if "." in moment else moment


class piped_in:  # noqa: N801 - it is used as a function
    """Give a file to standard input through a pipe that ends."""

    def __init__(self, path: Path | None, monkeypatch: pytest.MonkeyPatch) -> None:
        self._path = path
        self._monkeypatch = monkeypatch

    def __enter__(self) -> None:
        if self._path is None:
            return
        reading, writing = os.pipe()
        self._thread = threading.Thread(target=write_all, args=(writing, self._path.read_bytes()))
        self._thread.start()
        self._input = os.fdopen(reading)
        self._monkeypatch.setattr(sys, "stdin", self._input)

    def __exit__(self, *_: object) -> None:
        if self._path is not None:
            self._thread.join()
            self._input.close()


def write_all(descriptor: int, data: bytes) -> None:
    """Write more than fits into a pipe at once, and close it."""
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


@pytest.fixture
def read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, redis: Redis, settings: Settings
) -> Callable[[str, OddFile], tuple[int, Door]]:
    """Give a function that runs a command until it has read its file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIDECAST_REDIS_URL", settings.redis_url.get_secret_value())

    def run(door: str, file: OddFile) -> tuple[int, Door]:
        redis.delete("readings")
        Path(file.name).write_bytes(file.content)
        series = next(iter(file.readings), file.series)
        store = ModelStore(Path("models"))
        if series not in store.served():
            store.publish(make_model(series, Spec(window=6, units=5)))
        reader = Door(monkeypatch, redis, series)

        def stop(histories: Sequence[History]) -> Any:
            reader.keep_histories(histories)
            if histories:
                raise SeenError("seen")
            return []

        monkeypatch.setattr("trainer.main.train", lambda histories, *_, **__: stop(histories))
        monkeypatch.setattr("trainer.tuning.main.tune", lambda history, *_: stop([history]))
        monkeypatch.setattr("tidecast.tools.backtest.backtest", lambda histories, *_: stop(histories))
        for module in ("report", "explain"):
            monkeypatch.setattr(f"trainer.reports.{module}.load_target", lambda _, history, *__: stop([history]))
        monkeypatch.setattr(
            "tidecast.cli.commands.streams.replay.forecasts_of", lambda rows, *_: iter([reader.keep_rows(rows) or []])
        )
        return reader(door, file), reader

    return run


@pytest.mark.parametrize("file", READ, ids=lambda file: file.what)
def test_a_file_has_the_same_readings_through_every_door(read: Any, file: OddFile) -> None:
    """A file for training can be pushed, and a pushed one can be tested: no command needs a file converted."""
    expected = {door: of_interest(door, file.readings) for door in DOORS}
    readings = {door: read(door, file)[1].readings for door in DOORS}
    assert expected == {
        door: {series: sorted(rows) for series, rows in by_series.items()} for door, by_series in readings.items()
    }


@pytest.mark.parametrize("file", REFUSED, ids=lambda file: file.what)
def test_a_file_is_refused_with_the_same_sentence_at_every_door(
    read: Any, capsys: pytest.CaptureFixture[str], file: OddFile
) -> None:
    """No command accepts a value that another refuses."""
    for door in DOORS:
        code, reader = read(door, file)
        captured = capsys.readouterr()
        sentence = file.sentence.replace(file.name, "standard input") if door == "pipe" else file.sentence
        assert code in (FAILED, SOME_REFUSED), door
        assert {} == reader.readings, door
        assert sentence in " ".join((captured.err + captured.out).split()), door


def of_interest(door: str, readings: Readings) -> Readings:
    """Return the expected readings: of one series where a command reads one, under the name of its file."""
    if door in ("tune", "report", "explain"):
        return dict(list(readings.items())[:1])
    if door == "pipe" and list(readings) == ["x"]:
        return {"stdin": readings["x"]}
    return readings
