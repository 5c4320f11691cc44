"""The examples run, print a skill and leave a picture; the table of ideas names tests that exist."""

import os
import re
import runpy
import sys
from pathlib import Path

import pytest

from tests.harness.nursery import TRAININGS, Forked

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


NAMES = ("weather", "energy")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder with the examples' files, each in a folder of its name, and their output."""
    folder = tmp_path_factory.mktemp("examples")
    command = ("examples", str(EXAMPLES), *NAMES)
    log = folder / "log"
    with Forked("tests.examples.short", command, folder, os.environ, log, TRAININGS) as process:
        process.wait()
    output = log.read_text()
    assert 0 == process.returncode, output
    return folder, output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("energy.py", "nowhere.csv"), "energy: nowhere.csv does not exist"),
        (("energy.py", "--target", "load"), "energy: .* has no column for the target 'load'"),
        (("energy.py", "--epochs", "0"), "energy: setting train.epochs is 0: use 1 or more"),
        (("weather.py", "--epochs", "-1"), "weather: setting train.epochs is -1: use 1 or more"),
    ],
)
def test_an_example_that_is_asked_for_what_cannot_be_ends_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    """Before anything is trained, and without a traceback."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", list(words))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setenv("PYTHONSAFEPATH", "1")  # as the example sets it; the end of the test takes it back
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(EXAMPLES / words[0]), run_name="__main__")
    assert re.match(sentence, str(caught.value.code))
    assert [] == list(tmp_path.iterdir())


@pytest.mark.keras
@pytest.mark.parametrize("name", NAMES)
def test_an_example_leaves_a_picture_and_says_its_skill(name: str, ran: tuple[Path, str]) -> None:
    """In short form: read, train, report."""
    folder, output = ran
    its = output.partition(f"example {name}\n")[2].partition("example ")[0]
    (skill,) = re.findall(r"^skill (\S+)$", its, re.MULTILINE)
    assert -1 < float(skill) < 1
    (picture,) = (folder / name).glob(f"{name}*.png")
    data = picture.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert 20_000 < len(data) < 500_000
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    assert width > height > 300
    assert any((folder / name).glob("*.html"))


def test_the_table_of_ideas_names_tests_that_exist() -> None:
    """The tests that the table offers as proof can be run."""
    named = re.findall(r"`(tests/\S+\.py)::(\w+)`", (ROOT / "docs" / "architectures.md").read_text())
    assert 15 <= len(named)
    assert [] == [f"{file}::{test}" for file, test in named if f"def {test}(" not in (ROOT / file).read_text()]


def test_made_up_load_is_hourly_and_says_that_it_is_made_up() -> None:
    """The column's name shows that it is not a measurement."""
    lines = (EXAMPLES / "data" / "energy_made_up.csv").read_text().splitlines()
    assert "timestamp,made_up_load_mw" == lines[0]
    assert 60 * 24 == len(lines) - 1
    assert all(re.fullmatch(r"2024-0\d-\d\dT\d\d:00Z,\d{3}\.\d", line) for line in lines[1:])
