"""Experts are found by file, module or entry point; a wrong source gets a sentence."""

from pathlib import Path

import pytest

from tidecast.errors import SettingsError
from tidecast.own_experts.source import make_expert

GOOD = """
class Last:
    rows = 3
    def fit(self, windows, targets): pass
    def predict(self, windows): return windows[:, -1, 0]
    def state(self): return b""
    def restore(self, state): pass
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file with an expert and things that are not one."""
    path = tmp_path / "mine.py"
    path.write_text(GOOD + "class Half:\n    rows = 1\ndef broken(): raise RuntimeError('no licence')\nNUMBER = 1\n")
    return path


def test_a_file_is_imported_once(file: Path) -> None:
    """Two experts of one file have one class, so that pickles of one are valid for the other."""
    first = make_expert(f"{file}:Last")
    assert type(first) is type(make_expert(f"{file}:Last"))
    assert first.rows == 3


def test_a_module_can_be_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is imported as any other."""
    monkeypatch.syspath_prepend(str(file.parent))
    assert make_expert("mine:Last").rows == 3


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("absent.py:Last", "cannot be imported: FileNotFoundError: no file absent.py"),
        ("absent_module:Last", "cannot be imported: ModuleNotFoundError"),
        ("{file}:Absent", "has no class or function 'Absent'"),
        ("{file}:NUMBER", "has no class or function 'NUMBER'"),
        ("{file}:Half", "lacks fit, predict, state, restore"),
        ("{file}:broken", "cannot be made: RuntimeError: no licence"),
        ("boosting", "is not an entry point of the group tidecast.experts"),
    ],
)
def test_a_wrong_source_is_refused_with_a_remedy(file: Path, source: str, sentence: str) -> None:
    """The sentence names the source and the mistake."""
    with pytest.raises(SettingsError) as refusal:
        make_expert(source.format(file=file))
    assert sentence in str(refusal.value)
