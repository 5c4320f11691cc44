"""`tidecast size`: its output, and sentences for mistakes."""

import json
from pathlib import Path

import pytest

from tests.harness.processes import run_command
from tests.tidecast.tools.sizing.harness import coefficients
from tidecast.cli.exit_codes import MISUSED


@pytest.fixture
def stored(tmp_path: Path) -> str:
    """A file with coefficients."""
    path = tmp_path / "machine.json"
    path.write_text(json.dumps({"coefficients": coefficients().model_dump()}))
    return str(path)


def test_the_capacity_and_the_needs_are_printed_with_their_formulas(
    capsys: pytest.CaptureFixture[str], stored: str
) -> None:
    """For people: a line each."""
    words = ("size", "--coefficients", stored, "--series", "20000", "--every", "10s", "--model", "own")
    assert 0 == run_command(*words)
    lines = capsys.readouterr().out.splitlines()
    assert "a processor, 4 cores, 10.0 GB" == lines[0]
    shown = [" ".join(line.split()) for line in lines]
    assert "= own LSTM(50) 20.0 20.0 5.0" in shown
    assert "one worker 50,000 readings/s 1e6 / loop_us" in shown
    assert "useful workers 4 more gain nothing: the limit is the cores" in shown
    assert (
        "Needs of 20,000 series every 10s = 2,000.0 readings/s (own LSTM(50)); load: readings/s / (2/3 * 1e6)" in shown
    )
    assert "workers 1 load * loop_us" in shown


def test_the_json_output_has_everything_and_is_a_file_of_coefficients(
    capsys: pytest.CaptureFixture[str], stored: str, tmp_path: Path
) -> None:
    """For programs, and for another machine."""
    words = ("size", "--series", "20000", "--every", "10s", "--json", "--coefficients")
    assert 0 == run_command(*words, stored)
    first = capsys.readouterr().out
    assert (100_000, 2_000) == (
        json.loads(first)["capacity"]["most_per_s"] * 1.125,
        json.loads(first)["needs"]["per_s"],
    )
    again = tmp_path / "again.json"
    again.write_text(first)
    assert 0 == run_command(*words, str(again))
    assert first == capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--series", "5"), "--every is missing: give both, or neither"),
        (("--every", "5s"), "--series is missing: give both, or neither"),
        (("--series", "5", "--every", "0s"), "--every is '0s': use a time above 0, such as 10s"),
        (("--series", "5", "--every", "soon"), "--every 'soon' is not a duration"),
        (("--series", "0", "--every", "5s"), "--series is '0': use 1 or more"),
        (("--units", "2000"), "--units is '2000': use 1024 or less"),
        (("--model", "big"), "--model is 'big': use one of none, own, shared, both"),
        (("--redis", "redis://localhost:1/0"), "--redis and --coefficients exclude each other"),
    ],
)
def test_a_mistake_is_one_sentence(
    capsys: pytest.CaptureFixture[str],
    stored: str,
    words: tuple[str, ...],
    sentence: str,
) -> None:
    """With the value and the remedy, before anything is measured."""
    assert MISUSED == run_command("size", "--coefficients", stored, *words)
    assert sentence in capsys.readouterr().err
