"""Colours and bars: on a terminal alone, and colours not where NO_COLOR is set."""

import json
import re
import signal
import sys
from pathlib import Path

import pytest
from redis import Redis

from tests.harness.models import make_model
from tests.harness.processes import TIDECAST, run_command
from tests.harness.programs.terminal import on_a_terminal
from tidecast.models.store import ModelStore
from tidecast.settings import Settings

COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7]|38;)")
NOBODY = "redis://127.0.0.1:1/0"
SHOW = "from tidecast.progress import progress\nwith progress('counting', 'sheep', 3) as tell: tell(2)\n"
INTERRUPT = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings file but the test's own."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)], ids=["colour", "none"])
def test_colours_are_for_terminals_unless_the_user_wants_none(
    tmp_path: Path, variables: dict[str, str], coloured: bool
) -> None:
    """Of the findings and of a bar."""
    code, text = on_a_terminal((TIDECAST, "doctor", "--redis", NOBODY), tmp_path, variables)
    assert (1, True, coloured) == (code, "error" in text, bool(COLOUR.search(text)))
    code, text = on_a_terminal((sys.executable, "-c", SHOW), tmp_path, variables)
    assert (0, True, coloured) == (code, "2/3" in text, bool(COLOUR.search(text)))


def test_without_a_terminal_there_is_neither(capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe gets plain text."""
    assert 1 == run_command("doctor", "--redis", NOBODY)
    exec(SHOW)  # noqa: S102 - it is ours
    out, err = capsys.readouterr()
    assert ("", False) == (err, "\x1b" in out)


def test_a_program_on_a_terminal_is_interrupted_even_where_the_tests_ignore_it(tmp_path: Path) -> None:
    """As they do in the background of a shell."""
    ours = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        code, _ = on_a_terminal((sys.executable, "-c", INTERRUPT), tmp_path, {})
        assert signal.SIG_IGN == signal.getsignal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, ours)
    assert -signal.SIGINT == code


def test_a_push_shows_a_bar_on_a_terminal(
    tmp_path: Path, settings: Settings, redis: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    """With JSON for a program it does not appear, also at a speed."""
    Path("r.csv").write_text("series,ts,value\n" + "".join(f"a,{1_700_000_000_000 + 1000 * i},1\n" for i in range(50)))
    words = ("push", "r.csv", "--redis", settings.redis_url.get_secret_value())
    code, text = on_a_terminal((TIDECAST, *words), tmp_path, {})
    assert (0, True, True) == (code, "pushing" in text, "50 readings pushed" in text)
    assert 0 == run_command(*words, "--json", "--speed", "100000x")
    out, err = capsys.readouterr()
    assert ({"pushed": 50, "refused": []}, "") == (json.loads(out), err)
    assert 100 == redis.xlen("readings")


def test_the_store_is_changed_with_answers_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Promoted, rolled back, pruned and checked."""
    for seed in range(3):
        ModelStore(Path("models")).publish(make_model("a", seed=seed))

    def told(*words: str) -> object:
        assert 0 == run_command(*words, "--json", "--store", "models")
        return json.loads(capsys.readouterr().out)

    assert {"series": "a", "champion": 2} == told("models", "promote", "a", "2")
    assert {"series": "a", "champion": 1} == told("models", "rollback", "a")
    assert {"deleted": {"a": [2]}} == told("models", "prune", "--keep", "1")
    assert {"champions": 1, "store": "models"} == told("worker", "--check")
    assert 2 == run_command("worker", "--json")
