"""`tidecast push` on a pipe: the pushed readings while the pipe is open, its end, and its output."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.harness.patience import PATIENCE_S
from tests.harness.processes import TIDECAST, run_command
from tidecast.settings import Settings

HEADER = b"series,timestamp,value\n"


class Pushing:
    """A running `tidecast push` that reads from a pipe."""

    def __init__(self, folder: Path, url: str, redis: Redis, *words: str) -> None:
        self._redis = redis
        self.process = subprocess.Popen(
            [TIDECAST, "push", *words, "--json", "--redis", url],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def write(self, data: bytes) -> None:
        """Write lines that stay in no buffer."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def wait_for(self, count: int) -> None:
        """Wait until so many readings are on the stream."""
        deadline = time.monotonic() + PATIENCE_S
        while self._redis.xlen("readings") < count:
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def end(self) -> tuple[int, Any, str]:
        """Return the exit code, the answer and the standard error."""
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, json.loads(out), err.decode()


@pytest.fixture
def start(tmp_path: Path, redis: Redis, settings: Settings) -> Iterator[Any]:
    """Give a function that starts `tidecast push`; it is killed at the end if it still runs."""
    started: list[Pushing] = []

    def run(*words: str) -> Pushing:
        started.append(Pushing(tmp_path, settings.redis_url.get_secret_value(), redis, *words))
        return started[-1]

    yield run
    for pushing in started:
        pushing.process.kill()
        pushing.process.communicate()


def test_each_line_of_an_open_pipe_is_pushed(start: Any) -> None:
    """A sensor's program writes a line now and then, and never ends: none of them waits for the end."""
    pushing = start("-")
    pushing.write(HEADER + b"a,2024-01-01,1\n")
    pushing.wait_for(1)
    pushing.write(b"a,2024-01-02,2\na,2024-01-03,bro")
    pushing.wait_for(2)
    pushing.write(b"ken\na,2024-01-04,4")
    code, answer, err = pushing.end()
    assert (3, 3) == (code, answer["pushed"])
    (refusal,) = answer["refused"]
    assert "row 4 of standard input: value 'broken' is not a number" in refusal["reason"]
    assert "refused: " in err


def test_ctrl_c_ends_a_push_with_what_was_pushed(start: Any) -> None:
    """The answer counts the readings, but perhaps not those whose reply is on its way; the code is that of SIGINT."""
    pushing = start("-")
    pushing.write(HEADER + b"a,2024-01-01,1\na,2024-01-02,2\n")
    pushing.wait_for(2)
    pushing.write(b"a,2024-01-03,3\n")
    pushing.wait_for(3)
    pushing.process.send_signal(signal.SIGINT)
    code, answer, err = pushing.end()
    assert 130 == code
    assert answer["pushed"] in (2, 3)
    assert "Traceback" not in err


def test_a_named_pipe_is_followed(start: Any, tmp_path: Path) -> None:
    """Its end is that of its last writer."""
    os.mkfifo(tmp_path / "readings.csv")
    pushing = start("readings.csv")
    with (tmp_path / "readings.csv").open("wb", buffering=0) as pipe:
        pipe.write(HEADER.replace(b"series,", b"") + b"2024-01-01,1\n")
        pushing.wait_for(1)
        pipe.write(b"2024-01-02,2\n")
        pushing.wait_for(2)
    assert (0, {"pushed": 2, "refused": []}) == pushing.end()[:2]


def test_a_field_that_no_worker_reads_is_noted(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    redis: Redis,
    settings: Settings,
) -> None:
    """A column of another name is pushed as training names it; the note gives the setting that it needs."""
    (tmp_path / "shop.csv").write_text("Date,Sales\n2024-01-01,5\n")
    words = ["push", str(tmp_path / "shop.csv"), "--redis", settings.redis_url.get_secret_value()]
    assert 0 == run_command(*words)
    assert b"5.0" == redis.xrange("readings")[0][1][b"Sales"]
    assert "series.target = 'Sales'" in capsys.readouterr().err
    monkeypatch.setenv("TIDECAST_SERIES__TARGET", "Sales")
    assert 0 == run_command(*words)
    assert "series.target" not in capsys.readouterr().err
