"""The examples run, print a skill and leave a picture; the table of ideas names tests that exist."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


@pytest.mark.keras
@pytest.mark.parametrize("name", ["weather", "energy"])
def test_an_example_leaves_a_picture_and_says_its_skill(name: str, tmp_path: Path) -> None:
    """In short form: read, train, report."""
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), "--short", "--epochs", "1", "--out", str(tmp_path)]
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=quiet, cwd=tmp_path)
    assert 0 == done.returncode, done.stderr
    (skill,) = re.findall(r"^skill (\S+)$", done.stdout, re.MULTILINE)
    assert -1 < float(skill) < 1
    (picture,) = tmp_path.glob(f"{name}*.png")
    data = picture.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert 20_000 < len(data) < 500_000
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    assert width > height > 300
    assert any(tmp_path.glob("*.html"))


def test_the_table_of_ideas_names_tests_that_exist() -> None:
    """What the table offers as proof can be run."""
    named = re.findall(r"`(tests/\S+\.py)::(\w+)`", (ROOT / "docs" / "architectures.md").read_text())
    assert 15 <= len(named)
    assert [] == [f"{file}::{test}" for file, test in named if f"def {test}(" not in (ROOT / file).read_text()]


def test_made_up_load_is_hourly_and_says_that_it_is_made_up() -> None:
    """Nobody takes it for a measurement: the column's name tells."""
    lines = (EXAMPLES / "data" / "energy_made_up.csv").read_text().splitlines()
    assert "timestamp,made_up_load_mw" == lines[0]
    assert 60 * 24 == len(lines) - 1
    assert all(re.fullmatch(r"2024-0\d-\d\dT\d\d:00Z,\d{3}\.\d", line) for line in lines[1:])
