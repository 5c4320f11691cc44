"""Options that are out of range: one sentence, before anything is read, trained or written."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness.models import make_model
from tests.harness.processes import run_command
from tidecast.cli.options import with_minimum
from tidecast.models.store import ModelStore
from tidecast.settings import load_settings
from tidecast.tools import backtest, demo_programs
from trainer import main as program
from trainer.tuning import main as search

NOBODY = ("--redis", "redis://127.0.0.1:1/0")
HUGE = "1" + 30 * "0"
BACKTEST = ("backtest", "--data", "history.csv", "--out")
WITHOUT_DATA = ("backtest", "--out", "o")


@pytest.fixture(autouse=True)
def _a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A history, a file in the way of folders, and a store with one series; nothing may be trained."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    lines = (f"a,{1_700_000_000_000 + 3_600_000 * i},{np.sin(i):.3f},{i % 7}" for i in range(60))
    Path("history.csv").write_text("\n".join(("series,timestamp,value,wind", *lines, "")))
    Path("file").write_text("")
    ModelStore(tmp_path / "models").publish(make_model("a"))

    def work(*_: object, **__: object) -> Any:
        raise AssertionError("the work has begun")

    monkeypatch.setattr(program, "train", work)
    monkeypatch.setattr(search, "tune", work)
    monkeypatch.setattr(backtest, "backtest", work)
    monkeypatch.setattr(demo_programs, "train", work)


def train(*options: str) -> tuple[str, ...]:
    """Train on the history."""
    return ("train", "history.csv", *options)


def looking(*options: str) -> tuple[tuple[str, ...], ...]:
    """Both commands that look at a model."""
    return tuple((command, *options) for command in ("report", "explain"))


MISUSED: list[tuple[tuple[str, ...], str]] = [
    *((train("--epochs", wrong), f"--epochs is {wrong}: use 1 or more") for wrong in ("0", "-3")),
    *((train("--season", wrong), f"--season is {wrong}: give the rows") for wrong in ("0", "-3", "1000001", HUGE)),
    (train("--season", "1000001"), "1 (none) to 1,000,000"),
    (train("--season", "60"), "--season is 60, but the longest history has 60 readings"),
    *((train("--window", wrong), f"--window is {wrong}: use 2 to 1024") for wrong in ("1", "0", "-5", "1025", HUGE)),
    *((train("--units", wrong), f"--units is {wrong}: use 1 to 1024") for wrong in ("0", "-1", "1025", HUGE)),
    *((train("--layers", wrong), f"--layers is {wrong}: use 1 to 4") for wrong in ("0", "-1", "5", HUGE)),
    (train("--preset", "defualt"), "preset 'defualt' does not exist: did you mean 'default'?"),
    (train("--preset", "x"), "preset 'x' does not exist: use one of default, tutorial"),
    (train("--since", "7d"), "add --recorded"),
    (train("--history", "archive"), "add --recorded"),
    (("report",), "no series is named: name one, or add --all"),
    (("report", "--all", "--version", "1"), "--version works only for one series"),
    *((command, "no history is named: name files") for command in (("train",), ("tune",), *looking("a"))),
    (WITHOUT_DATA, "name files with --data"),
    *(((command, "history.csv"), "'history.csv' is a file, and no series is") for command in ("report", "explain")),
    ((*BACKTEST, "o", "--recorded"), "files and --recorded exclude each other"),
    ((*BACKTEST, "o", "--seed", "-1"), "--seed is -1: use 0 or more"),
    (train("--recorded"), "files and --recorded exclude each other"),
    (("train", "--recorded", "--since", "soon"), "'soon'"),
    *((train("--store", wrong), f"the store is {wrong}, but file is a file") for wrong in ("file", "file/models")),
    *((("tune", "history.csv", "--epochs", wrong), f"--epochs is {wrong!r}: ") for wrong in ("1", "0", "-1", "many")),
    *(
        ((*BACKTEST, "o", "--test-size", wrong), f"--test-size is {wrong!r}: ")
        for wrong in ("-0.1", "1", "1.5", "nan", "x")
    ),
    ((*BACKTEST, "o", "--test-size", "0"), "--test-size is 0.0: give the share of the newest readings, above 0"),
    ((*BACKTEST, "o", "--preset", "tutoral"), "did you mean 'tutorial'?"),
    ((*BACKTEST, "models"), "--out is models, which is a directory: name a file"),
    ((*BACKTEST, "file/o"), "--out is file/o, but file is a file: name another place"),
    ((*BACKTEST, 300 * "x"), "cannot be used (File name too long)"),
    ((*BACKTEST, "o", "--pictures", "file"), "--pictures is file, but file is a file: name another place"),
    *((words, "--out is file/x, but file is a file") for words in looking("a", "history.csv", "--out", "file/x")),
    (("worker", "--check", "--health-port", "-1"), "--health-port is -1: use 0 to 65535"),
    (("retrain", "--daemon", "--health-port", "99999", *NOBODY), "--health-port is 99999: use 0 to 65535"),
    *(
        ((command, "-n", wrong, *NOBODY), f"-n is {wrong!r}: ")
        for command in ("tail", "events")
        for wrong in ("0", "-5", "few")
    ),
    *(
        (("status", "--once", "--interval", wrong, *NOBODY), f"--interval {wrong!r} is ")
        for wrong in ("nan", "0", "-1")
    ),
    (("demo", "--redis", "localhost"), "setting redis_url is not an address"),
]
FAILED: list[tuple[tuple[str, ...], str]] = [
    (train("--target", "valeu"), "has no column for the target 'valeu': did you mean 'value'?"),
    (train("--features", "wnd"), "has no column for the feature 'wnd': did you mean 'wind'?"),
    (train("--features", ","), "has no column for the feature ''"),
    (("tune", "history.csv", "--series", "zz"), "series 'zz' is not in the history: use one of a"),
    *((words, "series 'aa' has no champion in models: did you mean 'a'?") for words in looking("aa", "history.csv")),
    *((words, "series 'zz' has no champion in models: train it first") for words in looking("zz", "history.csv")),
    *(
        (words, f"series 'a' has no version {wrong}")
        for wrong in ("0", "-1", "99", HUGE)
        for words in looking("a", "history.csv", "--version", wrong)
    ),
    *((words, "the store file is a file") for words in looking("a", "history.csv", "--store", "file")),
    *(
        (words, "the store file/x is a file, or within one")
        for words in looking("a", "history.csv", "--store", "file/x")
    ),
    (("models", "list", "--store", "file"), "the store file is a file"),
    (("models", "prune", "zz"), "series 'zz' has no version: use one of a"),
    (("demo", *NOBODY), "Redis: no program listens"),
    (("replay", "history.csv", "--store", "file"), "the store file is a file"),
    (("worker", "--check", "--store", "file/models"), "the store file/models is a file"),
]


@pytest.mark.parametrize(
    ("words", "sentence", "code"), [(*case, 2) for case in MISUSED] + [(*case, 1) for case in FAILED]
)
def test_an_option_out_of_range_is_one_sentence_before_the_work(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], sentence: str, code: int
) -> None:
    """The message names the option, the value and the valid range; minutes of training would be lost otherwise."""
    before = sorted(Path().rglob("*"))
    assert code == run_command(*words)
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error
    assert before == sorted(Path().rglob("*"))


@pytest.mark.parametrize(
    "words", [train("--season", "1"), train("--season", "59"), train("--epochs", "1"), (*BACKTEST, "new/out.csv")]
)
def test_an_option_at_the_end_of_its_range_is_taken(words: tuple[str, ...]) -> None:
    """The work begins."""
    with pytest.raises(AssertionError, match="the work has begun"):
        run_command(*words)


@pytest.mark.parametrize("maximum", ["-1", "0"])
@pytest.mark.parametrize("command", ["worker --check", "replay history.csv", "backtest --data history.csv --out o"])
def test_non_negative_is_refused_below_a_maximum_of_zero(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, maximum: str
) -> None:
    """The setting would win, and every forecast would be negative."""
    monkeypatch.setenv("TIDECAST_SERIES__MAXIMUM", maximum)
    assert 2 == run_command(*command.split(), "--non-negative")
    assert f"--non-negative contradicts the setting series.maximum, which is {maximum}" in capsys.readouterr().err


@pytest.mark.parametrize(("minimum", "bound"), [(None, 0.0), (-3.0, 0.0), (5.0, 5.0)])
def test_non_negative_never_lowers_the_minimum(minimum: float | None, bound: float) -> None:
    """A higher minimum of the settings holds."""
    settings = load_settings(series={"minimum": minimum})
    assert bound == with_minimum(settings, non_negative=True).series.minimum
    assert minimum == with_minimum(settings, non_negative=False).series.minimum
