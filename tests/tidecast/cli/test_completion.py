"""Shell completion: commands, options, and the names of the series in the store."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.harness.models import make_model
from tests.harness.processes import TIDECAST
from tidecast.cli import main as cli
from tidecast.models.store import ModelStore

SERIES = ["boiler-7", "boiler-8", "pump 1"]


@pytest.fixture(autouse=True)
def _models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A store where the command looks for it."""
    monkeypatch.chdir(tmp_path)
    for name in SERIES:
        ModelStore(Path("models")).publish(make_model(name))


def offered(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str) -> list[str]:
    """Return the words that bash offers at the end of a line."""
    monkeypatch.setenv("_TIDECAST_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
    with pytest.raises(SystemExit):
        cli.app(prog_name="tidecast")
    return [word for word in capsys.readouterr().out.splitlines() if word]


def test_the_commands_are_offered(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the program, and of a group."""
    assert {"worker", "doctor", "status", "models"} <= set(offered(monkeypatch, capsys, "tidecast "))
    assert ["push"] == offered(monkeypatch, capsys, "tidecast pu")
    assert {"list", "show", "promote"} <= set(offered(monkeypatch, capsys, "tidecast models "))
    assert "--speed" in offered(monkeypatch, capsys, "tidecast push --s")


@pytest.mark.parametrize(
    "command",
    [
        "doctor",
        "report",
        "explain",
        "retrain",
        "tune --series",
        *(f"models {name}" for name in ("list", "show", "promote", "rollback", "prune")),
    ],
)
def test_series_names_are_offered_from_the_store(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """Wherever one is an argument; also from another store, if the line names it."""
    assert SERIES == offered(monkeypatch, capsys, f"tidecast {command} ")
    assert SERIES[:2] == offered(monkeypatch, capsys, f"tidecast {command} bo")
    name, *words = command.split(" ")
    with_store = " ".join(["tidecast", name, *words[:1], "--store", "elsewhere", *words[1:]])
    if not words or name == "models":
        assert [] == offered(monkeypatch, capsys, f"{with_store} bo")


def test_a_name_is_offered_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where several are named."""
    assert ["boiler-8"] == offered(monkeypatch, capsys, "tidecast retrain boiler-7 bo")


@pytest.mark.parametrize("damage", ["store", "settings"])
def test_nothing_is_offered_where_nothing_can_be_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    """No traceback appears in the middle of the user's line."""
    if damage == "store":
        next(Path("models").rglob("series.json")).write_text("{")
    else:
        Path("tidecast.toml").write_text("partitions = 0\n")
    assert [] == offered(monkeypatch, capsys, "tidecast doctor ")
    assert "" == capsys.readouterr().err


def test_bash_completes_by_the_script_that_the_command_shows(tmp_path: Path) -> None:
    """As in a shell of a user."""
    program = f"""
PATH="{TIDECAST.parent}:$PATH"
eval "$(tidecast --show-completion)"
COMP_WORDS=(tidecast report bo) COMP_CWORD=2
_tidecast_completion tidecast
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    shell = tmp_path / "shell.sh"
    shell.write_text(program)
    done = subprocess.run(
        ["bash", shell],  # noqa: S607 - the shell of whoever runs the tests
        cwd=tmp_path,
        env=os.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert SERIES[:2] == done.stdout.splitlines(), done.stderr
